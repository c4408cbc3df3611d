"""Names are said with the first names first."""

from __future__ import annotations

import pytest

from speechaid.campaign.kinds import Kind
from speechaid.campaign.names import in_spoken_order
from tests.support.contacts import parse_contacts


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("SOTO PÉREZ, ANA MARÍA", "ANA MARÍA SOTO PÉREZ"),
        ("de la Fuente,Íñigo", "Íñigo de la Fuente"),
        ("O'Higgins, Bernardo", "Bernardo O'Higgins"),
        ("García-Huidobro, M. Luz", "M. Luz García-Huidobro"),
    ],
)
def test_surnames_before_a_comma_are_said_behind(written: str, said: str) -> None:
    assert in_spoken_order(written) == said


@pytest.mark.parametrize(
    "written",
    [
        *("Ana Soto", "Servicios Andes, S.A.", "Comercial Sur, SpA", "Soto, Pérez y Cía", "Soto, Vera, Ana"),
        *("Constructora Norte, Sucursal Sur", "Soto, 3", "Soto,", ", Ana", "John Doe, Jr."),
    ],
)
def test_what_is_not_certain_stays_as_it_is(written: str) -> None:
    assert in_spoken_order(written) is None


def test_a_name_that_was_turned_round_is_remarked() -> None:
    parsed = parse_contacts("nombre;celular\nSOTO PÉREZ, ANA MARÍA;955550001\n".encode())
    assert [row.name for row in parsed.rows] == ["ANA MARÍA SOTO PÉREZ"]
    assert [(remark.line, remark.kind) for remark in parsed.remarks] == [(2, Kind.ASSUMED)]


def test_a_column_of_surnames_and_names_without_a_comma_is_remarked_once() -> None:
    lines = "Apellidos y Nombres;celular\nSoto Ana;955550001\nVera Luz;955550002\n"
    parsed = parse_contacts(lines.encode())
    assert [remark.kind for remark in parsed.remarks] == [Kind.COLUMN]
    assert "surnames first" in parsed.remarks[0].text
    assert (
        parse_contacts(b"Apellidos y Nombres;celular\nSoto, Ana;955550001\n").remarks[0].kind is Kind.ASSUMED
    )


def test_words_for_nothing_that_may_be_a_name_are_remarked() -> None:
    parsed = parse_contacts(b"nombre;apellido;celular;acepta\nAna;NA;955550001;SI\nLuz;Si;955550002;N/A\n")
    assert [row.name for row in parsed.rows] == ["Ana", "Luz Si"]
    assert parsed.rows[0].additional_info == {"acepta": "SI"}
    assert [(remark.line, remark.text) for remark in parsed.remarks] == [
        (2, "apellido: 'NA' is taken for an empty cell")
    ]
