"""What is older than the settings allow is erased: people, what their calls have left, names of files."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from speechaid.clock import SystemClock
from speechaid.errors import StoreUnavailable
from speechaid.maintenance import retention
from speechaid.maintenance.erasing import Counts, Step, erase_calls, erase_person
from speechaid.maintenance.housekeeping import Housekeeper
from speechaid.maintenance.retention import Retention
from speechaid.model.erasure import Erasure, What
from speechaid.store.analyses import WAIT
from speechaid.store.erasures import Position
from tests.support.common_stage import phone
from tests.support.reports import report_of
from tests.support.stage import Document, Stage, settings_for

BATCH = "batch-20260101-00000001"
#: Nothing of this may be left of a person who was erased.
NAME, DNI, VARIABLE = "Rosa Quilapan", "9.876.543-2", "contract ZX-4711"
JOBS = {"SPEECHAID_JOB_RETENTION_DAYS": 30}
TRANSCRIPTS = {"SPEECHAID_TRANSCRIPT_RETENTION_DAYS": 30}
UPLOADS = {"SPEECHAID_UPLOAD_RETENTION_DAYS": 30}


@pytest.fixture
def stage(common_stage: Stage) -> Stage:
    common_stage.add_batch(BATCH)
    common_stage.simulator.script({"*": ["user_hangup"]})
    return common_stage


def add_person(stage: Stage, *, job_id: str = "job-1", **fields: Any) -> str:
    """A job of the person of this file; its number."""
    number = phone()
    contact = {"name": NAME, "dni": DNI, "phones": [number], "next_phone_index": 0}
    payload = {"debt_amount": 1000, "currency": "CLP", "additional_info": {"contrato": VARIABLE}}
    standard = {"batch_id": BATCH, "contact": contact, "payload": payload, "to_number": number, "rut": DNI}
    stage.add_job(job_id=job_id, **{**standard, "person_keys": [f"line:{number}"], "note": NAME, **fields})
    return number


def called(stage: Stage, **fields: Any) -> str:
    """The same person, called to the end of the job; the number."""
    number = add_person(stage, **fields)
    job = stage.run_until_finished(stage.context(SPEECHAID_ANALYSIS_TRIES=0))
    assert job["status"] == "done"
    stage.database.jobs.update_one(
        {}, {"$set": {"fecha_pago_cliente": "2026-12-04", "monto_pago_cliente": "$ 900"}}
    )
    return number


def age(stage: Stage, *, days: float = 31, **query: Any) -> None:
    """As if the jobs had ended so long ago."""
    ended = {"finished_at": stage.store.now() - timedelta(days=days)}
    stage.database.jobs.update_many(query, {"$set": ended})


def erase(stage: Stage, **changes: Any) -> Counts:
    """Runs of the retention under these settings, until nothing is left; the counts of all."""
    settings = settings_for(stage.database.name, stage.uri, stage.simulator, **changes)
    found, counts = Retention(stage.store, SystemClock()), Counts()
    found.has_more = True
    while found.has_more:  # on a busy machine one tick has not time for much
        found.erase_portion(settings)
        counts.add(found.last_counts)
    return counts


def stored_texts(stage: Stage) -> str:
    """Every document of every collection as text."""
    names = stage.database.list_collection_names()
    return "\n".join(repr(document) for name in names for document in stage.database[name].find({}))


def report(stage: Stage) -> Document:
    found = report_of(stage.store, BATCH, "America/Santiago", country="CL")
    return {name: value for name, value in found.items() if name != "at"}


def test_nothing_is_erased_where_no_span_is_set(stage: Stage) -> None:
    called(stage)
    age(stage, days=4000)
    before = stored_texts(stage)
    erase(stage)
    assert stored_texts(stage) == before


def test_a_person_is_erased_from_job_and_results_and_what_reports_count_stays(stage: Stage) -> None:
    number = called(stage)
    age(stage)
    before = report(stage)
    assert before["calls"]["total"] == 1
    assert NAME in stored_texts(stage)

    found = erase(stage, **JOBS)

    left = stored_texts(stage)
    assert not [word for word in (NAME, DNI, VARIABLE, number, number[1:]) if word in left]
    assert report(stage) == before
    job, (result,) = stage.job(), stage.results()
    assert job["erased"]["by"] == result["erased"]["by"] == "retention"
    assert job["erased"]["what"] == result["erased"]["what"] == What.PERSON
    assert job["status"] == "done"
    assert job["call_result"]["success"] is True
    assert found.as_fields() == {"jobs": 1, "results": 1, "imports": 0}


def test_a_job_that_ended_lately_stays(stage: Stage) -> None:
    called(stage)
    age(stage, days=29)
    erase(stage, **JOBS, **TRANSCRIPTS)
    assert NAME in stored_texts(stage)
    assert "erased" not in stage.job()


def test_transcripts_go_before_the_person_does(stage: Stage) -> None:
    called(stage)
    age(stage)
    transcript = stage.results()[0]["call_data"]["transcript"]
    assert transcript
    assert transcript in stage.job()["call_result"]["summary"]["transcript"]
    before = report(stage)

    erase(stage, **TRANSCRIPTS)

    job, (result,) = stage.job(), stage.results()
    assert "transcript" not in result["call_data"]
    assert "recording_url" not in result["call_data"]
    assert "retell_llm_dynamic_variables" not in result["call_data"]
    assert "transcript" not in job["call_result"]["summary"]
    assert job["contact"]["name"] == result["contact"]["name"] == NAME
    assert job["erased"]["what"] == result["erased"]["what"] == What.CALLS
    assert report(stage) == before

    erase(stage, **TRANSCRIPTS, **JOBS)
    assert stage.job()["erased"]["what"] == What.PERSON
    assert NAME not in stored_texts(stage)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "pending"},
        {"status": "suspended", "suspend_reason": "no_credit"},
        {"status": "in_progress", "claim_token": "t"},
        {"status": "done", "dial": {"number": "+12025550199", "key": "k"}},
        {"status": "failed", "next_try_at": "tomorrow"},
        {"status": "cancelled", "reserved_to_give_back": 3.0},
    ],
    ids=lambda fields: f"{fields['status']} {' '.join(sorted(fields.keys() - {'status'}))}",
)
def test_a_job_that_may_still_be_called_or_settled_stays(stage: Stage, fields: Document) -> None:
    add_person(stage, **fields)
    age(stage)
    erase(stage, **JOBS, **TRANSCRIPTS)
    assert stage.job()["contact"]["name"] == NAME


def test_a_call_whose_analysis_is_awaited_keeps_its_job_waiting(stage: Stage) -> None:
    called(stage)
    age(stage)
    wait = {"due_at": stage.store.now(), "tries": 0, "key": "k"}
    stage.database.call_results.update_one({}, {"$set": {WAIT: wait}})

    erase(stage, **JOBS, **TRANSCRIPTS)
    assert "erased" not in stage.job()
    assert "erased" not in stage.results()[0]

    stage.database.call_results.update_one({}, {"$unset": {WAIT: ""}})
    erase(stage, **JOBS)
    assert NAME not in stored_texts(stage)


def test_a_late_analysis_brings_nothing_back(stage: Stage) -> None:
    called(stage)
    age(stage)
    erase(stage, **JOBS)
    stage.store.analyses.add(
        {**stage.results()[0], WAIT: {"due_at": stage.store.now()}}, {"call_summary": f"{NAME} will pay"}
    )
    assert NAME not in stored_texts(stage)


@pytest.mark.parametrize("ended", [{"completed_at": 40}, {"failed_at": 40}, {"updated_at": 40}])
def test_a_job_of_another_program_is_as_old_as_its_fields_say(stage: Stage, ended: dict[str, int]) -> None:
    times: Document = {name: stage.store.now() - timedelta(days=days) for name, days in ended.items()}
    add_person(stage, status="completed", **times)
    erase(stage, **JOBS)
    assert NAME not in stored_texts(stage)
    assert stage.job()["status"] == "completed"


def test_an_end_that_is_written_as_text_is_read(stage: Stage) -> None:
    now = stage.store.now()
    add_person(stage, status="failed", finished_at=(now - timedelta(days=31)).isoformat())
    add_person(stage, job_id="job-2", status="failed", finished_at=(now - timedelta(days=2)).isoformat())
    erase(stage, **JOBS)
    assert "contact" in stage.job("job-2")
    assert stage.job("job-1")["contact"] == {"phones": [], "next_phone_index": 0}
    assert stage.job("job-2")["contact"]["name"] == NAME


def test_the_result_of_a_deleted_job_is_erased_too(stage: Stage) -> None:
    called(stage)
    stage.database.jobs.delete_many({})
    old = {"created_at": stage.store.now() - timedelta(days=31)}
    stage.database.call_results.update_one({}, {"$set": old})
    erase(stage, **JOBS)
    assert NAME not in stored_texts(stage)


def test_old_results_of_a_job_that_waits_are_passed_over(stage: Stage) -> None:
    add_person(stage)
    old = stage.store.now() - timedelta(days=31)
    stage.database.call_results.insert_many(
        [
            {"job_id": "job-1", "created_at": old, "contact": {"name": NAME}, "number": number}
            for number in range(2 * retention.PORTION + 1)
        ]
    )
    stage.database.call_results.insert_one({"job_id": "gone", "created_at": old, "contact": {"name": "Eva"}})
    erase(stage, **JOBS)
    assert "Eva" not in stored_texts(stage)
    assert stage.database.call_results.count_documents({"contact.name": NAME}) == 2 * retention.PORTION + 1


def test_what_one_tick_has_no_time_for_the_next_ones_do(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PORTION", 3)
    monkeypatch.setattr(retention, "TICK_BUDGET_SECONDS", 0.0)
    ended = stage.store.now() - timedelta(days=31)
    for number in range(10):
        add_person(stage, job_id=f"job-{number}", status="done", finished_at=ended)
    settings = settings_for(stage.database.name, stage.uri, stage.simulator, **JOBS)
    found = Retention(stage.store, SystemClock())
    found.erase_portion(settings)
    assert found.last_counts.total == 0  # no time at all

    monkeypatch.setattr(retention, "TICK_BUDGET_SECONDS", 30.0)
    found.erase_portion(settings)
    assert NAME not in stored_texts(stage)


class StoppedClock(SystemClock):
    """Goes on only where it is told to."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def boottime(self) -> float:
        return self.at


def test_a_look_that_takes_longer_than_a_tick_is_of_use_to_the_ticks_after_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, look = StoppedClock(), stage.store.erasures.jobs_ended_before
    looks: list[int] = []

    def slow_look(*args: Any) -> Any:
        clock.at += 10 * retention.TICK_BUDGET_SECONDS
        looks.append(1)
        return look(*args)

    monkeypatch.setattr(stage.store.erasures, "jobs_ended_before", slow_look)
    ended = stage.store.now() - timedelta(days=31)
    for number in range(10):
        add_person(stage, job_id=f"job-{number}", status="done", finished_at=ended)
    settings = settings_for(stage.database.name, stage.uri, stage.simulator, **JOBS)
    found = Retention(stage.store, clock)
    erased = 0
    for _ in range(3):
        found.erase_portion(settings)
        erased += found.last_counts.jobs
    assert (erased, len(looks), found.has_more) == (10, 1, False)


def test_a_job_that_was_called_again_since_it_was_found_has_its_new_end(stage: Stage) -> None:
    ended = stage.store.now() - timedelta(days=31)
    add_person(stage, job_id="job-old", status="done", finished_at=ended)
    job_id = stage.job("job-old")["_id"]
    before = stage.store.now() - timedelta(days=30)
    assert stage.store.erasures.jobs_ended_before(before, What.PERSON, Position(), 10)
    stage.database.jobs.update_one({"_id": job_id}, {"$set": {"finished_at": stage.store.now()}})
    erasure = Erasure(at=stage.store.now(), by="retention", what=What.PERSON)
    for erase_one in (erase_calls, erase_person):
        step = erase_one(stage.store, job_id, erasure, Counts(), ended_before=before)
        assert step is Step.WAITS
    assert NAME in stored_texts(stage)


def test_a_run_that_was_killed_is_completed_by_the_next(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    called(stage)
    age(stage)

    def away(*_: object) -> bool:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as broken:
        broken.setattr(stage.store.erasures, "write_job", away)
        with pytest.raises(StoreUnavailable):
            erase(stage, **JOBS)
    assert stage.results()[0]["erased"]["what"] == What.PERSON
    assert stage.job()["contact"]["name"] == NAME

    erase(stage, **JOBS)
    assert NAME not in stored_texts(stage)


def test_a_job_that_is_reset_meanwhile_keeps_its_person(stage: Stage) -> None:
    called(stage)
    age(stage)
    read = stage.store.erasures.find_job(stage.job()["_id"])
    assert read is not None
    stage.store.requests.ask("job-1", "reset", reason=None, by="ana")
    assert not stage.store.erasures.write_job(read, {"job_id": "job-1"})
    assert stage.job()["contact"]["name"] == NAME


def test_the_name_of_an_imported_file_goes_and_its_counts_stay(stage: Stage) -> None:
    old = stage.store.now() - timedelta(days=31)
    record = {"batch_id": BATCH, "file": f"{NAME}.xlsx", "sha256": "ab12", "by": "ana", "contacts": 7}
    stage.database.speechaid_imports.insert_one({"_id": "import-1", "started_at": old, **record})
    latest = {"import_id": "import-1", "file": f"{NAME}.xlsx", "imported": 7}
    stage.database.batches.update_one({}, {"$set": {"last_import": latest}})

    assert erase(stage, **UPLOADS).imports == 1

    assert NAME not in stored_texts(stage)
    left = stage.database.speechaid_imports.find_one({})
    assert left is not None
    assert (left["contacts"], left["by"], left["erased"]["what"]) == (7, "ana", What.FILE)
    assert "sha256" not in left
    assert erase(stage, **UPLOADS).imports == 0


def test_a_run_is_recorded_without_the_data_and_counted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "TICK_BUDGET_SECONDS", 30.0)  # a busy machine needs more than a tick has
    called(stage)
    age(stage)
    settings = settings_for(stage.database.name, stage.uri, stage.simulator, **JOBS)
    housekeeper = Housekeeper(stage.store)
    housekeeper.tick(settings, SystemClock().boottime())

    (line,) = stage.database.call_logs.find({"event": "erased"})
    assert (line["actor"], line["jobs"], line["results"], line["imports"]) == ("retention", 1, 1, 0)
    counts = housekeeper.counters.take()
    assert sum(counts.values()) == 2
    assert all("speechaid_erased_total" in str(key) and "retention" in str(key) for key in counts)


def test_jobs_that_are_late_are_counted(stage: Stage) -> None:
    for number in range(3):
        add_person(stage, job_id=f"job-{number}", status="done")
    age(stage)
    before = stage.store.now() - timedelta(days=30)
    assert stage.store.erasures.count_late(before, What.PERSON, 10) == 3
    assert stage.store.erasures.count_late(before, What.PERSON, 2) == 2
    assert len(stage.store.erasures.jobs_ended_before(before, What.CALLS, Position(), 10)) == 3
    erase(stage, **JOBS)
    assert stage.store.erasures.count_late(before, What.PERSON, 10) == 0
