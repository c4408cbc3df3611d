"""A year of calls for each country and purpose, before a judge who knows the law and none of the code."""

from __future__ import annotations

import ast
import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from speechaid.compliance.caps import LedgerEntry
from speechaid.compliance.pack_files import canonical_json, shipped_packs
from speechaid.compliance.packs import Pack
from speechaid.compliance.rule_case import PersonUnderRules
from speechaid.model.batch import Batch as StoredBatch
from speechaid.model.job import Job
from speechaid.model.states import Outcome, Purpose
from speechaid.rules.eligibility import DiallingDefaults, evaluate
from speechaid.rules.windows import ALL_DAYS
from tests.unit.compliance import judge
from tests.unit.compliance.judge import Call, Person, Wish

#: From a Monday before the year to one after it.
START, END = datetime(2026, 12, 28, tzinfo=UTC), datetime(2028, 1, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)
#: The numbers of people, two each, and the zone that they are in.
NUMBERS = {
    "AR": ("+541143210001", "+541143210002", "America/Argentina/Buenos_Aires"),
    "CL": ("+56911110001", "+56911110002", "America/Santiago"),
    "CO": ("+573001110001", "+573001110002", "America/Bogota"),
    "EC": ("+593991110001", "+593991110002", "America/Guayaquil"),
    "MX": ("+526641110001", "+526641110002", "America/Tijuana"),
    "PE": ("+51991110001", "+51991110002", "America/Lima"),
    "PY": ("+595981110001", "+595981110002", "America/Asuncion"),
}
#: How calls end, with their weights, and whether a message was left.
ENDS = (
    (Outcome.NO_ANSWER, None, 45),
    (Outcome.BUSY, None, 10),
    (Outcome.VOICEMAIL, True, 8),
    (Outcome.VOICEMAIL, False, 10),
    (Outcome.ANSWERED, None, 22),
    (Outcome.TEMPORARY, None, 5),
)


@dataclass(frozen=True)
class Batch:
    """One batch of a host."""

    hours: tuple[int, int]
    days: frozenset[int]
    zone: str

    def document(self, purpose: Purpose) -> StoredBatch:
        """The batch as the preflight reads it."""
        start, end = self.hours
        return StoredBatch.read(
            {
                "batch_id": "b",
                "call_settings": {
                    "allowed_hours": {"start": f"{start:02}:00", "end": f"{end:02}:00"},
                    "days_of_week": sorted(self.days),
                    "timezone": self.zone,
                    "purpose": str(purpose),
                },
            }
        )


JOB = Job.read({"_id": 1, "batch_id": "b"})
DEFAULTS = DiallingDefaults(timezone="UTC", hours=None, days=None, country=None, estimate_minutes=3)


def people(country: str) -> list[Person]:
    first, second, zone_name = NUMBERS[country]
    zone = ZoneInfo(zone_name)
    found = [
        Person("one", "id-1", first, zone),
        # Who shares a telephone shares its calls; who is listed without an id is that line.
        Person("two", "id-2", second, zone),
        Person("three", "id-3", second, zone),
        Person("nameless", None, first, zone),
    ]
    if country == "MX":
        found.append(Person("far away", "id-4", "+529981110001", ZoneInfo("America/Cancun")))
    return found


class Campaign:
    """The calls of a year: each person is due again some hours after a call, in each of two batches."""

    def __init__(self, country: str, purpose: Purpose, seed: str) -> None:
        self.country, self.purpose = country, purpose
        self.pack = shipped_packs()[country, purpose]
        #: One host has the shipped file's, the other what the database has.
        self._packs_of_hosts = (
            self.pack,
            Pack.model_validate_json(canonical_json(self.pack), strict=True),
        )
        self.random = random.Random(seed)
        self.calls: list[Call] = []
        self.wishes: list[Wish] = []
        self._ledger: list[LedgerEntry] = []
        zone = self.pack.zones[0]
        self._batches = (
            Batch((0, 24), ALL_DAYS, "UTC"),
            Batch((10, 17), frozenset(range(1, 7)), zone),
        )

    def run(self) -> None:
        queue = [
            (START, place, person, batch, START)
            for place, (person, batch) in enumerate(
                (person, batch) for person in people(self.country) for batch in self._batches
            )
        ]
        heapq.heapify(queue)
        while queue:
            moment, place, person, batch, due = heapq.heappop(queue)
            next_at = self._check(person, batch, moment) if moment < END else None
            if next_at is None or next_at >= END:
                self.wishes.append(self._wish(person, batch, due, None))
            elif next_at > moment:
                heapq.heappush(queue, (next_at, place, person, batch, due))
            else:
                self.wishes.append(self._wish(person, batch, due, moment))
                self._call(person, moment)
                due = moment + HOUR * self.random.choice((1, 2, 3, 5, 24, 30, 75))
                heapq.heappush(queue, (due, place, person, batch, due))

    def _check(self, person: Person, batch: Batch, moment: datetime) -> datetime | None:
        """When the person is called, or looked at again, as the preflight of one of two hosts decides."""
        ids = frozenset() if person.national_id is None else frozenset({person.national_id})
        under_rules = PersonUnderRules(
            purpose=self.purpose,
            packs={self.country: self.random.choice(self._packs_of_hosts)},
            ids=ids,
            lines=frozenset({person.number}),
            entries=[entry for entry in self._ledger if entry.at > moment - timedelta(days=9)],
        )
        evaluation = evaluate(
            job=JOB,
            number=person.number,
            batch=batch.document(self.purpose),
            account=None,
            holds=(),
            on_dnc=False,
            defaults=DEFAULTS,
            own_reservation_key=None,
            now=moment,
            person=under_rules,
        )
        refusal = evaluation.refusal
        if refusal is None:
            return moment
        assert refusal.next_eligible_at is None or refusal.next_eligible_at > moment
        return refusal.next_eligible_at

    def _call(self, person: Person, moment: datetime) -> None:
        # Calls of one hour come one after the other: of two at the same instant the order is not known.
        moment += timedelta(microseconds=len(self._ledger))
        outcome, message, _ = self.random.choices(ENDS, [weight for *_, weight in ENDS])[0]
        is_void = outcome is Outcome.TEMPORARY
        self._ledger.append(
            LedgerEntry(
                key=str(len(self._ledger)),
                ids=frozenset() if person.national_id is None else frozenset({person.national_id}),
                numbers=frozenset({person.number}),
                purpose=self.purpose,
                at=moment,
                outcome=outcome,
                void=is_void,
                message_left=message,
            )
        )
        if not is_void:
            self.calls.append(Call(person, moment, reached=outcome is Outcome.ANSWERED or bool(message)))

    def _wish(self, person: Person, batch: Batch, due: datetime, at: datetime | None) -> Wish:
        return Wish(person, due, at, END, batch.hours, batch.days, ZoneInfo(batch.zone))


CASES = [(country, purpose) for country in judge.HOURS for purpose in (Purpose.COLLECTION, Purpose.REMINDER)]


@pytest.mark.slow
@pytest.mark.parametrize(("country", "purpose"), CASES)
def test_a_year_of_calls_keeps_the_law_and_leaves_nothing_out(country: str, purpose: Purpose) -> None:
    campaign = Campaign(country, purpose, seed=f"{country} {purpose}")
    campaign.run()
    assert len(campaign.calls) > 100
    assert list(judge.complaints(country, campaign.calls, campaign.wishes)) == []


def test_the_judge_knows_every_shipped_pack_and_nothing_of_the_code() -> None:
    assert {*CASES} == {*shipped_packs()}
    tree = ast.parse(Path(judge.__file__).read_text(encoding="utf-8"))
    imported = {
        name
        for node in ast.walk(tree)
        for name in _imported(node)
        if name.split(".")[0] in {"speechaid", "tests"}
    }
    assert imported == set()


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield str(node.module)


class TestTheJudgeSees:
    """2026-11-30 is a Monday."""

    def complaints(
        self, country: str, *calls: tuple[str, bool], due: str | None = None, at: str | None = None
    ) -> list[str]:
        person = people(country)[0]

        def moment(text: str) -> datetime:
            return datetime.fromisoformat(text).replace(tzinfo=person.zone)

        placed = [Call(person, moment(text), reached) for text, reached in calls]
        wishes = []
        if due is not None and at is not None:
            wishes.append(Wish(person, moment(due), moment(at), END, (0, 24), ALL_DAYS, person.zone))
        return list(judge.complaints(country, placed, wishes))

    @pytest.mark.parametrize(
        ("country", "calls"),
        [
            ("CL", [("2026-11-30T07:59", False)]),
            ("CL", [("2026-12-08T10:00", False)]),
            ("CL", [("2026-11-30T10:00", True), ("2026-12-05T10:00", False)]),
            ("CO", [("2026-12-05T15:00", False)]),
            ("CO", [("2026-11-30T10:00", True), ("2026-11-30T11:00", False)]),
            ("CO", [("2026-11-30T10:00", True), ("2026-12-01T10:00", True), ("2026-12-02T10:00", False)]),
            ("EC", [("2026-11-30T10:00", False), ("2026-11-30T11:00", False)]),
            ("AR", [("2026-11-30T10:00", False)] * 3),
            ("MX", [("2026-12-05T10:00", False)]),
            ("PE", [("2026-12-09T10:00", False)]),
            ("PY", [(f"2026-12-0{day}T10:00", False) for day in (1, 2, 3, 4)]),
            ("PY", [("2026-12-01T10:00", True), ("2026-12-02T10:00", False)]),
            ("PY", [("2026-12-01T10:00", True), ("2026-12-01T11:00", False), ("2026-12-01T12:00", False)]),
        ],
    )
    def test_a_call_that_the_law_forbids(self, country: str, calls: list[tuple[str, bool]]) -> None:
        assert len(self.complaints(country, *calls)) == 1
        assert self.complaints(country, *calls[:-1]) == []

    def test_a_call_left_out(self) -> None:
        assert self.complaints("CL", due="2026-11-30T06:00", at="2026-11-30T08:00") == []
        assert len(self.complaints("CL", due="2026-11-30T06:00", at="2026-11-30T09:00")) == 1
