"""What a dead worker left behind: lapsed leases, found as part of every worker's round.

A job whose dial is decided is settled on; one with a live call is adopted and followed; one whose create may
or may not have made a call is resolved, by replay under the same key or by Retell's call list; one without a
dial goes back to ``pending`` untouched. Nobody has to restart anything for it.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from logging import WARNING

from speechaid.dialer import circuit_breaker, dial, follow, legacy_reservations, settlement
from speechaid.dialer.context import Kit
from speechaid.dialer.preflight import look
from speechaid.errors import NumberBusy
from speechaid.model.call import Call
from speechaid.model.job import Dial, Job
from speechaid.model.reading import instant, mapping, number
from speechaid.model.states import WorkerState
from speechaid.retell.faults import Ambiguous, CallUnknown, NotPlaced, RetellError
from speechaid.retell.requests_body import DIAL_KEY
from speechaid.rules import phones
from speechaid.rules.ambiguous_dials import Next, next_lookup
from speechaid.telemetry import call_metrics

#: Lapsed jobs that one look finds; more than one, so that workers do not all reach for the same.
LAPSED_AT_ONCE = 16
#: A job of which Retell could not be asked is looked at again so much later.
RETELL_REST_SECONDS = 15.0
#: Another program's job without a call is left alone for so long after it began: its call may still be going
#: on.
FOREIGN_REST_SECONDS = 3600.0
#: A dial under a key that is not ours is left to the hosts that have it, and looked at again so much later.
OTHER_KEY_REST_SECONDS = 120.0
#: Clocks of ours and of Retell's that differ by more than this say nothing about the key's hour: no replay.
CLOCKS_AGREE_SECONDS = 300.0


def take_over_one(kit: Kit) -> bool:
    """Take over one job whose lease has run out and see it through; False where there is none."""
    kit.report(WorkerState.RECOVERING, "look for lapsed leases")
    candidates = kit.store.jobs.lapsed(LAPSED_AT_ONCE)
    kit.random.shuffle(candidates)
    for candidate in candidates:
        job = kit.store.jobs.adopt(
            candidate,
            worker_id=kit.worker_id,
            token=kit.new_token(),
            lease_seconds=kit.settings.worker.lease_seconds,
        )
        if job is not None:
            try:
                take_up(kit, job)
            except RetellError as fault:
                # Nothing can be learnt of this call now: look again soon, and do not keep it from the others.
                kit.tell("job.unresolved", job, level=WARNING, error=str(fault))
                kit.store.jobs.let_go(job, until=kit.store.now() + timedelta(seconds=RETELL_REST_SECONDS))
            return True
    return False


def take_up(kit: Kit, job: Job) -> None:
    """Go on with a job from wherever its last holder left it."""
    if job.dial is None and job.foreign:
        take_up_foreign(kit, job)
    elif job.dial is None:
        kit.tell("job.returned", job)
        kit.seat.count("speechaid_recoveries_total", how="returned")
        kit.store.jobs.put_back(job)
    elif job.dial.verdict is not None:
        kit.seat.count("speechaid_recoveries_total", how="settled")
        settlement.apply(kit, job)
    elif job.dial.call_id is not None:
        kit.tell("call.adopted", job)
        kit.seat.count("speechaid_recoveries_total", how="adopted")
        follow.run(kit, job, None)
    else:
        kit.seat.count("speechaid_recoveries_total", how="resolved")
        resolve(kit, job)


# -- a create whose answer was lost ------------------------------------------------------------------------


def resolve(kit: Kit, job: Job) -> None:
    """Find out whether a dial became a call, and go on accordingly; not knowing, look again later."""
    assert job.dial is not None  # noqa: S101
    age = (kit.store.now() - job.dial.intent_at) / timedelta(seconds=1)
    step = next_lookup(
        age, job.dial.empty_lookups, longest_call_seconds(job.dial), kit.settings.call.ambiguous_lookups
    )
    answer = replay(kit, job) if step.may_replay and _clocks_agree(kit) and _own_key(kit, job.dial) else None
    answer = answer or look_up(kit, job)
    if answer is not None:
        kit.tell("dial.resolved", answer[0], placed=True)
        follow.run(kit, *answer)
    elif step.then is Next.PRESUME_NOT_PLACED and _own_key(kit, job.dial):
        kit.tell("dial.presumed_not_placed", job, level=WARNING, lookups=job.dial.empty_lookups)
        kit.seat.count("speechaid_presumed_not_placed_total")
        dial.withdraw(kit, job, "presumed_not_placed")
    else:
        rest = (
            step.rest_seconds if _own_key(kit, job.dial) else max(step.rest_seconds, OTHER_KEY_REST_SECONDS)
        )
        until = kit.store.now() + timedelta(seconds=rest)
        # Only look-ups past the moment when any call must be over and listed prove anything by being empty.
        empty = job.dial.empty_lookups + (1 if step.counts and _own_key(kit, job.dial) else 0)
        job = kit.store.jobs.note_on_dial(job, empty_lookups=empty, next_lookup_at=until)
        kit.tell("dial.unresolved", job, level=WARNING, again_at=until.isoformat())
        kit.store.jobs.let_go(job, until=until)


def replay(kit: Kit, job: Job) -> tuple[Job, Call] | None:
    """The same create again under its key, if a call may be placed now; None where that is not plain."""
    cleared = dial.clear_to_dial(kit, job, look(kit, job))
    if isinstance(cleared, dial.NotNow):
        kit.tell("dial.not_replayed", job, reason=cleared.reason)
        return None
    try:
        return dial.post(kit, job)
    except (NotPlaced, Ambiguous) as fault:
        # A refusal proves that this request made no call, not that the first one did not.
        kit.tell("dial.replay_unclear", job, level=WARNING, error=str(fault))
        return None


def look_up(kit: Kit, job: Job) -> tuple[Job, Call] | None:
    """The dial's call in Retell's list; None where it is not there, or the list cannot be had."""
    assert job.dial is not None  # noqa: S101
    kit.report(WorkerState.RECOVERING, "list calls", job, seconds=2 * kit.settings.retell.timeout_seconds)
    try:
        found = kit.retell.find_calls(metadata={DIAL_KEY: job.dial.key}, limit=1) or [
            call
            for call in kit.retell.find_calls(
                to_number=job.dial.number, started_after=job.dial.intent_at - timedelta(minutes=2)
            )
            if call.metadata.get(DIAL_KEY) == job.dial.key
        ]
    except RetellError as fault:
        circuit_breaker.after_question_fault(kit, fault)
        raise
    if not found:
        return None
    kit.seat.count_once(*call_metrics.placed(job.dial.key))
    job = kit.insist(
        WorkerState.RECOVERING, "record call", job, lambda: kit.store.jobs.record_call(job, found[0].call_id)
    )
    return job, found[0]


def longest_call_seconds(open_dial: Dial) -> float:
    """The longest that the dial's call may have lasted, from its own request."""
    try:
        body = mapping(json.loads(open_dial.body))
    except ValueError:
        body = {}
    agent = mapping(mapping(body.get("agent_override")).get("agent"))
    return (number(agent.get("max_call_duration_ms")) or 3_600_000) / 1000


def _own_key(kit: Kit, open_dial: Dial) -> bool:
    return open_dial.api_key_fingerprint == kit.retell.fingerprint


def _clocks_agree(kit: Kit) -> bool:
    theirs = kit.retell.server_now()
    return theirs is None or abs((kit.store.now() - theirs) / timedelta(seconds=1)) <= CLOCKS_AGREE_SECONDS


# -- what SpeechAI left behind -------------------------------------------------------------------------------


def take_up_foreign(kit: Kit, job: Job) -> None:
    """Go on with a job that another program left in progress: follow its call if it has one.

    The mark ``foreign`` stays on the job until that is known, also when whoever looks here dies or cannot ask
    Retell; a job of ours without a dial would be put back, and a person on the phone called again.
    """
    if job.call_id is not None and kit.store.results.of_call(job.call_id) is None:
        follow_foreign(kit, job, job.call_id, known_call(kit, job.call_id))
    elif (call := foreign_call(kit, job)) is not None:
        follow_foreign(kit, job, call.call_id, call)
    elif _may_still_ring(kit, job):
        kit.store.jobs.let_go(job, until=kit.store.now() + timedelta(seconds=FOREIGN_REST_SECONDS / 6))
    else:
        kit.tell("job.returned", job, foreign=True)
        kit.seat.count("speechaid_recoveries_total", how="returned")
        kit.store.jobs.put_back(job)


def known_call(kit: Kit, call_id: str) -> Call | None:
    """The call as Retell tells it; None where Retell knows no such call: it is followed, and parked."""
    try:
        return kit.retell.get_call(call_id)
    except CallUnknown:
        return None


def foreign_call(kit: Kit, job: Job) -> Call | None:
    """The call of such a job by number and time, if there is one that nobody recorded."""
    country = _country(kit, job)
    began = _began_at(job)
    if began is None:
        return None
    for number_ in filter(None, (phones.normalise(phone, country) for phone in job.contact.phones)):
        for call in kit.retell.find_calls(to_number=number_, started_after=began - timedelta(minutes=2)):
            if DIAL_KEY not in call.metadata and kit.store.results.of_call(call.call_id) is None:
                return call
    return None


def follow_foreign(kit: Kit, job: Job, call_id: str, call: Call | None) -> None:
    """Make another program's call a dial of ours from here on."""
    country = _country(kit, job)
    numbers = [phones.normalise(phone, country) for phone in job.contact.phones]
    # A dial has a number, whatever Retell tells; a made-up one at least stands in nobody's way.
    called = (call.to_number if call else None) or next(filter(None, numbers), call_id)
    now = kit.store.now()
    adopted = Dial(
        key=kit.new_token(),
        number=called,
        phone_index=numbers.index(called) if called in numbers else job.contact.next_phone_index,
        attempt=job.attempts,
        intent_at=now,
        body="",
        api_key_fingerprint=kit.retell.fingerprint,
        account_id=job.account_id,
        batch_id=job.batch_id,
        call_id=call_id,
        placed_at=(call.started_at if call else None) or now,
    )
    job = legacy_reservations.give_back(kit, job)
    settlement.enter_marks(kit, job, adopted)
    try:
        job = kit.store.jobs.record_intent(job, adopted)
    except NumberBusy:
        settlement.release_marks(kit, adopted)
        kit.tell("dial.number_busy", job, phone=called)
        kit.store.jobs.let_go(job, until=kit.store.now() + timedelta(seconds=RETELL_REST_SECONDS))
        return
    kit.tell("call.adopted", job, foreign=True)
    kit.seat.count("speechaid_recoveries_total", how="adopted")
    follow.run(kit, job, call)


def _country(kit: Kit, job: Job) -> str | None:
    batch = None if job.batch_id is None else kit.store.batches.find(job.batch_id)
    account = None if job.account_id is None else kit.store.accounts.find(job.account_id)
    return phones.country_of(batch, account, kit.settings.dialling.default_country)


def _began_at(job: Job) -> datetime | None:
    """When another program took the job in hand, at the earliest."""
    told = (instant(job.document.get(name)) for name in ("started_at", "updated_at", "created_at"))
    return next(filter(None, told), None)


def _may_still_ring(kit: Kit, job: Job) -> bool:
    began = _began_at(job)
    return began is not None and (kit.store.now() - began) / timedelta(seconds=1) < FOREIGN_REST_SECONDS
