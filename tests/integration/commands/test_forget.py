"""``forget``: nothing of the person is left in any collection but the opt-out; what is counted stays."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from speechaid.clock import SystemClock
from speechaid.commands.forget import forget
from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation
from speechaid.commands.redial import redial_batch
from speechaid.errors import StoreUnavailable
from speechaid.maintenance import forgetting
from speechaid.maintenance.housekeeping import Housekeeper
from speechaid.model.erasure import What
from speechaid.model.levels import Level
from speechaid.model.test_calls import TESTS
from speechaid.rules.redial import NOT_REACHED
from speechaid.store.analyses import WAIT
from speechaid.store.table import Table
from speechctl.render.blocks import as_text
from speechctl.render.commands import render
from tests.support.common_stage import phone
from tests.support.reports import report_of
from tests.support.stage import Document, Stage

BATCH = "batch-20260101-00000001"
NAME, DNI, PLAIN_DNI = "Rosa Quilapan", "12.345.678-5", "12345678-5"
VARIABLE = "contract ZX-4711"
#: The simulator's number and the person's others are of no account here; what is asked for is the id.
OTHER = {"name": "Luis Soto", "dni": "11.111.111-1"}


@pytest.fixture
def stage(common_stage: Stage) -> Stage:
    common_stage.add_batch(BATCH)
    common_stage.simulator.script({"*": ["user_hangup"]})
    return common_stage


def add_job(stage: Stage, job_id: str = "job-1", *, number: str | None = None, **fields: Any) -> str:
    """A job as an import makes it; its number."""
    number = number or phone()
    contact = {"name": NAME, "dni": DNI, "phones": [number], "next_phone_index": 0}
    standard = {
        "batch_id": BATCH,
        "contact": contact,
        "to_number": number,
        "payload": {"debt_amount": 1000, "currency": "CLP", "additional_info": {"contrato": VARIABLE}},
        "person_keys": ["id:123456785", f"line:{number}"],
        "name_key": "rosa quilapan",
        "contact_key": "0123456789abcdef01234567",
        "deduplication_key": f"{BATCH}:0123456789abcdef01234567",
    }
    stage.add_job(number, job_id=job_id, **{**standard, **fields})
    return number


def called(stage: Stage, job_id: str = "job-1", **fields: Any) -> str:
    """The same, called to the end of the job."""
    number = add_job(stage, job_id, **fields)
    stage.run_until_finished(stage.context(SPEECHAID_ANALYSIS_TRIES=0), job_id)
    return number


def context_of(stage: Stage) -> HandlerContext:
    return HandlerContext(store=stage.store, settings=stage.settings, in_loop=lambda call: call())


def run(stage: Stage, handler: Callable[[HandlerContext, Invocation], Any], **args: Any) -> Document:
    """Carry out a command to its end."""
    context = context_of(stage)
    invocation = Invocation(args=args, actor="maria", attachment=None, progress=lambda _: None)
    step = handler(context, invocation)
    while isinstance(step, Continue):
        step = step.step(context)
    result: Document = step
    return result


def forget_person(stage: Stage, person: str = PLAIN_DNI, **args: Any) -> Document:
    return run(stage, forget, **{"person": person, "account": None, "reason": None, **args})


def texts(stage: Stage, *, without: str = "") -> str:
    """Every document of every collection as text."""
    names = [name for name in stage.database.list_collection_names() if name != without]
    return "\n".join(repr(document) for name in names for document in stage.database[name].find({}))


def found_of(stage: Stage, *numbers: str, without: str = "") -> list[str]:
    """What of the person is left in any field of any document."""
    everything = texts(stage, without=without)
    words = [NAME, "Rosa", "rosa", DNI, PLAIN_DNI, "123456785", VARIABLE, "ZX-4711", "0123456789abcdef"]
    return [word for word in (*words, *numbers, *(number[1:] for number in numbers)) if word in everything]


def report(stage: Stage) -> Document:
    found = report_of(stage.store, BATCH, "America/Santiago", country="CL")
    return {name: value for name, value in found.items() if name != "at"}


def test_nothing_of_the_person_is_left_but_the_opt_out(stage: Stage) -> None:
    number = called(stage)
    promise = {"fecha_pago_cliente": "the 4th, said Rosa", "monto_pago_cliente": "$ 900"}
    stage.database.jobs.update_one({}, {"$set": promise})
    waiting = add_job(stage, "job-2", dead_phones=[phone()], last_error=f"Retell refused {NAME}")
    of_another_program = phone()
    stage.add_job(
        job_id="job-3", status="completed", nombre=NAME, rut=PLAIN_DNI, to_number=of_another_program
    )
    stage.database.jobs.update_one(
        {"job_id": "job-3"}, {"$unset": {"contact": ""}, "$set": {"crm": {"of": NAME}}}
    )
    stage.database.call_results.insert_one(
        {"call_id": "old", "job_id": "deleted", "contact": {"name": NAME, "dni": DNI, "phone_used": waiting}}
    )
    stage.store.logs.write("call.settled", job_id="job-1", error=f"{NAME} at {number}", phone="+120*****01")
    stage.database.call_logs.insert_one({"job_id": "job-3", "message": f"called {NAME} on {number}"})
    stage.store.do_not_call.add(number, source="call", job_id="job-1")
    before = report(stage)
    assert found_of(stage, number, waiting, of_another_program)

    answer = forget_person(stage)

    assert found_of(stage, number, waiting, of_another_program, without="speechaid_do_not_call") == []
    assert stage.store.do_not_call.entry(number) is not None
    assert {
        name: answer[name] for name in ("jobs", "calls", "cancelled", "later", "number_kept", "id_kept")
    } == {
        "jobs": 3,
        "calls": 2,
        "cancelled": 1,
        "later": [],
        "number_kept": True,
        "id_kept": False,
    }
    assert stage.job("job-2")["cancel_reason"] == "forgotten"
    after = report(stage)
    assert after["calls"] == before["calls"]
    assert after["promises"] == before["promises"]
    assert {job["erased"]["by"] for job in stage.database.jobs.find({})} == {"maria"}


@pytest.mark.parametrize(
    ("number_kept", "id_kept", "words"),
    [
        (True, False, "keeps the number,"),
        (False, True, "keeps the national id,"),
        (True, True, "keeps the number and the national id,"),
    ],
)
def test_it_is_said_which_opt_out_is_kept(stage: Stage, number_kept: bool, id_kept: bool, words: str) -> None:
    number = add_job(stage)
    if number_kept:
        stage.store.do_not_call.add(number, source="call")
    if id_kept:
        stage.store.do_not_call.add_person(None, "id:123456785", source="maria")
    answer = forget_person(stage)
    assert (answer["number_kept"], answer["id_kept"]) == (number_kept, id_kept)
    assert words in as_text(render("forget", answer))


def test_sums_and_counts_are_equal_before_and_after(stage: Stage) -> None:
    stage.simulator.script({"*": ["dial_no_answer", "user_hangup"]})
    called(stage)
    stage.database.jobs.update_one(
        {}, {"$set": {"fecha_pago_cliente": "4/12/2026", "monto_pago_cliente": "900 USD"}}
    )
    before = report(stage)
    assert before["calls"]["total"] == 2
    assert before["promises"]["by_currency"] == [{"currency": "USD", "amount": 900.0, "jobs": 1}]

    forget_person(stage)

    assert report(stage) == before


def test_other_people_stay_also_those_of_the_same_number(stage: Stage) -> None:
    number = called(stage)
    contact = {**OTHER, "phones": [number], "next_phone_index": 0}
    add_job(stage, "job-2", contact=contact, to_number=number, person_keys=["id:111111111", f"line:{number}"])
    stage.database.call_results.insert_one(
        {"call_id": "old", "job_id": "deleted", "contact": {**OTHER, "phone_used": number}}
    )
    forget_person(stage)
    assert stage.job("job-2")["contact"] == contact
    assert stage.job("job-2")["status"] == "pending"
    left = stage.database.call_results.find_one({"call_id": "old"})
    assert left is not None
    assert left["contact"]["name"] == OTHER["name"]


def test_a_text_that_means_several_people_is_refused(stage: Stage) -> None:
    number = add_job(stage)
    contact = {**OTHER, "phones": [number], "next_phone_index": 0}
    add_job(stage, "job-2", contact=contact, to_number=number, person_keys=["id:111111111", f"line:{number}"])
    with pytest.raises(CommandRefused, match="several people"):
        forget_person(stage, number)
    assert {job["status"] for job in stage.database.jobs.find({})} == {"pending"}


def test_nobody_to_forget_is_said(stage: Stage) -> None:
    with pytest.raises(CommandRefused, match="nothing was erased"):
        forget_person(stage)


def test_only_the_named_account_forgets(stage: Stage) -> None:
    for number, account in enumerate(("acc-1", "acc-2"), 1):
        stage.add_account(account)
        add_job(stage, f"job-{number}", account_id=account)
    forget_person(stage, account="acc-1")
    assert stage.job("job-1")["erased"]["what"] == What.PERSON
    assert stage.job("job-2")["contact"]["name"] == NAME


def test_what_a_live_call_leaves_is_erased_when_it_is_over(stage: Stage) -> None:
    number = add_job(stage)
    answers: list[Document] = []

    def forget_once() -> None:
        if not answers and stage.job()["dial"].get("call_id"):
            answers.append(forget_person(stage))

    stage.on_wait = forget_once
    assert stage.dial_next(stage.context(SPEECHAID_ANALYSIS_TRIES=0))

    assert answers[0]["later"] == ["job-1"]
    assert stage.job()["status"] == "done"
    assert found_of(stage, number)
    forgetting.complete_forgetting(stage.store, SystemClock())
    assert found_of(stage, number) == []
    assert stage.job()["erased"]["by"] == "maria"
    assert len(stage.results()) == 1


def test_a_call_that_reaches_nobody_is_not_repeated(stage: Stage) -> None:
    stage.simulator.script({"*": ["dial_no_answer"]})
    add_job(stage)

    def forget_once() -> None:
        if "forgetting" not in stage.job():
            forget_person(stage)

    stage.on_wait = forget_once
    stage.dial_next(stage.context())
    job = stage.job()
    assert (job["status"], job["cancel_reason"]) == ("cancelled", "forgotten")
    assert len(stage.placed_calls()) == 1


def test_a_test_call_with_the_variables_of_the_person_is_erased_too(stage: Stage) -> None:
    add_job(stage)
    mark = {"batch_id": BATCH, "job_id": "job-1", "by": "ana", "until": stage.store.now()}
    other = {"name": "Test", "phones": [phone()], "next_phone_index": 0}
    payload = {"nombre": NAME, "contrato": VARIABLE}
    stage.add_job(job_id="test-1", batch_id=TESTS, status="done", contact=other, payload=payload, test=mark)
    stage.database.call_results.insert_one(
        {"call_id": "t", "job_id": "test-1", "batch_id": TESTS, "test": {**mark, "variables": payload}}
    )
    assert forget_person(stage)["jobs"] == 2
    assert found_of(stage) == []
    assert stage.job("test-1")["test"]["job_id"] == "job-1"


def test_an_analysis_that_is_awaited_is_not_waited_for(stage: Stage) -> None:
    number = called(stage)
    wait = {"due_at": stage.store.now(), "tries": 0, "key": "k"}
    stage.database.call_results.update_one({}, {"$set": {WAIT: wait}})
    claimed = stage.store.analyses.claim(stage.results()[0])
    assert claimed is not None
    forget_person(stage)
    assert not stage.store.analyses.add(claimed, {"call_summary": f"{NAME} pays"})
    assert found_of(stage, number) == []


class Killed(StoreUnavailable):
    """The process ends here, as far as the database knows."""


def broken_after(monkeypatch: pytest.MonkeyPatch, writes: int) -> list[str]:
    """Let so many writes through, and no further one; the names of those that were made."""
    made: list[str] = []

    def wrapped(name: str) -> Callable[..., Any]:
        original = getattr(Table, name)

        def write(table: Table, *args: Any, **kwargs: Any) -> Any:
            if len(made) >= writes:
                raise Killed("the database is away")
            made.append(name)
            return original(table, *args, **kwargs)

        return write

    for name in ("update", "update_many", "replace_one", "insert"):
        monkeypatch.setattr(Table, name, wrapped(name))
    return made


@pytest.mark.parametrize("writes", range(16))
def test_whoever_was_half_forgotten_is_not_dialled_and_forgotten_by_the_next_tick(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    numbers = [called(stage), add_job(stage, "job-2"), add_job(stage, "job-3")]
    placed = len(stage.placed_calls())
    with monkeypatch.context() as broken:
        made = broken_after(broken, writes)
        with contextlib.suppress(Killed):
            forget_person(stage)
    marked = [
        row["job_id"]
        for row in stage.database.jobs.find(
            {"$or": [{"forgetting": {"$ne": None}}, {"erased": {"$ne": None}}]}
        )
    ]
    if not marked:
        assert writes <= 2, made  # the level, and the mark of all jobs at once
        return
    assert len(marked) == 3

    stage.dial_next(stage.context())
    assert len(stage.placed_calls()) == placed

    for job_id in ("job-2", "job-3"):
        stage.make_due_if_pending(job_id)
    forgetting.complete_forgetting(stage.store, SystemClock())
    forgetting.complete_forgetting(stage.store, SystemClock())
    assert found_of(stage, *numbers) == []
    assert stage.database.jobs.count_documents({"forgetting": {"$ne": None}}) == 0


def test_the_housekeeping_completes_what_a_command_has_begun(stage: Stage) -> None:
    number = called(stage)
    stage.store.erasures.mark_forgetting([stage.job()["_id"]], by="maria", reason=None)
    housekeeper = Housekeeper(stage.store)
    housekeeper.tick(stage.settings, SystemClock().boottime())
    assert found_of(stage, number) == []
    assert stage.job()["erased"]["by"] == "maria"
    assert any("forget" in str(key) for key in housekeeper.counters.take())


def test_a_forgotten_job_is_never_called_again(stage: Stage) -> None:
    stage.simulator.script({"*": ["dial_busy"]})
    called(stage)
    assert stage.job()["status"] == "failed"
    forget_person(stage)

    assert stage.store.requests.ask("job-1", "reset", reason=None, by="ana") == "refused"
    query = stage.store.operator_actions.resettable(["failed"], max_age_seconds=None, batch_id=BATCH)
    assert stage.store.operator_actions.reset(query, 10) == 0
    assert stage.store.diagnostics.unreadable(9) == []  # doctor does not ask for its number
    with pytest.raises(CommandRefused, match="nobody is left"):
        run(stage, redial_batch, batch=BATCH, outcomes=",".join(NOT_REACHED), name=None, dry_run=False)


def test_the_same_person_in_a_later_import_is_a_new_one(stage: Stage) -> None:
    add_job(stage)
    forget_person(stage)
    keys = ["id:123456785"]
    assert stage.store.imports.jobs_of_people(None, keys) == []
    # Nor is it read by each import, as jobs of other programs are.
    assert list(stage.store.imports.jobs_without_keys(None)) == []
    add_job(stage, "job-2")
    assert [row["job_id"] for row in stage.store.imports.jobs_of_people(None, keys)] == ["job-2"]


def test_daemons_that_do_not_know_the_mark_may_not_dial(stage: Stage) -> None:
    add_job(stage)
    forget_person(stage)
    needed = stage.database.speechaid_holds.find_one({"_id": "level"})
    assert needed is not None
    assert needed["needs"] == Level.PEOPLE_AND_AGENTS


def test_the_record_says_how_much_and_nothing_of_whom(stage: Stage) -> None:
    called(stage)
    forget_person(stage, reason="asked by letter")
    (line,) = stage.database.call_logs.find({"event": "erased"})
    assert {name: line[name] for name in ("actor", "jobs", "results")} == {
        "actor": "maria",
        "jobs": 1,
        "results": 1,
    }
    assert found_of(stage) == []
