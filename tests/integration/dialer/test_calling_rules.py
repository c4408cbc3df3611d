"""The law in the life of a dial: hours of the callee, caps of a person, and the ledger of their calls."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from speechaid.compliance.pack_files import check_pack, shipped_packs
from speechaid.compliance.packs import Pack
from speechaid.dialer import dial
from speechaid.dialer.context import WorkerContext
from speechaid.maintenance.ledger_upkeep import ASSUMED_AFTER, LedgerUpkeep
from speechaid.model.states import NoNewCalls, Purpose
from speechaid.store.ledger import KEPT_BEYOND_DAYS, Ledger
from speechaid.store.preflight import PreflightQueries
from tests.support.stage import Document, Stage

BATCH = "batch-20260101-00000001"
#: A pack without hours, so that it is open whenever the test runs.
ALWAYS = """
kind = "pack"
format = 1
country = "UY"
purpose = "collection"
reviewed = 2026-11-30
zones = ["America/Montevideo"]
counted_purposes = ["collection", "reminder"]
sources = {}

[[caps]]
name = "daily"
unit = "attempt"
number = 1
span = "rolling_hours"
length = 24
says = "One a day: house rule."
confidence = "L"
"""
CALLEE, SECOND_PHONE = "+59894123456", "+59894123457"


def pack_of(text: str) -> Pack:
    found = check_pack(text.encode(), "own.toml", datetime.now(UTC).date())
    assert found.pack is not None, found.faults
    return found.pack


def introduce(stage: Stage, *packs: Pack, is_ready: bool = True) -> None:
    stage.store.packs.install([*shipped_packs().values(), *packs], fill="first", is_ready=is_ready, by="t")


@pytest.fixture
def capped(stage: Stage) -> Stage:
    introduce(stage, pack_of(ALWAYS))
    stage.add_batch(BATCH, call_settings={"purpose": "collection"})
    return stage


def entries(stage: Stage) -> list[Document]:
    return list(stage.database.speechaid_ledger.find({}).sort("at", 1))


def due_in(stage: Stage, job_id: str) -> timedelta:
    due = stage.job(job_id)["reserved_until"].replace(tzinfo=UTC)
    found: timedelta = due - stage.store.now()
    return found


def test_a_second_batch_does_not_call_the_person_again_until_the_cap_allows_it(capped: Stage) -> None:
    other = capped.add_batch("batch-20260101-00000002", call_settings={"purpose": "reminder"})
    introduce_reminder(capped)
    capped.simulator.script({CALLEE: ["dial_no_answer"], SECOND_PHONE: ["user_hangup"]})
    context = capped.context()
    capped.add_job(CALLEE, job_id="job-1", batch_id=BATCH)
    assert capped.dial_next(context)
    capped.add_job(SECOND_PHONE, job_id="job-2", batch_id=other)
    assert capped.dial_next(context)
    assert [call["to_number"] for call in capped.placed_calls()] == [CALLEE]
    assert timedelta(hours=23) < due_in(capped, "job-2") <= timedelta(hours=24)
    waits = capped.job("job-2")["waits_for"]
    assert (waits["reason"], waits["rule"]) == ("pack_cap", "UY reminder: daily")
    assert not capped.dial_next(context)  # it costs nothing until then


def introduce_reminder(stage: Stage) -> None:
    reminder = pack_of(ALWAYS.replace('purpose = "collection"', 'purpose = "reminder"'))
    stage.store.packs.put_in_force([reminder], fill="second", by="t")
    assert stage.store.packs.note_filled("second")


def test_an_entry_is_open_while_the_call_lasts_and_then_has_its_outcome(capped: Stage) -> None:
    seen: list[Document] = []
    capped.on_wait = lambda: seen.extend(entries(capped))
    capped.add_job(CALLEE, batch_id=BATCH, account_id=None)
    capped.simulator.script({CALLEE: ["voicemail_reached"]})
    assert capped.dial_next(capped.context())
    assert {row["open"] for row in seen} == {True}
    (entry,) = entries(capped)
    assert (entry["open"], entry["outcome"], entry["void"]) == (False, "voicemail", False)
    assert entry["keys"] == ["id:19", f"line:{CALLEE}"]
    (result,) = capped.results()
    assert (result["dial_key"], result["calling_rule"]["rule"]) == (entry["_id"], "UY collection")


def test_a_dial_that_is_withdrawn_after_it_was_announced_counts_as_nothing(capped: Stage) -> None:
    capped.add_job(CALLEE, batch_id=BATCH)
    stopped, context = capped.context("worker-1@host-a:1"), capped.context("worker-2@host-b:2")
    orders = iter([None])
    stopped.link.read_orders = lambda: next(orders, NoNewCalls.DRAINING)  # type: ignore[method-assign]
    capped.dial_next(stopped)
    assert [row["void"] for row in entries(capped)] == [True]
    capped.make_due()
    capped.dial_next(context)
    assert [call["to_number"] for call in capped.placed_calls()] == [CALLEE]


def both_at_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, step: Callable[[Callable[[], None]], Any]
) -> int:
    """Two jobs of one person, the second dialled within the first one's dial; how many calls were placed."""
    stage.add_job(CALLEE, job_id="job-1", batch_id=BATCH)
    stage.add_job(SECOND_PHONE, job_id="job-2", batch_id=BATCH)
    done: list[bool] = []

    def second() -> None:
        if not done:
            done.append(True)
            stage.dial_next(stage.context("worker-2@host-b:2"))

    step(second)
    stage.dial_next(stage.context("worker-1@host-a:1"))
    monkeypatch.undo()
    assert done
    return len(stage.placed_calls())


def before(owner: type, name: str, hook: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    method = getattr(owner, name)

    def hooked(*args: Any, **kwargs: Any) -> Any:
        hook()
        return method(*args, **kwargs)

    monkeypatch.setattr(owner, name, hooked)


@pytest.mark.parametrize("where", ["announce", "read", "post"])
def test_of_two_dials_to_a_person_at_once_one_becomes_a_call(
    capped: Stage, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    points: dict[str, tuple[type, str]] = {
        "announce": (Ledger, "announce"),
        "read": (Ledger, "of_people"),
    }

    def step(second: Callable[[], None]) -> None:
        if where == "post":
            own = dial.clear_to_dial

            def cleared(*args: Any, **kwargs: Any) -> Any:
                found = own(*args, **kwargs)
                second()
                return found

            monkeypatch.setattr(dial, "clear_to_dial", cleared)
        else:
            before(*points[where], second, monkeypatch)

    assert both_at_once(capped, monkeypatch, step) == 1


def test_a_dial_that_looks_before_it_announces_breaks_the_cap(
    capped: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutation: it shows that the order is what keeps the cap, and that these tests would see it."""
    own = dial.announce
    late: list[tuple[WorkerContext, Any]] = []

    def announce_late(context: WorkerContext, job: Any) -> bool:
        late.append((context, job))
        return True

    def step(second: Callable[[], None]) -> None:
        cleared = dial.clear_to_dial

        def looks_first(*args: Any, **kwargs: Any) -> Any:
            found = cleared(*args, **kwargs)
            second()
            while late:
                own(*late.pop())
            return found

        monkeypatch.setattr(dial, "announce", announce_late)
        monkeypatch.setattr(dial, "clear_to_dial", looks_first)

    assert both_at_once(capped, monkeypatch, step) == 2


def test_outside_the_hours_of_the_callee_the_job_waits_for_them_by_one_write(stage: Stage) -> None:
    closed = ALWAYS.replace("[[caps]]", windows_open_in(stage.store.now() + timedelta(hours=5)) + "[[caps]]")
    introduce(stage, pack_of(closed))
    stage.add_batch(BATCH, call_settings={"purpose": "collection"})
    stage.add_job(CALLEE, batch_id=BATCH)
    context = stage.context()
    assert stage.dial_next(context)
    assert stage.placed_calls() == []
    assert timedelta(hours=3) < due_in(stage, "job-1") < timedelta(days=8)
    assert stage.job()["waits_for"]["reason"] == "pack_hours"
    assert not stage.dial_next(context)
    assert entries(stage) == []


def windows_open_in(moment: datetime) -> str:
    """Hours of one hour, on the weekday of a moment."""
    hour = min(moment.hour, 22)
    return f"""
[windows]
hours = [{{ days = [{moment.isoweekday()}], start = "{hour:02}:00", end = "{hour + 1:02}:00" }}]
says = "Our hours: house rule."
confidence = "L"

"""


def test_without_rules_in_the_database_a_batch_with_a_purpose_is_not_called(stage: Stage) -> None:
    stage.add_batch(BATCH, call_settings={"purpose": "collection"})
    stage.add_job(CALLEE, batch_id=BATCH)
    stage.dial_next(stage.context())
    assert stage.placed_calls() == []
    assert stage.job()["waits_for"]["reason"] == "pack_fault"


def test_a_pack_that_is_damaged_in_the_database_calls_nobody(capped: Stage) -> None:
    capped.database.speechaid_packs.update_many({"country": "UY"}, {"$set": {"pack": "{}"}})
    capped.add_job(CALLEE, batch_id=BATCH)
    capped.dial_next(capped.context())
    assert capped.placed_calls() == []
    assert capped.job()["waits_for"]["reason"] == "pack_fault"


def test_a_country_without_a_pack_keeps_the_hours_of_the_batch(capped: Stage) -> None:
    capped.add_job("+12025550123", batch_id=BATCH)
    capped.dial_next(capped.context())
    assert len(capped.placed_calls()) == 1
    (result,) = capped.results()
    assert "calling_rule" not in result
    # It counts for the person's numbers in other countries.
    assert [(row["purpose"], row["open"]) for row in entries(capped)] == [("collection", False)]


def test_a_purpose_that_cannot_be_read_calls_nobody(capped: Stage) -> None:
    capped.store.batches.create(
        {"batch_id": "batch-20260101-00000003", "name": "x", "call_settings": {"purpose": "cobranza"}}
    )
    capped.add_job(CALLEE, batch_id="batch-20260101-00000003")
    capped.dial_next(capped.context())
    assert capped.placed_calls() == []


def test_caps_wait_until_earlier_calls_are_entered_and_count_them(stage: Stage) -> None:
    stage.add_batch(BATCH)
    stage.add_job(CALLEE, job_id="job-1", batch_id=BATCH)
    context = stage.context()
    assert stage.dial_next(context)  # before there is a purpose
    introduce(stage, pack_of(ALWAYS), is_ready=False)
    stage.database.batches.update_one({"batch_id": BATCH}, {"$set": {"call_settings.purpose": "collection"}})
    stage.add_job(SECOND_PHONE, job_id="job-2", batch_id=BATCH)
    stage.dial_next(context)
    assert stage.job("job-2")["waits_for"]["reason"] == "caps_not_ready"
    upkeep = LedgerUpkeep(stage.store)
    while upkeep.fill_portion() or upkeep.has_more:
        pass
    assert stage.store.packs.in_force().is_ready
    stage.make_due("job-2")
    stage.dial_next(context)
    assert len(stage.placed_calls()) == 1
    assert stage.job("job-2")["waits_for"]["reason"] == "pack_cap"


def test_calls_of_a_batch_without_a_purpose_count_in_the_caps_of_the_others(capped: Stage) -> None:
    plain = capped.add_batch("batch-20260101-00000002")
    capped.simulator.script({CALLEE: ["dial_no_answer"]})
    context = capped.context()
    capped.add_job(CALLEE, job_id="job-1", batch_id=plain)
    assert capped.dial_next(context)
    (entry,) = entries(capped)
    assert (entry["open"], entry["outcome"], entry["purpose"]) == (False, "no_answer", None)
    (result,) = capped.results()
    assert "calling_rule" not in result  # it was placed under none
    capped.add_job(SECOND_PHONE, job_id="job-2", batch_id=BATCH)
    assert capped.dial_next(context)
    assert [call["to_number"] for call in capped.placed_calls()] == [CALLEE]
    assert capped.job("job-2")["waits_for"]["reason"] == "pack_cap"
    # And itself it obeys none.
    capped.make_due("job-1")
    assert capped.dial_next(context)
    assert len(capped.placed_calls()) == 2


def test_calls_to_a_country_without_a_pack_count_in_the_caps_of_the_persons_other_numbers(
    capped: Stage,
) -> None:
    context = capped.context()
    capped.add_job("+50688881234", job_id="job-1", batch_id=BATCH)
    assert capped.dial_next(context)
    assert [row["purpose"] for row in entries(capped)] == ["collection"]
    capped.add_job(CALLEE, job_id="job-2", batch_id=BATCH)
    assert capped.dial_next(context)
    assert [call["to_number"] for call in capped.placed_calls()] == ["+50688881234"]
    assert capped.job("job-2")["waits_for"]["reason"] == "pack_cap"


def test_a_dial_that_was_prepared_before_the_first_purpose_is_withdrawn_and_entered_the_next_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.add_batch(BATCH)
    stage.add_job(CALLEE, batch_id=BATCH)
    before(PreflightQueries, "read_to_dial", lambda: introduce(stage, pack_of(ALWAYS)), monkeypatch)
    context = stage.context()
    stage.dial_next(context)
    monkeypatch.undo()
    assert stage.placed_calls() == []
    stage.make_due()
    stage.dial_next(context)
    assert len(stage.placed_calls()) == len(entries(stage)) == 1


def test_without_any_purpose_nothing_is_entered(stage: Stage) -> None:
    stage.add_batch(BATCH)
    stage.add_job(CALLEE, batch_id=BATCH)
    assert stage.dial_next(stage.context())
    assert entries(stage) == []


def test_test_calls_are_not_entered(capped: Stage) -> None:
    capped.add_test(CALLEE, BATCH)
    assert capped.dial_next(capped.context())
    assert len(capped.placed_calls()) == 1
    assert entries(capped) == []


def test_another_programs_call_is_open_while_it_is_followed_and_then_counts(capped: Stage) -> None:
    capped.simulator.script({CALLEE: [{"reason": "user_hangup", "ring_seconds": 2, "talk_seconds": 60}]})
    context = capped.context()
    body = {"from_number": "+15005550006", "to_number": CALLEE, "idempotency_key": context.new_token()}
    call = context.retell.create_call({**body, "override_agent_id": "agent_stage"})
    past = capped.store.now() - timedelta(seconds=1)
    left: Document = {"status": "in_progress", "worker_id": "bot-1", "started_at": past}
    capped.add_job(CALLEE, call_id=call.call_id, reserved_until=past, **left)
    seen: list[Document] = []
    capped.on_wait = lambda: seen.extend(entries(capped))
    assert capped.recover_one(context)
    assert {row["open"] for row in seen} == {True}
    (entry,) = entries(capped)
    assert (entry["open"], entry["purpose"], f"line:{CALLEE}" in entry["keys"]) == (False, None, True)


def test_entries_are_kept_as_long_as_the_longest_span_of_all_packs(capped: Stage) -> None:
    long = pack_of(ALWAYS.replace("length = 24", "length = 240").replace("UY", "CR"))
    assert capped.store.packs.in_force().span_days == 7
    capped.store.packs.put_in_force([long], fill="later", by="t")
    assert capped.store.packs.in_force().span_days == 10
    assert capped.store.packs.note_filled("later")
    capped.add_job(CALLEE, batch_id=BATCH)
    assert capped.dial_next(capped.context())
    (entry,) = entries(capped)
    assert round((entry["expires_at"] - entry["at"]) / timedelta(days=1)) == 10 + KEPT_BEYOND_DAYS
    capped.store.packs.put_in_force([pack_of(ALWAYS.replace("UY", "CR"))], fill="last", by="t")
    assert capped.store.packs.in_force().span_days == 10  # what was entered may still be asked for


def test_an_entry_whose_job_was_deleted_becomes_an_attempt_and_is_not_removed(capped: Stage) -> None:
    at = capped.store.now() - ASSUMED_AFTER - timedelta(minutes=1)
    facts = {"keys": [f"line:{CALLEE}"], "account": None}
    capped.store.ledger.enter_open("gone", facts, job="x", at=at)
    assert LedgerUpkeep(capped.store).close_lost() == 1
    (entry,) = entries(capped)
    assert (entry["open"], entry["assumed"]) == (False, True)
    capped.add_job(CALLEE, batch_id=BATCH)
    capped.dial_next(capped.context())
    assert capped.placed_calls() == []


def test_what_was_settled_while_a_worker_was_frozen_is_not_announced_again(capped: Stage) -> None:
    facts = {"keys": [f"line:{CALLEE}"], "account": None}
    now = capped.store.now()
    assert capped.store.ledger.announce("k", facts, job="j")
    assert capped.store.ledger.announce("k", facts, job="j")  # the same dial again: a replay
    assert not capped.store.ledger.announce("k", facts, job="another")
    capped.store.ledger.settle("k", facts, at=now, end={"void": True})
    assert not capped.store.ledger.announce("k", facts, job="j")
    capped.store.ledger.settle("late", facts, at=now, end={"void": True})
    assert not capped.store.ledger.announce("late", facts, job="j")


def test_the_packs_in_force_are_one_law_whatever_a_version_ships(capped: Stage) -> None:
    chile = shipped_packs()["CL", Purpose.COLLECTION]
    other = chile.model_copy(update={"remark": "another version's"})
    capped.store.packs.install([other], fill="later", is_ready=True, by="t")
    in_force = capped.store.packs.in_force()
    assert capped.store.packs.find("CL-collection", in_force) == chile


def test_a_batch_is_called_under_the_pack_that_it_names(capped: Stage) -> None:
    own = pack_of(ALWAYS.replace('purpose = "collection"', 'purpose = "collection"\nvariant = "twice"'))
    twice = own.model_copy(update={"caps": (own.caps[0].model_copy(update={"number": 2}),)})
    capped.store.packs.put_in_force([twice], fill="second", by="t")
    assert capped.store.packs.note_filled("second")
    settings = {"purpose": "collection", "pack_variant": "twice"}
    named = capped.add_batch("batch-20260101-00000002", call_settings=settings)
    capped.simulator.script({CALLEE: ["dial_no_answer"]})
    context = capped.context()
    for place in range(3):
        capped.add_job(CALLEE, job_id=f"job-{place}", batch_id=named)
        assert capped.dial_next(context)
    assert len(capped.placed_calls()) == 2
    assert {row["calling_rule"]["rule"] for row in capped.results()} == {"UY collection (twice)"}
    assert capped.job("job-2")["waits_for"]["rule"] == "UY collection (twice): daily"
    # The others keep theirs.
    capped.add_job(SECOND_PHONE, job_id="job-3", batch_id=BATCH)
    assert capped.dial_next(context)
    assert capped.job("job-3")["waits_for"]["rule"] == "UY collection: daily"


def test_a_batch_that_names_a_pack_which_is_not_in_force_is_not_called(capped: Stage) -> None:
    settings = {"purpose": "collection", "pack_variant": "lost"}
    named = capped.add_batch("batch-20260101-00000002", call_settings=settings)
    capped.add_job(CALLEE, batch_id=named)
    assert capped.dial_next(capped.context())
    assert capped.placed_calls() == []
    assert capped.job()["waits_for"]["reason"] == "pack_fault"


def test_a_pack_may_seek_another_part_of_the_day(capped: Stage) -> None:
    spread = pack_of(ALWAYS).model_copy(update={"caps": (), "spread_attempts": True})
    capped.store.packs.put_in_force([spread], fill="second", by="t")
    assert capped.store.packs.note_filled("second")
    capped.simulator.script({CALLEE: ["dial_no_answer"]})
    context = capped.context()
    for place in range(2):
        capped.add_job(CALLEE, job_id=f"job-{place}", batch_id=BATCH)
        assert capped.dial_next(context)
    assert len(capped.placed_calls()) == 1
    assert capped.job("job-1")["waits_for"]["rule"] == "UY collection: spread_attempts"


def test_a_dial_that_was_prepared_under_another_pack_is_withdrawn_and_recorded_under_the_new_one(
    capped: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = pack_of(ALWAYS.replace('purpose = "collection"', 'purpose = "collection"\nvariant = "own"'))
    capped.store.packs.put_in_force([own], fill="second", by="t")
    assert capped.store.packs.note_filled("second")
    capped.add_job(CALLEE, batch_id=BATCH)

    def name_it() -> None:
        capped.database.batches.update_one({}, {"$set": {"call_settings.pack_variant": "own"}})

    before(PreflightQueries, "read_to_dial", name_it, monkeypatch)
    context = capped.context()
    capped.dial_next(context)
    monkeypatch.undo()
    assert capped.placed_calls() == []
    capped.make_due()
    capped.dial_next(context)
    (result,) = capped.results()
    assert result["calling_rule"]["rule"] == "UY collection (own)"
