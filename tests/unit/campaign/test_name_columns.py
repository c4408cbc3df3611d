"""A column with the names of people is found under any title, or asked about: it is no silent variable."""

from __future__ import annotations

import pytest

from speechaid.campaign.columns import Column, Columns
from speechaid.campaign.names import may_be_names
from speechaid.campaign.recognition import recognise
from speechaid.campaign.titles import PERSON_WORDS, UNCERTAIN_NAMES, Role

PEOPLE = ["Ana Soto Pérez", "JOSÉ DE LA CRUZ", "Núñez, Camila", "Luis O'Higgins"]
QUESTION = "no column is taken for the names of the people"


def columns(title: str, cells: list[str], *more: str) -> Columns:
    rows = [[cell, "955550101", *more] for cell in cells]
    return recognise(
        [title, "telefono", *(f"Otro {place}" for place, _ in enumerate(more, 1))], rows, country="CL"
    )


def first(title: str, cells: list[str]) -> Column:
    return next(column for column in columns(title, cells).columns if column.position == 0)


@pytest.mark.parametrize(
    "title",
    [
        *("Cliente", "Deudor", "Razón social", "Nombre y Apellido", "Nombre del Alumno", "Alumno(a)"),
        *("Socio/a", "Nombre Paciente", "Patient Name", "Titular de la cuenta", "Moroso"),
        *("NOMBRE COMPLETO DEL ASEGURADO",),
        *("Nome do devedor", "Account holder", "Arrendatario", "Customer Full Name"),
        *sorted(PERSON_WORDS),
    ],
)
def test_a_title_that_says_who_the_row_is_about_is_that_of_a_name(title: str) -> None:
    found = columns(title, ["Ana", "Luis"])
    assert [column.title for column in found.of(Role.NAME)] == [title]
    assert found.remarks == ()


@pytest.mark.parametrize("title", ["Subject", "Person", *sorted(UNCERTAIN_NAMES)])
def test_a_title_that_may_be_a_names_is_one_where_the_cells_are_names(title: str) -> None:
    assert first(title, PEOPLE).role is Role.NAME
    assert first(title, ["payment reminder", "second notice", "third notice"]).role is Role.VARIABLE
    assert first(title, ["Plan Hogar", "Plan Hogar", "Plan Hogar"]).role is Role.VARIABLE


@pytest.mark.parametrize("people", [PEOPLE, [name.lower() for name in PEOPLE]])
def test_names_under_a_title_that_nobody_knows_are_asked_about(people: list[str]) -> None:
    found = columns("Quién", people)
    (remark,) = found.remarks
    assert remark.startswith(QUESTION)
    assert "--map 'Quién=name'" in remark
    rows = [[name, "955550101"] for name in people]
    mapped = recognise(["Quién", "telefono"], rows, country="CL", mapping={"Quién": "name"})
    assert mapped.of(Role.NAME)
    assert mapped.remarks == ()


def test_nothing_is_asked_where_a_column_has_the_names_or_none_can_have_them() -> None:
    assert columns("Nombre", PEOPLE, "Ana Soto").remarks == ()
    assert columns("Ciudad", ["Arica", "Temuco", "Osorno"]).remarks == ()
    assert columns("Producto", ["Plan Hogar", "Plan Hogar", "Plan Movil", "Plan Movil"]).remarks == ()


@pytest.mark.parametrize("other", ["Empleado", "Socio", "Subject"])
def test_a_plain_title_of_a_name_wins_over_one_that_says_who(other: str) -> None:
    titles, row = ["Nombre", "Apellido", other, "telefono"], ["Ana", "Soto", "Luis Paz", "955550101"]
    found = recognise(titles, [row, ["Eva", "Rojas", "Karla Vera", "955550102"]], country="CL")
    assert [column.title for column in (*found.of(Role.NAME), *found.of(Role.SURNAME))] == titles[:2]
    assert [column.title for column in found.of(Role.VARIABLE)] == [other]
    assert ["both mean name" in remark for remark in found.remarks] == [True]
    mapped = recognise(["Quien", other, "telefono"], [["Ana", *row[2:]]], mapping={"Quien": "name"})
    assert [column.title for column in mapped.of(Role.NAME)] == ["Quien"]


def test_codes_under_the_title_of_a_name_are_nobodys_name() -> None:
    column = first("Cliente", ["C0001", "C0002", "A-17"])
    assert (column.role, column.variable) == (Role.VARIABLE, "Cliente")
    (remark,) = columns("Cliente", ["C0001", "C0002"]).remarks
    assert "has a name's title and codes" in remark
    assert first("Cliente", ["C0001", "Ana Soto"]).role is Role.NAME
    assert first("Cliente", ["Persona 1", "Persona 2"]).role is Role.NAME


@pytest.mark.parametrize(
    "text", ["Ana", "Plan 24 Horas", "se fue de viaje", "", "Av. Matta 12", "A B C D E F G H", "---"]
)
def test_what_is_not_written_like_a_whole_name(text: str) -> None:
    assert not may_be_names([text])
