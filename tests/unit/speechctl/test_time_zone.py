"""The zone of the times that speechctl prints is the one that it names."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
from speechctl.cli import _correct_time_zone
from speechctl.render.text import local_time_with_zone
_correct_time_zone()
print(local_time_with_zone("2026-01-05T12:00:00+00:00"))
"""


@pytest.mark.parametrize(
    ("zone", "printed", "said"),
    [
        ("Nope/Bad", "2026-01-05 12:00:00 UTC", "TZ=Nope/Bad names no time zone: times are in UTC"),
        ("UTC", "2026-01-05 12:00:00 UTC", ""),
        ("Africa/Abidjan", "2026-01-05 12:00:00 GMT", ""),
        ("XYZ3", "2026-01-05 09:00:00 XYZ", ""),
        ("XYZ0", "2026-01-05 12:00:00 XYZ", ""),
    ],
)
def test_a_zone_that_does_not_exist_is_utc_and_called_so(zone: str, printed: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "TZ": zone},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == printed
    assert said in done.stderr
    assert bool(said) is bool(done.stderr)
