"""People under caps: each is in four batches of two purposes, and their two numbers are written in six ways.

Who belongs together is known from how the jobs are made, not from the names and numbers in them: the audit
does not ask the code under audit. A day passes as soon as all of a person's jobs wait for a cap: the entries
of the ledger move into the past, and the jobs are due again. So every job ends within the run, and each day
must have as many calls as the caps allow, no more and no fewer.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from speechaid.compliance.packs import Cap, Confidence, Pack, Span, Unit
from speechaid.demo.audit import FREE, SUCCESS
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.model.levels import Level
from speechaid.model.states import Purpose
from speechaid.store.connection import Store

Document = dict[str, Any]

ACCOUNT: Final = "acc-people"
#: In 24 hours a person gets so many calls, and so many that somebody answers.
MOST_CALLS: Final = 3
MOST_CONTACTS: Final = 1
#: For clocks of one machine, and a call that ends when the next begins.
TOLERANCE_SECONDS: Final = 0.05
#: A day that passes, with an hour to spare.
DAY: Final = timedelta(hours=25)
#: A job whose next chance is nearer waits for calls under way to end.
WAITS_FOR_THE_DAY: Final = timedelta(minutes=10)
#: A job may wait for as long as the caps count, and for rounding.
LONGEST_WAIT: Final = timedelta(hours=24, minutes=1)
PURPOSES: Final = ("collection", "reminder", "collection", "reminder")
#: The two numbers of a person in each of the four jobs; ``{}`` is the person's.
SPELLINGS: Final = (
    ("+521551234{}", "+52558765{}"),
    ("+52551234{}", "01 55 8765 {}"),
    ("044 55 1234 {}", "+521558765{}"),
    ("+52558765{}", "+521551234{}"),
)
#: How these calls end: as a rule nobody answers, so that the caps are reached.
ODDS: Final = {
    "dial_no_answer": 55,
    "dial_busy": 25,
    "user_hangup": 8,
    "telephony_provider_unavailable": 7,
    "sip_routing_error": 5,
}
SCRIPTED_CALLS: Final = 80


@dataclass(frozen=True, kw_only=True)
class People:
    """The documents of these people, and which jobs are whose."""

    accounts: list[Document] = field(default_factory=list)
    batches: list[Document] = field(default_factory=list)
    jobs: list[Document] = field(default_factory=list)
    #: The ids of each person's jobs.
    jobs_of: dict[str, list[str]] = field(default_factory=dict)
    #: How the calls to each number end.
    script: dict[str, list[str]] = field(default_factory=dict)

    def put_rules_in_force(self, store: Store) -> None:
        """Put the packs of both purposes in force, if there are such people."""
        if self.jobs_of:
            store.holds.require_level(Level.CALLING_RULES, by="chaos")
            store.packs.install(
                [_pack(purpose) for purpose in sorted(set(PURPOSES))],
                fill="chaos",
                is_ready=True,
                by="chaos",
            )


def make_people(number: int, seed: int, zone: str) -> People:
    """So many people, four jobs each; every second one has a national id, and one number in each job.

    Args:
        number: of people.
        seed: of all random choices.
        zone: of their account, by which its calls of the day are counted.
    """
    if not number:
        return People()
    rng = random.Random(f"people {seed}")
    account: Document = {"account_id": ACCOUNT, "plan_type": "unlimited", "status": "active", "country": "MX"}
    account |= {"timezone": zone, "calls_today": 0}
    batches = [
        {
            "batch_id": f"batch-20260101-cafe{place:04x}",
            "name": f"People {place}",
            "account_id": ACCOUNT,
            "country": "MX",
            "priority": rng.randint(1, 3),
            "call_settings": {"max_attempts": 3, "purpose": purpose, "timezone": "America/Mexico_City"},
        }
        for place, purpose in enumerate(PURPOSES)
    ]
    jobs: list[Document] = []
    jobs_of: dict[str, list[str]] = {}
    script: dict[str, list[str]] = {}
    for person in range(number):
        last = f"{rng.randrange(10000):04}"
        name = f"person-{person}"
        while (numbers := (f"+52551234{last}", f"+52558765{last}"))[0] in script:
            last = f"{rng.randrange(10000):04}"
        script |= {one: rng.choices(list(ODDS), list(ODDS.values()), k=SCRIPTED_CALLS) for one in numbers}
        jobs_of[name] = [f"{name}-job-{place}" for place in range(len(SPELLINGS))]
        has_id = person % 2 == 1
        for job_id, batch, spelled in zip(jobs_of[name], batches, SPELLINGS, strict=True):
            phones = [text.format(last) for text in spelled]
            jobs.append(_job(job_id, batch, phones[:1] if has_id else phones, dni=last if has_id else None))
    return People(accounts=[account], batches=batches, jobs=jobs, jobs_of=jobs_of, script=script)


def _job(job_id: str, batch: Document, phones: list[str], *, dni: str | None) -> Document:
    contact: Document = {"name": "Contacto", "phones": phones, "next_phone_index": 0}
    return {
        "job_id": job_id,
        "batch_id": batch["batch_id"],
        "account_id": ACCOUNT,
        "status": "pending",
        "contact": contact if dni is None else {**contact, "dni": f"PERS{dni}01HDF"},
        "payload": {"company_name": "Acme", "debt_amount": 1000},
        "attempts": 0,
        "created_at": datetime.now(UTC),
    }


def _pack(purpose: str) -> Pack:
    """Caps of the run, without hours: they hold at whatever time it runs."""
    return Pack(
        kind="pack",
        format=1,
        country="MX",
        purpose=Purpose(purpose),
        reviewed=date(2026, 11, 30),
        zones=("America/Mexico_City",),
        sources={},
        counted_purposes=tuple(map(Purpose, sorted(set(PURPOSES)))),
        caps=(
            _cap("calls", Unit.ATTEMPT, MOST_CALLS),
            _cap("contacts", Unit.CONTACT, MOST_CONTACTS),
        ),
    )


def _cap(name: str, unit: Unit, number: int) -> Cap:
    return Cap(
        name=name,
        unit=unit,
        number=number,
        span=Span.ROLLING_HOURS,
        length=24,
        says="Of the chaos run: house rule.",
        confidence=Confidence.LOW,
    )


def with_numbers(job: Document) -> Document:
    """A job with its numbers as they are dialled: Mexico's 1, 01 and 044 are left out."""
    phones = [_dialled(text) for text in job["contact"]["phones"]]
    return {**job, "contact": {**job["contact"], "phones": phones}}


def _dialled(text: str) -> str:
    digits = "".join(letter for letter in text if letter.isdigit())
    return f"+52{digits[-10:]}"


# -- days ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Day:
    """The end of a person's day."""

    person: str
    #: Seconds of the simulator's clock.
    ended_at: float
    #: The longest that one of the person's jobs would have waited.
    waits: timedelta


class Days:
    """Lets a day pass for each person whose jobs all wait for a cap."""

    def __init__(self, people: People, store: Store, simulator: SimulatorProcess) -> None:
        self.ended: list[Day] = []
        self._people = people
        self._store = store
        self._simulator = simulator

    def pass_where_all_wait(self) -> int:
        """Let a day pass where nothing but a cap keeps a person's jobs back; for how many it did.

        Raises:
            StoreUnavailable: the database is away; repeat it.
        """
        return sum(self._pass(person, jobs) for person, jobs in self._people.jobs_of.items())

    def _pass(self, person: str, job_ids: list[str]) -> bool:
        store, now = self._store, self._store.now()
        jobs = store.jobs.table.find(
            {"job_id": {"$in": job_ids}, "status": {"$in": ["pending", "in_progress"]}}
        )
        entries = store.ledger.table.find({"job": {"$in": _ids_of(self._store, job_ids)}})
        if not jobs or any("waits_for" not in job for job in jobs) or any(row["open"] for row in entries):
            return False
        waits: list[timedelta] = [job["reserved_until"] - now for job in jobs]
        if min(waits) > WAITS_FOR_THE_DAY:
            self.ended.append(Day(person, float(self._simulator.health()["now"]), max(waits)))
            for row in entries:
                store.ledger.table.update({"_id": row["_id"]}, {"$set": {"at": row["at"] - DAY}})
        for job in jobs:
            store.jobs.table.update(
                {"_id": job["_id"], "reserved_until": job["reserved_until"], "status": "pending"},
                {"$set": {"reserved_until": now - timedelta(milliseconds=1)}},
            )
        return min(waits) > WAITS_FOR_THE_DAY


def _ids_of(store: Store, job_ids: list[str]) -> list[Any]:
    return [job["_id"] for job in store.jobs.table.find({"job_id": {"$in": job_ids}}, fields=["_id"])]


# -- audit ---------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class CapFindings:
    """What is wrong, one sentence each."""

    over_cap: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    ledger: list[str] = field(default_factory=list)


def check_people(
    people: People,
    days: Sequence[Day],
    *,
    placed_calls: Sequence[Document],
    excused: Collection[str],
    results: Sequence[Document],
    entries: Sequence[Document],
) -> CapFindings:
    """Compare the calls to each person with the caps, day by day, and with the ledger.

    Args:
        people: whose jobs they are.
        days: that passed in the run; each person's last one has no end.
        placed_calls: by the simulator, with their ends as they were reported to the daemon.
        excused: calls whose end was taken for a fault of the carrier: nobody's phone rang.
        results: as recorded, which name the entry of each call.
        entries: of the ledger.
    """
    findings = CapFindings()
    calls_of: defaultdict[str, list[Document]] = defaultdict(list)
    owner = {job_id: person for person, job_ids in people.jobs_of.items() for job_id in job_ids}
    for call in placed_calls:
        job_id = str((call["metadata"] or {}).get("job_id"))
        if job_id in owner:
            calls_of[owner[job_id]].append(call)
    for person in people.jobs_of:
        calls = [call for call in calls_of[person] if _rang(call, excused)]
        _check_live(findings, person, calls_of[person])
        _check_days(findings, person, calls, [day for day in days if day.person == person])
    of_people = {str(call["call_id"]) for calls in calls_of.values() for call in calls}
    _check_entries(findings, placed_calls, of_people, results, entries, excused=excused)
    return findings


def _rang(call: Document, excused: Collection[str]) -> bool:
    return call["disconnection_reason"] not in FREE and call["call_id"] not in excused


def _is_contact(call: Document) -> bool:
    """Somebody answered, or may have: the call connected."""
    return call["disconnection_reason"] in SUCCESS or call["connected_at"] is not None


def _check_live(findings: CapFindings, person: str, calls: Sequence[Document]) -> None:
    """No call is placed while another one is live: that one may be the last contact allowed."""
    ended = [call for call in calls if call["ended_at"] is not None]
    ordered = sorted(ended, key=lambda call: float(call["placed_at"]))
    findings.over_cap += [
        f"{person}: {later['call_id']} was placed while {earlier['call_id']} was live"
        for earlier, later in itertools.pairwise(ordered)
        if later["placed_at"] < earlier["ended_at"] - TOLERANCE_SECONDS
    ]


def _check_days(findings: CapFindings, person: str, calls: Sequence[Document], days: Sequence[Day]) -> None:
    began = 0.0
    for number, day in enumerate([*days, None]):
        ended = float("inf") if day is None else day.ended_at
        of_day = [call for call in calls if began < float(call["placed_at"]) <= ended]
        contacts = sum(map(_is_contact, of_day))
        counted = f"{person}, day {number}: {len(of_day)} calls, {contacts} answered"
        if len(of_day) > MOST_CALLS or contacts > MOST_CONTACTS:
            findings.over_cap.append(counted)
        if day is not None and len(of_day) < MOST_CALLS and contacts < MOST_CONTACTS:
            findings.left_out.append(f"{counted}, and every job waited for a cap")
        if day is not None and day.waits > LONGEST_WAIT:
            findings.left_out.append(f"{person}, day {number}: a job would have waited for {day.waits}")
        began = ended


def _check_entries(
    findings: CapFindings,
    placed_calls: Sequence[Document],
    of_people: Collection[str],
    results: Sequence[Document],
    entries: Sequence[Document],
    *,
    excused: Collection[str],
) -> None:
    """Each call to the people has one entry; each entry is closed, and counts if its call's phone rang.

    Once packs are in force the calls of other batches have entries, too: no other entry counts.
    """
    calls = {str(call["call_id"]): call for call in placed_calls}
    keys = {
        str(result.get("dial_key")): str(result["call_id"])
        for result in results
        if result["call_id"] in calls
    }
    doubled = [key for key, count in Counter(keys.values()).items() if count > 1]
    findings.ledger += [f"{call_id}: recorded under two dials" for call_id in doubled]
    rows = {str(row["_id"]): row for row in entries}
    missing = [keys[key] for key in keys.keys() - rows.keys() if keys[key] in of_people]
    findings.ledger += [f"{call_id}: not in the ledger" for call_id in missing]
    for key, row in rows.items():
        call = calls.get(keys.get(key, ""))
        if row.get("open") is not False:
            findings.ledger.append(f"{key}: still open")
        elif call is None and row.get("void") is not True:
            findings.ledger.append(f"{key}: counts, and has no call")
        elif call is not None and _rang(call, excused) and row.get("void") is True:
            findings.ledger.append(f"{key}: its call rang, and it is void")
        elif (
            call is not None
            and _is_contact(call)
            and row.get("connected") is not True
            and _rang(call, excused)
        ):
            findings.ledger.append(f"{key}: its call was answered, and the entry does not say so")
