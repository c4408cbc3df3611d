"""Contacts files to jobs: columns, good and bad rows, and the job documents."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest

from speechaid.campaign.importer import Choices, Parsed, bad_row_counts, job_documents
from speechaid.campaign.kinds import Kind
from speechaid.campaign.people import are_same_person, person_keys
from speechaid.campaign.recognition import recognise
from speechaid.campaign.rows import Row
from speechaid.campaign.titles import PHONE_WORDS, TITLES, Role
from speechaid.errors import ImportFailed
from speechaid.model.job import Job
from speechaid.model.states import JobStatus
from speechaid.rules.numbers import Number, line_identity, line_of, read
from tests.support.contacts import parse_contacts

NOW = datetime(2026, 7, 3, 12, tzinfo=UTC)


def parse(*lines: str, country: str = "CL") -> Parsed:
    return parse_contacts("\n".join(lines).encode(), country=country)


def only(*lines: str) -> Row:
    parsed = parse(*lines)
    assert [bad.reason for bad in parsed.bad_rows] == []
    (row,) = parsed.rows
    return row


def reason(*lines: str) -> str:
    parsed = parse(*lines)
    assert parsed.rows == []
    (bad,) = parsed.bad_rows
    return bad.reason


def test_a_spanish_row_is_read_completely() -> None:
    row = only(
        "Nombre;RUT;Teléfono 1;TELEFONO_2;Empresa;Monto Total;Fecha Límite;"
        "Referencia;Cantidad Cupones;Ciudad",
        "Ana  Rojas;11.111.111-1;+56 9 5555 0001;(2) 2345 6789;Acme;$ 150.000;31/07/2026;A-7;3;Ñuñoa",
    )
    assert row == Row(
        line=2,
        name="Ana Rojas",
        dni="11.111.111-1",
        phones=("+56955550001", "+56223456789"),
        lines=("+56955550001", "+56223456789"),
        company_name="Acme",
        debt_amount=150_000,
        currency="CLP",
        due_date="2026-07-31",
        reference_number="A-7",
        additional_info={"cantidad_cupones": "3", "Ciudad": "Ñuñoa"},
    )


def test_an_english_row_is_read_completely() -> None:
    row = only(
        "name,last name,document,phone1,phone2,company_name,debt_amount,due_date,reference_number,offer",
        'John,Doe,X1,+12025550101,+12025550102,"Acme, Inc.","1,500.50",2026-07-31,R1,ten percent',
    )
    assert (row.name, row.dni, row.phones) == ("John Doe", "X1", ("+12025550101", "+12025550102"))
    assert (row.company_name, row.debt_amount, row.due_date) == ("Acme, Inc.", 1500.5, "2026-07-31")
    assert row.additional_info == {"offer": "ten percent"}


def test_every_known_column_name_is_recognised_in_any_spelling() -> None:
    for role, names in TITLES.items():
        for name in names.split(", "):
            for written in (name, name.upper(), name.replace(" ", "_"), f" {name.title()} "):
                assert recognise([written, "phone"]).of(role), written
    for name in PHONE_WORDS:
        for written in (name, f"{name}1", f"{name}_2", f"{name.upper()} 3", f"Nro. {name} de casa"):
            assert recognise([written]).of(Role.PHONE), written


def test_no_column_name_has_two_meanings() -> None:
    names = [name for group in TITLES.values() for name in group.split(", ")]
    assert sorted(names) == sorted({*names} - PHONE_WORDS)


def test_phones_are_dialled_in_the_order_of_their_numbers() -> None:
    row = only("telefono_3,telefono_1,telefono_2", "955550003,955550001,955550002")
    assert row.phones == ("+56955550001", "+56955550002", "+56955550003")


def test_a_cell_may_have_several_phones_and_duplicates_are_dropped() -> None:
    row = only("phone,celular", "955550001 / +56955550002; 9 5555 0001,56955550003")
    assert row.phones == ("+56955550001", "+56955550002", "+56955550003")


def test_a_remark_names_which_number_of_a_cell_cannot_be_used() -> None:
    parsed = parse("telefono", "955550001 / 123 / 955550002")
    assert parsed.rows[0].phones == ("+56955550001", "+56955550002")
    (remark,) = parsed.remarks
    assert remark.text.startswith("telefono, number 2 of 3 in the cell: too few digits")


def test_a_bad_amount_names_the_word_that_is_no_currency() -> None:
    text = reason("telefono;monto", "955550001;25 mil aprox")
    assert text.endswith("no currency that is known here: mil, aprox")


def test_a_row_with_one_usable_phone_is_good() -> None:
    parsed = parse("nombre,telefono,telefono_2,telefono_3", "Ana,123,5.69E+10,955550001")
    assert parsed.rows[0].phones == ("+56955550001",)
    assert [(remark.line, remark.text.split(":")[0]) for remark in parsed.remarks] == [
        (2, "telefono"),
        (2, "telefono_2"),
    ]
    assert "format the column as text" in parsed.remarks[1].text


def test_reasons_and_remarks_show_no_phone() -> None:
    parsed = parse("phone,phone2", "+569555500011234567,955550001", "+5695555000112345,")
    texts = [remark.text for remark in parsed.remarks] + [bad.reason for bad in parsed.bad_rows]
    assert len(texts) == 3
    assert not any("5690000" in text for text in texts)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("Ana,,,", "no phone number"),
        ("Ana,12,,", "telefono: too few digits"),
        ("Ana,955550001,mucho,", "monto: 'mucho': this is not a sum of money"),
        ("Ana,955550001,-5,", "below zero"),
        ("Ana,955550001,,31/02/2026", "vencimiento: '31/02/2026': the calendar has no such day"),
        ("Ana,955550001,,,,x", "the row has 6 cells, the header 4"),
        ("Ana,955550001\0,,", "NUL"),
        (f"{'A' * 10_001},955550001,,", "more than 10,000 characters"),
        ('Ana,"955550001"1,,', "quotes do not match"),
    ],
)
def test_a_bad_row_is_listed_with_its_reason(row: str, message: str) -> None:
    assert message in reason("nombre,telefono,monto,vencimiento", row)


def test_a_bad_row_has_every_reason() -> None:
    text = reason("nombre,telefono,monto,vencimiento", "Ana,12,25 mil,Dic-26")
    assert text.count(";") == 2
    for part in (
        "telefono: too few digits",
        "monto: '25 mil'",
        "vencimiento: 'Dic-26': the date names no day",
    ):
        assert part in text


def test_a_bad_row_is_returned_as_written_and_the_others_are_read() -> None:
    parsed = parse("nombre,telefono", "Ana,955550001", "Eva,12", "", "Luz,955550003")
    assert [(row.line, row.name) for row in parsed.rows] == [(2, "Ana"), (5, "Luz")]
    (bad,) = parsed.bad_rows
    assert (bad.line, bad.cells) == (3, ["Eva", "12"])


def test_lines_are_counted_as_the_file_has_them() -> None:
    parsed = parse("nombre,nota,telefono", 'Ana,"two\nlines",955550001', "Eva,,12")
    assert [row.line for row in parsed.rows] == [2]
    assert [bad.line for bad in parsed.bad_rows] == [4]


def test_an_unclosed_quote_spoils_only_its_line() -> None:
    parsed = parse("nombre,telefono", "Ana,955550001", 'Eva,"955550002', "Luz,955550003")
    assert [row.name for row in parsed.rows] == ["Ana", "Luz"]
    assert [(bad.line, bad.reason) for bad in parsed.bad_rows] == [(3, "a quote is opened and not closed")]


@pytest.mark.parametrize(
    ("second", "is_duplicate"),
    [
        ("Ana,1-9,955550001,R1", True),
        ("ANA  ROJAS,1.-9,955550002,r1", True),
        ("Ana,1-9,955550001,R2", False),
        ("Ana,2-7,955550001,R1", False),
        ("Ana,,955550001,R1", False),
    ],
)
def test_a_second_row_of_the_same_person_and_reference_is_bad(second: str, is_duplicate: bool) -> None:
    parsed = parse("nombre,rut,telefono,referencia", "Ana,1-9,955550001,R1", second)
    assert [bad.reason for bad in parsed.bad_rows] == (
        ["the same contact and reference as line 2"] if is_duplicate else []
    )


def test_without_a_document_number_name_and_phone_identify_people() -> None:
    parsed = parse("nombre,telefono", "Ana,955550001", "ana ,+56 9 5555 0001", "Luz,955550001")
    assert [row.name for row in parsed.rows] == ["Ana", "Luz"]


def test_a_bad_row_does_not_make_its_correction_a_duplicate() -> None:
    parsed = parse("rut,telefono", "1-9,12", "1-9,955550001")
    assert [row.line for row in parsed.rows] == [3]


def test_other_columns_keep_their_names_and_names_are_unique() -> None:
    row = only("telefono,x.y,$z,nota,nota,,nombre,name", "955550001,1,2,3,4,5,Ana,Rojas")
    assert row.name == "Ana Rojas"
    assert row.additional_info == {
        "x_y": "1", "z": "2", "nota": "3", "nota_5": "4"
    }  # fmt: skip


@pytest.mark.parametrize("header", ["a,b,c", "name,email", ",,", "tipo de teléfono,x"])
def test_a_header_without_a_phone_column_is_refused(header: str) -> None:
    with pytest.raises(ImportFailed, match="no column of phone numbers"):
        parse(header, "1,2,3")


def test_a_header_that_is_not_text_is_shown_shortened_and_escaped() -> None:
    with pytest.raises(ImportFailed) as failed:
        parse("\ue000\u2028" * 500 + ",\ud7ff", "1,2")
    message = str(failed.value)
    assert message.isprintable()
    assert "\\ue000" in message
    assert len(message) < 250


def test_a_file_without_a_header_is_refused_without_showing_its_phone() -> None:
    with pytest.raises(ImportFailed, match="instead of column names") as failed:
        parse("Ana,+56955550001", "Eva,+56955550002")
    assert "56955550001" not in str(failed.value)


@pytest.mark.parametrize("country", ["", "ZZ", "Chile"])
def test_an_unknown_country_is_refused(country: str) -> None:
    with pytest.raises(ImportFailed, match="not a country code"):
        parse("phone", "955550001", country=country)


def test_a_job_document_is_complete_and_readable() -> None:
    parsed = parse("nombre,rut,telefono,monto,color", "Ana,1-9,955550001 / 955550002,1.500,blue")
    (document,) = job_documents(parsed.rows, batch_id="b1", account_id="acc", now=NOW, new_id=lambda: "job-1")
    key = document.pop("deduplication_key")
    assert key.startswith("b1:")
    assert key == f"b1:{document.pop('contact_key')}"
    assert "1-9" not in key
    assert document.pop("person_keys") == ["id:19", "line:+56955550001", "line:+56955550002"]
    assert document.pop("name_key") == "ana"
    assert document == {
        "job_id": "job-1",
        "batch_id": "b1",
        "account_id": "acc",
        "status": "pending",
        "mode": "single",
        "contact": {
            "name": "Ana",
            "dni": "1-9",
            "phones": ["+56955550001", "+56955550002"],
            "next_phone_index": 0,
        },
        "to_number": "+56955550001",
        "payload": {"debt_amount": 1500, "additional_info": {"color": "blue"}},
        "attempts": 0,
        "reserved_until": None,
        "created_at": NOW,
        "updated_at": NOW,
        "revision": 0,
    }
    job = Job.read({"_id": 1, **document})
    assert (job.status, job.contact.phones) == (JobStatus.PENDING, ("+56955550001", "+56955550002"))


def test_deduplication_keys_are_equal_within_a_batch_and_differ_between_batches() -> None:
    parsed = parse("nombre,telefono", "Ana,955550001", "Luz,955550002")
    names = (f"job-{number}" for number in itertools.count())

    def keys(batch_id: str) -> list[str]:
        documents = job_documents(
            parsed.rows, batch_id=batch_id, account_id=None, now=NOW, new_id=lambda: next(names)
        )
        assert all("account_id" not in document for document in documents)
        return [document["deduplication_key"] for document in documents]

    assert keys("b1") == keys("b1")
    assert len({*keys("b1"), *keys("b2")}) == 4


@pytest.mark.parametrize(
    ("country", "written"),
    [
        *(("AR", text) for text in ("+5491123456789", "011 15 2345-6789", "+54 11 2345-6789")),
        *(("MX", text) for text in ("+5215512345678", "044 55 1234 5678", "55 1234 5678")),
        *(("BR", text) for text in ("0055 51 99123-4567", "(51) 9123-4567", "+55 51 99123-4567")),
    ],
)
def test_the_line_of_a_number_is_that_of_its_stored_form(country: str, written: str) -> None:
    number = read(written, country)
    assert isinstance(number, Number)
    assert line_of(number) == line_identity(number.e164)
    assert person_keys(None, [written], country) == person_keys(None, [number.e164])


def test_two_people_are_the_same_by_id_else_by_a_common_line() -> None:
    ana = person_keys("12.345.678-5", ["+56955550071"])
    assert are_same_person(ana, person_keys("12345678-5", ["+56955550072"]))
    assert not are_same_person(ana, person_keys("11.111.111-1", ["+56955550071"]))
    assert are_same_person(ana, person_keys(None, ["9 5555 0099", "9 5555 0071"], "CL"))
    assert not are_same_person(ana, person_keys(None, ["no phone"], "CL"))


def test_a_bad_row_says_which_option_would_keep_it() -> None:
    parsed = parse("nombre,telefono", "Ana,955550001", "Luz,+56911223344", "Eva,12")
    assert [bad.kind for bad in parsed.bad_rows] == [Kind.UNASSIGNED, None]
    (counted,) = bad_row_counts(parsed)
    assert (counted["kind"], counted["line"], counted["option"]) == (
        "unassigned",
        3,
        "--accept unassigned",
    )


def remarks_of(*lines: str) -> list[str]:
    return [remark.text for remark in parse(*lines).remarks]


def test_the_country_stands_in_whichever_column_says_it() -> None:
    row = only("phone_code;country_code;phone_number", ";PE;961236006")
    assert row.phones == ("+51961236006",)
    assert only("phone_code;country_code;phone_number", "56;;961236006").phones == ("+56961236006",)


@pytest.mark.parametrize(
    "title",
    [
        "Country",
        "Country/Region",
        "País/Región",
        "Pais/Region",
        "País o región",
        "COUNTRY_REGION",
        "País ISO",
    ],
)
@pytest.mark.parametrize("country", ["PE", "PER", "Perú", "51", "+51", "0051", "51.0"])
def test_a_country_is_known_by_its_titles_and_in_its_forms(title: str, country: str) -> None:
    assert only(f"{title};Celular", f"{country};961236006").phones == ("+51961236006",)


def test_columns_of_countries_that_disagree_are_remarked() -> None:
    lines = ("phone_code;country_code;phone_number", "51;CL;961236006")
    assert only(*lines).phones == ("+51961236006",)
    assert any("disagree: 'CL', and '51' is used" in text for text in remarks_of(*lines))
    lines = ("phone_code;country_code;phone_number", "56;Tierra Media;961236006")
    assert only(*lines).phones == ("+56961236006",)
    assert any("'Tierra Media' is not known, and another" in text for text in remarks_of(*lines))
    assert "'999' is not known" in reason("phone_code;phone_number", "999;961236006")


def test_a_country_is_more_exact_than_a_calling_code_of_several() -> None:
    lines = ("phone_code;country_code;phone_number;vencimiento", "1;PR;7875550111;01/02/2027")
    assert only(*lines).due_date == "2027-01-02"
    assert not any("disagree" in text for text in remarks_of(*lines))


def test_a_column_of_countries_under_another_title_is_remarked() -> None:
    found = remarks_of("Celular;Residencia", "961236006;Perú", "961236007;Chile", "961236008;")
    assert any("'Residencia=country-code'" in text for text in found)
    assert remarks_of("Celular;Acepta;Cuotas", "961236006;SI;34", "961236007;NO;51") == []


def test_dates_are_read_by_the_row_s_country() -> None:
    lines = ("Celular;País;Vencimiento", "2125550110;US;12/31/2026", "961236006;CL;01/02/2027")
    assert [row.due_date for row in parse(*lines).rows] == ["2026-12-31", "2027-02-01"]
    assert not any("order of" in text for text in remarks_of(*lines))


def test_an_id_of_another_country_than_the_file_s_is_not_checked() -> None:
    assert not any("RUT" in text for text in remarks_of("Celular;País;Documento", "961236006;PE;45678912"))
    assert any("RUT" in text for text in remarks_of("Celular;País;Documento", "961236006;CL;45678912"))


@pytest.mark.parametrize(
    ("amount", "is_remarked"), [("$ 1.5", True), ("1,50", True), ("1.500", False), ("US$ 1.5", False)]
)
def test_a_fraction_of_a_currency_without_decimals_is_remarked(amount: str, is_remarked: bool) -> None:
    found = remarks_of("Celular;Monto", f"961236006;{amount}")
    assert any("CLP has no decimals" in text for text in found) is is_remarked


def test_an_amount_without_its_currency_beside_a_foreign_country_is_remarked() -> None:
    lines = ("Celular;País;Monto", "2125550110;US;$ 500")
    assert any("is taken for CLP, and the row's country is US" in text for text in remarks_of(*lines))
    assert remarks_of("Celular;País;Monto;Moneda", "2125550110;US;$ 500;USD")[1:] == []


@pytest.mark.parametrize(
    ("country", "title", "amount", "currency"),
    [
        ("CL", "Monto ($)", "150.000", "CLP"),
        ("MX", "Saldo $", "1,500.50", "MXN"),
        ("CL", "Deuda en pesos", "150.000", "CLP"),
        ("EC", "$ Deuda", "12.50", "USD"),
        ("CL", "Deuda US$", "150", "USD"),
        ("CL", "deuda_usd", "150", "USD"),
        ("CL", "Monto $CLP", "150", "CLP"),
        ("AR", "Monto $ USD", "150", "USD"),
        ("AR", "Monto (pesos chilenos)", "150", "CLP"),
        ("CL", "Saldo S/", "150", "PEN"),
        ("PE", "Saldo (S/.)", "150", "PEN"),
        ("PE", "Saldo $", "150", "PEN"),
    ],
)
def test_the_title_of_an_amount_says_its_currency(
    country: str, title: str, amount: str, currency: str
) -> None:
    parsed = parse(f"Celular;{title}", f"+56961236006;{amount}", country=country)
    assert [row.currency for row in parsed.rows] == [currency]


@pytest.mark.parametrize(
    ("amount", "currency"), [("US$ 150", "USD"), ("UF 12,5", "CLF"), ("$ 150", "CLP"), ("EUR 150", "EUR")]
)
def test_a_currency_in_the_cell_wins_over_a_bare_sign_in_the_title(amount: str, currency: str) -> None:
    assert only("Celular;Monto ($)", f"961236006;{amount}").currency == currency
    assert only("Celular;Monto ($);Moneda", "961236006;150;USD").currency == "USD"


def test_what_a_bare_sign_in_the_title_was_taken_for_is_said() -> None:
    parsed = parse("Celular;Monto ($)", "961236006;150")
    assert [column.why for column in parsed.columns.of(Role.DEBT_AMOUNT)] == ["its title; $ is taken for CLP"]
    assert parsed.remarks == []


@pytest.mark.parametrize(
    ("country", "title", "amount", "remark"),
    [
        ("CL", "Deuda US$", "150", "has amounts in USD by its title, and the currency of CL is CLP"),
        ("CL", "Saldo S/", "150", "has amounts in PEN by its title, and the currency of CL is CLP"),
        ("PE", "Saldo $", "150", "is taken for amounts in PEN, which is not written so"),
        ("PE", "Saldo", "$ 150", "is taken for PEN, which is not written so"),
        ("CL", "Monto (UF)", "12,5", None),
        ("EC", "Saldo $", "150", None),
        ("CL", "Saldo", "$ 150", None),
    ],
)
def test_a_currency_that_is_not_the_countrys_is_remarked(
    country: str, title: str, amount: str, remark: str | None
) -> None:
    parsed = parse(f"Celular;{title}", f"+56961236006;{amount}", country=country)
    texts = [one.text for one in parsed.remarks if one.kind is not Kind.FOREIGN]
    assert len(texts) == (remark is not None)
    assert all(remark is not None and remark in text for text in texts)


@pytest.mark.parametrize("title", ["Monto M$", "Monto (MM$)", "Monto ($ MM)", "Saldo S/ IVA", "Peso"])
def test_thousands_weights_and_parts_of_a_sum_are_no_amount(title: str) -> None:
    row = only(f"Celular;{title}", "961236006;80")
    assert (row.debt_amount, row.additional_info) == (None, {title: "80"})


@pytest.mark.parametrize("currency", ["USD", "MXN", "CLP"])
def test_a_dollar_sign_beside_a_currency_column_takes_its_currency(currency: str) -> None:
    row = only("Celular;Monto;Moneda", f"961236006;$ 1,234.56;{currency}")
    assert (row.debt_amount, row.currency) == (1234.56, currency)


@pytest.mark.parametrize(("amount", "currency"), [("$ 5", "UF"), ("pesos 5", "USD"), ("US$ 5", "CLP")])
def test_a_word_that_the_currency_column_contradicts_makes_the_row_bad(amount: str, currency: str) -> None:
    assert "the currency column says" in reason("Celular;Monto;Moneda", f"961236006;{amount};{currency}")


@pytest.mark.parametrize(
    "lines",
    [
        ("Celular;Monto", "961236006;1.234 UF"),
        ("Celular;Monto", "961236006;U.F. 1.234"),
        ("Celular;Saldo en UF", "961236006;1.234"),
        ("Celular;Monto;Moneda", "961236006;1.234;UF"),
    ],
)
def test_a_unit_with_three_digits_behind_the_mark_is_doubtful_wherever_its_name_stands(
    lines: tuple[str, str],
) -> None:
    assert "thousands and cents" in reason(*lines)


def test_a_refused_assumption_about_an_amount_makes_the_row_bad() -> None:
    choices = Choices(refused=frozenset({Kind.ASSUMED}))
    parsed = parse_contacts(b"Celular;Monto\n961236006;1,5E+05\n", choices=choices)
    assert [bad.kind for bad in parsed.bad_rows] == [Kind.ASSUMED]


@pytest.mark.parametrize(
    "title",
    ["N° Operación", "Nº Operación", "No. Operación", "N.º de Operación", "Nro. de factura", "N° Contrato"],
)
def test_a_numbered_title_is_the_reference(title: str) -> None:
    assert only(f"{title};Celular", "A-7;961236006").reference_number == "A-7"


@pytest.mark.parametrize("title", ["N° Documento", "Nº Documento", "Nro. Documento", "Documento"])
def test_the_number_of_a_document_beside_an_id_is_the_reference(title: str) -> None:
    row = only(f"RUT;{title};Celular", "11.111.111-1;A-7;961236006")
    assert (row.dni, row.reference_number) == ("11.111.111-1", "A-7")
    # Where nothing else is the id, it is the person's: so it is called in Argentina and Peru.
    assert only(f"{title};Celular", "11.111.111-1;961236006").dni == "11.111.111-1"
    row = only(f"RUT;{title};Referencia;Celular", "11.111.111-1;A-7;R-8;961236006")
    assert row.reference_number == "R-8"


def test_a_duplicate_in_a_file_without_references_says_that_there_are_none() -> None:
    parsed = parse("RUT;Celular;Credito X", "1-9;961236006;1", "1-9;961236006;2")
    (bad,) = parsed.bad_rows
    assert "the same contact as line 2, and no column is the reference" in bad.reason


@pytest.mark.parametrize("error", ["#N/A", "#¡REF!", "#DIV/0!"])
def test_an_error_of_the_sheet_for_an_amount_is_remarked_as_such(error: str) -> None:
    assert f"Monto: there is no amount: the sheet has the error {error}" in remarks_of(
        "Celular;Monto", f"961236006;{error}"
    )


def test_letters_that_another_program_lost_are_remarked() -> None:
    parsed = parse("Nombre;Celular", "Mar\ufffda Mu\ufffdoz;961236006")
    assert [(remark.kind, remark.line) for remark in parsed.remarks] == [(Kind.LETTERS, 2)]


def test_landlines_are_remarked_where_mobiles_are_meant() -> None:
    parsed = parse("Fono 1;Celular;Fono Trabajo", "225550101;225550102;225550103")
    assert [(remark.kind, remark.text) for remark in parsed.remarks] == [
        (Kind.LANDLINE, "Celular: a landline")
    ]
