"""Rows that become no job, and that nobody needs to mend: who is not to be called, and totals."""

from __future__ import annotations

import pytest

from speechaid.campaign.importer import Choices, Parsed, remark_counts
from speechaid.campaign.kinds import Kind
from speechaid.campaign.opt_outs import asks_not_to_be_called
from speechaid.campaign.titles import TITLES, Role
from tests.support.contacts import parse_contacts


def read(*lines: str, mapping: dict[str, str] | None = None) -> Parsed:
    return parse_contacts("\n".join(lines).encode(), choices=Choices(mapping=mapping or {}))


def called(parsed: Parsed) -> list[int]:
    return [row.line for row in parsed.rows]


@pytest.mark.parametrize(
    "title", [*TITLES[Role.DO_NOT_CALL].split(", "), "Do Not Call", "DNC", "HasOptedOutOfCall"]
)
def test_who_asked_not_to_be_called_is_left_out_and_named(title: str) -> None:
    parsed = read(f"nombre;celular;{title}", "Ana;955550001;Sí", "Eva;955550002;No", "Luz;955550003;")
    assert called(parsed) == [3, 4]
    assert parsed.bad_rows == []
    assert all(row.additional_info == {} for row in parsed.rows)
    (remark,) = parsed.remarks
    assert (remark.line, remark.kind) == (2, Kind.DO_NOT_CALL)
    assert "dnc-add" in remark.text
    (count,) = remark_counts(parsed)
    assert (count["count"], count["option"]) == (1, "--map 'TITLE=ROLE'")


@pytest.mark.parametrize(
    "text", ["yes", "Y", "x", "XXX", "1", "TRUE", "true", "Sí", "SI", "DNC", "2026-01-31", "Opt out"]
)
def test_a_yes_of_any_kind_is_one(text: str) -> None:
    assert asks_not_to_be_called(text) is True


@pytest.mark.parametrize("text", ["no", "NO", "0", "false", "", "-", "N/A", "Não"])
def test_a_no_and_an_empty_cell_are_none(text: str) -> None:
    assert asks_not_to_be_called(text) is False


def test_an_answer_that_is_not_understood_is_called_by_nobody() -> None:
    parsed = read("nombre;celular;Do Not Call", "Ana;955550001;tal vez")
    (bad,) = parsed.bad_rows
    assert "'tal vez' is neither yes nor no" in bad.reason
    assert "--map 'Do Not Call=variable'" in bad.reason


def test_the_column_may_be_taken_for_something_else() -> None:
    parsed = read("nombre;celular;Excluir", "Ana;955550001;IVA", mapping={"Excluir": "variable"})
    assert [row.additional_info for row in parsed.rows] == [{"Excluir": "IVA"}]


@pytest.mark.parametrize("text", ["DNC", "DNCL", "No llamar", "NO CONTACTAR", "Do not call"])
def test_a_state_that_forbids_the_call_counts_in_any_column(text: str) -> None:
    parsed = read("nombre;celular;status", f"Ana;955550001;{text}", "Eva;955550002;NEW")
    assert called(parsed) == [3]
    assert [remark.kind for remark in parsed.remarks] == [Kind.DO_NOT_CALL]


def test_other_rows_of_the_person_and_of_the_number_are_left_out_too() -> None:
    parsed = read(
        "rut;celular;fijo;referencia;dnc",
        "12.345.678-5;955550001;;A;",
        "12345678-5;955550002;;B;x",
        "9876543-3;955550002;;C;",
        "11222333-9;955550002;225550101;D;",
        "15666777-1;955550005;;E;",
    )
    assert [(row.line, row.phones) for row in parsed.rows] == [(5, ("+56225550101",)), (6, ("+56955550005",))]
    assert parsed.bad_rows == []
    assert sorted({remark.line for remark in parsed.remarks if remark.kind is Kind.DO_NOT_CALL}) == [
        2,
        3,
        4,
        5,
    ]


@pytest.mark.parametrize(
    "line",
    [
        ";TOTAL GENERAL;;;2.150.000",
        "Total;;;;2.345.678",
        "Subtotal;;;;5",
        "Fuente: Sistema de Cobranzas;;;;",
        ";;;Total:;12",
    ],
)
def test_a_row_of_totals_is_no_bad_row(line: str) -> None:
    parsed = read("rut;nombre;celular;plan;monto", "12.345.678-5;Ana;955550001;hogar;1000", line)
    assert (called(parsed), parsed.bad_rows) == ([2], [])
    assert [(remark.line, remark.kind) for remark in parsed.remarks] == [(3, Kind.TOTAL)]


@pytest.mark.parametrize("line", [";Total Pérez;555;;1", "9.876.543-3;Total;;;1", ";Ana;;;5"])
def test_a_row_of_a_person_without_a_phone_is_bad(line: str) -> None:
    parsed = read("rut;nombre;celular;plan;monto", "12.345.678-5;Ana;955550001;hogar;1000", line)
    assert [bad.line for bad in parsed.bad_rows] == [3]
