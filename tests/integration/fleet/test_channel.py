"""Channel and supervisor link over a real socket pair, with real signals to this process."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from speechaid.clock import SystemClock
from speechaid.errors import FleetError
from speechaid.fleet.channel import MAX_MESSAGE_BYTES, Channel
from speechaid.fleet.messages import (
    Beat,
    Bye,
    EndedCalls,
    Event,
    IdempotentCount,
    ListPass,
    Order,
    Ready,
    Report,
    SuspectList,
    WorkerIdentity,
    decode_report,
    encode_command,
)
from speechaid.fleet.supervisor_link import COUNTS_PER_MESSAGE, SupervisorLink
from speechaid.model.states import NoNewCalls, WorkerState
from speechaid.rules.checks import Reason
from speechaid.rules.coverage import ListAnswer, PollReason, Suspicion

#: Longer than any test may take: a wake-up that does not come fails by the suite's time limit.
LONG = 60.0


@pytest.fixture
def line() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = Channel.pair()
    pair = ours, Channel(theirs)
    yield pair
    for end in pair:
        end.close()


@pytest.fixture
def linked() -> Iterator[tuple[Channel, SupervisorLink]]:
    """The supervisor's end of a channel, and a link at the other."""
    ours, theirs = Channel.pair()
    link = SupervisorLink(Channel(theirs), WorkerIdentity(slot="worker-1", host="here", pid=os.getpid()))
    yield ours, link
    link.close()
    ours.close()


def reports(channel: Channel) -> list[Report]:
    return [decode_report(message) for message in channel.receive()]


def fill(channel: Channel) -> int:
    sent = 0
    while channel.send({"n": sent, "padding": "x" * 1000}):
        sent += 1
    return sent


def test_messages_arrive_whole_and_in_order(line: tuple[Channel, Channel]) -> None:
    ours, theirs = line
    for number in range(3):
        assert ours.send({"n": number, "name": "Zoë"})
    assert theirs.receive() == [{"n": number, "name": "Zoë"} for number in range(3)]
    assert theirs.receive() == []
    assert not theirs.eof


def test_messages_sent_together_arrive_in_order(line: tuple[Channel, Channel]) -> None:
    ours, theirs = line
    assert ours.send_all([{"n": 1}, {"n": 2}])
    assert ours.send_all([{"n": 3}])
    assert theirs.receive() == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_a_full_channel_refuses_instead_of_blocking(line: tuple[Channel, Channel]) -> None:
    ours, theirs = line
    sent = fill(ours)
    assert sent > 10
    assert len(theirs.receive()) == sent
    assert ours.send({"n": "again"})


def test_last_messages_of_a_dead_peer_are_received_before_end_of_file(line: tuple[Channel, Channel]) -> None:
    ours, theirs = line
    ours.send({"unread": True})  # the peer dies with this unread: the kernel answers with a reset first
    theirs.send({"last": "words"})
    theirs.close()
    assert ours.receive() == [{"last": "words"}]
    assert ours.eof
    assert not ours.send({"too": "late"})


def test_an_oversized_message_is_the_senders_error(line: tuple[Channel, Channel]) -> None:
    ours, _ = line
    with pytest.raises(FleetError, match=str(MAX_MESSAGE_BYTES)):
        ours.send({"text": "x" * MAX_MESSAGE_BYTES})


def test_an_invalid_packet_is_counted_and_skipped() -> None:
    ours, theirs = Channel.pair()
    for data in (b"not json", b'[{"half":1},1]', b"x" * (MAX_MESSAGE_BYTES + 1), b'{"fine":1}'):
        theirs.send(data)
    assert ours.receive() == [{"fine": 1}]
    assert ours.faults == 3
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"kind": "song"},
        {"kind": "beat"},
        {"kind": "ready", "pid": 1, "more": 2},
        {"kind": "bye", "reason": "", "counts": [["name"]]},
        {"kind": "beat", "state": "dancing", "step": "", "since": 0, "deadline": 0},
    ],
)
def test_an_invalid_report_is_refused(message: dict[str, object]) -> None:
    with pytest.raises(FleetError, match="invalid report"):
        decode_report(message)


def test_a_beat_has_the_step_and_the_deadline_of_the_next_beat(
    linked: tuple[Channel, SupervisorLink],
) -> None:
    supervisor, link = linked
    link.ready()
    before = SystemClock().boottime()
    link.count("calls_total", outcome="busy")
    link.count("calls_total", outcome="busy")
    link.emit("call_ended", job="job-1")
    link.call_finished()
    link.report_step(WorkerState.FOLLOWING, "get_call", within_seconds=35, job="job-1", call="call-1")
    ready, event, beat = reports(supervisor)
    assert ready == Ready(pid=os.getpid())
    assert event == Event(name="call_ended", fields={"job": "job-1"})
    assert isinstance(beat, Beat)
    assert (beat.state, beat.step, beat.job, beat.call) == ("following", "get_call", "job-1", "call-1")
    assert before + 35 <= beat.deadline <= SystemClock().boottime() + 35
    assert beat.counts == {("calls_total", (("outcome", "busy"),)): 2}
    assert beat.done == 1


def test_a_state_that_is_reported_again_keeps_its_start(linked: tuple[Channel, SupervisorLink]) -> None:
    supervisor, link = linked
    for job, seconds in (("job-1", 1), ("job-1", 5), ("job-2", 1)):
        link.report_step(WorkerState.FOLLOWING, "get_call", within_seconds=seconds, job=job)
    first, again, other = (beat for beat in reports(supervisor) if isinstance(beat, Beat))
    assert first.since == again.since < other.since


class HandClock(SystemClock):
    """A clock that the test sets."""

    at = 100.0

    def boottime(self) -> float:
        return self.at


def test_a_step_right_after_another_with_the_same_deadline_sends_no_beat(
    line: tuple[Channel, Channel],
) -> None:
    supervisor, worker = line
    clock = HandClock()
    link = SupervisorLink(worker, WorkerIdentity(slot="worker-1", host="here", pid=os.getpid()), clock=clock)
    steps = (("verdict", 0.0, 40.0), ("result", 0.0, 40.0), ("get call", 0.0, 30.0), ("renew", 1.0, 29.0))
    for step, later, within in steps:
        clock.at += later
        link.report_step(WorkerState.SETTLING, step, within_seconds=within, job="job-1")
    link.report_step(WorkerState.IDLE, "rest", within_seconds=29.0)
    sent = [beat.step for beat in reports(supervisor) if isinstance(beat, Beat)]
    link.close()
    assert sent == ["verdict", "get call", "renew", "rest"]


def test_increments_survive_a_full_channel(linked: tuple[Channel, SupervisorLink]) -> None:
    supervisor, link = linked
    link.count("calls_total")
    fill(link._channel)
    link.report_step(WorkerState.IDLE, "resting", within_seconds=1)  # lost, its increments kept
    link.emit("call_ended")
    supervisor.receive()
    link.report_step(WorkerState.IDLE, "resting", within_seconds=1)
    event, beat = reports(supervisor)
    assert isinstance(event, Event)
    assert isinstance(beat, Beat)
    assert beat.counts == {("calls_total", ()): 1}


def test_many_increments_travel_in_several_messages_and_none_is_lost(
    linked: tuple[Channel, SupervisorLink],
) -> None:
    supervisor, link = linked
    names = [f"metric_{number}" for number in range(2 * COUNTS_PER_MESSAGE + 1)]
    for name in names:
        link.count(name)
    link.bye("done")
    received = reports(supervisor)
    assert all(isinstance(report, Bye) and report.reason == "done" for report in received)
    assert sorted(n for r in received if isinstance(r, Bye) for n, _ in r.counts) == sorted(names)


def test_an_event_too_long_for_a_packet_is_dropped_alone(
    linked: tuple[Channel, SupervisorLink],
) -> None:
    supervisor, link = linked
    link.emit("long", text="x" * MAX_MESSAGE_BYTES)
    link.emit("short")
    link.report_step(WorkerState.IDLE, "resting", within_seconds=1)
    assert [r.name for r in reports(supervisor) if isinstance(r, Event)] == ["short"]


def test_events_go_out_with_the_next_beat_in_one_packet(
    linked: tuple[Channel, SupervisorLink],
) -> None:
    supervisor, link = linked
    link.emit("call.placed", job="job-1")
    link.emit("call.ended", job="job-1")
    assert reports(supervisor) == []
    link.report_step(WorkerState.FOLLOWING, "wait", within_seconds=5, job="job-1")
    packet = supervisor._sock.recv(MAX_MESSAGE_BYTES)
    assert [message["kind"] for message in json.loads(packet)] == ["event", "event", "beat"]


def test_events_go_out_with_a_step_that_sends_no_beat(
    linked: tuple[Channel, SupervisorLink],
) -> None:
    supervisor, link = linked
    link.report_step(WorkerState.SETTLING, "verdict", within_seconds=40, job="job-1")
    link.emit("call.ended", job="job-1")
    link.report_step(WorkerState.SETTLING, "result", within_seconds=40, job="job-1")
    assert [type(report) for report in reports(supervisor)] == [Beat, Event]


def test_events_go_out_before_a_worker_waits(linked: tuple[Channel, SupervisorLink]) -> None:
    supervisor, link = linked
    link.emit("call.ended", job="job-1")
    link.commands(0.001)
    assert [type(report) for report in reports(supervisor)] == [Event]


def test_an_idempotent_count_is_sent_at_once(linked: tuple[Channel, SupervisorLink]) -> None:
    supervisor, link = linked
    link.emit("call.ended", job="job-1")
    link.count_once("settled:key", [("calls_total", {}, 1)])
    assert IdempotentCount(once="settled:key", counts={("calls_total", ()): 1}) in reports(supervisor)


def test_an_order_wakes_a_waiting_worker(linked: tuple[Channel, SupervisorLink]) -> None:
    supervisor, link = linked
    threading.Timer(0.05, supervisor.send, [encode_command(Order.HANG_UP, {"job": "job-1"})]).start()
    (command,) = link.commands(LONG)
    assert (command.order, command.data) == (Order.HANG_UP, {"job": "job-1"})


def test_a_signal_wakes_a_waiting_worker(linked: tuple[Channel, SupervisorLink]) -> None:
    _, link = linked
    threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGTERM]).start()
    assert link.commands(LONG) == []
    assert link.stop_requested
    assert not link.hand_over_requested


def test_a_signal_before_the_wait_ends_it_at_once(linked: tuple[Channel, SupervisorLink]) -> None:
    _, link = linked
    os.kill(os.getpid(), signal.SIGTERM)
    link.commands(LONG)
    assert link.stop_requested


def test_the_end_of_the_supervisor_wakes_a_waiting_worker_once(
    linked: tuple[Channel, SupervisorLink],
) -> None:
    supervisor, link = linked
    threading.Timer(0.05, supervisor.close).start()
    link.commands(LONG)
    assert link.orphaned
    assert not link.may_claim
    assert link.commands(0.01) == []  # and it can still wait


def test_a_second_sigterm_hands_the_call_over(linked: tuple[Channel, SupervisorLink]) -> None:
    _, link = linked
    for expected in (False, True):
        os.kill(os.getpid(), signal.SIGTERM)
        link.commands(LONG)
        assert link.hand_over_requested is expected


def test_sigquit_hands_the_call_over_at_once(linked: tuple[Channel, SupervisorLink]) -> None:
    _, link = linked
    os.kill(os.getpid(), signal.SIGQUIT)
    link.commands(LONG)
    assert link.stop_requested
    assert link.hand_over_requested


def test_an_order_to_stop_and_one_sigterm_count_as_one_request(
    linked: tuple[Channel, SupervisorLink],
) -> None:
    supervisor, link = linked
    supervisor.send(encode_command(Order.STOP, {}))
    os.kill(os.getpid(), signal.SIGTERM)
    link.commands(LONG)
    link.commands(0)
    assert link.stop_requested
    assert not link.hand_over_requested


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR2])
def test_a_worker_ignores_the_supervisors_signals(
    linked: tuple[Channel, SupervisorLink], number: signal.Signals
) -> None:
    _, link = linked
    os.kill(os.getpid(), number)
    link.commands(0)
    assert link.may_claim


@pytest.mark.parametrize(
    ("on", "off"),
    [
        (encode_command(Order.PAUSE, {}), encode_command(Order.RESUME, {})),
        (encode_command(Order.DRAIN, {}), encode_command(Order.UNDRAIN, {})),
        (encode_command(Order.HOLD, {"on": True}), encode_command(Order.HOLD, {"on": False})),
    ],
)
def test_an_order_that_forbids_claims_holds_until_it_is_reverted(
    linked: tuple[Channel, SupervisorLink], on: dict[str, object], off: dict[str, object]
) -> None:
    supervisor, link = linked
    supervisor.send(on)
    link.commands(LONG)
    assert not link.may_claim
    supervisor.send(off)
    link.commands(LONG)
    assert link.may_claim


@pytest.mark.parametrize(
    ("on", "off", "reason"),
    [
        (
            encode_command(Order.HOLD, {"on": True}),
            encode_command(Order.HOLD, {"on": False}),
            NoNewCalls.HOST_HELD,
        ),
        (
            encode_command(Order.PAUSE_BATCH, {"batch": "batch-1"}),
            encode_command(Order.RESUME_BATCH, {"batch": "batch-1"}),
            Reason.BATCH_PAUSED,
        ),
        (
            encode_command(Order.PAUSE_BATCH, {"batch": ""}),
            encode_command(Order.RESUME_BATCH, {"batch": ""}),
            Reason.BATCH_PAUSED,
        ),
    ],
)
def test_an_order_that_has_arrived_forbids_a_dial_before_the_worker_waits(
    linked: tuple[Channel, SupervisorLink],
    on: dict[str, object],
    off: dict[str, object],
    reason: NoNewCalls | Reason,
) -> None:
    supervisor, link = linked
    assert forbidden(link) is None
    supervisor.send(on)
    assert forbidden(link) is reason
    supervisor.send(off)
    assert forbidden(link) is None


def forbidden(link: SupervisorLink) -> NoNewCalls | Reason | None:
    """What the orders that have arrived forbid a dial of this batch by, as the last check before a create."""
    return link.read_orders() or (Reason.BATCH_PAUSED if link.is_batch_paused("batch-17", None) else None)


def test_a_pause_concerns_only_batches_whose_ids_begin_so(linked: tuple[Channel, SupervisorLink]) -> None:
    supervisor, link = linked
    supervisor.send(encode_command(Order.PAUSE_BATCH, {"batch": "batch-1"}))
    assert link.read_orders() is None
    assert not link.is_batch_paused("batch-2", "March")
    assert link.is_batch_paused("batch-1", None)


def test_a_pause_by_name_concerns_the_batches_of_that_name(linked: tuple[Channel, SupervisorLink]) -> None:
    supervisor, link = linked
    supervisor.send(encode_command(Order.PAUSE_BATCH, {"batch": "March"}))
    assert link.read_orders() is None
    assert link.is_batch_paused("batch-1", "March")
    assert not link.is_batch_paused("batch-1", "March reminders")
    assert not link.is_batch_paused(None, None)


def test_what_a_check_before_a_dial_has_read_still_ends_the_next_wait(
    linked: tuple[Channel, SupervisorLink],
) -> None:
    supervisor, link = linked
    supervisor.send(encode_command(Order.LOG_LEVEL, {"level": "DEBUG"}))
    link.read_orders()
    (command,) = link.commands(LONG)
    assert command.order is Order.LOG_LEVEL
    os.kill(os.getpid(), signal.SIGQUIT)
    link.read_orders()
    assert link.commands(LONG) == []
    assert link.hand_over_requested


def test_an_order_sent_before_the_fork_holds_from_the_first_step() -> None:
    ours, theirs = Channel.pair()
    ours.send(encode_command(Order.PAUSE, {}))
    ours.send(encode_command(Order.SETTINGS, {"wire": {}}))
    link = SupervisorLink(Channel(theirs), WorkerIdentity(slot="worker-1", host="here", pid=1))
    assert not link.may_claim
    assert [command.order for command in link.commands(LONG)] == [Order.PAUSE, Order.SETTINGS]
    link.close()
    ours.close()


def test_a_name_with_a_nul_or_too_long_for_a_packet_is_reported_shortened(
    linked: tuple[Channel, SupervisorLink],
) -> None:
    supervisor, link = linked
    link.report_step(WorkerState.FOLLOWING, "get call", within_seconds=9, job="a\0\nb", call="x" * 100_000)
    (beat,) = reports(supervisor)
    assert isinstance(beat, Beat)
    assert beat.job == "a??b"
    assert beat.call is not None
    assert len(beat.call) == 200


def ordered(linked: tuple[Channel, SupervisorLink], order: Order, **data: object) -> SupervisorLink:
    """The link, once it has taken in this order."""
    supervisor, link = linked
    assert supervisor.send(encode_command(order, data))
    link.commands(LONG)
    return link


def test_a_call_is_covered_until_its_time_or_until_the_opposite_comes(
    linked: tuple[Channel, SupervisorLink],
) -> None:
    link = ordered(linked, Order.COVERED, call="call_1", until=123.5)
    assert (link.covered_until("call_1"), link.covered_until("call_2")) == (123.5, 0.0)
    ordered(linked, Order.COVERED, call="call_2", until=200.0)
    assert (link.covered_until("call_1"), link.covered_until("call_2")) == (0.0, 200.0)
    ordered(linked, Order.UNCOVERED)
    assert link.covered_until("call_2") == 0.0


def test_no_call_is_covered_without_a_supervisor(linked: tuple[Channel, SupervisorLink]) -> None:
    link = ordered(linked, Order.COVERED, call="call_1", until=1e12)
    linked[0].close()
    link.commands(LONG)
    assert link.orphaned
    assert link.covered_until("call_1") == 0.0


def test_an_order_about_a_call_is_taken_once_and_by_that_call_alone(
    linked: tuple[Channel, SupervisorLink],
) -> None:
    link = ordered(linked, Order.POLL, call="call_1", why="ended")
    assert [link.take_poll("call_1"), link.take_poll("call_1")] == [PollReason.ENDED, None]
    ordered(linked, Order.POLL, call="call_1", why="unlisted")
    assert [link.take_poll("call_2"), link.take_poll("call_1")] == [None, None]
    ordered(linked, Order.HANG_UP, job="job-1")
    assert [link.take_hang_up("job-1"), link.take_hang_up("job-1")] == [True, False]


@pytest.mark.parametrize(
    "report",
    [
        SuspectList(call="call_1", suspicion=Suspicion.FALSE_END),
        ListPass(order=3, began=12.5, answer=ListAnswer.THROTTLED, late=["call_1"]),
        EndedCalls(calls=["call_1", "call_2"], why=PollReason.UNLISTED),
    ],
)
def test_what_is_reported_about_the_list_arrives_as_it_was(
    linked: tuple[Channel, SupervisorLink], report: Report
) -> None:
    supervisor, link = linked
    assert link.report(report)
    assert reports(supervisor) == [report]
