"""The contacts of the demo: invented people with fictional numbers.

Sixty are in ``data/demo_contacts.csv``; more are generated. All numbers are from ranges that a regulator
reserves for fiction: North America's 555-01XX, Ofcom's 7700 900XXX and 20 7946 0XXX, Arcep's 6 39 98 XX XX,
the Bundesnetzagentur's 30 23125 XXX, ACMA's 2 5550 XXXX, PTS's 70 174 06XX. Two contacts share a number.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

#: Options of an import of these contacts: no numbering plan has their numbers, and they are called at once.
IMPORT_OPTIONS: Final[Mapping[str, str | bool]] = {
    "accept": "unassigned",
    "hours": "00:00-24:00",
    "start": True,
}
#: North American area codes; each has a hundred fictional numbers.
AREAS = range(202, 990)


def contacts(count: int) -> bytes:
    """A CSV file with ``count`` contacts; the first sixty are always the same."""
    shipped = (files("speechaid") / "data" / "demo_contacts.csv").read_text(encoding="utf-8")
    rows = list(csv.reader(io.StringIO(shipped)))
    header, people = rows[0], rows[1:]
    people += [_person(number) for number in range(len(people), count)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *people[:count]])
    return text.getvalue().encode()


def _person(number: int) -> list[str]:
    rng = random.Random(number)
    # Three numbers per person and one area code per 33 people, so that no number is used twice.
    area, block = AREAS[number // 33], number % 33 * 3
    phones = [f"+1{area}55501{block + position:02d}" for position in range(rng.choice((1, 2, 2, 3)))]
    phones += [""] * (3 - len(phones))
    return [
        f"Persona Inventada {number + 1}",
        f"DEMO-{number + 1:04d}",
        *phones,
        "Banco de Mentira",
        str(rng.randrange(15, 900) * 1000),
        "2027-06-15",
        f"FAC-{1000 + number}",
        str(rng.randrange(1, 7)),
    ]
