"""The campaign: accounts of every plan, batches with limits, jobs with one to three phones; from the seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from speechaid.demo.simulator.settings import TYPICAL_ODDS
from speechaid.store.connection import Store
from tests.chaos.people import People, make_people

Document = dict[str, Any]

#: Weights of Retell's reasons: enough calls are answered that a run ends.
ODDS: Final[dict[str, float]] = {
    **TYPICAL_ODDS,
    "user_hangup": 24,
    "concurrency_limit_reached": 2,
    "telephony_provider_unavailable": 2,
    "sip_routing_error": 1,
}
#: For numbers of two jobs, without do-not-call requests: another test covers their effect on the other job.
SHARED_ODDS: Final = {reason: weight for reason, weight in ODDS.items() if reason != "user_requested_dnc"}
SHARED_CALLS: Final = 60
#: The fraction of jobs that share a number with the job before them.
SHARED_FRACTION: Final = 0.08
#: Attempts of jobs without a batch, as in the daemons' environment.
MAX_ATTEMPTS: Final = 2
#: The account that runs out of credit during the run and is topped up later.
LOW_CREDIT_ACCOUNT: Final = "acc-lean"
#: By turns: two agents with numbers of their own, and the settings'.
_AGENTS: Final[tuple[Document, ...]] = (
    {"agent_id": "agent_a", "agent_version": 3, "from_number": "+12025550111", "language": "es-419"},
    {"agent_id": "agent_b", "agent_version": 7, "from_number": "+12025550122", "voicemail_option": "hangup"},
    {},
)
PRICES: Final = {"cost_per_call_setup": 0.05, "cost_per_minute": 0.13, "cost_failed_call": 0.01}


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """The documents that are loaded before the start."""

    accounts: list[Document]
    batches: list[Document]
    jobs: list[Document]
    #: The outcomes of calls to each number that two jobs share, and to those of the people.
    script: dict[str, list[str]]
    people: People

    def load(self, store: Store) -> None:
        """Insert all documents, and put the calling rules in force."""
        self.people.put_rules_in_force(store)
        store.accounts.table.insert_many(self.accounts)
        for batch in self.batches:
            store.batches.create(batch)
        for begin in range(0, len(self.jobs), 500):
            store.jobs.insert_many(self.jobs[begin : begin + 500])


def campaign(jobs: int, seed: int, workers: int, people: int = 0) -> Campaign:
    """A campaign with limits for ``workers`` workers in total.

    Args:
        jobs: how many, besides those of the people.
        seed: of all random choices.
        workers: on all hosts.
        people: how many people under caps.
    """
    rng = random.Random(f"campaign {seed}")
    accounts = _accounts(jobs, workers)
    batches = _batches(rng, accounts, workers)
    documents: list[Document] = []
    script: dict[str, list[str]] = {}
    numbers = iter(range(10_000_000, 99_999_999))
    for index in range(jobs):
        phones = [f"+569{next(numbers)}" for _ in range(rng.choices([1, 2, 3], [5, 3, 2])[0])]
        if documents and rng.random() < SHARED_FRACTION:
            shared = documents[-1]["contact"]["phones"][0]
            if shared not in script:  # shared by two jobs, not by more
                phones[-1] = shared
                reasons = rng.choices(list(SHARED_ODDS), list(SHARED_ODDS.values()), k=SHARED_CALLS)
                script[shared] = reasons
        documents.append(_job(index, phones, rng.choice([*batches, None])))
    capped = make_people(people, seed, _zone_at_noon())
    return Campaign(
        accounts=accounts + capped.accounts,
        batches=batches + capped.batches,
        jobs=documents + capped.jobs,
        script=script | capped.script,
        people=capped,
    )


def _accounts(jobs: int, workers: int) -> list[Document]:
    common = {"status": "active", "country": "CL", "timezone": _zone_at_noon(), "calls_today": 0}
    plenty = {"credit_balance": 1e6, **PRICES}
    return [
        {"account_id": "acc-minutes", "plan_type": "minutes_based", "minutes_purchased": 1e6, **common}
        | {"max_concurrent_calls": max(2, workers // 3)},
        {"account_id": "acc-credit", "plan_type": "credit_based", **plenty, **common}
        | {"max_concurrent_calls": max(2, workers // 4)},
        {"account_id": "acc-unlimited", "plan_type": "unlimited", **common},
        {"account_id": LOW_CREDIT_ACCOUNT, "plan_type": "credit_based", **plenty, **common}
        | {"credit_balance": round(1 + jobs * 0.01, 2)},
    ]


def _zone_at_noon() -> str:
    """A time zone in which no day ends during the run, so that the calls of the day can be counted."""
    ahead = 12 - datetime.now(UTC).hour
    # POSIX signs: Etc/GMT-3 is three hours ahead.
    return f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"


def _batches(rng: random.Random, accounts: list[Document], workers: int) -> list[Document]:
    names = [account["account_id"] for account in accounts]
    return [
        {
            "batch_id": f"batch-20260101-{index:08x}",
            "name": f"Chaos {index}",
            "account_id": names[index % len(names)],
            "priority": rng.randint(1, 3),
            "call_settings": {
                "max_attempts": rng.choice([1, 2, 2, 3]),
                "max_concurrent_calls": rng.choice([None, None, max(2, workers // 5)]),
                **_AGENTS[index % len(_AGENTS)],
            },
        }
        for index in range(8)
    ]


def _job(index: int, phones: list[str], batch: Document | None) -> Document:
    return {
        "job_id": f"job-{index:05d}",
        "batch_id": batch["batch_id"] if batch else None,
        "account_id": batch["account_id"] if batch else None,
        "status": "pending",
        "contact": {"name": f"Contacto {index}", "dni": str(index), "phones": phones, "next_phone_index": 0},
        "payload": {"company_name": "Acme", "debt_amount": 1000 + index},
        "attempts": 0,
        "created_at": datetime.now(UTC),
    }
