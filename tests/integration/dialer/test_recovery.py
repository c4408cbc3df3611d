"""Jobs that a dead worker left in every state, recovered by another worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from speechaid.dialer import dial, recovery
from speechaid.dialer.claim import JobClaimer
from speechaid.dialer.context import WorkerContext
from speechaid.dialer.preflight import read_preflight
from speechaid.errors import LeaseLost
from speechaid.model.job import Job
from speechaid.rules.phones import Choice
from tests.support.common_stage import phone
from tests.support.stage import API_KEY, Document, Stage
from tests.support.stories import Steps, instrumented

BATCH = "batch-20260101-00000001"
#: The key's hour, the longest ring and the longest call of the stage's settings are over.
PAST_THE_HORIZON = 3600 + 300 + 600 + 1.0


class Died(BaseException):
    """The process is gone."""


@pytest.fixture
def stage(common_stage: Stage) -> Iterator[Stage]:
    yield common_stage
    common_stage.simulator.change(api_keys=[API_KEY])


@pytest.fixture
def survivor(stage: Stage) -> WorkerContext:
    return stage.context("worker-2@host-b:2")


def die(*_: object) -> None:
    raise Died


def leave_live_call(stage: Stage, *outcomes: str, **fields: Any) -> str:
    """A worker dies during its first wait in a call; its lease runs out. Returns the number."""
    number = phone()
    stage.simulator.script({number: list(outcomes or ("user_hangup",))})
    stage.add_job(number, **fields)
    stage.on_wait = die
    with pytest.raises(Died):
        stage.dial_next(stage.context())
    stage.on_wait = lambda: None
    stage.lapse()
    assert len(stage.placed_calls()) == 1
    return number


def write_intent(stage: Stage, context: WorkerContext, **fields: Any) -> Job:
    """A job with a fresh intent, nothing sent yet."""
    number = phone()
    stage.simulator.script({number: ["user_hangup"]})
    stage.add_job(number, **fields)
    job = stage.claim(context)
    assert job is not None
    choice = Choice(index=0, raw=number, number=number)
    return context.store.jobs.record_intent(
        job, dial.new_dial(context, job, choice, read_preflight(context, job))
    )


def leave_ambiguous(stage: Stage, *, placed: bool, **fields: Any) -> Job:
    """A worker dies right before its POST, or right after Retell has made the call; its lease runs out."""
    context = stage.context()
    job = write_intent(stage, context, **fields)
    assert job.dial is not None
    if placed:
        context.retell.create_call(json.loads(job.dial.body))
    stage.lapse()
    stage.simulator.clear_requests()
    return job


def creates(stage: Stage) -> int:
    """Create requests since the worker died."""
    return len(stage.simulator.requests()["creates"])


def recover_again(stage: Stage, context: WorkerContext, times: int = 1) -> None:
    """Have a worker recover the job this many times, as if each retry delay had passed."""
    for _ in range(times):
        stage.lapse()
        assert stage.recover_one(context)


def closed_window(stage: Stage) -> Document:
    """Call settings that allow no call today."""
    another_day = (stage.store.now() + timedelta(days=3)).isoweekday()
    return {
        "allowed_hours": {"start": "09:00", "end": "18:00"},
        "days_of_week": [another_day],
        "timezone": "UTC",
    }


# -- live calls and stored verdicts ----------------------------------------------------------------------


def test_a_live_call_is_followed_by_its_id_and_never_dialled_again(
    stage: Stage, survivor: WorkerContext
) -> None:
    leave_live_call(stage)
    assert not stage.dial_next(survivor)

    assert stage.recover_one(survivor)

    (call,), (result,) = stage.placed_calls(), stage.results()
    assert stage.job()["status"] == "done"
    assert result["call_id"] == stage.job()["call_id"] == call["call_id"]
    assert result["worker"] == survivor.worker_id
    assert creates(stage) == 1


def test_a_live_call_is_left_alone_while_its_lease_runs(stage: Stage, survivor: WorkerContext) -> None:
    leave_live_call(stage)
    ahead = stage.store.now() + timedelta(seconds=60)
    stage.database.jobs.update_one({}, {"$set": {"reserved_until": ahead}})
    assert not stage.recover_one(survivor)


def test_a_stored_verdict_is_applied_as_decided_whatever_the_settings_say_by_then(stage: Stage) -> None:
    number = phone()
    stage.simulator.script({number: ["voicemail_reached"]})
    stage.add_job(number)
    steps = Steps(lambda _n, name, done: die() if (name, done) == ("insert call_results", True) else None)
    with instrumented(steps), pytest.raises(Died):
        stage.dial_next(stage.context(NO_ANSWER_RETRY_MINUTES=60))
    stage.lapse()
    before = stage.store.now()

    other = stage.context("worker-2@host-b:2", SPEECHAID_VOICEMAIL_COUNTS="true", NO_ANSWER_RETRY_MINUTES=1)
    assert stage.recover_one(other)

    job, (result,) = stage.job(), stage.results()
    assert (job["status"], job["attempts"], result["outcome"]) == ("pending", 1, "voicemail")
    assert job["reserved_until"] - before > timedelta(minutes=50)


def test_a_job_without_a_dial_goes_back_untouched(stage: Stage, survivor: WorkerContext) -> None:
    stage.add_job(phone(), attempts=1)
    assert stage.claim(stage.context()) is not None
    recover_again(stage, survivor)
    job = stage.job()
    assert (job["status"], job["attempts"]) == ("pending", 1)
    assert "claim_token" not in job


# -- creates whose answer was lost -----------------------------------------------------------------------


def test_a_create_whose_answer_was_lost_is_sent_again_and_gives_the_same_call(
    stage: Stage, survivor: WorkerContext
) -> None:
    leave_ambiguous(stage, placed=True)
    recover_again(stage, survivor)
    assert creates(stage) == 1
    (call,) = stage.placed_calls()
    assert (stage.job()["status"], stage.job()["call_id"]) == ("done", call["call_id"])


def test_a_create_that_was_never_sent_is_sent_by_the_adopter(stage: Stage, survivor: WorkerContext) -> None:
    job = leave_ambiguous(stage, placed=False)
    recover_again(stage, survivor)
    (call,) = stage.placed_calls()
    assert job.dial is not None
    assert call["idempotency_key"] == job.dial.key
    assert stage.job()["status"] == "done"


@pytest.mark.parametrize("placed", [True, False], ids=["placed", "not placed"])
@pytest.mark.parametrize("obstacle", ["paused", "window closed", "held", "account closed", "do not call"])
def test_an_ambiguous_dial_that_may_not_be_placed_now_is_looked_up_and_not_replayed(
    stage: Stage, survivor: WorkerContext, obstacle: str, placed: bool
) -> None:
    stage.add_batch(BATCH)
    stage.add_account(plan_type="unlimited")
    job = leave_ambiguous(stage, placed=placed, batch_id=BATCH, account_id="acc-1")
    assert job.dial is not None
    match obstacle:
        case "paused":
            stage.store.batches.pause(BATCH, by="operator", reason=None)
        case "window closed":
            stage.database.batches.update_one({}, {"$set": {"call_settings": closed_window(stage)}})
        case "held":
            stage.store.holds.hold(by="operator", reason=None)
        case "account closed":
            stage.database.accounts.update_one({}, {"$set": {"status": "expired"}})
        case "do not call":
            stage.store.do_not_call.add(job.dial.number, source="operator")

    recover_again(stage, survivor)

    assert creates(stage) == 0
    assert stage.job()["status"] == ("done" if placed else "in_progress")
    assert len(stage.placed_calls()) == int(placed)


def test_an_ambiguous_dial_is_replayed_once_when_its_batch_is_resumed(
    stage: Stage, survivor: WorkerContext
) -> None:
    stage.add_batch(BATCH)
    leave_ambiguous(stage, placed=False, batch_id=BATCH)
    stage.store.batches.pause(BATCH, by="operator", reason=None)
    recover_again(stage, survivor, 3)
    stage.store.batches.resume(BATCH, by="operator")
    recover_again(stage, survivor)
    assert len(stage.placed_calls()) == 1
    assert stage.job()["status"] == "done"


@pytest.mark.parametrize("placed", [True, False], ids=["placed", "not placed"])
def test_after_45_minutes_an_ambiguous_dial_is_only_looked_up(
    stage: Stage, survivor: WorkerContext, placed: bool
) -> None:
    leave_ambiguous(stage, placed=placed)
    stage.age_dial(45 * 60 + 1)
    recover_again(stage, survivor)
    assert creates(stage) == 0
    assert stage.job()["status"] == ("done" if placed else "in_progress")


def test_an_unlisted_call_is_presumed_not_placed_only_past_the_horizon_and_after_three_searches(
    stage: Stage, survivor: WorkerContext
) -> None:
    stage.add_batch(BATCH)
    stage.add_account(plan_type="credit_based", credit_balance=100, cost_per_call_setup=1)
    leave_ambiguous(stage, placed=False, batch_id=BATCH, account_id="acc-1", attempts=1)
    stage.age_dial(PAST_THE_HORIZON - 60)
    recover_again(stage, survivor, 5)
    assert stage.job()["dial"]["empty_lookups"] == 0
    stage.age_dial(60)
    for expected in (1, 2):
        recover_again(stage, survivor)
        job = stage.job()
        assert job["dial"]["empty_lookups"] == expected
        assert job["reserved_until"] - stage.store.now() > timedelta(seconds=30)  # spaced
        assert not stage.recover_one(survivor)

    recover_again(stage, survivor)

    job = stage.job()
    assert (job["status"], job["attempts"], creates(stage)) == ("pending", 1, 0)
    assert "dial" not in job
    account = stage.database.accounts.find_one({})
    batch = stage.database.batches.find_one({})
    assert account is not None
    assert batch is not None
    assert account.get("credit_used", 0) == account.get("calls_today", 0) == 0
    assert account.get("open_dials", []) == batch.get("open_dials", []) == []
    assert stage.results() == []


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 409},
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 408},
        {"kind": "garbage"},
        {"kind": "garbage", "style": "wrong_types", "when": "after"},
        {"kind": "reset"},
        {"kind": "unauthorized"},
    ],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
def test_if_the_replay_s_answer_settles_nothing_the_call_list_decides(
    stage: Stage, survivor: WorkerContext, fault: Document
) -> None:
    leave_ambiguous(stage, placed=True)
    stage.simulator.fault(**fault, endpoints=["create"])
    recover_again(stage, survivor)
    (call,) = stage.placed_calls()
    assert (stage.job()["status"], stage.job()["call_id"]) == ("done", call["call_id"])


def test_a_refusal_of_the_replay_is_no_proof_that_the_first_request_made_no_call(
    stage: Stage, survivor: WorkerContext
) -> None:
    leave_ambiguous(stage, placed=True)
    stage.simulator.change(list_delay_seconds=100_000)
    stage.simulator.fault("status", status=422, message="to_number is not valid", endpoints=["create"])
    recover_again(stage, survivor)
    job = stage.job()
    assert job["status"] == "in_progress"
    assert job.get("dead_phones", []) == []


def test_a_late_call_list_is_searched_again_until_it_shows_the_call(
    stage: Stage, survivor: WorkerContext
) -> None:
    stage.add_batch(BATCH)
    leave_ambiguous(stage, placed=True, batch_id=BATCH)
    stage.store.batches.pause(BATCH, by="operator", reason=None)
    stage.simulator.change(list_delay_seconds=30)
    recover_again(stage, survivor)
    assert stage.job()["status"] == "in_progress"
    stage.simulator.advance(31)
    recover_again(stage, survivor)
    assert stage.job()["status"] == "done"
    assert len(stage.placed_calls()) == 1


def test_while_retell_does_not_answer_nothing_is_concluded(stage: Stage, survivor: WorkerContext) -> None:
    leave_ambiguous(stage, placed=False)
    stage.age_dial(PAST_THE_HORIZON)
    stage.simulator.fault("outage")
    recover_again(stage, survivor, 5)
    job = stage.job()
    assert job["status"] == "in_progress"
    assert job["dial"].get("empty_lookups", 0) == 0


@pytest.mark.parametrize("placed", [True, False], ids=["placed", "not placed"])
def test_a_dial_under_another_host_s_key_is_looked_up_but_neither_replayed_nor_presumed_not_placed(
    stage: Stage, placed: bool
) -> None:
    stage.simulator.change(api_keys=[API_KEY, "key_of_another_host"])
    leave_ambiguous(stage, placed=placed)
    other = stage.context("worker-2@host-b:2", RETELL_API_KEY="key_of_another_host")
    if not placed:
        stage.age_dial(PAST_THE_HORIZON)
    recover_again(stage, other, 1 if placed else 5)
    assert creates(stage) == 0
    assert stage.job()["status"] == ("done" if placed else "in_progress")
    if not placed:
        recover_again(stage, stage.context(), 3)
        assert stage.job()["status"] == "pending"


# -- clocks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("minutes", "replays"), [(0, 1), (4, 1), (-4, 1), (6, 0), (-6, 0)])
def test_a_dial_is_replayed_only_if_retell_s_clock_agrees_with_the_database_s(
    stage: Stage, survivor: WorkerContext, monkeypatch: pytest.MonkeyPatch, minutes: int, replays: int
) -> None:
    monkeypatch.setattr(recovery, "CLOCKS_AGREE_SECONDS", 300.0)
    leave_ambiguous(stage, placed=False)
    ahead = stage.simulator.health()["now"] - stage.store.now().timestamp()
    stage.simulator.change(date_skew_seconds=minutes * 60 - ahead)
    survivor.retell.get_concurrency()
    recover_again(stage, survivor)
    assert creates(stage) == replays
    stage.simulator.change(date_skew_seconds=0)


def test_an_old_date_header_of_retell_is_no_sign_of_a_wrong_clock(
    stage: Stage, survivor: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "CLOCKS_AGREE_SECONDS", 300.0)
    leave_ambiguous(stage, placed=False)
    survivor.retell.server_date = stage.store.now() - timedelta(hours=2)
    survivor.retell.server_date_read_at = survivor.clock.boottime() - 7200
    recover_again(stage, survivor)
    assert creates(stage) == 1


# -- operator requests meanwhile --------------------------------------------------------------------------


def ask(stage: Stage, action: str, reason: str | None = None) -> str:
    return str(stage.store.requests.ask("job-1", action, reason=reason, by="operator"))


def in_the_call(stage: Stage, action: str) -> None:
    """Have an operator make a request at the first wait in the call."""

    def once() -> None:
        stage.on_wait = lambda: None
        assert ask(stage, action, "because") == "recorded"
        assert stage.job()["status"] == "in_progress"

    stage.on_wait = once


@pytest.mark.parametrize(
    ("action", "outcome", "status"),
    [
        ("cancel", "dial_no_answer", "cancelled"),
        ("suspend", "dial_no_answer", "suspended"),
        ("reset", "dial_no_answer", "pending"),
        ("cancel", "user_hangup", "done"),
        ("suspend", "user_hangup", "done"),
        ("reset", "user_requested_dnc", "cancelled"),
        ("suspend", "user_requested_dnc", "cancelled"),
    ],
)
def test_a_request_is_applied_at_the_end_of_the_live_call_which_is_recorded_and_charged(
    stage: Stage, action: str, outcome: str, status: str
) -> None:
    number = phone()
    stage.simulator.script({number: [outcome]})
    stage.add_account(
        plan_type="credit_based", credit_balance=100, cost_per_call_setup=1, cost_failed_call=0.5
    )
    stage.add_job(number, account_id="acc-1", attempts=1)
    in_the_call(stage, action)

    stage.dial_next(stage.context())

    job, (result,) = stage.job(), stage.results()
    assert job["status"] == status
    assert "request" not in job
    assert (job["attempts"], job["contact"]["next_phone_index"]) == (
        0 if status == "pending" else job["attempts"],
        0,
    )
    if status in {"cancelled", "suspended"}:
        wanted = "do_not_call" if outcome == "user_requested_dnc" else "because"
        assert job["suspend_reason" if status == "suspended" else "cancel_reason"] == wanted
    account = stage.database.accounts.find_one({})
    assert account is not None
    assert account["credit_used"] == pytest.approx(result["charged"]["credit"])
    assert account["credit_used"] > 0


def test_a_hang_up_request_stops_the_live_call_and_cancels_the_job(stage: Stage) -> None:
    number = phone()
    stage.simulator.script({number: [{"reason": "user_hangup", "talk_seconds": 500}]})
    stage.add_job(number)
    in_the_call(stage, "hang_up")
    stage.dial_next(stage.context())
    (call,) = stage.placed_calls()
    assert call["disconnection_reason"] == "manual_stopped"
    assert (stage.job()["status"], stage.job()["cancel_reason"]) == ("cancelled", "because")


@pytest.mark.parametrize(("action", "status"), [("cancel", "cancelled"), ("suspend", "suspended")])
def test_a_request_between_intent_and_post_prevents_the_call(stage: Stage, action: str, status: str) -> None:
    stage.add_batch(BATCH)
    stage.add_job(phone(), batch_id=BATCH)
    asked: list[str] = []

    def on_step(_number: int, name: str, done: bool) -> None:
        # The dial is entered in its batch right after the intent.
        if name == "update batches" and done and not asked:
            asked.append(ask(stage, action))

    with instrumented(Steps(on_step)):
        stage.dial_next(stage.context())

    assert asked == ["recorded"]
    assert stage.placed_calls() == []
    assert stage.job()["status"] == status
    batch = stage.database.batches.find_one({})
    assert batch is not None
    assert batch["open_dials"] == []


def test_a_claimed_job_without_an_intent_is_cancelled_at_once_and_its_worker_places_no_call(
    stage: Stage,
) -> None:
    stage.add_job(phone())
    context = stage.context()
    claimed = JobClaimer(context).claim()
    assert claimed is not None
    assert ask(stage, "cancel") == "done"
    with pytest.raises(LeaseLost):
        dial.run(context, claimed.job, claimed.preflight)
    assert (stage.job()["status"], stage.placed_calls()) == ("cancelled", [])


@pytest.mark.parametrize(
    ("action", "status"), [("cancel", "cancelled"), ("suspend", "suspended"), ("reset", "pending")]
)
def test_a_request_on_an_ambiguous_dial_is_applied_once_the_dial_is_resolved(
    stage: Stage, survivor: WorkerContext, action: str, status: str
) -> None:
    leave_ambiguous(stage, placed=False, attempts=2)
    assert ask(stage, action) == "recorded"
    recover_again(stage, survivor)
    assert (stage.job()["status"], creates(stage)) == ("in_progress", 0)
    stage.age_dial(PAST_THE_HORIZON)
    recover_again(stage, survivor, 3)
    job = stage.job()
    assert (job["status"], job["attempts"]) == (status, 0 if action == "reset" else 2)
    assert "request" not in job
    assert stage.placed_calls() == []


@pytest.mark.parametrize("status", ["pending", "failed", "suspended"])
def test_an_unclaimed_job_is_cancelled_at_once(stage: Stage, status: str) -> None:
    stage.add_job(phone(), status=status)
    assert ask(stage, "cancel", "moved away") == "done"
    assert (stage.job()["status"], stage.job()["cancel_reason"]) == ("cancelled", "moved away")


def test_a_request_that_the_job_s_status_does_not_allow_is_refused(stage: Stage) -> None:
    stage.add_job(phone(), status="done")
    assert ask(stage, "cancel") == ask(stage, "suspend") == ask(stage, "hang_up") == "refused"
    stage.database.jobs.update_one({}, {"$set": {"status": "cancelled", "cancel_reason": "do_not_call"}})
    assert ask(stage, "reset") == "refused"
    stage.database.jobs.update_one({}, {"$set": {"cancel_reason": "operator"}})
    assert ask(stage, "reset") == "done"
    assert stage.job()["status"] == "pending"


# -- jobs that SpeechAI left in progress -------------------------------------------------------------------


def speechai_calls(stage: Stage, context: WorkerContext, number: str) -> str:
    """A call that another program placed."""
    body = {"from_number": "+15005550006", "to_number": number, "idempotency_key": context.new_token()}
    call_id = context.retell.create_call({**body, "override_agent_id": "agent_stage"}).call_id
    stage.simulator.clear_requests()
    return call_id


def speechai_leaves(stage: Stage, number: str, *, minutes_ago: float = 1.0, **fields: Any) -> None:
    began = stage.store.now() - timedelta(minutes=minutes_ago)
    past = stage.store.now() - timedelta(seconds=1)
    legacy = {"status": "in_progress", "worker_id": "bot-1", "started_at": began, "reserved_until": past}
    stage.add_job(number, **{**legacy, **fields})


@pytest.mark.parametrize("known", ["by its id", "by number and time"])
def test_a_live_call_of_speechai_is_adopted(stage: Stage, survivor: WorkerContext, known: str) -> None:
    number = phone()
    stage.simulator.script({number: [{"reason": "user_hangup", "ring_seconds": 2, "talk_seconds": 400}]})
    call_id = speechai_calls(stage, survivor, number)
    # It has lasted longer than a phone may ring.
    stage.simulator.advance(350)
    fields: dict[str, Any] = {"call_id": call_id} if known == "by its id" else {}
    speechai_leaves(stage, number, **fields)

    assert stage.recover_one(survivor)

    (call,), (result,) = stage.placed_calls(), stage.results()
    assert call["disconnection_reason"] == "user_hangup"
    assert (stage.job()["status"], result["call_id"], creates(stage)) == ("done", call_id, 0)


def test_while_retell_does_not_answer_a_legacy_job_is_not_requeued(
    stage: Stage, survivor: WorkerContext
) -> None:
    number = phone()
    stage.simulator.script({number: ["user_hangup"]})
    call_id = speechai_calls(stage, survivor, number)
    speechai_leaves(stage, number)
    stage.simulator.fault("outage")
    recover_again(stage, survivor, 3)
    assert stage.job()["status"] == "in_progress"

    stage.simulator.clear_faults()
    recover_again(stage, survivor)
    assert (stage.job()["status"], stage.job()["call_id"]) == ("done", call_id)
    assert creates(stage) == 0


@pytest.mark.parametrize("step", range(1, 8))
def test_a_legacy_job_survives_the_death_of_its_worker_at_every_step(
    stage: Stage, survivor: WorkerContext, step: int
) -> None:
    number = phone()
    stage.simulator.script({number: ["user_hangup"]})
    call_id = speechai_calls(stage, survivor, number)
    speechai_leaves(stage, number)
    steps = Steps(lambda count, _name, _done: die() if count == step else None)
    with instrumented(steps), pytest.raises(Died):
        stage.recover_one(stage.context())

    stage.store.jobs.worker_crashed("worker-1@host-a:1", 1)
    recover_again(stage, survivor)

    assert (stage.job()["status"], stage.job()["call_id"]) == ("done", call_id)
    assert len(stage.results()) == 1
    assert creates(stage) == 0


def test_a_legacy_job_without_a_known_call_waits_until_no_call_of_it_can_be_live(
    stage: Stage, survivor: WorkerContext
) -> None:
    speechai_leaves(stage, phone(), minutes_ago=50)
    recover_again(stage, survivor, 3)
    assert stage.job()["status"] == "in_progress"
    assert stage.job()["reserved_until"] > stage.store.now() + timedelta(minutes=5)

    began = stage.store.now() - timedelta(minutes=61)
    stage.database.jobs.update_one({}, {"$set": {"started_at": began}})
    recover_again(stage, survivor)
    job = stage.job()
    assert job["status"] == "pending"
    assert not {"claim_token", "foreign"} & job.keys()
    assert creates(stage) == 0


def test_a_legacy_job_without_a_start_time_counts_from_its_last_change(
    stage: Stage, survivor: WorkerContext
) -> None:
    last_change = stage.store.now() - timedelta(minutes=50)
    speechai_leaves(stage, phone(), started_at=None, created_at=None, updated_at=last_change)
    recover_again(stage, survivor, 3)
    assert stage.job()["status"] == "in_progress"
    stage.database.jobs.update_one({}, {"$set": {"updated_at": last_change - timedelta(minutes=11)}})
    recover_again(stage, survivor)
    assert stage.job()["status"] == "pending"


def test_a_legacy_call_is_found_although_its_job_has_no_start_time(
    stage: Stage, survivor: WorkerContext
) -> None:
    number = phone()
    stage.simulator.script({number: ["user_hangup"]})
    call_id = speechai_calls(stage, survivor, number)
    hour_ago = stage.store.now() - timedelta(minutes=61)
    speechai_leaves(stage, number, started_at=None, updated_at=hour_ago)
    recover_again(stage, survivor)
    assert (stage.job()["status"], stage.job()["call_id"], creates(stage)) == ("done", call_id, 0)


def test_a_legacy_call_that_retell_does_not_know_is_parked_and_not_called_again(
    stage: Stage, survivor: WorkerContext
) -> None:
    speechai_leaves(stage, phone(), call_id="call_of_another_workspace")
    survivor.settings = survivor.settings.model_copy(
        update={"call": survivor.settings.call.model_copy(update={"poll_timeout_seconds": 0.0})}
    )
    recover_again(stage, survivor)
    job = stage.job()
    assert job["status"] == "in_progress"
    assert job["dial"]["parked_at"] is not None
    assert job["reserved_until"] > stage.store.now() + timedelta(seconds=60)
    assert creates(stage) == 0


def leave_ghost(stage: Stage, survivor: WorkerContext, **fields: Any) -> None:
    """Another program's job whose call Retell does not know, adopted and parked."""
    stage.add_account(plan_type="unlimited", max_concurrent_calls=1)
    speechai_leaves(stage, phone(), call_id="call_ghost", account_id="acc-1", **fields)
    survivor.settings = survivor.settings.model_copy(
        update={"call": survivor.settings.call.model_copy(update={"poll_timeout_seconds": 0.0})}
    )
    recover_again(stage, survivor)
    assert stage.job()["dial"]["unknown_at"] is not None


def age_ghost(stage: Stage, seconds: float) -> None:
    placed_at = stage.job()["dial"]["placed_at"] - timedelta(seconds=seconds)
    stage.database.jobs.update_one({"job_id": "job-1"}, {"$set": {"dial.placed_at": placed_at}})


def other_job_of_the_account_is_called(stage: Stage, context: WorkerContext) -> bool:
    number = phone()
    stage.simulator.script({number: ["user_hangup"]})
    stage.add_job(number, job_id="job-2", account_id="acc-1")
    stage.dial_next(context)
    return bool(stage.placed_calls())


def test_a_ghost_gives_its_account_s_place_back_only_past_the_horizon_and_after_three_polls(
    stage: Stage, survivor: WorkerContext
) -> None:
    leave_ghost(stage, survivor)
    age_ghost(stage, PAST_THE_HORIZON)  # of a call of ours; another program's may last two hours
    recover_again(stage, survivor, 5)
    assert stage.job()["dial"]["empty_lookups"] == 0
    assert not other_job_of_the_account_is_called(stage, survivor)

    age_ghost(stage, 7200 - 600)
    for expected in (1, 2):
        recover_again(stage, survivor)
        assert (stage.job()["status"], stage.job()["dial"]["empty_lookups"]) == ("in_progress", expected)
        assert stage.job()["reserved_until"] - stage.store.now() > timedelta(seconds=60)  # spaced
    recover_again(stage, survivor)

    job = stage.job()
    assert (job["status"], job["last_error"], job["attempts"]) == ("failed", "call_unknown", 0)
    assert job["finished_at"] == job["failed_at"]
    assert stage.database.accounts.find_one({})["open_dials"] == []  # type: ignore[index]
    assert stage.results() == []
    assert survivor.link.counts["speechaid_next_steps_total cause=call_unknown"] == 1  # type: ignore[attr-defined]
    stage.database.jobs.delete_one({"job_id": "job-2"})
    assert other_job_of_the_account_is_called(stage, survivor)


def test_a_worker_with_another_key_proves_nothing_about_a_ghost(
    stage: Stage, survivor: WorkerContext
) -> None:
    leave_ghost(stage, survivor)
    age_ghost(stage, 2 * PAST_THE_HORIZON + 7200)
    stage.simulator.change(api_keys=[API_KEY, "key_of_another_host"])
    other = stage.context("worker-3@host-c:3", RETELL_API_KEY="key_of_another_host")
    recover_again(stage, other, 5)
    assert stage.job()["status"] == "in_progress"
    assert stage.job()["dial"]["empty_lookups"] == 0


@pytest.mark.parametrize("asked_before", [None, "cancel"])
def test_an_operator_s_word_closes_a_ghost_at_the_next_poll(
    stage: Stage, survivor: WorkerContext, asked_before: str | None
) -> None:
    leave_ghost(stage, survivor)
    if asked_before is not None:
        assert ask(stage, asked_before) == "recorded"
    recover_again(stage, survivor)
    assert stage.job()["status"] == "in_progress"
    assert ask(stage, "give_up") == "recorded"
    recover_again(stage, survivor)
    assert stage.job()["status"] == ("failed" if asked_before is None else "cancelled")


def test_an_operator_s_word_closes_no_job_whose_call_retell_knows(
    stage: Stage, survivor: WorkerContext
) -> None:
    leave_live_call(stage)
    assert ask(stage, "give_up") == "recorded"
    recover_again(stage, survivor)
    assert stage.job()["status"] == "done"
    assert len(stage.results()) == 1


def test_a_call_id_that_is_settled_already_is_not_taken_for_the_current_call(
    stage: Stage, survivor: WorkerContext
) -> None:
    stage.database.call_results.insert_one({"call_id": "call_of_the_last_attempt"})
    speechai_leaves(stage, phone(), minutes_ago=90, call_id="call_of_the_last_attempt")
    recover_again(stage, survivor)
    assert stage.job()["status"] == "pending"


def test_a_request_on_a_legacy_job_is_applied_once_its_call_is_found(
    stage: Stage, survivor: WorkerContext
) -> None:
    number = phone()
    stage.simulator.script({number: ["dial_no_answer"]})
    speechai_calls(stage, survivor, number)
    speechai_leaves(stage, number)
    assert ask(stage, "cancel") == "recorded"
    recover_again(stage, survivor)
    assert stage.job()["status"] == "cancelled"
    assert len(stage.results()) == 1
