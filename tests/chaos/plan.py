"""What is going to be done to the fleet, all of it drawn from the seed before anything starts.

When each deed comes, and whom it meets, hangs on the machine; which deeds there are, and in which order, does
not.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final


class Kind(StrEnum):
    """The kinds of deeds."""

    KILL_WORKER = "worker killed"
    KILL_SUPERVISOR = "supervisor killed"
    #: The supervisor and everything under it in one moment, as when a host loses its power.
    KILL_HOST = "host killed"
    KILL_ZYGOTE = "zygote killed"
    KILL_DATABASE = "database killed"
    FREEZE_WORKER = "worker frozen"
    FREEZE_SUPERVISOR = "supervisor frozen"
    FREEZE_HOST = "host frozen"
    HAND_OVER = "hand-over"
    PAUSE = "batch paused"
    FAULT = "Retell fault"


#: Told of a call in the place of its true reason: a word that nobody knows yet.
LIE: Final = "error_of_tomorrow"

#: What Retell does wrong, and how often each is drawn.
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
    (2, {"kind": "unknown_reason", "reason": LIE, "probability": 0.5}),
    (2, {"kind": "revived", "probability": 0.7}),
    (1, {"kind": "status", "status": 500, "endpoints": ["list"]}),
    (1, {"kind": "status", "status": 500, "endpoints": ["stop"]}),
]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How large the run is."""

    jobs: int
    seed: int
    hosts: int = 3
    workers: int = 5
    kill_workers: int = 15
    kill_supervisors: int = 2
    kill_databases: int = 1
    freezes: int = 6
    hand_overs: int = 1
    pauses: int = 2
    faults: int = 8
    #: Seconds after which what is not over counts as lost.
    patience_seconds: float = 7200.0


@dataclass(frozen=True, kw_only=True)
class Deed:
    """One thing to be done."""

    kind: Kind
    #: In [0, 1): which of those that are there.
    whom: float
    #: In [0, 1): turned into the deed's own span of time.
    span: float
    #: For a fault: as the simulator takes it.
    fault: dict[str, Any] = field(default_factory=dict)


def deeds(options: Options) -> list[Deed]:
    """All deeds of a run, in order."""
    dice = random.Random(f"deeds {options.seed}")
    # Each third supervisor takes its workers with it.
    hosts = options.kill_supervisors // 3
    wanted = {
        Kind.KILL_WORKER: options.kill_workers,
        Kind.KILL_SUPERVISOR: options.kill_supervisors - hosts,
        Kind.KILL_HOST: hosts,
        Kind.KILL_ZYGOTE: options.kill_supervisors // 4,
        Kind.KILL_DATABASE: options.kill_databases,
        Kind.FREEZE_WORKER: options.freezes - options.freezes // 3,
        Kind.FREEZE_SUPERVISOR: options.freezes // 6,
        Kind.FREEZE_HOST: options.freezes // 3 - options.freezes // 6,
        Kind.HAND_OVER: options.hand_overs,
        Kind.PAUSE: options.pauses,
        Kind.FAULT: options.faults,
    }
    drawn = [_draw(kind, dice) for kind, number in wanted.items() for _ in range(number)]
    dice.shuffle(drawn)
    return drawn


def _draw(kind: Kind, dice: random.Random) -> Deed:
    fault: dict[str, Any] = {}
    if kind is Kind.FAULT:
        fault = dice.choices([fault for _, fault in FAULTS], weights=[weight for weight, _ in FAULTS])[0]
    return Deed(kind=kind, whom=dice.random(), span=dice.random(), fault=fault)
