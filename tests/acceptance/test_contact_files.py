"""Files as owners have them, through a daemon: the job of each row, or the sentence that says why not."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import xlsxwriter

from tests.support.terminal import Terminal, open_terminal


@dataclass(frozen=True, kw_only=True)
class File:
    """A file, and what must come of it."""

    name: str
    country: str = "CL"
    content: bytes
    #: By the person's name (empty: none): the phones, and fields of the payload (None: not there).
    jobs: Mapping[str, tuple[list[str], Mapping[str, object]]] = field(default_factory=dict)
    #: What the dry run says.
    sentences: tuple[str, ...] = ()
    #: The import is refused with this.
    refusal: str | None = None


def text(*lines: str, encoding: str = "utf-8") -> bytes:
    return "\n".join(lines).encode(encoding)


def workbook(*sheets: tuple[str, str, list[list[object]]], far_cell: bool = False) -> bytes:
    """Each sheet with its state: ``visible``, ``hidden`` or ``very hidden``."""
    stream = io.BytesIO()
    with xlsxwriter.Workbook(stream) as made:
        for name, state, rows in sheets:
            sheet = made.add_worksheet(name)
            for line, row in enumerate(rows):
                sheet.write_row(line, 0, row)
            if far_cell:
                sheet.write(1_048_574, 16_383, 1)
            if state == "hidden":
                sheet.hide()
            elif state == "very hidden":
                sheet.very_hidden()
            else:
                sheet.activate()
                sheet.set_first_sheet()
    return stream.getvalue()


TABLE: list[list[object]] = [["nombre", "telefono", "monto"], ["Inés Vera", "+56955550131", 1000]]
PAID: list[list[object]] = [["nombre", "telefono", "monto"], ["Pagó Ayer", "+56955550139", 0]]


def of_vera(*phones: str, **fields: object) -> dict[str, tuple[list[str], Mapping[str, object]]]:
    return {"Inés Vera": (list(phones or ("+56955550131",)), fields)}


FILES = [
    File(
        name="numbers-with-decimals.csv",
        content=text(
            "nombre;rut;fono",
            "Inés Vera;11.111.111-1;955550131.0",
            "Raúl Paz;22.222.222-2;56955550132.0",
        ),
        jobs={**of_vera(), "Raúl Paz": (["+56955550132"], {})},
    ),
    File(
        name="trunk-zeros.csv",
        content=text(
            "nombre;fono", "Inés Vera;+56 (0) 9 5555 0131", "Raúl Paz;09 5555 0132", "Sol Ríos;02 2555 0133"
        ),
        jobs={
            **of_vera(),
            "Raúl Paz": (["+56955550132"], {}),
            "Sol Ríos": (["+56225550133"], {}),
        },
    ),
    File(
        name="brazil.csv",
        country="BR",
        content=text("nome;telefone", "Inés Vera;0055 51 98765-4331", "Raúl Paz;0055 31 98765-4332"),
        jobs={**of_vera("+5551987654331"), "Raúl Paz": (["+5531987654332"], {})},
    ),
    File(
        name="mexico.csv",
        country="MX",
        content=text(
            *("nombre;telefono", "Inés Vera;+52 1 55 1234 5631", "Raúl Paz;044 55 1234 5632"),
            *("Sol Ríos;5215512345633", "Gil Mora;01 55 1234 5634"),
        ),
        jobs={
            **of_vera("+525512345631"),
            "Raúl Paz": (["+525512345632"], {}),
            "Sol Ríos": (["+525512345633"], {}),
            "Gil Mora": (["+525512345634"], {}),
        },
    ),
    File(
        name="dialler-export.csv",
        content=text(
            "vendor_lead_code,phone_code,phone_number,first_name,last_name,alt_phone",
            "L1,1,3055550131,Inés,Vera,",
            "L2,52,5512345631,Raúl,Paz,5512345632",
            "L3,56,955550133,Sol,Ríos,",
        ),
        jobs={
            **of_vera("+13055550131"),
            "Raúl Paz": (["+525512345631", "+525512345632"], {}),
            "Sol Ríos": (["+56955550133"], {}),
        },
        sentences=("a number of US", "a number of MX"),
    ),
    File(
        name="seven-phones.csv",
        content=text(
            "Nombres;Apellido Paterno;Apellido Materno;Teléfono;Celular titular;Nro. Celular;Fono comercial;"
            "Tel. Móvil;Teléfono móvil;Móvil 1",
            "Inés;Vera;Lagos;225550131;955550131;955550132;225550133;955550134;955550135;955550136",
        ),
        jobs={
            "Inés Vera Lagos": (
                [
                    *("+56225550131", "+56955550131", "+56955550132", "+56225550133"),
                    *("+56955550134", "+56955550135", "+56955550136"),
                ],
                {},
            )
        },
    ),
    File(
        name="address-book.csv",
        content=text(
            '"Nombre","Apellidos","Teléfono del trabajo","Teléfono particular","Teléfono móvil"',
            '"Inés","Vera","","","+56955550131"',
        ),
        jobs=of_vera(),
    ),
    File(
        name="phone-book.csv",
        content=text(
            "First Name,Last Name,Phone 1 - Label,Phone 1 - Value,Phone 2 - Label,Phone 2 - Value",
            "Inés,Vera,Mobile,+56 9 5555 0131,Work,+56 2 2555 0131",
        ),
        jobs=of_vera("+56955550131", "+56225550131"),
    ),
    File(
        name="one-number-for-all.csv",
        content=text("nombre;fono", *(f"Persona {place};999999999" for place in "ABCDE")),
        sentences=("the number looks like one that only fills the field",),
        refusal="5 bad rows",
    ),
    File(
        name="hidden-first.xlsx",
        content=workbook(("Pagados", "hidden", PAID), ("Por llamar", "visible", TABLE)),
        jobs=of_vera(debt_amount=1000),
        sentences=("Por llamar", "Pagados (hidden)"),
    ),
    File(
        name="very-hidden-first.xlsx",
        content=workbook(("cfg", "very hidden", [["clave"], ["v"]]), ("Por llamar", "visible", TABLE)),
        jobs=of_vera(debt_amount=1000),
        sentences=("Por llamar", "cfg (hidden)"),
    ),
    File(
        name="far-cell.xlsx",
        content=workbook(("Hoja1", "visible", TABLE), far_cell=True),
        refusal="at most 20,000,000 are read; delete what stands far from the table",
    ),
    File(
        name="titles-above.csv",
        content=text(
            "Cartera vencida;;",
            "Generada el 01/11/2026;;",
            ";;",
            "nombre;fono;monto",
            "Inés Vera;955550131;1000",
        ),
        jobs=of_vera(debt_amount=1000),
        sentences=('"header_row": 4',),
    ),
    File(
        name="apostrophes.csv",
        content=text("nombre;fono;monto", "Inés Vera;'+56955550131;1000", "Raúl Paz;'955550132;2000"),
        jobs={**of_vera(debt_amount=1000), "Raúl Paz": (["+56955550132"], {"debt_amount": 2000})},
    ),
    File(
        name="separator-line.csv",
        content=text("sep=\t", "nombre\tfono\tmonto", "Inés Vera\t955550131\t1000"),
        jobs=of_vera(debt_amount=1000),
    ),
    File(
        name="mac.csv",
        content="nombre;fono\rInés Vera;955550131\rRaúl Muñoz;955550132\r".encode("mac_roman"),
        jobs={**of_vera(), "Raúl Muñoz": (["+56955550132"], {})},
        sentences=("was read as Mac Roman: 'Inés'",),
    ),
    File(
        name="encoded-twice.csv",
        content=text("nombre;fono", "Inés Vera;955550131").decode().encode().decode("cp1252").encode(),
        jobs=of_vera(),
        sentences=("is read as 'Inés'",),
    ),
    File(
        name="amounts.csv",
        content=text(
            "nombre;fono;monto",
            *(
                f"{name};9555501{40 + place};{amount}"
                for place, (name, amount) in enumerate(
                    [
                        *(
                            ("A A", "$150.000.-"),
                            ("B B", "UF 12,5"),
                            ("C C", "RD$ 1,500.00"),
                            ("D D", "Bs. 1.500"),
                        ),
                        *(
                            ("E E", "Q 500.00"),
                            ("F F", "150.000,-"),
                            ("G G", "$ 150.000 CLP"),
                            ("H H", "1.500.000,00"),
                        ),
                        *(
                            ("I I", '"S/ 1,500.00"'),
                            ("J J", "₡5000"),
                            ("K K", "150000.0"),
                            ("L L", '"1,5E+05"'),
                        ),
                        *(
                            ("M M", "25 mil"),
                            ("N N", "MIL 25"),
                            ("O O", "3 UTM"),
                            ("P P", "45 UIT"),
                            ("Q Q", "25.000 USD"),
                        ),
                    ]
                )
            ),
        ),
        jobs={
            name: ([f"+569555501{40 + place}"], {"debt_amount": amount, "currency": currency})
            for place, (name, amount, currency) in enumerate(
                [
                    *(
                        ("A A", 150_000, "CLP"),
                        ("B B", 12.5, "CLF"),
                        ("C C", 1500, "DOP"),
                        ("D D", 1500, "BOB"),
                    ),
                    *(("E E", 500, "GTQ"), ("F F", 150_000, None), ("G G", 150_000, "CLP")),
                    *(("H H", 1_500_000, None), ("I I", 1500, "PEN"), ("J J", 5000, "CRC")),
                    *(("K K", 150_000, None), ("L L", 150_000, None)),
                ]
            )
        }
        | {"Q Q": (["+56955550156"], {"debt_amount": 25_000, "currency": "USD"})},
        sentences=(
            *("'25 mil': a word beside the number is no currency", "'MIL 25': ", "'3 UTM': ", "'45 UIT': "),
            "may have rounded it",
        ),
    ),
    File(
        name="dates.csv",
        content=text(
            "nombre;fono;fecha limite",
            *(
                f"{name};9555501{60 + place};{day}"
                for place, (name, day) in enumerate(
                    [
                        *(("A A", "viernes, 31 de julio de 2026"), ("B B", "31/jul/26"), ("C C", "20261231")),
                        *(("D D", "46387"), ("E E", "31-12-2026 12:00:00 a. m."), ("F F", "0000-00-00")),
                        *(("G G", "Dic-26"), ("H H", "31 dic 2026"), ("I I", "2026-12-31T00:00:00.000Z")),
                        *(("J J", "-"), ("K K", "N/A"), ("L L", "31 de diciembre 2026")),
                    ]
                )
            ),
        ),
        jobs={
            name: ([f"+569555501{60 + place}"], {"due_date": day})
            for place, (name, day) in enumerate(
                [
                    *(
                        ("A A", "2026-07-31"),
                        ("B B", "2026-07-31"),
                        ("C C", "2026-12-31"),
                        ("D D", "2026-12-31"),
                    ),
                    *(("E E", "2026-12-31"), ("F F", None), ("G G", ""), ("H H", "2026-12-31")),
                    *(("I I", "2026-12-31"), ("J J", None), ("K K", None), ("L L", "2026-12-31")),
                ]
            )
            if day != ""
        },
        sentences=("'Dic-26': the date names no day", "'46387' is read as 2026-12-31"),
    ),
    File(
        name="words-for-nothing.csv",
        content=text("nombre;fono;empresa;plan", "NULL;955550131;NULL;nan"),
        jobs={"": (["+56955550131"], {"company_name": None, "plan": None})},
        sentences=("nombre: the contact has no name",),
    ),
    File(
        name="other-title-of-names.csv",
        content=text("Subject;Mobile;Balance", "Inés Vera;955550131;1000", "Raúl Paz;955550132;2000"),
        jobs={**of_vera(debt_amount=1000), "Raúl Paz": (["+56955550132"], {"debt_amount": 2000})},
        sentences=("its cells look like the names of people",),
    ),
]


@pytest.fixture(scope="module")
def terminal() -> Iterator[Terminal]:
    with open_terminal() as opened:
        yield opened


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_becomes_the_right_jobs_or_the_right_sentence(terminal: Terminal, file: File) -> None:
    path = terminal.place / file.name
    path.write_bytes(file.content)
    # The files are of the same few numbers, under several people.
    options = ("--country", file.country, "--duplicates", "keep", "--accept", "shared")
    if file.refusal is not None:
        assert file.refusal in terminal.refused("import", str(path), *options)
        assert not terminal.ask("batches")["batches"] or path.stem not in terminal.type("batches")
        if not file.sentences:
            return
    seen = terminal.type("import", str(path), "--dry-run", "--json", *options)
    for sentence in file.sentences:
        assert sentence in seen
    if file.refusal is not None:
        return
    assert terminal.ask("import", str(path), "--dry-run", *options)["would_import"] == len(file.jobs)
    batch = terminal.ask("import", str(path), *options)["batch_id"]
    assert stored(terminal, batch, file) == dict(file.jobs)


def stored(terminal: Terminal, batch: str, file: File) -> dict[str, tuple[list[str], dict[str, Any]]]:
    """The batch's jobs by name, with the fields that the file's table names."""
    found = {}
    for job in terminal.database["jobs"].find({"batch_id": batch}):
        contact, payload = job["contact"], job["payload"]
        name = contact.get("name", "")
        wanted = file.jobs.get(name, ([], {}))[1]
        values = {**payload.get("additional_info", {}), **payload}
        found[name] = list(contact["phones"]), {each: values.get(each) for each in wanted}
    return found
