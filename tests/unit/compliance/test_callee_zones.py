"""The zone of the person called: the number's where it tells, else the batch's, but always the country's."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from speechaid.compliance.callee_zones import callee_zones
from speechaid.compliance.pack_files import shipped_packs
from speechaid.model.states import Purpose


def zones(line: str, country: str, batch: str | None) -> list[str]:
    pack = shipped_packs().get((country, Purpose.COLLECTION))
    found = callee_zones(
        line,
        country,
        pack_zones=() if pack is None else pack.zones,
        batch_zone=None if batch is None else ZoneInfo(batch),
    )
    return [zone.key for zone in found]


@pytest.mark.parametrize(
    ("line", "country", "batch", "expected"),
    [
        ("+525512345678", "MX", "America/Tijuana", ["America/Mexico_City"]),
        ("+526641234567", "MX", "America/Mexico_City", ["America/Tijuana"]),
        ("+529981234567", "MX", "America/Santiago", ["America/Cancun"]),
        ("+5592987654321", "BR", "America/Sao_Paulo", ["America/Manaus"]),
        ("+12125551234", "US", "America/Santiago", ["America/New_York"]),
        ("+12085551234", "US", "America/New_York", ["America/Boise", "America/Los_Angeles"]),
        ("+18005551234", "US", "America/Chicago", ["America/Chicago"]),
        ("+5215512345678", "MX", "America/Santiago", ["America/Mexico_City"]),
        ("no number", "MX", "America/Tijuana", ["America/Tijuana"]),
        ("+56912345678", "CL", "America/Punta_Arenas", ["America/Punta_Arenas"]),
        ("+56912345678", "CL", "America/Bogota", ["America/Santiago"]),
        ("+573001234567", "CO", "America/Santiago", ["America/Bogota"]),
        ("+573001234567", "CO", None, ["America/Bogota"]),
        ("+593991234567", "EC", "Pacific/Galapagos", ["Pacific/Galapagos"]),
        ("+59899123456", "UY", "America/Santiago", ["America/Santiago"]),
        ("+59899123456", "UY", None, []),
    ],
)
def test_the_zone_of_a_line(line: str, country: str, batch: str | None, expected: list[str]) -> None:
    assert zones(line, country, batch) == expected
