"""Is it calling: what the daemon's status means for people who run campaigns; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from speechaid.protocol.translation import say, say_n
from speechaid.web.page.words import NOTHING


class Calling(StrEnum):
    """Whether calls are placed; also the class of its colour, beside the words."""

    YES = "yes"
    #: Nothing keeps calls from being placed; nobody may be called now.
    WAITING = "waiting"
    #: Something keeps all calls from being placed.
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class CallingState:
    """The answer to "is it calling?"."""

    calling: Calling
    #: The answer, and why.
    headline: str
    detail: str


def calling_state(status: Mapping[str, Any] | None) -> CallingState:
    """Read the daemon's status; None where the daemon does not answer.

    What keeps all calls from being placed comes first, in the order of what has to be dealt with.
    """
    if status is None:
        return CallingState(
            calling=Calling.UNKNOWN,
            headline=say("Not known"),
            detail=say("The dialling service does not answer."),
        )
    why = _what_stops_all(status)
    calls, waiting = calls_and_waiting(status)
    going_on = say_n("{count} call is going on.", "{count} calls are going on.", calls)
    if why is not None:
        return CallingState(
            calling=Calling.NO,
            headline=say("No new calls"),
            detail=say("{why} {calls}", why=why, calls=going_on),
        )
    if calls:
        people = say_n("{count} person waits.", "{count} people wait.", waiting)
        return CallingState(
            calling=Calling.YES,
            headline=say("Yes, it is calling"),
            detail=say("{calls} {people}", calls=going_on, people=people),
        )
    if int((status.get("census") or {}).get("callable", 0)):
        return CallingState(
            calling=Calling.YES, headline=say("Yes"), detail=say("The next calls begin in a moment.")
        )
    if waiting:
        people = say_n("{count} person waits", "{count} people wait", waiting)
        return CallingState(
            calling=Calling.WAITING,
            headline=say("Not at this moment"),
            detail=say(
                "{people}: for the hours of their campaign, for their next attempt, or since it is paused.",
                people=people,
            ),
        )
    return CallingState(
        calling=Calling.WAITING,
        headline=say("There is nobody to call"),
        detail=say("Every campaign is finished, or has nobody in it yet."),
    )


def calls_and_waiting(status: Mapping[str, Any]) -> tuple[int, int]:
    """How many calls are going on, on all hosts, and how many people wait."""
    queue = status.get("queue") or {}
    own = sum(1 for worker in status.get("workers") or () if worker.get("call"))
    calls = max(own, int(queue.get("in_progress", 0)))
    return calls, int(queue.get("pending", 0)) + int(queue.get("scheduled", 0))


def _what_stops_all(status: Mapping[str, Any]) -> str | None:
    supervisor = status.get("supervisor") or {}
    reason = str(status.get("key_reason") or NOTHING).rstrip(".")
    conditions = (
        (
            status.get("fleet_hold") or supervisor.get("held"),
            say("All calls are stopped, by the emergency stop."),
        ),
        (status.get("batches_hold"), say("All campaigns are being paused.")),
        ((status.get("database") or {}).get("state") == "down", say("The database does not answer.")),
        (status.get("too_old"), say("This version is too old for the database: update it.")),
        (status.get("key_held"), say("Retell refuses calls: {reason}.", reason=reason)),
        (supervisor.get("draining"), say("The dialling service is being taken out of service.")),
    )
    return next((text for holds, text in conditions if holds), None)
