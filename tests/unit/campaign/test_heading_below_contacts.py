"""A contact whose number is a word, such as ``sin fono``, is never taken for the titles of the file."""

from __future__ import annotations

import pytest

from speechaid.errors import ImportFailed
from tests.support.contacts import parse_contacts

UNKNOWN = "Id,Quien,Correo,Lugar,Opt Out"


@pytest.mark.parametrize("words", ["sin fono", "no tiene celular", "fono malo", "celular apagado"])
def test_titles_that_are_not_known_are_asked_about_whatever_stands_below(words: str) -> None:
    lines = [UNKNOWN, "1,Ana Soto,a@x.cl,955550101,Yes", f"2,Luis Paz,b@x.cl,{words},", ""]
    with pytest.raises(ImportFailed, match=r"no column of phone numbers.*Id, Quien, Correo, Lugar, Opt Out"):
        parse_contacts("\n".join(lines).encode())


def test_in_a_table_of_two_columns_neither() -> None:
    with pytest.raises(ImportFailed, match="no column of phone numbers"):
        parse_contacts(b"Quien;Lugar\nAna;955550101\nLuis;fono malo\n")


def test_titles_below_a_number_of_the_author_are_found() -> None:
    parsed = parse_contacts(b"Mesa de ayuda;600 360 0077\n;\nnombre;fono\nAna;955550101\n")
    assert parsed.source.header_row == 3
    assert [row.name for row in parsed.rows] == ["Ana"]


@pytest.mark.parametrize("words", ["sin fono", "Sin teléfono", "SIN NUMERO", "no tiene celular", "no phone"])
def test_words_for_no_number_are_an_empty_cell(words: str) -> None:
    parsed = parse_contacts(f"nombre;fono;celular\nAna;{words};955550101\nEva;{words};\n".encode())
    assert [(row.name, row.phones) for row in parsed.rows] == [("Ana", ("+56955550101",))]
    assert parsed.remarks == []
    assert [bad.reason for bad in parsed.bad_rows] == ["no phone number"]


def test_ph_is_a_phone() -> None:
    parsed = parse_contacts(b"Subject,Contact Ph\nAna Soto,955550101\nEva Paz,955550102\n")
    assert [(row.name, row.phones) for row in parsed.rows] == [
        ("Ana Soto", ("+56955550101",)),
        ("Eva Paz", ("+56955550102",)),
    ]
