"""What an answer of Retell proves, and the form of our requests."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from pydantic import TypeAdapter
from requests.structures import CaseInsensitiveDict
from retell.types import CallCreatePhoneCallParams, CallListParams

from speechaid.model.agent_settings import LANGUAGES
from speechaid.retell import answers
from speechaid.retell.client import LARGEST_PAGE, Concurrency, RetellClient, _filters, ids_filter
from speechaid.retell.faults import (
    Ambiguous,
    Blocked,
    CallUnknown,
    DoNotCallRefused,
    NotPlaced,
    NumberRefused,
    RateLimited,
    RetellError,
    RetellUnavailable,
    TooLarge,
    Unexplained,
    create_fault_for,
    other_fault_for,
)
from speechaid.retell.requests_body import create_body, settings_fields, settings_fields_of
from speechaid.rules.refusals import SMALL_REQUEST_BYTES
from tests.support.retell_requests import choice_of

NOW = datetime(2026, 7, 3, 12, tzinfo=UTC)
#: Statuses that prove that a create made no call; everything else proves nothing.
PROOFS = {400, 401, 402, 403, 404, 413, 422, 429}
FAILURES = [status for status in range(100, 600) if not 200 <= status < 300]


def body(message: object) -> dict[str, object]:
    return {"status": "error", "message": message}


def headers(**fields: str) -> CaseInsensitiveDict[str]:
    return CaseInsensitiveDict({name.replace("_", "-"): value for name, value in fields.items()})


@pytest.mark.parametrize("should_retry", ["", "true", "false"])
def test_only_the_listed_statuses_prove_that_no_call_was_made(should_retry: str) -> None:
    for status in FAILURES:
        fault = create_fault_for(status, body("no"), headers=headers(x_should_retry=should_retry))
        assert isinstance(fault, NotPlaced if status in PROOFS else Ambiguous), status
        assert fault.status == status


def test_other_requests_may_be_sent_again_unless_refused_or_the_call_is_unknown() -> None:
    kinds = {status: type(other_fault_for(status, body("no"))) for status in FAILURES}
    assert {status for status, kind in kinds.items() if kind is Blocked} == {400, 401, 402, 403, 422}
    assert {status for status, kind in kinds.items() if kind is CallUnknown} == {404}
    assert set(kinds.values()) == {Blocked, CallUnknown, RetellUnavailable}


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (400, "to_number is not a valid E.164 phone number", NumberRefused),
        (422, "Invalid to_number", NumberRefused),
        (400, "Invalid destination", NumberRefused),
        (400, "toNumber must be a string", NumberRefused),
        (422, "Phone number +56900000001 cannot be called", NumberRefused),
        (422, [{"loc": ["body", "to_number"], "msg": "bad"}], NumberRefused),
        (400, "from_number is not a number of yours", Blocked),
        # Which number is meant is not clear, so no phone is marked as invalid.
        (400, "from_number cannot call to_number", Blocked),
        (400, "override_agent_id: no such agent", Blocked),
        (400, "", Unexplained),
        (400, None, Unexplained),
        # To quote the number is not to blame it.
        (400, "to_number", Unexplained),
        (400, "request for +56900000001 failed", Unexplained),
        (400, "account not authorized to call +56900000001; enable the country", Blocked),
        (422, {"detail": "to_number is invalid", "request": {"from_number": "+1"}}, NumberRefused),
        (401, "the key may not call to_number", Blocked),
        (403, "to_number is in a country that your plan does not reach", Blocked),
        (404, "to_number", Blocked),
        (402, "no payment method", Blocked),
        (400, "Contact for to_number is marked do_not_call", DoNotCallRefused),
        (400, "the contact is on the Do Not Call list", DoNotCallRefused),
        (422, "number is DNC", DoNotCallRefused),
        (400, "honor_internal_dnc must be a boolean", Blocked),
        (429, "Account rate limited", RateLimited),
        (429, "to_number do not call", RateLimited),
    ],
)
def test_a_refused_create_is_about_the_number_only_where_retell_says_so(
    status: int, text: object, kind: type[RetellError]
) -> None:
    assert type(create_fault_for(status, body(text))) is kind


@pytest.mark.parametrize(
    ("length", "kind"), [(SMALL_REQUEST_BYTES - 1, Unexplained), (SMALL_REQUEST_BYTES, TooLarge)]
)
def test_a_request_is_too_large_only_where_it_is_large(length: int, kind: type[RetellError]) -> None:
    fault = create_fault_for(413, body("request entity too large"), request_bytes=length)
    assert type(fault) is kind


@pytest.mark.parametrize(
    "answer", [None, "bad to_number", ["x", {"error": {"message": "to_number is invalid"}}], 7]
)
def test_an_error_body_of_any_shape_is_read(answer: object) -> None:
    expected = Unexplained if answer in (None, 7) else NumberRefused
    assert type(create_fault_for(400, answer)) is expected


@pytest.mark.parametrize(
    ("status", "text", "should_retry", "kind"),
    [
        (400, "invalid to_number", "true", RateLimited),
        (400, "invalid to_number", "false", NumberRefused),
        (400, "to_number", "true", RateLimited),
        (400, "to_number", "false", Unexplained),
        (400, "to_number is marked do_not_call", "true", DoNotCallRefused),
        (401, "key", "true", Blocked),
        (429, "slow down", "false", Blocked),
        (429, "slow down", "true", RateLimited),
        (500, "oops", "false", Ambiguous),
        (503, "oops", "true", Ambiguous),
    ],
)
def test_should_retry_never_makes_an_ambiguous_answer_a_proof(
    status: int, text: str, should_retry: str, kind: type[RetellError]
) -> None:
    assert type(create_fault_for(status, body(text), headers=headers(x_should_retry=should_retry))) is kind


def test_should_retry_makes_a_fault_of_other_requests_temporary() -> None:
    assert type(other_fault_for(404, None, headers=headers(x_should_retry="true"))) is RetellUnavailable
    assert type(other_fault_for(503, None, headers=headers(x_should_retry="false"))) is RetellUnavailable


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        ({}, None),
        ({"retry_after": "7"}, 7.0),
        ({"Retry_After": " 1.5 "}, 1.5),
        ({"retry_after": "7", "retry_after_ms": "250"}, 0.25),
        ({"retry_after_ms": "soon", "retry_after": "7"}, 7.0),
        ({"retry_after": format_datetime(NOW + timedelta(seconds=90), usegmt=True)}, 90.0),
        # Retell's clock is a minute ahead of ours.
        (
            {
                "retry_after": format_datetime(NOW + timedelta(seconds=90), usegmt=True),
                "date": format_datetime(NOW + timedelta(seconds=60), usegmt=True),
            },
            30.0,
        ),
        ({"retry_after": format_datetime(NOW - timedelta(days=1), usegmt=True)}, 0.0),
        ({"retry_after": "-3"}, 0.0),
        ({"retry_after": "1e12"}, answers.LONGEST_WAIT_SECONDS),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "tomorrow"}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(sent: dict[str, str], seconds: float | None) -> None:
    fault = create_fault_for(429, None, headers=headers(**sent), now=NOW)
    assert fault.retry_after_seconds == seconds


def test_a_message_is_short_and_has_no_number_or_key() -> None:
    text = "number +56912345678 (or 2 2345 6789)\nrefused for key_0123456789abcdef, Bearer abc. " + "x" * 500
    text = str(create_fault_for(400, body(text)))
    assert text.startswith("Retell answered 400: number +569******78 (or *******89) refused for ***, ***")
    assert len(text) < 240


def test_an_answer_that_is_not_json_is_refused() -> None:
    for content in (b"", b"<html>", b'{"a": nan}', b"\xff\xfe", b"[" * 100_000, b'{"a": 1'):
        with pytest.raises(ValueError):
            answers.parse(content)


def test_valid_json_that_bson_cannot_hold_is_converted() -> None:
    assert answers.parse(b'{"a": 99999999999999999999, "b": "\\ud800", "c\\u0000": 1}') == {
        "a": "99999999999999999999",
        "b": "?",
        "c": 1,
    }


BODIES: dict[str, dict[str, Any]] = {
    "everything": {
        "choice": replace(
            choice_of(), version=3, language="es-419", voicemail="leave Llame al 600.", dnc_detection=False
        ),
        "variables": {"nombre": "Ana"},
        "metadata": {"job_id": "j", "batch_id": "b", "attempt": 2, "account_id": None},
        "ring_seconds": 25.5,
        "max_call_seconds": 600,
    },
    "nothing optional": {
        "choice": choice_of(),
        "variables": {},
        "metadata": {},
        "ring_seconds": None,
        "max_call_seconds": None,
    },
    "a floating version, voicemails hung up": {
        "choice": replace(choice_of(), version="latest_published", voicemail="hangup"),
        "variables": {},
        "metadata": {},
        "ring_seconds": None,
        "max_call_seconds": None,
    },
    **{
        f"in {language}": {
            "choice": replace(choice_of(), language=language),
            "variables": {},
            "metadata": {},
            "ring_seconds": None,
            "max_call_seconds": None,
        }
        for language in sorted(LANGUAGES)
    },
}


def made_of(fields: dict[str, Any]) -> dict[str, Any]:
    return create_body(to_number="+56900000001", key="k", timezone="America/Santiago", **fields)


@pytest.mark.parametrize("fields", BODIES.values(), ids=BODIES)
def test_a_create_body_is_what_the_official_sdk_would_send(fields: dict[str, Any]) -> None:
    made = made_of(fields)
    # Validation drops names that the API does not know.
    assert TypeAdapter(CallCreatePhoneCallParams).validate_python(made, strict=True) == made


def test_a_create_body_has_the_dial_key_twice_and_only_strings_in_its_metadata() -> None:
    made = made_of(BODIES["everything"])
    assert made["idempotency_key"] == "k"
    assert made["metadata"] == {"job_id": "j", "batch_id": "b", "attempt": "2", "speechaid_dial_key": "k"}
    assert made["honor_internal_dnc"] is True


def test_a_create_body_names_agent_version_and_number_and_overrides_the_agents_own_settings() -> None:
    made = made_of(BODIES["everything"])
    assert (made["from_number"], made["override_agent_id"]) == ("+56200000001", "agent_1")
    assert made["override_agent_version"] == 3
    assert made["agent_override"] == {
        "agent": {
            "ring_duration_ms": 25_500,
            "max_call_duration_ms": 600_000,
            "timezone": "America/Santiago",
            "enable_dnc_detection": False,
            "language": "es-419",
            "voicemail_option": {"action": {"type": "static_text", "text": "Llame al 600."}},
        }
    }


def test_what_a_batch_leaves_open_is_left_to_the_agent_but_zone_and_dnc_detection() -> None:
    made = made_of(BODIES["nothing optional"])
    assert made["agent_override"] == {"agent": {"timezone": "America/Santiago", "enable_dnc_detection": True}}
    assert "override_agent_version" not in made


@pytest.mark.parametrize("fields", BODIES.values(), ids=BODIES)
def test_what_the_settings_decide_is_found_again_in_a_stored_body(fields: dict[str, Any]) -> None:
    decided = settings_fields(
        fields["choice"],
        timezone="America/Santiago",
        ring_seconds=fields["ring_seconds"],
        max_call_seconds=fields["max_call_seconds"],
    )
    assert settings_fields_of(json.loads(json.dumps(made_of(fields)))) == decided


@pytest.mark.parametrize(
    ("ring", "longest", "ring_ms", "longest_ms"),
    [(0, 0, 5_000, 60_000), (5, 60, 5_000, 60_000), (1e6, 1e6, 300_000, 7_200_000)],
)
def test_times_are_clamped_to_retells_limits(
    ring: float, longest: float, ring_ms: int, longest_ms: int
) -> None:
    optional = {"ring_seconds": ring, "max_call_seconds": longest}
    agent = made_of(BODIES["nothing optional"] | optional)["agent_override"]["agent"]
    assert (agent["ring_duration_ms"], agent["max_call_duration_ms"]) == (ring_ms, longest_ms)


def test_a_list_request_is_what_the_official_sdk_would_send() -> None:
    made: dict[str, Any] = {
        "filter_criteria": _filters({"speechaid_dial_key": "k"}, "+56900000001"),
        "limit": 100,
        "sort_order": "descending",
        "pagination_key": "p",
    }
    validated: Any = TypeAdapter(CallListParams).validate_python(made, strict=True)
    validated["filter_criteria"]["metadata"] = list(validated["filter_criteria"]["metadata"])
    assert validated == made


def test_a_question_for_ended_calls_is_what_the_official_sdk_would_send() -> None:
    made: dict[str, Any] = {
        "filter_criteria": ids_filter(["call_1", "call_2"], ended_only=True),
        "limit": LARGEST_PAGE,
        "sort_order": "descending",
    }
    validated: Any = TypeAdapter(CallListParams).validate_python(made, strict=True)
    assert validated == made
    assert set(made["filter_criteria"]["call_status"]["value"]) == {"ended", "error", "not_connected"}


@pytest.mark.parametrize(
    ("document", "free"),
    [
        ({"current_concurrency": 3, "concurrency_limit": 20}, 17),
        ({"current_concurrency": 3, "concurrency_limit": 20, "reserved_inbound_concurrency": 5}, 12),
        ({"current_concurrency": 25, "concurrency_limit": 20}, 0),
        (
            {
                "current_concurrency": 25,
                "concurrency_limit": 20,
                "concurrency_burst_enabled": True,
                "concurrency_burst_limit": 60,
            },
            35,
        ),
        ({"current_concurrency": 19, "concurrency_limit": 20, "concurrency_burst_limit": 60}, 1),
    ],
)
def test_free_concurrency_includes_bursting_and_excludes_what_is_reserved_for_inbound(
    document: dict[str, Any], free: int
) -> None:
    assert Concurrency.read(document).free == free


@pytest.mark.parametrize("document", [{}, {"current_concurrency": 3}, {"concurrency_limit": "many"}])
def test_concurrency_without_numbers_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Concurrency.read(document)


@pytest.mark.parametrize("key", ["", "key\n", "two words", "clé"])
def test_a_key_that_a_header_cannot_hold_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(ValueError) as refused:
        RetellClient(base_url="http://127.0.0.1", api_key=key, timeout_seconds=1, user_agent="t")
    assert not key or key not in str(refused.value)
