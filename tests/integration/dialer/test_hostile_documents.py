"""Documents that cannot be read or written, one by one, on a worker: each costs its own call alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import bson
import pytest
from bson import Regex
from pymongo.errors import WriteError

from speechaid.maintenance.housekeeping import Housekeeper
from speechaid.model.states import SuspendReason
from speechaid.store.operator_requests import Requested
from tests.support.common_stage import phone
from tests.support.stage import Document, Stage

#: The largest document of the database.
MOST_BYTES = 16 * 2**20
BATCH = "batch-20260101-00000001"


@pytest.fixture
def stage(common_stage: Stage) -> Stage:
    common_stage.simulator.script({"*": ["user_hangup"]})
    return common_stage


def serve_all(stage: Stage) -> list[str]:
    """Have one worker claim, dial and recover until there is nothing more to do; the numbers called."""
    context = stage.context()
    for _ in range(12):
        if not (stage.recover_one(context) or stage.dial_next(context)):
            break
    return [call["to_number"] for call in stage.placed_calls()]


def add_sound(stage: Stage) -> str:
    """A sound job that is less long due than what the test adds."""
    number = phone()
    stage.add_job(number, job_id="sound", reserved_until=stage.store.now() - timedelta(seconds=1))
    return number


def fill_up(stage: Stage, job_id: str, left: int) -> None:
    """Pad a job's document, so that so many bytes are left."""
    used = len(bson.encode({**stage.job(job_id), "padding": ""}))
    padding = "x" * (MOST_BYTES - used - left)
    stage.database.jobs.update_one({"job_id": job_id}, {"$set": {"padding": padding}})


@pytest.mark.parametrize("left", [40, 1200, 100_000])
def test_a_full_document_is_passed_over_before_a_call_and_the_next_job_is_called(
    stage: Stage, left: int
) -> None:
    number = add_sound(stage)
    stage.add_job(phone(), job_id="full")
    fill_up(stage, "full", left)

    assert serve_all(stage) == [number]

    assert stage.job("full")["status"] in {"pending", "in_progress"}
    assert "dial" not in stage.job("full")
    assert stage.job("sound")["status"] == "done"


def test_a_full_document_in_progress_stops_no_recovery(stage: Stage) -> None:
    number = add_sound(stage)
    past = stage.store.now() - timedelta(minutes=1)
    for job_id in ("full", "lapsed"):
        stage.add_job(phone(), job_id=job_id, status="in_progress", reserved_until=past, claim_token="t")
    fill_up(stage, "full", 20)
    lapsed = stage.job("lapsed")["contact"]["phones"][0]

    assert sorted(serve_all(stage)) == sorted([number, lapsed])


DIALS: dict[str, Any] = {
    "text": "dialling",
    "without a number": {"key": "k", "body": "{}"},
    "with a verdict that nobody can apply": {"verdict": {"outcome": "?"}},
    "with a time that is no time": {"intent_at": "yesterday"},
}


@pytest.mark.parametrize("status", ["pending", "in_progress"])
@pytest.mark.parametrize("dial", DIALS.values(), ids=DIALS)
def test_a_job_with_an_unreadable_dial_is_never_dialled_and_keeps_it(
    stage: Stage, dial: Any, status: str
) -> None:
    number = add_sound(stage)
    now = stage.store.now()
    sound = {"key": "k", "number": phone(), "intent_at": now, "body": "{}"}
    stored = {**sound, **dial} if isinstance(dial, dict) and "key" not in dial else dial
    stage.add_job(
        phone(), job_id="odd", status=status, reserved_until=now - timedelta(minutes=9), dial=stored
    )
    if status == "in_progress":
        stage.database.jobs.update_one({"job_id": "odd"}, {"$set": {"claim_token": "t"}})

    assert serve_all(stage) == [number]

    left = stage.job("odd")
    assert left["dial"] == stored
    assert (left["status"], left["reserved_until"] > now) == (status, True)


NAMES: dict[str, Any] = {
    "NUL": "a\0b",
    "two lines": "a\nb",
    "escape sequence": "\x1b[2J",
    "100,000 characters": "x" * 100_000,
    "document": {"a": 1},
    "empty": "",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_job_with_an_unusable_name_is_called_under_its_id(stage: Stage, name: object) -> None:
    number = phone()
    stage.add_job(number)
    stage.database.jobs.update_one({}, {"$set": {"job_id": name}})

    assert serve_all(stage) == [number]

    (job,) = stage.database.jobs.find({})
    assert (job["job_id"], job["status"]) == (name, "done")
    assert stage.results()[0]["job_id"] == str(job["_id"])


@pytest.mark.parametrize("value", ["sí, claro", None, {"on": False}, float("nan")], ids=repr)
def test_a_hold_that_cannot_be_read_holds_says_so_and_can_be_lifted(stage: Stage, value: object) -> None:
    number = add_sound(stage)
    stage.database.speechaid_holds.insert_one({"_id": "fleet", "on": value})

    assert serve_all(stage) == []
    hold = stage.store.holds.find_hold()
    assert hold is not None
    assert "cannot be read" in str(hold.reason)

    assert stage.store.holds.unhold(by="operator")
    assert serve_all(stage) == [number]


@pytest.mark.parametrize("revision", ["x", None, {"$gt": 0}, True], ids=repr)
def test_a_breaker_with_a_strange_revision_is_probed_and_closed(stage: Stage, revision: object) -> None:
    number = add_sound(stage)
    key = f"key:{stage.context().retell.fingerprint}"
    stage.database.speechaid_holds.insert_one({"_id": key, "state": "ajar", "revision": revision})

    assert serve_all(stage) == [number]

    stored = stage.database.speechaid_holds.find_one({"_id": key})
    assert stored is not None
    assert stored["state"] == "closed"


@pytest.mark.parametrize("revision", ["x", None, [], {"a": 1}], ids=repr)
def test_a_strange_revision_stops_no_change_of_many_jobs(stage: Stage, revision: object) -> None:
    account = stage.add_account(plan_type="unlimited")
    for number in range(3):
        suspended: Document = {"status": "suspended", "suspend_reason": SuspendReason.NO_CREDIT}
        stage.add_job(phone(), job_id=f"job-{number}", account_id=account, **suspended)
    stage.database.jobs.update_one({"job_id": "job-1"}, {"$set": {"revision": revision}})

    Housekeeper(stage.store).tick(stage.settings, now=1000.0)

    assert [job["status"] for job in stage.database.jobs.find({})] == ["pending"] * 3
    assert stage.job("job-1")["revision"] == 1


@pytest.mark.parametrize("dials", [None, "none", 0, {"key": "k"}], ids=repr)
def test_open_dials_that_are_no_list_become_one(stage: Stage, dials: object) -> None:
    account = stage.add_account(plan_type="credit_based", credit_balance=10.0, cost_per_call_setup=1.0)
    stage.add_batch(BATCH, open_dials=dials, call_settings={"max_concurrent_calls": 5})
    stage.database.accounts.update_one({}, {"$set": {"open_dials": dials}})
    number = phone()
    stage.add_job(number, batch_id=BATCH, account_id=account)

    assert serve_all(stage) == [number]

    for table in (stage.database.batches, stage.database.accounts):
        stored = table.find_one({})
        assert stored is not None
        assert stored["open_dials"] == []


ENTRIES = {
    "64 bits": bson.Int64(12025550177),
    "no plus": "12025550177",
    "blanks": " +1 202 555-0177",
    "plus and blanks": "+1 202 555 0177",
    "a note": "+12025550177 do not call",
}


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_a_number_on_the_list_in_another_form_is_not_called(stage: Stage, entry: object) -> None:
    number = add_sound(stage)
    stage.add_job("+12025550177", job_id="opted out")
    stage.database.speechaid_do_not_call.insert_one({"_id": entry, "source": "another program"})

    Housekeeper(stage.store).tick(stage.settings, now=1000.0)

    assert serve_all(stage) == [number]
    assert stage.store.do_not_call.other_forms(10) == []


def test_a_request_that_is_no_document_waits_for_an_operator(stage: Stage) -> None:
    number = add_sound(stage)
    stage.add_job(phone(), job_id="odd", request="cancel")

    assert serve_all(stage) == [number]

    assert (stage.job("odd")["status"], stage.job("odd")["request"]) == ("pending", "cancel")


def test_hostile_documents_beyond_one_fetch_do_not_starve_their_batch(stage: Stage) -> None:
    stage.add_batch(BATCH)
    number = add_sound(stage)
    stage.database.jobs.update_one({"job_id": "sound"}, {"$set": {"batch_id": BATCH}})
    past = stage.store.now() - timedelta(hours=1)
    stage.database.jobs.insert_many(
        {
            "job_id": f"odd-{n}",
            "status": "pending",
            "batch_id": BATCH,
            "reserved_until": past,
            "attempts": "x",
        }
        for n in range(40)
    )
    context = stage.context()
    for _ in range(60):
        if not stage.dial_next(context):
            break
    assert [call["to_number"] for call in stage.placed_calls()] == [number]


#: No query may apply these patterns: the first is invalid, the second matches every job's name.
PATTERNS = {"invalid": Regex("((("), "of every id": Regex("")}


def store_pattern(stage: Stage, pattern: Regex[str]) -> list[str]:
    """Store a job with a pattern as ``_id``; its name, or none where the server takes no such document."""
    job = {"_id": pattern, "job_id": "pattern", "status": "pending", "contact": {"phones": [phone()]}}
    try:
        stage.database.jobs.insert_one(job)
    except WriteError as refused:
        assert refused.code == 53  # noqa: PT017 - as MongoDB refuses it
        return []
    return ["pattern"]


def statuses(stage: Stage) -> dict[str, str]:
    return {job["job_id"]: job["status"] for job in stage.database.jobs.find({})}


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_a_job_whose_id_is_a_pattern_is_one_job_and_no_other(stage: Stage, pattern: Regex[str]) -> None:
    add_sound(stage)
    stored = store_pattern(stage, pattern)

    assert len(serve_all(stage)) == 1 + len(stored)

    assert statuses(stage) == dict.fromkeys([*stored, "sound"], "done")


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_a_job_that_is_left_out_stops_no_claim_and_no_recovery_whatever_its_id(
    stage: Stage, pattern: Regex[str]
) -> None:
    add_sound(stage)
    stored = store_pattern(stage, pattern)
    past = stage.store.now() - timedelta(minutes=1)
    stage.add_job(phone(), job_id="lapsed", status="in_progress", reserved_until=past, claim_token="t")
    context = stage.context()
    context.left_out.add(pattern)

    while stage.recover_one(context) or stage.dial_next(context):
        pass

    assert statuses(stage) == {"sound": "done", "lapsed": "done", **dict.fromkeys(stored, "pending")}


def test_an_operator_ends_a_job_whose_id_is_a_pattern_and_no_other(stage: Stage) -> None:
    stage.add_job(phone(), job_id="other")
    for name in store_pattern(stage, PATTERNS["of every id"]):
        assert stage.store.requests.ask(name, "cancel", reason=None, by="operator") is Requested.DONE
        assert stage.job(name)["status"] == "cancelled"
    assert stage.job("other")["status"] == "pending"


@pytest.mark.parametrize(
    "due", [bson.Timestamp(2**31, 1), bson.Timestamp(5, 1), b"soon", bson.MinKey()], ids=repr
)
def test_an_operator_ends_a_job_whose_due_time_is_of_another_type(stage: Stage, due: object) -> None:
    stage.add_job(phone(), job_id="odd", reserved_until=due)
    assert stage.store.requests.ask("odd", "suspend", reason=None, by="operator") is Requested.DONE
    assert stage.store.requests.ask("odd", "cancel", reason=None, by="operator") is Requested.DONE
    assert stage.job("odd")["status"] == "cancelled"
