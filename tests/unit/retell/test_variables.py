"""A job's dynamic variables, which the agent's prompt uses."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from speechaid.model.job import Job
from speechaid.retell.variables import plain, variables_for

NOW = datetime(2026, 7, 3, 16, 5, 9, tzinfo=UTC)


def variables(zone: str = "America/Santiago", **fields: Any) -> dict[str, str]:
    return variables_for(Job.read({"_id": 1, **fields}), now=NOW, zone=zone, country="CL")


def test_a_collection_job_has_every_variable_that_prompts_use() -> None:
    result = variables(
        contact={"name": "Ana Rojas", "dni": "11.111.111-1", "phones": ["+56900000001"]},
        payload={
            "company_name": "Acme",
            "debt_amount": 150000.0,
            "due_date": "2026-07-31",
            "reference_number": 77,
            "additional_info": {"cantidad_cupones": 3, "fecha_maxima": "2026-08-15", "urgent": True},
        },
    )
    assert result == {
        "name": "Ana Rojas",
        "dni": "11.111.111-1",
        "company_name": "Acme",
        "debt_amount": "150000",
        "due_date": "2026-07-31",
        "reference_number": "77",
        "cantidad_cupones": "3",
        "fecha_maxima": "2026-08-15",
        "urgent": "true",
        "nombre": "Ana Rojas",
        "RUT": "11.111.111-1",
        "empresa": "Acme",
        "monto_total": "150000",
        "fecha_limite": "2026-07-31",
        "monto_total_texto": "ciento cincuenta mil pesos",
        "fecha_limite_texto": "31 de julio de 2026",
        "fecha_maxima_texto": "15 de agosto de 2026",
        "cuotas_adeudadas": "3",
        "tipo_llamada": "cobranza",
        "current_time_America_Santiago": "viernes, 3 de julio de 2026, 12:05",
    }


@pytest.mark.parametrize(
    ("payload", "amount", "words"),
    [
        ({"debt_amount": 12.5, "currency": "CLF"}, "12.5 UF", "doce coma cinco UF"),
        ({"debt_amount": 25000, "currency": "USD"}, "25000 USD", "veinticinco mil dólares"),
        ({"debt_amount": 25000, "currency": "CLP"}, "25000", "veinticinco mil pesos"),
        ({"debt_amount": 25000, "currency": "MXN"}, "25000 MXN", "veinticinco mil pesos mexicanos"),
        ({"debt_amount": 25000}, "25000", "veinticinco mil pesos"),
    ],
)
def test_an_amount_in_another_currency_or_unit_is_never_a_bare_number(
    payload: dict[str, Any], amount: str, words: str
) -> None:
    result = variables(payload=payload)
    assert (result["monto_total"], result["debt_amount"]) == (amount, amount)
    assert result["monto_total_texto"] == words


@pytest.mark.parametrize(
    ("language", "words", "moment"),
    [
        ("pt-BR", "31 de julho de 2026", "sexta-feira, 3 de julho de 2026, 12:05"),
        ("en-US", "July 31, 2026", "Friday, July 3, 2026, 12:05"),
    ],
)
def test_dates_and_times_are_in_the_batchs_language(language: str, words: str, moment: str) -> None:
    job = Job.read({"_id": 1, "payload": {"due_date": "2026-07-31"}})
    result = variables_for(job, now=NOW, zone="America/Santiago", language=language)
    assert result["fecha_limite_texto"] == words
    assert result["current_time_America_Santiago"] == moment


def test_a_jobs_own_words_win_over_ours() -> None:
    result = variables(payload={"debt_amount": 5, "monto_total_texto": "cinco lucas"})
    assert result["monto_total_texto"] == "cinco lucas"


def test_the_time_is_given_in_the_windows_zone_and_in_santiago() -> None:
    result = variables("America/Argentina/Buenos_Aires")
    assert result["current_time_America_Argentina_Buenos_Aires"] == "viernes, 3 de julio de 2026, 13:05"
    assert result["current_time_America_Santiago"] == "viernes, 3 de julio de 2026, 12:05"


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "America", "\0"])
def test_an_unknown_zone_is_left_out(zone: str) -> None:
    assert list(variables(zone)) == ["current_time_America_Santiago"]


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        ({"debt_amount": 1}, "cobranza"),
        ({"debt_amount": 1, "offer_description": "x"}, "cobranza"),
        ({"offer_description": "x"}, "marketing"),
        ({"debt_amount": 0, "offer_description": "x"}, "marketing"),
        ({"debt_amount": 0.0}, None),
        ({"debt_amount": "", "offer_description": " "}, None),
        ({"debt_amount": 5, "tipo_llamada": "encuesta"}, "encuesta"),
    ],
)
def test_the_kind_of_call_follows_from_the_payload(payload: dict[str, Any], kind: str | None) -> None:
    assert variables(payload=payload).get("tipo_llamada") == kind


def test_the_contact_outranks_the_payload_which_outranks_the_additional_info() -> None:
    result = variables(
        contact={"name": "person"},
        payload={"name": "product", "plan": "gold", "additional_info": {"name": "x", "plan": "tin"}},
    )
    assert (result["name"], result["nombre"], result["plan"]) == ("person", "person", "gold")


def test_flat_fields_of_older_jobs_count_as_the_contact() -> None:
    result = variables(nombre="Ana", rut="1-9", to_number="+56900000001")
    assert (result["nombre"], result["name"], result["RUT"]) == ("Ana", "Ana", "1-9")


@pytest.mark.parametrize("moment", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_the_first_and_last_dates_are_accepted(moment: datetime) -> None:
    assert variables(payload={"due_date": moment})["due_date"][:4] in {"0001", "9999"}


def test_internal_fields_of_programs_are_left_out() -> None:
    result = variables(
        contact={"name": "Ana", "next_phone_index": 1, "_id": "66f0"},
        payload={"next_phone_index": 0},
    )
    assert set(result) == {"name", "nombre", "current_time_America_Santiago"}


def test_lists_documents_and_empty_values_are_left_out() -> None:
    result = variables(
        contact={"phones": ["+56900000001"], "name": "  "},
        payload={"a": None, "b": "", "c": [1], "d": {"e": 1}, "f": ObjectId(), "g": b"x"},
    )
    assert set(result) == {"current_time_America_Santiago"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1_000_000.0, "1000000"),
        (1e21, "1000000000000000000000"),
        (0.1, "0.1"),
        (1e-7, "0.0000001"),
        (1500.5, "1500.5"),
        (10**30, "1" + "0" * 30),
        (Decimal("1500.50"), "1500.50"),
        (Decimal128("150000.00"), "150000"),
        (Decimal128("NaN"), ""),
        (float("inf"), ""),
        (-3, "-3"),
        (True, "true"),
        (False, "false"),
        ("  x ", "x"),
        (date(2026, 7, 31), "2026-07-31"),
        (datetime(2026, 7, 31), "2026-07-31"),  # noqa: DTZ001 - SpeechAI wrote naive UTC
        (datetime(2026, 7, 31, 4, tzinfo=UTC), "2026-07-31"),
        (datetime(2026, 7, 31, 15, 30, tzinfo=UTC), "2026-07-31 11:30"),
    ],
)
def test_a_value_is_written_as_plain_text(value: object, text: str) -> None:
    assert plain(value, "America/Santiago") == text


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes() | st.binary()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(payload=VALUES, contact=VALUES, extra=VALUES)
def test_any_job_gives_only_non_empty_strings(payload: Any, contact: Any, extra: Any) -> None:
    if isinstance(payload, dict):
        payload["additional_info"] = extra
    result = variables(payload=payload, contact=contact)
    assert all(result), "an empty name"
    assert all(value.strip() for value in result.values())
    json.dumps(result)
