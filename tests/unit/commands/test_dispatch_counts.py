"""``status`` after a command: it waits for a count of the jobs, but not for long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from speechaid.commands.dispatch import Dispatcher
from speechaid.errors import ControlError
from speechaid.protocol.messages import COMMANDS, Peer, Request
from tests.support.fakes import FakeDaemon, no_database_thread


class Answers:
    """Collects the final answers by request."""

    def __init__(self) -> None:
        self.given: list[str] = []

    def reply(self, request: Request, result: Any) -> None:
        self.given.append(request.id)

    def refuse(self, request: Request, code: Any, message: str) -> None:
        raise AssertionError(f"{request.id}: {code} {message}")

    def progress(self, request: Request, progress: Any) -> None:
        """Nothing."""

    def is_connected(self, request: Request) -> bool:
        return bool(request.id)

    def stream(self, request: Request, item: Any) -> bool:
        raise AssertionError(f"{request.id}: {item}")


def request(name: str, **args: Any) -> Request:
    return Request(id=name, command=COMMANDS[name], args=args, peer=Peer(uid=0))


class Counter:
    """Counts jobs when it is told to."""

    def __init__(self, *, behind: bool) -> None:
        self.behind = behind
        self.waiting: list[Callable[[], None]] = []

    def count_again(self, on_done: Callable[[], None]) -> bool:
        self.waiting += [on_done] if self.behind else []
        return self.behind


def dispatcher(answers: Answers, counter: Counter) -> Dispatcher:
    return Dispatcher(
        daemon=FakeDaemon(), answers=answers, submit=no_database_thread, count_again=counter.count_again
    )


def test_status_is_answered_at_once_while_the_counts_are_current() -> None:
    answers = Answers()
    dispatcher(answers, Counter(behind=False)).dispatch(request("status"))
    assert answers.given == ["status"]


def test_status_after_a_command_is_answered_when_jobs_are_counted() -> None:
    answers, counter = Answers(), Counter(behind=True)
    dispatcher(answers, counter).dispatch(request("status"))
    assert answers.given == []
    counter.waiting.pop()()
    assert answers.given == ["status"]


def test_status_does_not_wait_for_a_database_thread_that_is_busy_and_is_answered_once() -> None:
    answers, counter = Answers(), Counter(behind=True)
    under_test = dispatcher(answers, counter)
    under_test.dispatch(request("status"))
    under_test.tick(0.0)
    assert answers.given == []
    under_test.tick(float("inf"))
    assert answers.given == ["status"]
    counter.waiting.pop()()
    assert answers.given == ["status"]


def test_status_is_answered_where_no_more_tasks_are_accepted() -> None:
    def full(_on_done: Callable[[], None]) -> bool:
        raise ControlError("too many requests wait")

    answers = Answers()
    under_test = Dispatcher(daemon=FakeDaemon(), answers=answers, submit=no_database_thread, count_again=full)
    under_test.dispatch(request("status"))
    assert answers.given == ["status"]
