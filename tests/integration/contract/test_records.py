"""What is kept beside the jobs: results, analyses to come, logs, the do-not-call list, holds and breakers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from speechaid.model.levels import ADDED, OWN, Level
from speechaid.store.analyses import CLAIM_SECONDS, ORPHANED_SECONDS, WAIT
from speechaid.store.call_logs import new_record_id
from speechaid.store.connection import Store
from tests.integration.contract.documents import A, B, add_job, ago, ahead, claim_and_dial, job, one

KEY = "fingerprint"


# -- results ---------------------------------------------------------------------------------------------


def test_the_result_of_a_dial_is_recorded_once(store: Store) -> None:
    recorded = [store.results.record({"dial_key": "key-1", "call_id": f"call_{n}"}) for n in range(2)]
    assert recorded == [True, False]
    assert store.results.table.count({}) == 1
    assert store.results.of_call("call_0") is not None
    assert store.results.of_call("call_1") is None


def test_speechais_results_have_no_dial_and_may_be_there_twice(store: Store) -> None:
    for _ in range(2):
        assert store.results.record({"call_id": "call_old"})
    assert store.results.table.count({"call_id": "call_old"}) == 2


def test_the_results_of_a_job_come_in_the_order_in_which_they_were_made(store: Store) -> None:
    for hours in (1, 3, 2):
        store.results.record(
            {"job_id": "job-1", "dial_key": f"{hours}", "created_at": ago(store, hours=hours)}
        )
    store.results.record({"job_id": "job-2", "dial_key": "other"})
    assert [result["dial_key"] for result in store.results.of_job("job-1")] == ["3", "2", "1"]


# -- analyses --------------------------------------------------------------------------------------------


def add_result(store: Store, call_id: str, *, due_seconds_ago: float, key: str = KEY) -> None:
    wait = {"due_at": ago(store, seconds=due_seconds_ago), "tries": 0, "key": key}
    store.results.record(
        {"call_id": call_id, "dial_key": call_id, "job_id": "job-1", "note": "x", WAIT: wait}
    )


def test_analyses_that_are_due_come_longest_due_first_under_their_own_key(store: Store) -> None:
    add_result(store, "second", due_seconds_ago=5)
    add_result(store, "first", due_seconds_ago=60)
    add_result(store, "later", due_seconds_ago=-60)
    add_result(store, "other key", due_seconds_ago=60, key="other")
    add_result(store, "nobody's any more", due_seconds_ago=ORPHANED_SECONDS + 5, key="other")
    store.results.record({"call_id": "done", "dial_key": "done"})

    due = store.analyses.due(KEY, 9)

    assert [result["call_id"] for result in due] == ["nobody's any more", "first", "second"]
    assert "note" not in due[0]
    assert len(store.analyses.due(KEY, 2)) == 2


def test_an_analysis_is_taken_by_one_who_then_has_some_time_for_it(store: Store) -> None:
    add_result(store, "call_1", due_seconds_ago=5)
    (found,) = store.analyses.due(KEY, 9)
    taken = store.analyses.claim(found)

    assert taken is not None
    assert store.analyses.claim(found) is None
    assert store.analyses.due(KEY, 9) == []
    until = one(store.results.table, {"call_id": "call_1"})[WAIT]["due_at"]
    assert taken[WAIT]["due_at"] == until
    assert until - store.now() <= timedelta(seconds=CLAIM_SECONDS)


def test_an_analysis_is_added_to_the_result_and_to_the_job_that_shows_this_call(store: Store) -> None:
    add_job(store, call_id="call_1", call_result={"summary": {"outcome": "answered"}})
    add_result(store, "call_1", due_seconds_ago=5)
    (found,) = store.analyses.due(KEY, 9)

    assert store.analyses.add(found, {"user_sentiment": "Positive"})

    result = one(store.results.table, {"call_id": "call_1"})
    assert result["call_data"]["call_analysis"] == {"user_sentiment": "Positive"}
    assert WAIT not in result
    assert job(store)["call_result"]["summary"] == {
        "outcome": "answered",
        "call_analysis": {"user_sentiment": "Positive"},
    }
    assert not store.analyses.add(found, {}), "it is added already"


def test_an_analysis_is_postponed_or_given_up_by_who_has_it(store: Store) -> None:
    add_result(store, "call_1", due_seconds_ago=5)
    (stale,) = store.analyses.due(KEY, 9)
    taken = store.analyses.claim(stale)
    assert taken is not None

    assert not store.analyses.postpone(stale, 60, 1)
    assert not store.analyses.give_up(stale)
    assert store.analyses.postpone(taken, -5, 1)
    (again,) = store.analyses.due(KEY, 9)
    assert again[WAIT]["tries"] == 1
    assert store.analyses.give_up(again)
    assert one(store.results.table, {"call_id": "call_1"})["analysis_missing"] is True
    assert store.analyses.due(KEY, 9) == []


def test_a_call_is_settled_once_no_job_has_its_dial_open(store: Store) -> None:
    add_job(store)
    held = claim_and_dial(store, key="call_1")
    add_result(store, "call_1", due_seconds_ago=5)
    (found,) = store.analyses.due(KEY, 9)
    assert not store.analyses.is_settled(found)
    store.jobs.finish(held, {"status": "done"})
    assert store.analyses.is_settled(found)


# -- logs ------------------------------------------------------------------------------------------------


def test_a_line_holds_what_was_said_and_when(store: Store) -> None:
    before = store.now()
    store.logs.write("claimed", job_id="job-1", worker="w", reason=None)
    (line,) = store.logs.of_job("job-1")
    assert (line["event"], line["worker"]) == ("claimed", "w")
    assert "reason" not in line
    assert before <= line["at"] <= store.now()
    assert "expires_at" not in line  # the index on ``at`` lets it expire


def test_a_jobs_lines_come_in_order(store: Store) -> None:
    lines: list[dict[str, Any]] = [
        {"event": f"{minutes}", "job_id": "job-1", "at": ago(store, minutes=minutes)} for minutes in (1, 3, 2)
    ]
    store.logs.write_many(lines)
    assert [line["event"] for line in store.logs.of_job("job-1")] == ["3", "2", "1"]


def test_commands_are_kept_apart_from_jobs(store: Store) -> None:
    store.logs.write("claimed", job_id="job-1")
    store.logs.audit(actor="ana", command="hold", args={"reason": "x"}, outcome="ok")
    (line,) = store.logs.commands(9)
    assert (line["actor"], line["command"], line["args"], line["outcome"]) == (
        "ana",
        "hold",
        {"reason": "x"},
        "ok",
    )
    assert [line["event"] for line in store.logs.of_job("job-1")] == ["claimed"]


def test_the_latest_lines_come_oldest_first_with_a_place_to_go_on_from(store: Store) -> None:
    for number in range(3):
        store.logs.write(f"{number}", job_id="job-1")
    store.logs.audit(actor="ana", command="hold", args={}, outcome="ok")

    def events(limit: int, **changes: Any) -> tuple[list[str], str]:
        plain: dict[str, Any] = {"job_id": None, "event": None, "after": None}
        lines, place = store.logs.latest(limit, **{**plain, **changes})
        return [line["event"] for line in lines], place

    latest, place = events(2)
    assert latest == ["2", "command"]
    assert events(9, event="command")[0] == ["command"]
    assert sorted(events(9, job_id="job-1")[0]) == ["0", "1", "2"]
    assert sorted(events(9, after=place)[0]) == ["0", "1", "2", "command"]
    with pytest.raises(ValueError, match="not a position"):
        events(2, after="somewhere")


def test_the_lines_after_one_come_from_it_on_however_many_there_are(store: Store) -> None:
    for number in range(9):
        store.logs.write(f"{number}", job_id="job-1")
    plain: dict[str, Any] = {"job_id": None, "event": None, "after": None}
    after = str(store.logs.latest(9, **plain)[0][0]["_id"])
    read: list[str] = []
    for _ in range(3):
        lines, _place = store.logs.latest(3, **{**plain, "after": after})
        read += [line["event"] for line in lines]
        after = str(lines[-1]["_id"])
    assert read == [f"{number}" for number in range(1, 9)]


def test_a_full_page_goes_on_after_its_last_line_where_all_before_it_have_arrived(store: Store) -> None:
    old = ObjectId.from_datetime(ago(store, minutes=5))
    ids = [ObjectId(f"{str(old)[:8]}{number:016x}") for number in range(1, 6)]
    store.logs.table.insert_many([{"_id": one, "event": "old", "at": store.now()} for one in ids])
    plain: dict[str, Any] = {"job_id": None, "event": None, "after": str(old)}
    lines, place = store.logs.latest(3, **plain)
    assert [line["_id"] for line in lines] == ids[:3]
    assert place == str(ids[2])
    assert store.logs.latest(9, **plain)[1] > str(ids[4])


def test_a_line_is_known_by_its_id_within_what_is_asked_for(store: Store) -> None:
    store.logs.write("call.settled", job_id="job-1", batch="b")
    line_id = str(store.logs.latest(1, job_id=None, event=None, after=None)[0][0]["_id"])
    anything: dict[str, Any] = {"job_id": None, "event": None, "batch": None, "agent": None}
    assert store.logs.has_line(line_id, **anything)
    assert store.logs.has_line(line_id, **{**anything, "batch": "b"})
    assert not store.logs.has_line(line_id, **{**anything, "batch": "another"})
    assert not store.logs.has_line("0" * 24, **anything)


def test_the_record_of_reads_is_written_again_with_new_counts(store: Store) -> None:
    first, other = new_record_id(), new_record_id()
    at = store.now()
    for record_id, documents in ((first, 100), (other, 7), (first, 250)):
        store.logs.note_read(record_id, {"actor": "ana", "documents": documents, "at": at})
    lines, _ = store.logs.latest(9, job_id=None, event="read", after=None)
    assert sorted(line["documents"] for line in lines) == [7, 250]
    assert store.logs.commands(9) == []


# -- the do-not-call list --------------------------------------------------------------------------------


def test_who_listed_a_number_first_stands(store: Store) -> None:
    store.do_not_call.add(A, source="call", job_id="job-1")
    store.do_not_call.add(A, source="file")
    entry = store.do_not_call.entry(A)
    assert entry is not None
    assert (entry["source"], entry["job_id"]) == ("call", "job-1")
    assert store.do_not_call.entry(B) is None


def test_many_numbers_are_listed_at_once_and_new_ones_counted(store: Store) -> None:
    store.do_not_call.add(A, source="call")
    assert store.do_not_call.add_many([A, B, B], source="file") == 1
    assert store.do_not_call.size() == 2
    assert store.do_not_call.listed([A, B, "+12025550199"]) == {A, B}
    assert store.do_not_call.listed([]) == frozenset()
    entry = store.do_not_call.entry(A)
    assert entry is not None
    assert entry["source"] == "call"


def test_a_number_is_taken_off_the_list_once(store: Store) -> None:
    store.do_not_call.add(A, source="call")
    assert [store.do_not_call.remove(A) for _ in range(2)] == [True, False]
    assert store.do_not_call.size() == 0


def test_a_number_is_listed_in_every_form_that_a_call_can_be_placed_with(store: Store) -> None:
    """An earlier daemon beside this one looks up nothing but the number that it is about to dial."""
    mobile, without_9 = "+5491155550101", "+541155550101"
    store.do_not_call.add(mobile, source="call")
    assert {row["_id"] for row in store.do_not_call.table.find({})} == {mobile, without_9}
    assert store.do_not_call.size() == 1
    assert store.do_not_call.add_many([without_9, A, mobile], source="file") == 1
    assert store.do_not_call.size() == 2
    entry = store.do_not_call.entry(without_9)
    assert entry is not None
    assert entry["source"] == "call"
    assert store.do_not_call.remove(without_9)
    assert {row["_id"] for row in store.do_not_call.table.find({})} == {A}


def test_a_number_that_an_earlier_version_listed_in_one_form_gets_the_others_when_it_is_added_again(
    store: Store,
) -> None:
    store.do_not_call.table.insert({"_id": "+5215512345678", "source": "an earlier version"})
    assert store.do_not_call.add_many(["+525512345678", "+525512345678"], source="file") == 0
    assert {row["_id"] for row in store.do_not_call.table.find({})} == {"+5215512345678", "+525512345678"}


# -- holds and breakers ----------------------------------------------------------------------------------


def test_a_hold_stands_until_it_is_lifted(store: Store) -> None:
    assert store.holds.find_hold() is None
    assert not store.holds.unhold(by="ana")

    store.holds.hold(by="ana", reason="x")
    held = store.holds.find_hold()
    assert held is not None
    assert (held.by, held.reason) == ("ana", "x")
    reading = store.holds.read(KEY)
    assert (reading.hold, reading.batches_hold, reading.too_old, reading.breaker) == (held, None, None, None)

    assert [store.holds.unhold(by="eva") for _ in range(2)] == [True, False]
    assert store.holds.find_hold() is None
    store.holds.hold(by="eva", reason=None)
    assert store.holds.find_hold() is not None


def test_a_required_level_is_never_lowered(store: Store) -> None:
    assert store.holds.read(KEY).too_old is None
    store.holds.require_level(Level.PEOPLE_AND_AGENTS, by="ana")
    store.holds.require_level(Level.FIRST, by="eva")
    row = store.holds.table.find_one({"_id": "level"})
    assert row is not None
    assert (row["needs"], row["why"], row["by"]) == (2, ADDED[Level.PEOPLE_AND_AGENTS], "ana")
    assert store.holds.read(KEY).too_old is None

    store.holds.table.update({"_id": "level"}, {"$set": {"needs": 9, "why": "the calls of 2031"}})
    store.holds.require_level(Level.PEOPLE_AND_AGENTS, by="eva")
    assert store.holds.read(KEY).too_old == (
        "the database requires level 9 (the calls of 2031), "
        f"and this daemon has level {OWN}: upgrade this host"
    )


def test_two_hosts_may_require_a_level_at_once(store: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [
            pool.submit(store.holds.require_level, Level.PEOPLE_AND_AGENTS, by=str(host)) for host in range(4)
        ]:
            done.result()
    assert store.holds.table.count({"_id": "level"}) == 1


@pytest.mark.parametrize("on", ["sí", None, 7, [False], {}])
def test_a_hold_that_does_not_say_plainly_that_it_is_off_stands_until_it_is_lifted(
    store: Store, on: object
) -> None:
    store.holds.table.insert({"_id": "fleet", "on": on})
    assert store.holds.find_hold() is not None
    assert store.holds.unhold(by="eva")
    assert store.holds.find_hold() is None


def test_a_breaker_is_written_only_as_it_was_read(store: Store) -> None:
    def write(failures: int, revision: int | None) -> bool:
        return store.holds.write_breaker(KEY, {"failures": failures}, expected_revision=revision)

    assert [write(1, None), write(2, None), write(3, 1), write(4, 1)] == [True, False, True, False]
    breaker = store.holds.read(KEY).breaker
    assert breaker is not None
    assert (breaker["failures"], breaker["revision"]) == (3, 2)


@pytest.mark.parametrize("fields", [{}, {"revision": "new"}, {"revision": {}}], ids=["none", "text", "empty"])
def test_a_breaker_of_an_odd_revision_is_written_anew(store: Store, fields: dict[str, Any]) -> None:
    store.holds.table.insert({"_id": f"key:{KEY}", **fields})
    expected = fields.get("revision", 0)
    assert store.holds.write_breaker(KEY, {"failures": 1}, expected_revision=expected)
    breaker = store.holds.read(KEY).breaker
    assert breaker is not None
    assert breaker["revision"] == 1


def test_breakers_are_listed_without_the_hold(store: Store) -> None:
    store.holds.hold(by="ana", reason=None)
    for name in ("a", "b"):
        store.holds.write_breaker(name, {"failures": 1}, expected_revision=None)
    assert {breaker["_id"] for breaker in store.holds.breakers()} == {"key:a", "key:b"}


def test_times_come_back_as_they_were_written(store: Store) -> None:
    at = ahead(store, days=400)
    store.do_not_call.table.insert({"_id": A, "at": at})
    entry = store.do_not_call.entry(A)
    assert entry is not None
    assert entry["at"] == at
    assert entry["at"].utcoffset() == timedelta(0)
