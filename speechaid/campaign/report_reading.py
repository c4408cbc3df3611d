"""The figures of a report, counted from documents as they come; pure.

Every figure comes from the same documents, each of which is counted once: calls that are alike in all that a
table tells apart are one row (``CallKey``), and header and tables are sums of these rows. So the memory grows
with people, days and batches, and not with calls.

Sums of money are whole millionths, which add up without residues.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from speechaid.campaign import cells
from speechaid.campaign.amounts import PromisedSum, promised_sum
from speechaid.campaign.dates import day_or_none
from speechaid.campaign.day_range import DayRange
from speechaid.campaign.erasure import UNREADABLE_PROMISE
from speechaid.campaign.people import id_key_of
from speechaid.model import reading
from speechaid.model.call import PROMISE_FIELDS, collected_promises
from speechaid.model.reading import Document
from speechaid.model.states import ANSWERED_BY, NO_CALL_OUTCOMES, AnsweredBy, JobStatus, Outcome
from speechaid.protocol.money import PLACES
from speechaid.rules.currencies import OF_COUNTRY
from speechaid.rules.retry_table import ALL_LISTED

#: A result without an outcome: SpeechAI's.
UNRECORDED: Final = "unrecorded"
MICRO: Final = 10**PLACES
#: The names in ``promised`` of what ``PROMISE_FIELDS`` names.
_PROMISED: Final = ("day", "amount")
_OUTCOMES: Final = frozenset(map(str, Outcome))


@dataclass(frozen=True, kw_only=True)
class AccountFacts:
    """What a report must know about an account."""

    zone: ZoneInfo
    #: ISO 4217; None: the account has none.
    currency: str | None = None
    #: ISO 3166 alpha-2: debts without a currency are in its own.
    country: str | None = None


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a report is about."""

    #: By the database's clock.
    at: datetime
    #: Of calls and jobs without an account, or of an account that does not exist.
    default: AccountFacts
    accounts: Mapping[str, AccountFacts] = field(default_factory=dict)
    days: DayRange = field(default_factory=DayRange)
    #: The filters, as they are shown; None: not given.
    batch_id: str | None = None
    account_id: str | None = None
    agent: str | None = None
    from_number: str | None = None
    number: str | None = None

    @property
    def is_of_calls(self) -> bool:
        """Whether it leaves out calls of its batches: then its jobs are those that had one of its calls."""
        given = (self.agent, self.from_number, self.number)
        return self.days.is_limited or any(value is not None for value in given)

    def facts_of(self, account_id: str | None) -> AccountFacts:
        """Those of an account."""
        return self.accounts.get(account_id or "", self.default)


class CallKey(NamedTuple):
    """What the tables of a report tell calls apart by."""

    batch_id: str | None
    account_id: str | None
    #: A value of ``Outcome``, or ``UNRECORDED``.
    outcome: str
    answered_by: AnsweredBy
    #: Whether Retell's later analysis called a machine what was taken for a person.
    found_later: bool
    #: From 1; None: not recorded.
    attempt: int | None
    #: In the zone of its account; None: it is not known when it was placed.
    day: date | None
    hour: int | None
    agent_id: str | None
    agent_version: int | None
    from_number: str | None


@dataclass(slots=True)
class Sums:
    """Sums over calls; money in millionths of a currency unit, minutes in millionths of a minute."""

    calls: int = 0
    connected: int = 0
    duration_ms: int = 0
    #: What Retell wants.
    cost: int = 0
    charged_minutes: int = 0
    charged_credit: int = 0


@dataclass(frozen=True, kw_only=True)
class Promise:
    """A promise to pay, as the agent recorded it."""

    #: When the call was placed that it was made in; None: not known.
    made_at: datetime | None
    account_id: str | None
    day: object
    amount: object
    currency: str | None


@dataclass(kw_only=True)
class PeopleCounts:
    """People by their numbers (``ReportReading``), so that each is counted once."""

    called: set[int] = field(default_factory=set)
    reached: set[int] = field(default_factory=set)


@dataclass(kw_only=True)
class AmountSums:
    """Amounts by currency, with how many there are."""

    sums: defaultdict[str | None, int] = field(default_factory=lambda: defaultdict(int))
    counts: Counter[str | None] = field(default_factory=Counter)
    #: How many have an amount that is missing or not understood.
    without_amount: int = 0

    def add(self, amount: PromisedSum | None) -> None:
        """Add one amount; None: it is not understood."""
        if amount is None:
            self.without_amount += 1
            return
        self.sums[amount.currency] += in_millionths(amount.value)
        self.counts[amount.currency] += 1


class ReportReading:
    """Counts calls, then jobs, then payments."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.calls: dict[CallKey, Sums] = {}
        #: By the currency of the account; and by the account's day.
        self.people: defaultdict[str | None, PeopleCounts] = defaultdict(PeopleCounts)
        self.people_by_day: defaultdict[date, PeopleCounts] = defaultdict(PeopleCounts)
        #: Of connected calls: by sentiment, success, whether there is an analysis, whether one is awaited.
        self.analyses: Counter[tuple[str | None, bool, bool, bool]] = Counter()
        #: By batch and status, as the status is written.
        self.jobs: defaultdict[str | None, Counter[str]] = defaultdict(Counter)
        self.jobs_on_list = 0
        #: Jobs that wait for a rule of a pack, by the rule.
        self.kept_back: Counter[str] = Counter()
        self.called_jobs: set[str] = set()
        self.debt = AmountSums()
        self.recovered = AmountSums()
        self.recovered_by_day: defaultdict[date, AmountSums] = defaultdict(AmountSums)
        #: By job and by the account's day, the latest of each.
        self._promises: dict[str, dict[date | None, Promise]] = {}
        self._numbers: dict[str, int] = {}
        self._zones: dict[str, set[str | None]] = {}
        self._job_ids: set[str] = set()
        self._redials: list[tuple[str, PromisedSum | None]] = []
        self._dates = {
            zone: scope.days.days_in(zone, scope.at)
            for zone in {scope.default.zone, *(facts.zone for facts in scope.accounts.values())}
        }

    @property
    def zones(self) -> dict[str, list[str | None]]:
        """The zones of what was counted, by name, each with its accounts."""
        return {
            zone: sorted(accounts, key=lambda name: name or "")
            for zone, accounts in sorted(self._zones.items())
        }

    def add_call(self, result: Document) -> None:
        """Count a call, unless it was placed on a day that is left out."""
        account_id = reading.text(result.get("account_id"))
        facts = self.scope.facts_of(account_id)
        placed_at = reading.instant(result.get("placed_at") or result.get("created_at"))
        local = None if placed_at is None else placed_at.astimezone(facts.zone)
        day = None if local is None else local.date()
        if not self._is_within(facts.zone, day):
            return
        outcome = reading.text(result.get("outcome")) or UNRECORDED
        analysis = reading.mapping(reading.mapping(result.get("call_data")).get("call_analysis"))
        answered_by, found_later = _answered_by(result, outcome, analysis)
        attempt = reading.number(result.get("attempt"))
        version = reading.number(result.get("agent_version"))
        key = CallKey(
            batch_id=reading.text(result.get("batch_id")),
            account_id=account_id,
            outcome=outcome,
            answered_by=answered_by,
            found_later=found_later,
            attempt=None if attempt is None else int(attempt) + 1,
            day=day,
            hour=None if local is None else local.hour,
            agent_id=reading.text(result.get("agent_id")),
            agent_version=None if version is None else int(version),
            from_number=reading.text(result.get("from_number")),
        )
        _add(self.calls.setdefault(key, Sums()), result, outcome)
        self._zones.setdefault(facts.zone.key, set()).add(account_id)
        job_id = reading.text(result.get("job_id"))
        if job_id is not None:
            self.called_jobs.add(job_id)
        self._count_person(result, key, facts, job_id)
        self._count_analysis(result, analysis)
        self._note_promise(result, key, job_id, placed_at)

    def add_job(self, job: Document) -> None:
        """Count a job, with what its person owes and has promised."""
        account_id = reading.text(job.get("account_id"))
        facts = self.scope.facts_of(account_id)
        batch_id, status = reading.text(job.get("batch_id")), reading.text(job.get("status")) or "(none)"
        self.jobs[batch_id][status] += 1
        self._zones.setdefault(facts.zone.key, set()).add(account_id)
        if status == JobStatus.CANCELLED and job.get("cancel_reason") == ALL_LISTED.cancel_reason:
            self.jobs_on_list += 1
        self._note_rule(job, status)
        payload = reading.mapping(job.get("payload"))
        currency = reading.text(payload.get("currency")) or _own_currency(facts)
        job_id = reading.text(job.get("job_id")) or str(job.get("_id"))
        self._job_ids.add(job_id)
        self._note_debt(job, payload, currency)
        self._note_promise_of_job(job, job_id, currency)

    def _note_rule(self, job: Document, status: str) -> None:
        """Count a job that a rule of a pack keeps back now."""
        rule = reading.text(reading.mapping(job.get("waits_for")).get("rule"))
        due = reading.due_time(job.get("reserved_until"))
        if rule is not None and status == JobStatus.PENDING and due is not None and due > self.scope.at:
            self.kept_back[rule] += 1

    def add_payment(self, job: Document) -> None:
        """Count what was paid on a job, unless it was recorded on a day that is left out."""
        facts = self.scope.facts_of(reading.text(job.get("account_id")))
        paid = reading.mapping(job.get("paid"))
        recorded_at = reading.instant(paid.get("at"))
        day = None if recorded_at is None else recorded_at.astimezone(facts.zone).date()
        if not self._is_within(facts.zone, day):
            return
        currency = (
            reading.text(paid.get("currency"))
            or reading.text(reading.mapping(job.get("payload")).get("currency"))
            or _own_currency(facts)
        )
        amount = promised_sum(paid.get("amount"), currency)
        self.recovered.add(amount)
        if day is not None:
            self.recovered_by_day[day].add(amount)

    def finish(self) -> None:
        """After the last job: a debt counts once, and not for each redial of its job."""
        for redial_of, debt in self._redials:
            if redial_of not in self._job_ids:
                self.debt.add(debt)
        self._redials.clear()

    def latest_promises(self) -> list[Promise]:
        """Of each job the latest promise."""
        return [max(of_job.values(), key=_made_at) for of_job in self._promises.values()]

    def promises_by_day(self) -> dict[date, list[Promise]]:
        """Of each job the latest promise of each day on which it was called."""
        found: dict[date, list[Promise]] = {}
        for of_job in self._promises.values():
            for day, promise in of_job.items():
                if day is not None:
                    found.setdefault(day, []).append(promise)
        return found

    def _is_within(self, zone: ZoneInfo, day: date | None) -> bool:
        first, last = self._dates[zone]
        if day is None:
            return first is None and last is None
        return (first is None or first <= day) and (last is None or day <= last)

    def _count_person(self, result: Document, key: CallKey, facts: AccountFacts, job_id: str | None) -> None:
        """Count who was called: by national id and account, and without an id by job."""
        if key.outcome in NO_CALL_OUTCOMES:
            return
        dni = reading.text(reading.mapping(result.get("contact")).get("dni"))
        id_key = None if dni is None else id_key_of(dni)
        name = f"job:{job_id}" if id_key is None else f"{id_key} {key.account_id or ''}"
        if id_key is None and job_id is None:
            return
        number = self._numbers.setdefault(name, len(self._numbers))
        counts = [self.people[facts.currency]]
        if key.day is not None:
            counts.append(self.people_by_day[key.day])
        for count in counts:
            count.called.add(number)
            if key.answered_by is AnsweredBy.PERSON:
                count.reached.add(number)

    def _count_analysis(self, result: Document, analysis: Mapping[str, object]) -> None:
        if result.get("connected") is not True:
            return
        sentiment = reading.text(analysis.get("user_sentiment"))
        waits = "analysis_wait" in result
        self.analyses[sentiment, analysis.get("call_successful") is True, bool(analysis), waits] += 1

    def _note_promise(
        self, result: Document, key: CallKey, job_id: str | None, placed_at: datetime | None
    ) -> None:
        promised = reading.mapping(result.get("promised"))
        if not promised:
            # Results of other programs, and of versions up to 0.2, have what the agent collected alone.
            collected = collected_promises(dict(reading.mapping(result.get("call_data"))))
            promised = {
                name: collected.get(field) for name, field in zip(_PROMISED, PROMISE_FIELDS, strict=True)
            }
        if job_id is None or not (_is_given(promised.get("day")) or _is_given(promised.get("amount"))):
            return
        promise = Promise(
            made_at=placed_at,
            account_id=key.account_id,
            day=promised.get("day"),
            amount=promised.get("amount"),
            currency=reading.text(promised.get("currency")),
        )
        of_job = self._promises.setdefault(job_id, {})
        earlier = of_job.get(key.day)
        of_job[key.day] = promise if earlier is None else max(earlier, promise, key=_made_at)

    def _note_promise_of_job(self, job: Document, job_id: str, currency: str | None) -> None:
        """Complete the promises of its calls by what the job has; without any, its own counts."""
        known = self._promises.get(job_id)
        day, amount = (job.get(field) for field in PROMISE_FIELDS)
        if known is not None:
            for called_on, promise in known.items():
                is_erased = UNREADABLE_PROMISE in (promise.day, promise.amount) and promise.currency is None
                # What the agent collected was erased; the job keeps it as a day and a sum.
                of_job = {"day": day, "amount": amount} if is_erased else {}
                known[called_on] = replace(promise, currency=promise.currency or currency, **of_job)
            return
        if self.scope.is_of_calls or not (_is_given(day) or _is_given(amount)):
            return
        self._promises[job_id] = {
            None: Promise(
                made_at=None,
                account_id=reading.text(job.get("account_id")),
                day=day,
                amount=amount,
                currency=currency,
            )
        }

    def _note_debt(self, job: Document, payload: Mapping[str, object], currency: str | None) -> None:
        owed = payload.get("debt_amount")
        if not _is_given(owed):
            return
        debt = promised_sum(owed, currency)
        redial_of = reading.text(job.get("redial_of"))
        if redial_of is None:
            self.debt.add(debt)
        else:
            self._redials.append((redial_of, debt))


def promised_amount(promise: Promise) -> PromisedSum | None:
    """The promised amount; None where it is missing or not understood."""
    return promised_sum(promise.amount, promise.currency)


def promised_day(promise: Promise) -> date | None:
    """The day of payment that was promised; None where it is missing or not understood."""
    return day_or_none(cells.clean(promise.day))


def in_millionths(amount: object) -> int:
    """An amount in millionths; 0 for what is no number."""
    value = reading.number(amount)
    return 0 if value is None else round(value * MICRO)


def _add(sums: Sums, result: Document, outcome: str) -> None:
    duration = reading.number(result.get("duration_ms"))
    sums.calls += 1
    if duration is not None and duration > 0:
        sums.connected += 1
        sums.duration_ms += int(duration)
    if outcome == UNRECORDED:
        call_cost = reading.mapping(reading.mapping(result.get("call_data")).get("call_cost"))
        sums.cost += round((reading.number(call_cost.get("combined_cost")) or 0.0) * MICRO / 100)
    else:
        sums.cost += in_millionths(result.get("cost"))
    charged = reading.mapping(result.get("charged"))
    sums.charged_minutes += in_millionths(charged.get("minutes"))
    sums.charged_credit += in_millionths(charged.get("credit"))


def _answered_by(result: Document, outcome: str, analysis: Mapping[str, object]) -> tuple[AnsweredBy, bool]:
    """Who answered, and whether the analysis alone tells that it was a machine."""
    if outcome in _OUTCOMES:
        answered_by = ANSWERED_BY[Outcome(outcome)]
    else:
        # SpeechAI says of a call only whether it succeeded.
        is_successful = reading.flag(result.get("is_successful"), default=False)
        answered_by = AnsweredBy.PERSON if is_successful else AnsweredBy.NOBODY
    if answered_by is AnsweredBy.PERSON and analysis.get("in_voicemail") is True:
        return AnsweredBy.MACHINE, True
    return answered_by, False


def _own_currency(facts: AccountFacts) -> str | None:
    return OF_COUNTRY.get((facts.country or "").upper())


def _is_given(value: object) -> bool:
    return value is not None and value != ""


def _made_at(promise: Promise) -> float:
    return float("-inf") if promise.made_at is None else promise.made_at.timestamp()
