"""Contacts files to jobs: columns, good and bad rows, and the job documents."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest

from speechaid.campaign.columns import NAMES, PHONE_NAMES, recognise
from speechaid.campaign.importer import Parsed, Row, job_documents
from speechaid.errors import ImportFailed
from speechaid.model.job import Job
from speechaid.model.states import JobStatus
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
        "Ana  Rojas;11.111.111-1;+56 9 0000 0001;(2) 2345 6789;Acme;$ 150.000;31/07/2026;A-7;3;Ñuñoa",
    )
    assert row == Row(
        line=2,
        name="Ana Rojas",
        dni="11.111.111-1",
        phones=("+56900000001", "+56223456789"),
        company_name="Acme",
        debt_amount=150_000,
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
    for role, names in NAMES.items():
        for name in names.split(", "):
            for written in (name, name.upper(), name.replace(" ", "_"), f" {name.title()} "):
                assert role in recognise([written, "phone"]).roles, written
    for name in PHONE_NAMES.split(", "):
        for written in (name, f"{name}1", f"{name}_2", f"{name.upper()} 3"):
            assert recognise([written]).phones == (0,), written


def test_no_column_name_has_two_meanings() -> None:
    names = [name for group in (*NAMES.values(), PHONE_NAMES) for name in group.split(", ")]
    assert len(names) == len(set(names))


def test_phones_are_dialled_in_the_order_of_their_numbers() -> None:
    row = only("telefono_3,telefono_1,telefono_2", "900000003,900000001,900000002")
    assert row.phones == ("+56900000001", "+56900000002", "+56900000003")


def test_a_cell_may_have_several_phones_and_duplicates_are_dropped() -> None:
    row = only("phone,celular", "900000001 / +56900000002; 9 0000 0001,56900000003")
    assert row.phones == ("+56900000001", "+56900000002", "+56900000003")


def test_a_row_with_one_usable_phone_is_good() -> None:
    parsed = parse("nombre,telefono,telefono_2,telefono_3", "Ana,123,5.69E+10,900000001")
    assert parsed.rows[0].phones == ("+56900000001",)
    assert [(remark.line, remark.text.split(":")[0]) for remark in parsed.remarks] == [
        (2, "telefono"),
        (2, "telefono_2"),
    ]
    assert "format the column as text" in parsed.remarks[1].text


def test_reasons_and_remarks_show_no_phone() -> None:
    parsed = parse("phone,phone2", "+569000000011234567,900000001", "+5690000000112345,")
    texts = [remark.text for remark in parsed.remarks] + [bad.reason for bad in parsed.bad_rows]
    assert len(texts) == 2
    assert not any("5690000" in text for text in texts)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("Ana,,,", "no phone number"),
        ("Ana,12,,", "telefono: not a phone number"),
        ("Ana,900000001,mucho,", "the amount 'mucho' is not a sum of money"),
        ("Ana,900000001,-5,", "below zero"),
        ("Ana,900000001,,31/02/2026", "the due date '31/02/2026' is not a date"),
        ("Ana,900000001,,,,x", "the row has 6 cells, the header 4"),
        ("Ana,900000001\0,,", "NUL"),
        (f"{'A' * 10_001},900000001,,", "more than 10,000 characters"),
        ('Ana,"900000001"1,,', "quotes do not match"),
    ],
)
def test_a_bad_row_is_listed_with_its_reason(row: str, message: str) -> None:
    assert message in reason("nombre,telefono,monto,vencimiento", row)


def test_a_bad_row_is_returned_as_written_and_the_others_are_read() -> None:
    parsed = parse("nombre,telefono", "Ana,900000001", "Eva,12", "", "Luz,900000003")
    assert [(row.line, row.name) for row in parsed.rows] == [(2, "Ana"), (5, "Luz")]
    (bad,) = parsed.bad_rows
    assert (bad.line, bad.row) == (3, {"nombre": "Eva", "telefono": "12"})


def test_lines_are_counted_as_the_file_has_them() -> None:
    parsed = parse("nombre,nota,telefono", 'Ana,"two\nlines",900000001', "Eva,,12")
    assert [row.line for row in parsed.rows] == [2]
    assert [bad.line for bad in parsed.bad_rows] == [4]


def test_an_unclosed_quote_spoils_only_its_line() -> None:
    parsed = parse("nombre,telefono", "Ana,900000001", 'Eva,"900000002', "Luz,900000003")
    assert [row.name for row in parsed.rows] == ["Ana", "Luz"]
    assert [(bad.line, bad.reason) for bad in parsed.bad_rows] == [(3, "a quote is opened and not closed")]


@pytest.mark.parametrize(
    ("second", "is_duplicate"),
    [
        ("Ana,1-9,900000001,R1", True),
        ("ANA  ROJAS,1.-9,900000002,r1", True),
        ("Ana,1-9,900000001,R2", False),
        ("Ana,2-7,900000001,R1", False),
        ("Ana,,900000001,R1", False),
    ],
)
def test_a_second_row_of_the_same_person_and_reference_is_bad(second: str, is_duplicate: bool) -> None:
    parsed = parse("nombre,rut,telefono,referencia", "Ana,1-9,900000001,R1", second)
    assert [bad.reason for bad in parsed.bad_rows] == (
        ["the same contact and reference as line 2"] if is_duplicate else []
    )


def test_without_a_document_number_name_and_phone_identify_people() -> None:
    parsed = parse("nombre,telefono", "Ana,900000001", "ana ,+56 9 0000 0001", "Luz,900000001")
    assert [row.name for row in parsed.rows] == ["Ana", "Luz"]


def test_a_bad_row_does_not_make_its_correction_a_duplicate() -> None:
    parsed = parse("rut,telefono", "1-9,12", "1-9,900000001")
    assert [row.line for row in parsed.rows] == [3]


def test_other_columns_keep_their_names_and_names_are_unique() -> None:
    row = only("telefono,x.y,$z,nota,nota,,nombre,name", "900000001,1,2,3,4,5,Ana,Rojas")
    assert row.name == "Ana"
    assert row.additional_info == {
        "x_y": "1", "z": "2", "nota": "3", "nota_5": "4", "column_6": "5", "name": "Rojas"
    }  # fmt: skip


@pytest.mark.parametrize("header", ["a,b,c", "name,email", ",,", "teléfonos de la empresa,x"])
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
        parse("Ana,+56900000001", "Eva,+56900000002")
    assert "56900000001" not in str(failed.value)


@pytest.mark.parametrize("country", ["", "ZZ", "Chile"])
def test_an_unknown_country_is_refused(country: str) -> None:
    with pytest.raises(ImportFailed, match="not a country code"):
        parse("phone", "900000001", country=country)


def test_a_job_document_is_complete_and_readable() -> None:
    parsed = parse("nombre,rut,telefono,monto,color", "Ana,1-9,900000001 / 900000002,1.500,blue")
    (document,) = job_documents(parsed, batch_id="b1", account_id="acc", now=NOW, new_id=lambda: "job-1")
    key = document.pop("deduplication_key")
    assert key.startswith("b1:")
    assert key == f"b1:{document.pop('contact_key')}"
    assert "1-9" not in key
    assert document == {
        "job_id": "job-1",
        "batch_id": "b1",
        "account_id": "acc",
        "status": "pending",
        "mode": "single",
        "contact": {
            "name": "Ana",
            "dni": "1-9",
            "phones": ["+56900000001", "+56900000002"],
            "next_phone_index": 0,
        },
        "to_number": "+56900000001",
        "payload": {"debt_amount": 1500, "additional_info": {"color": "blue"}},
        "attempts": 0,
        "reserved_until": None,
        "created_at": NOW,
        "updated_at": NOW,
        "revision": 0,
    }
    job = Job.read({"_id": 1, **document})
    assert (job.status, job.contact.phones) == (JobStatus.PENDING, ("+56900000001", "+56900000002"))


def test_deduplication_keys_are_equal_within_a_batch_and_differ_between_batches() -> None:
    parsed = parse("nombre,telefono", "Ana,900000001", "Luz,900000002")
    names = (f"job-{number}" for number in itertools.count())

    def keys(batch_id: str) -> list[str]:
        documents = job_documents(
            parsed, batch_id=batch_id, account_id=None, now=NOW, new_id=lambda: next(names)
        )
        assert all("account_id" not in document for document in documents)
        return [document["deduplication_key"] for document in documents]

    assert keys("b1") == keys("b1")
    assert len({*keys("b1"), *keys("b2")}) == 4
