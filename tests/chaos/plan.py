"""The plan of a run: its actions, drawn from the seed before anything starts.

The actions and their order depend on the seed only. Their time and their target also depend on the machine.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final


class ActionKind(StrEnum):
    """The kinds of actions."""

    KILL_WORKER = "worker killed"
    KILL_SUPERVISOR = "supervisor killed"
    #: The supervisor and all its children at once, like a power failure of the host.
    KILL_HOST = "host killed"
    KILL_ZYGOTE = "zygote killed"
    KILL_DATABASE = "database killed"
    FREEZE_WORKER = "worker frozen"
    FREEZE_SUPERVISOR = "supervisor frozen"
    FREEZE_HOST = "host frozen"
    HAND_OVER = "hand-over"
    PAUSE = "batch paused"
    FAULT = "Retell fault"


#: Reported instead of the actual reason of a call; a reason that does not exist.
FALSE_REASON: Final = "error_of_tomorrow"

#: Faults of Retell, each with its weight.
FAULTS: Final[list[tuple[int, dict[str, Any]]]] = [
    (3, {"kind": "latency", "endpoints": ["create"], "when": "before", "seconds": [0.5, 4.5]}),
    (3, {"kind": "latency", "endpoints": ["create"], "when": "after", "seconds": [0.5, 4.5]}),
    (1, {"kind": "latency", "seconds": [0.2, 2.0], "probability": 0.5}),
    (3, {"kind": "status", "status": 500, "endpoints": ["create"], "when": "after", "probability": 0.6}),
    (2, {"kind": "status", "status": 502, "probability": 0.3}),
    (2, {"kind": "status", "status": 409, "endpoints": ["create"], "probability": 0.5}),
    (2, {"kind": "rate_limit", "endpoints": ["create"], "probability": 0.5}),
    (3, {"kind": "reset", "endpoints": ["create"], "when": "before", "probability": 0.6}),
    (4, {"kind": "reset", "endpoints": ["create"], "when": "after", "probability": 0.6}),
    (2, {"kind": "garbage", "endpoints": ["create"], "when": "after", "style": "truncated"}),
    (2, {"kind": "garbage", "style": "html", "probability": 0.4, "when": "after"}),
    (1, {"kind": "garbage", "style": "wrong_types", "probability": 0.4, "when": "after"}),
    (2, {"kind": "hang", "endpoints": ["create"], "when": "after", "seconds": 5.0, "probability": 0.5}),
    (1, {"kind": "hang", "endpoints": ["get"], "seconds": 4.0, "probability": 0.5}),
    (2, {"kind": "outage"}),
    (1, {"kind": "unauthorized", "endpoints": ["create"], "probability": 0.5}),
    (3, {"kind": "not_found", "probability": 0.3}),
    (2, {"kind": "unknown_reason", "reason": FALSE_REASON, "probability": 0.5}),
    (2, {"kind": "revived", "probability": 0.7}),
    (1, {"kind": "status", "status": 500, "endpoints": ["list"]}),
    (1, {"kind": "status", "status": 500, "endpoints": ["stop"]}),
]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The size of a run."""

    #: Those of the people included.
    jobs: int
    seed: int
    #: People under caps, with four jobs each.
    people: int = 0
    hosts: int = 3
    workers: int = 5
    kill_workers: int = 15
    kill_supervisors: int = 2
    kill_databases: int = 1
    freezes: int = 6
    hand_overs: int = 1
    pauses: int = 2
    faults: int = 8
    #: Seconds between two actions; None: by the pace of the campaign.
    pace_seconds: float | None = None
    #: Seconds after which unfinished jobs count as lost.
    timeout_seconds: float = 7200.0


@dataclass(frozen=True, kw_only=True)
class Action:
    """One planned action."""

    kind: ActionKind
    #: In [0, 1): selects one of the possible targets.
    target: float
    #: In [0, 1): scaled to the action's duration.
    duration: float
    #: For a fault: the simulator's fields.
    fault: dict[str, Any] = field(default_factory=dict)


def plan_actions(options: Options) -> list[Action]:
    """All actions of a run, in order."""
    # "deeds" stays in the seed, so that known seeds give the same actions as before.
    rng = random.Random(f"deeds {options.seed}")
    # Every third supervisor is killed with its workers.
    hosts = options.kill_supervisors // 3
    wanted = {
        ActionKind.KILL_WORKER: options.kill_workers,
        ActionKind.KILL_SUPERVISOR: options.kill_supervisors - hosts,
        ActionKind.KILL_HOST: hosts,
        ActionKind.KILL_ZYGOTE: options.kill_supervisors // 4,
        ActionKind.KILL_DATABASE: options.kill_databases,
        ActionKind.FREEZE_WORKER: options.freezes - options.freezes // 3,
        ActionKind.FREEZE_SUPERVISOR: options.freezes // 6,
        ActionKind.FREEZE_HOST: options.freezes // 3 - options.freezes // 6,
        ActionKind.HAND_OVER: options.hand_overs,
        ActionKind.PAUSE: options.pauses,
        ActionKind.FAULT: options.faults,
    }
    drawn = [_draw(kind, rng) for kind, number in wanted.items() for _ in range(number)]
    rng.shuffle(drawn)
    return drawn


def _draw(kind: ActionKind, rng: random.Random) -> Action:
    fault: dict[str, Any] = {}
    if kind is ActionKind.FAULT:
        fault = rng.choices([fault for _, fault in FAULTS], weights=[weight for weight, _ in FAULTS])[0]
    return Action(kind=kind, target=rng.random(), duration=rng.random(), fault=fault)
