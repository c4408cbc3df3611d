"""What spreadsheets and people do to ids, numbers and quotes, and how a file of bad rows gives it back."""

from __future__ import annotations

import csv
import io

import pytest

from speechaid.campaign.cells import clean
from speechaid.campaign.importer import Parsed
from speechaid.campaign.national_ids import plain_id, wrong_id
from speechaid.campaign.recognition import recognise
from speechaid.campaign.titles import Role
from speechaid.rules.numbers import Fault, Number, read
from tests.support.contacts import parse_contacts


def parse(*lines: str) -> Parsed:
    return parse_contacts("\n".join(lines).encode())


@pytest.mark.parametrize(
    "text",
    [
        "RUT 12.345.678-5",
        "R.U.T.: 12345678-5",
        "12,345,678-5",
        "123456785.0",
        "123456785,00",
        "N° 12.345.678-5",
    ],
)
def test_an_id_is_read_without_what_was_added_to_it(text: str) -> None:
    parsed = parse("rut;celular;ref", f"{text};955550001;A", "12345678-5;955550002;B")
    assert parsed.remarks == []
    assert len({row.person for row in parsed.rows}) == 1


@pytest.mark.parametrize("text", ["NIT850101AB1", "ROVA850101HDFXXX09", "X1", "12.345.678-5"])
def test_an_id_with_letters_of_its_own_stays_as_it_is(text: str) -> None:
    assert plain_id(text) == text


def test_a_rut_without_its_check_digit_is_said_to_lack_it() -> None:
    assert wrong_id("21000028", "CL") == "the check digit of the RUT is missing, or wrong"
    assert wrong_id("21000028-1", "CL") == "the check digit is not that of a RUT"


def test_a_number_in_scientific_form_with_all_digits_is_read() -> None:
    found = read("5.6955550307E+10", "CL")
    assert isinstance(found, Number)
    assert found.e164 == "+56955550307"
    assert found.assumed is not None
    assert read("5.69555503E+10", "CL") is Fault.ROUNDED
    assert read("5,7E+10", "CL") is Fault.ROUNDED


@pytest.mark.parametrize(
    "text", ["+569 5556-0101 (9-18 hrs)", "955560101 (de 9:00 a 18:00)", "9 5556 0101 (lun a vie 9 a 18 hrs)"]
)
def test_hours_behind_a_number_are_a_note(text: str) -> None:
    found = read(text, "CL")
    assert isinstance(found, Number)
    assert found.e164 == "+56955560101"
    assert found.note is not None


@pytest.mark.parametrize("text", ["9-5556-0101 (9-18)", "955560101 (anexo 12)", "955560101 (955560102)"])
def test_other_digits_in_brackets_are_no_note(text: str) -> None:
    found = read(text, "CL")
    assert not (isinstance(found, Number) and found.is_valid)


@pytest.mark.parametrize(
    "cell",
    [
        *("'+56955550101", '"=""+56955550101"""', '="+56955550101"', "'09 5555 0101", "56955550101.0"),
        *("+56\xa09\xa05555\u202f0101", "\u202d+56955550101\u202c", "5.6955550101E+10", '"5,6955550101E+10"'),
    ],
)
def test_what_exports_put_around_a_number_is_taken_off(cell: str) -> None:
    assert [row.phones for row in parse("nombre;celular", f"Ana;{cell}").rows] == [("+56955550101",)]


@pytest.mark.parametrize(
    "cell", ['"5,69556E+10"', "5.69556E+10", "5,70E+10", "9.56E+08", "5.69555501e10", "5E+10", "#¡NUM!"]
)
def test_a_number_whose_digits_a_spreadsheet_has_lost_is_never_dialled(cell: str) -> None:
    parsed = parse("nombre;celular", f"Ana;{cell}", "Eva;955550102")
    assert [row.name for row in parsed.rows] == ["Eva"]
    assert [bad.line for bad in parsed.bad_rows] == [2]


def test_a_number_of_a_wrong_length_is_told_the_right_one() -> None:
    (bad,) = parse("celular", "955550139999").bad_rows
    assert "12 digits); numbers of CL have 9 digits" in bad.reason


def test_a_row_with_broken_quotes_comes_back_in_its_cells_and_is_bad_until_it_is_mended() -> None:
    (bad,) = parse("rut;nombre;celular", '12345678-5;"EL RÁPIDO" LTDA;955550212').bad_rows
    assert bad.cells == ["12345678-5", '"EL RÁPIDO" LTDA', "955550212"]

    def again(name: str, reason: str = bad.reason) -> Parsed:
        text = io.StringIO()
        writer = csv.writer(text, delimiter=";")
        writer.writerow(["_line", "_reason", "rut", "nombre", "celular"])
        writer.writerow([2, reason, bad.cells[0], name, bad.cells[2]])
        return parse_contacts(text.getvalue().encode())

    untouched = again(str(bad.cells[1]))
    assert untouched.rows == []
    assert "take out the quotes" in untouched.bad_rows[0].reason
    assert [row.name for row in again("EL RÁPIDO LTDA").rows] == ["EL RÁPIDO LTDA"]
    assert [row.name for row in again('"EL RÁPIDO" LTDA', reason="").rows] == ['"EL RÁPIDO" LTDA']


def test_numbers_beside_a_column_of_area_codes_are_no_doubt() -> None:
    rows = [["2", "25550201", "955550201"], ["32", "2550202", ""], ["41", "2550204", ""]]
    assert recognise(["Cod. Área", "Fono Fijo", "Celular"], rows, country="CL").remarks == ()


def test_initials_are_no_countries_and_codes_under_such_a_title_are() -> None:
    rows = [["CPV", "CL", "955550201"], ["CL", "AR", ""], ["PE", "CL", ""]]
    columns = recognise(["Ejecutivo", "Nacionalidad", "Celular"], rows, country="CL")
    (remark,) = columns.remarks
    assert "'Nacionalidad'" in remark
    assert columns.of(Role.VARIABLE)


def test_a_date_is_no_phone_number() -> None:
    assert read("2026-10-02", "EC") is Fault.DATE
    assert read("2026-10-02 14:30", "EC") is Fault.DATE
    assert isinstance(read("2026 1002", "EC"), Number)
    rows = [["0987000000", "2026-10-02"], ["0987000013", "2026-10-03"], ["0987000026", "2026-10-04"]]
    columns = recognise(["Celular", "Último pago"], rows, country="EC")
    assert [column.title for column in columns.of(Role.VARIABLE)] == ["Último pago"]
    assert columns.remarks == ()


def test_what_is_overdue_is_the_amount_and_the_loan_beside_it_is_remarked() -> None:
    parsed = parse("celular;monto;saldo capital;total vencido", "955550101;5000;3000;150,50")
    (row,) = parsed.rows
    assert (row.debt_amount, row.additional_info) == (150.5, {"monto": "5000", "saldo capital": "3000"})
    assert sum("both mean amount" in remark.text for remark in parsed.remarks) == 2


def test_the_noise_of_a_formula_is_not_said() -> None:
    assert [clean(cell) for cell in (150.5 + 36 * 10.1, 0.1 + 0.2, 1e15, 12345678.25)] == [
        *("514.1", "0.3", "1000000000000000", "12345678.25")
    ]


@pytest.mark.parametrize(
    ("country", "dates", "order"),
    [
        ("CL", ("12/01/2026", "12/24/2026"), "mdy"),
        ("US", ("01/12/2026", "24/12/2026"), "dmy"),
        ("CL", ("01/12/2026", "24/12/2026"), None),
        ("CL", ("12/01/2026", "12/02/2026"), None),
        ("CL", ("24/12/2026", "12/24/2026"), None),
        ("CL", ("12/24/2026", "por definir", "sin fecha"), None),
    ],
)
def test_dates_for_the_agent_in_the_other_order_than_the_countrys_are_remarked(
    country: str, dates: tuple[str, ...], order: str | None
) -> None:
    rows = [["+56955550101", text] for text in dates]
    remarks = recognise(["phone", "Start Date"], rows, country=country).remarks
    assert [f"--map 'Start Date=due-date:{order}'" in remark for remark in remarks] == [True] * (
        order is not None
    )
