"""Two jobs whose phones are one line in two spellings: they are in one live call at a time."""

from __future__ import annotations

from datetime import timedelta

from tests.support.stage import Document, Stage
from tests.support.stories import Steps, instrumented, uncounted

#: One line of Buenos Aires; the library takes the second one for a landline.
MOBILE, WITHOUT_9 = "+5491155550101", "+541155550101"


def add_open(stage: Stage, number: str, job_id: str) -> Document:
    """A job with an open dial under a live lease, as a daemon that knows no spellings writes it."""
    now = stage.store.now()
    dial = {"key": f"key-of-{job_id}", "number": number, "intent_at": now, "body": "{}"}
    stage.add_job(
        number,
        job_id=job_id,
        dial=dial,
        status="in_progress",
        claim_token="t",
        reserved_until=now + timedelta(days=9),
    )
    return stage.job(job_id)


def test_a_line_with_an_open_dial_in_another_spelling_is_not_dialled(stage: Stage) -> None:
    add_open(stage, WITHOUT_9, "theirs")
    stage.add_job(MOBILE)
    stage.simulator.script({MOBILE: ["user_hangup"]})
    context = stage.context()
    assert stage.dial_next(context)
    assert stage.placed_calls() == []
    assert (stage.job()["status"], "dial" in stage.job()) == ("pending", False)

    stage.database.jobs.delete_one({"job_id": "theirs"})
    assert stage.run_until_finished(context)["status"] == "done"
    assert [call["to_number"] for call in stage.placed_calls()] == [MOBILE]


def test_an_intent_in_another_spelling_that_was_written_at_the_same_time_is_found(stage: Stage) -> None:
    """The unique index lets both through, so each looks once more after it has written."""
    stage.add_job(MOBILE)
    stage.simulator.script({MOBILE: ["user_hangup"]})
    others: list[Document] = []

    def intent_of_another(_n: int, name: str, done: bool) -> None:
        # After our look and before our write.
        job = stage.job()
        claimed = job["status"] == "in_progress" and "dial" not in job
        if claimed and name == "update jobs" and not done and not others:
            with uncounted():
                others.append(add_open(stage, WITHOUT_9, "theirs"))

    context = stage.context()
    with instrumented(Steps(intent_of_another)):
        assert stage.dial_next(context)
    assert others
    assert stage.placed_calls() == []
    assert (stage.job()["status"], "dial" in stage.job()) == ("pending", False)

    stage.database.jobs.delete_one({"job_id": "theirs"})
    assert stage.run_until_finished(context)["status"] == "done"
    assert len(stage.placed_calls()) == 1


def test_two_spellings_of_a_line_in_one_job_are_dialled_once_per_attempt(stage: Stage) -> None:
    stage.simulator.script({MOBILE: ["dial_busy", "user_hangup"]})
    stage.add_job("+54 9 11 5555 0101", "+54 11 15 5555 0101", "+54 11 5555 0101")
    context = stage.context()
    assert stage.dial_next(context)
    assert (stage.job()["attempts"], stage.job()["status"]) == (1, "pending")
    assert stage.run_until_finished(context)["status"] == "done"
    assert [call["to_number"] for call in stage.placed_calls()] == [MOBILE, MOBILE]


def test_a_call_of_another_program_is_found_in_the_spelling_that_it_dialled(stage: Stage) -> None:
    """Without this the person on the phone would be called a second time."""
    stage.simulator.script({WITHOUT_9: ["user_hangup"]})
    context = stage.context()
    body = {"from_number": "+15005550006", "to_number": WITHOUT_9, "idempotency_key": context.new_token()}
    call_id = context.retell.create_call({**body, "override_agent_id": "agent_stage"}).call_id
    now = stage.store.now()
    lapsed = now - timedelta(seconds=1)
    stage.add_job(MOBILE, status="in_progress", started_at=now, reserved_until=lapsed)
    assert stage.recover_one(context)
    assert (stage.job()["status"], stage.job()["call_id"]) == ("done", call_id)
    assert len(stage.placed_calls()) == 1
