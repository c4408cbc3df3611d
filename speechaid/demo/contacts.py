"""The people of the demo: invented, with numbers that no one can own.

Sixty stand in ``data/demo_contacts.csv``; more are made up. All numbers come from ranges that a regulator
keeps for fiction: North America's 555-01XX, Ofcom's 7700 900XXX and 20 7946 0XXX, Arcep's 6 39 98 XX XX, the
Bundesnetzagentur's 30 23125 XXX, ACMA's 2 5550 XXXX, PTS's 70 174 06XX. Two of them share a home and its
number.
"""

from __future__ import annotations

import csv
import io
import random
from importlib.resources import files

#: Of North American numbering plan areas; each has a hundred numbers for fiction.
AREAS = range(202, 990)


def contacts(count: int) -> bytes:
    """A CSV file of so many contacts; the first sixty are always the same."""
    shipped = (files("speechaid") / "data" / "demo_contacts.csv").read_text(encoding="utf-8")
    rows = list(csv.reader(io.StringIO(shipped)))
    header, people = rows[0], rows[1:]
    people += [_person(number) for number in range(len(people), count)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *people[:count]])
    return text.getvalue().encode()


def _person(number: int) -> list[str]:
    dice = random.Random(number)
    # Three numbers for each person, in an area of their own for every 33 people: none is given out twice.
    area, block = AREAS[number // 33], number % 33 * 3
    phones = [f"+1{area}55501{block + place:02d}" for place in range(dice.choice((1, 2, 2, 3)))]
    phones += [""] * (3 - len(phones))
    return [
        f"Persona Inventada {number + 1}",
        f"DEMO-{number + 1:04d}",
        *phones,
        "Banco de Mentira",
        str(dice.randrange(15, 900) * 1000),
        "2027-06-15",
        f"FAC-{1000 + number}",
        str(dice.randrange(1, 7)),
    ]
