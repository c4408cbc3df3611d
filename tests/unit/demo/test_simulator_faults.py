"""Which requests a fault applies to."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from pydantic import ValidationError

from speechaid.demo.simulator.faults import Endpoint, Fault, FaultTable, Kind, Subject

CREATE = Subject(endpoint=Endpoint.CREATE, to_number="+56922220001", api_key_fingerprint="abc")
GET = Subject(endpoint=Endpoint.GET, call_id="call_1", to_number="+56922220001")


def table(*faults: Fault, seed: int = 1) -> FaultTable:
    new_table = FaultTable(seed)
    for fault in faults:
        new_table.add(fault)
    return new_table


def hits(faults: FaultTable, subject: Subject, times: int) -> list[bool]:
    return [faults.inject(subject).fault is not None for _ in range(times)]


def test_a_fault_skips_requests_hits_some_and_is_used_up() -> None:
    faults = table(Fault(kind=Kind.RESET, skip=2, count=3))
    assert hits(faults, CREATE, 7) == [False, False, True, True, True, False, False]
    assert faults.document()[0] == {
        "id": "fault-1",
        "matched": 7,
        "hits": 3,
        "kind": "reset",
        "skip": 2,
        "count": 3,
    }


@pytest.mark.parametrize(
    ("filters", "create", "get"),
    [
        ({}, True, True),
        ({"endpoints": ["create", "list"]}, True, False),
        ({"call_id": "call_1"}, False, True),
        ({"to_number": "+56922220001"}, True, True),
        ({"to_number": "+56922220002"}, False, False),
        ({"api_key_fingerprint": "abc"}, True, False),
    ],
)
def test_a_fault_hits_only_requests_that_match_its_filters(
    filters: dict[str, Any], create: bool, get: bool
) -> None:
    faults = table(Fault.model_validate({"kind": "status", **filters}))
    assert (hits(faults, CREATE, 1), hits(faults, GET, 1)) == ([create], [get])


def test_random_hits_follow_the_seed() -> None:
    def drawn(seed: int) -> list[bool]:
        return hits(table(Fault(kind=Kind.RESET, probability=0.5), seed=seed), CREATE, 200)

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert 70 < sum(drawn(1)) < 130


def test_latencies_add_up_and_combine_with_the_first_other_fault() -> None:
    faults = table(
        Fault(kind=Kind.LATENCY, seconds=2),
        Fault(kind=Kind.LATENCY, seconds=(1, 1), when="after"),
        Fault(kind=Kind.OUTAGE),
        Fault(kind=Kind.RESET),
    )
    injection = faults.inject(CREATE)
    assert (injection.delay_before, injection.delay_after) == (2, 1)
    assert injection.fault is not None
    assert injection.fault.kind is Kind.OUTAGE


def test_not_found_applies_to_get_call_only() -> None:
    faults = table(Fault(kind=Kind.NOT_FOUND))
    assert hits(faults, GET, 1) == [True]
    assert hits(faults, Subject(endpoint=Endpoint.STOP, call_id="call_1"), 1) == [False]


def test_a_removed_fault_has_no_effect() -> None:
    faults = table()
    fault_id = faults.add(Fault(kind=Kind.RESET))
    assert faults.remove(fault_id)
    assert not faults.remove(fault_id)
    assert hits(faults, CREATE, 1) == [False]


@pytest.mark.parametrize("kind", [k for k in Kind if Fault(kind=k).answer is not None])
def test_an_error_answer_has_an_error_status(kind: Kind) -> None:
    answer = Fault(kind=kind).answer
    assert answer is not None
    assert 400 <= answer[0] < 600


def test_retry_after_is_given_in_seconds_or_as_a_date() -> None:
    seconds = Fault(kind=Kind.RATE_LIMIT, retry_after_seconds=2.5).answer_headers(0)
    assert seconds == {"retry-after": "3", "retry-after-ms": "2500"}
    date = Fault(kind=Kind.OUTAGE, retry_after_seconds=60, retry_after_form="date").answer_headers(1000)
    assert parsedate_to_datetime(date["retry-after"]).timestamp() == 1060
    assert Fault(kind=Kind.OUTAGE).answer_headers(0) == {}


@pytest.mark.parametrize(
    "fields",
    [{"kind": "meteor"}, {"kind": "reset", "endpoint": "create"}, {"kind": "hang", "seconds": [2, 1]}],
)
def test_an_invalid_fault_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Fault.model_validate(fields)


def test_a_call_may_be_left_out_of_lists_only() -> None:
    faults = table(Fault(kind=Kind.UNLISTED, call_id="call_1", count=1))
    assert not faults.leaves_out(GET)
    listed = Subject(endpoint=Endpoint.LIST, call_id="call_1")
    assert [faults.leaves_out(listed) for _ in range(2)] == [True, False]
    assert hits(faults, listed, 1) == [False]
