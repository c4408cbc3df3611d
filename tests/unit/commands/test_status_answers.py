"""What a client with ``status`` access is answered: nothing of a person, whatever the answer holds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from speechaid.commands.dispatch import Dispatcher
from speechaid.commands.status_answers import SHAPES, WITHHELD, without_people
from speechaid.protocol.commands import COMMANDS
from speechaid.protocol.messages import Peer, Request
from speechaid.protocol.specs.specification import Access, Runs
from tests.support.fakes import FakeDaemon, no_database_thread

#: Of a person: in each place where one may stand.
PERSON = "Ana Rojas +56912345671"


def filled(shape: Any) -> Any:
    """An answer of this shape with a person wherever the shape withholds, and in fields that it lacks."""
    if shape == WITHHELD:
        return PERSON
    if isinstance(shape, str):
        return {"known": 1, "text": PERSON, PERSON: PERSON} if shape == "counts" else 7
    return [{**{name: filled(inner) for name, inner in shape.items()}, "new": PERSON, PERSON: 1}]


def test_every_command_of_this_access_has_a_shape_and_no_other() -> None:
    of_status = {
        name
        for name, spec in COMMANDS.items()
        if spec.access is Access.STATUS and spec.runs is not Runs.CLIENT
    }
    assert of_status == set(SHAPES)


@pytest.mark.parametrize("command", sorted(SHAPES))
def test_an_answer_shows_nothing_of_a_person_wherever_one_stands(command: str) -> None:
    (result,) = filled(SHAPES[command])
    assert PERSON in json.dumps(result)
    shown = json.dumps(without_people(command, result))
    assert PERSON not in shown
    assert "new" not in json.loads(shown)


def test_a_value_of_another_form_than_expected_is_not_shown() -> None:
    shown = without_people("status", {"as_of": {"name": PERSON}, "supervisor": PERSON, "queue": [PERSON]})
    assert PERSON not in json.dumps(shown)


def test_jobs_and_calls_can_still_be_counted() -> None:
    workers = [{"slot": "worker-1", "job": "job-1", "call": "call-1"}, {"slot": "worker-2", "job": None}]
    shown = without_people("status", {"workers": workers})["workers"]
    assert [bool(worker["job"]) for worker in shown] == [True, False]
    assert "job-1" not in json.dumps(shown)


@pytest.mark.parametrize("access", list(Access))
def test_the_dispatcher_shows_jobs_to_those_who_may_read_people(access: Access) -> None:
    class OneJob(FakeDaemon):
        def snapshot(self) -> dict[str, Any]:
            return {**super().snapshot(), "workers": [{"slot": "worker-1", "job": "job-1"}]}

    class Answers:
        given: dict[str, Any]

        def reply(self, request: Request, result: Any) -> None:
            self.given = dict(result)

        def refuse(self, request: Request, code: Any, message: str) -> None:
            raise AssertionError(message)

        def progress(self, request: Request, progress: Any) -> None:
            raise AssertionError(progress)

        def is_connected(self, request: Request) -> bool:
            return True

        def stream(self, request: Request, item: Any) -> bool:
            raise AssertionError(item)

    answers = Answers()
    dispatcher = Dispatcher(daemon=OneJob(), answers=answers, submit=no_database_thread)
    peer = Peer(name="grafana", address="10.0.0.7", access=access)
    dispatcher.dispatch(Request(id="q", command=COMMANDS["status"], args={}, peer=peer))
    assert ("job-1" in json.dumps(answers.given)) is (access is not Access.STATUS)
