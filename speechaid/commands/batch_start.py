"""The start of a batch: calling hours are required, and one sentence says when the first call goes out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo

from speechaid.campaign.people import id_of_keys, lines_of_keys, person_keys
from speechaid.commands.dry_run import dry_run_context
from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.compliance.next_chance import RuleDecision
from speechaid.compliance.rule_case import PersonUnderRules
from speechaid.dialer.context import dialling_defaults
from speechaid.dialer.preflight import read_holds_only
from speechaid.model.batch import Batch
from speechaid.model.job import Contact
from speechaid.model.masking import mask_prose
from speechaid.model.reading import Document, text
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import N_, joined, say, say_n
from speechaid.rules import eligibility, phones
from speechaid.rules.eligibility import Check, Reason
from speechaid.rules.numbers import country_of_number
from speechaid.rules.windows import Window
from speechaid.settings import Settings
from speechaid.store.do_not_call import person_forms

#: Jobs changed, or read, by one task of the database thread.
_PORTION: Final = 1000

#: Reasons of the pause of a batch that waits for its start; any other pause is an operator's, for a cause.
_WEEKDAYS: Final = (
    *(N_("Monday"), N_("Tuesday"), N_("Wednesday"), N_("Thursday"), N_("Friday"), N_("Saturday")),
    N_("Sunday"),
)
CREATED_PAUSED: Final = N_("created paused")
IMPORTED_PAUSED: Final = N_("imported paused")
IMPORT_GOES_ON: Final = N_("the import goes on")
NOT_STARTED: Final = N_("not started")
REDIAL_PAUSED: Final = N_("a redial, not started")
_BEFORE_START: Final = frozenset(
    {CREATED_PAUSED, IMPORTED_PAUSED, IMPORT_GOES_ON, NOT_STARTED, REDIAL_PAUSED}
)

#: What an operator does about a reason that does not pass by itself.
_REMEDIES: Final[Mapping[Reason, str]] = MappingProxyType(
    {
        Reason.HELD: N_("unhold, where an operator holds it"),
        Reason.ACCOUNT_UNKNOWN: "create-account {account}",
        Reason.ACCOUNT_INACTIVE: "edit-account {account} --status active",
        Reason.ACCOUNT_NOT_UNDERSTOOD: "edit-account {account}",
        Reason.PLAN_UNKNOWN: "edit-account {account} --plan PLAN",
        Reason.NO_CREDIT: "top-up {account}",
    }
)

#: Country and area of a line show in so many of its characters.
_SAMPLE_LENGTH: Final = 6

Finish = Callable[[HandlerContext, Result], Result | Continue]


def require_hours(
    batch: Batch | None, settings: Settings, options: Mapping[str, Any], *, remedy: str
) -> None:
    """Refuse to start a batch that speechaid made and that has no calling hours.

    Args:
        batch: None for one that is about to be made with ``options``.
        settings: the default hours.
        options: ``hours``, where given.
        remedy: how hours are given here.
    """
    if options.get("hours") is not None or has_hours(batch, settings):
        return
    message = say(
        "there are no calling hours, so people would be called day and night: {remedy}, or"
        " set SPEECHAID_DEFAULT_ALLOWED_HOURS (--hours 00:00-24:00 calls at any time)",
        remedy=remedy,
    )
    raise CommandRefused(ErrorCode.REFUSED, message)


def refuse_past_start(context: HandlerContext, document: Document) -> None:
    """Refuse a start that is over: its people would be called at once, which nobody has asked for.

    Args:
        context: of the account's zone, and the time.
        document: the batch as it would be.
    """
    batch = Batch.read({"_id": "", "batch_id": "", **document})
    account = None if batch.account_id is None else context.store.accounts.find(batch.account_id)
    zone = account.timezone if account else None
    window = eligibility.window_for(batch, zone, dialling_defaults(context.settings))
    now = context.store.now()
    if not isinstance(window, Window) or window.starts_at is None or window.starts_at > now:
        return
    message = say(
        "start-at: {start} is over: it is {now} in {zone}",
        start=str(batch.call_settings.start_at),
        now=f"{now.astimezone(window.zone):%Y-%m-%d %H:%M}",
        zone=window.zone.key,
    )
    raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)


def refuse_to_start_paused(batch: Batch) -> None:
    """Refuse to start a batch by an import that an operator has paused for a cause, or cancelled."""
    pause = batch.pause or {}
    if batch.is_active or (pause.get("reason") in _BEFORE_START and batch.cancelled is None):
        return
    by = say(" by {by}", by=pause["by"]) if pause.get("by") else ""
    reason = f": {pause['reason']}" if pause.get("reason") else ""
    message = say(
        "batch {batch_id} is paused{by}{reason}; leave out --start: resume-batch starts it",
        batch_id=batch.batch_id,
        by=by,
        reason=reason,
    )
    raise CommandRefused(ErrorCode.REFUSED, message)


def has_hours(batch: Batch | None, settings: Settings) -> bool:
    """Whether a batch may start; another program's keeps the hours that it has, or none."""
    if batch is None:
        return settings.dialling.default_allowed_hours is not None
    return not needs_own_hours(batch, settings) or batch.call_settings.allowed_hours is not None


def needs_own_hours(batch: Batch, settings: Settings) -> bool:
    """Whether a batch is started only with calling hours of its own."""
    return settings.dialling.default_allowed_hours is None and bool(batch.document.get("created_by"))


def start_imported(
    context: HandlerContext, command: Invocation, batch_id: str, finish: Finish, started: int = 0
) -> Result | Continue:
    """Make the batch's imported jobs pending in portions, then count who waits, then finish."""
    changed = context.store.operator_actions.start_imported(batch_id, _PORTION)
    started += changed
    if changed == 0:
        return count_waiting(context, batch_id, lambda ctx, first: finish(ctx, {"started": started} | first))
    command.progress({"state": "changing", "done": started})
    return Continue(
        after_seconds=0.0,
        step=lambda context: start_imported(context, command, batch_id, finish, started),
    )


@dataclass(kw_only=True)
class Waiting:
    """Who waits in a batch: people, and phones that may be dialled; apart from them who has opted out."""

    #: By a key of the person.
    people: set[str] = field(default_factory=set)
    phones: int = 0
    opted_out: set[str] = field(default_factory=set)
    #: A line for each beginning that tells its country and its zone.
    samples: dict[str, str] = field(default_factory=dict)

    def add(self, context: HandlerContext, rows: Sequence[Document], country: str | None) -> None:
        """Count jobs, given by ``account_id``, ``person_keys`` and ``contact``.

        Args:
            context: of the do-not-call list.
            rows: the jobs.
            country: of phones in national form.
        """
        people = [_WaitingPerson.read(row, country) for row in rows]
        listing = context.store.do_not_call
        lines = listing.listed_lines(sorted({line for one in people for line in one.lines}))
        forms = listing.listed_people(sorted({form for one in people for form in one.forms}))
        for one in people:
            left = [line for line in one.lines if line not in lines]
            if not forms.isdisjoint(one.forms) or (one.lines and not left):
                self.opted_out.add(one.key)
            else:
                self.people.add(one.key)
                self.phones += len(left) or 1
                self.samples |= {line[:_SAMPLE_LENGTH]: line for line in left}


@dataclass(frozen=True, kw_only=True)
class _WaitingPerson:
    """The person of a job; the whole job is not read, which takes ten times as long."""

    key: str
    #: Lines of the phones.
    lines: list[str]
    #: Entries of the do-not-call list that concern the person.
    forms: list[str]

    @classmethod
    def read(cls, row: Document, country: str | None) -> _WaitingPerson:
        keys = row.get("person_keys")
        if not isinstance(keys, list) or not keys:
            contact = Contact.read(row)
            keys = person_keys(contact.dni, contact.phones, country)
        keys = [str(key) for key in keys]
        return cls(
            key=keys[0] if keys else str(row["_id"]),
            lines=lines_of_keys(keys),
            forms=person_forms(text(row.get("account_id")), id_of_keys(keys)),
        )


def count_waiting(context: HandlerContext, batch_id: str, finish: Finish) -> Result | Continue:
    """Count people and phones that wait in the batch, in portions; finish with ``first_calls``."""
    rows = context.store.imports.waiting_jobs(batch_id)
    batch = context.store.batches.get(batch_id)
    account = None if batch.account_id is None else context.store.accounts.find(batch.account_id)
    country = phones.country_of(batch, account, context.settings.dialling.default_country)
    waiting = Waiting()

    def step(context: HandlerContext) -> Result | Continue:
        chunk = list(itertools.islice(rows, _PORTION))
        waiting.add(context, chunk, country)
        if len(chunk) == _PORTION:
            return Continue(after_seconds=0.0, step=step)
        return finish(context, say_first_calls(context, batch_id, waiting))

    return step(context)


def say_first_calls(context: HandlerContext, batch_id: str, waiting: Waiting) -> Result:
    """``first_calls``, of people and phones that were counted."""
    batch = context.store.batches.get(batch_id)
    return {"first_calls": _first_calls(context, batch, waiting)}


def _first_calls(context: HandlerContext, batch: Batch, waiting: Waiting) -> Result:
    """When the first call goes out (None: never under these settings), to how many people and phones."""
    account = None if batch.account_id is None else context.store.accounts.find(batch.account_id)
    defaults = dialling_defaults(context.settings)
    window = eligibility.window_for(batch, account.timezone if account else None, defaults)
    fault = eligibility.batch_fault(batch, account.timezone if account else None, defaults)
    opted_out = len(waiting.opted_out - waiting.people)
    answer = {
        "people": len(waiting.people),
        "phones": waiting.phones,
        "opted_out": opted_out,
        "at": None,
        "timezone": None,
        "now": False,
    }
    purpose, variant = batch.call_settings.purpose, batch.call_settings.pack_variant
    if fault is None and purpose is not None:
        fault = context.store.packs.fault_of(purpose, context.store.packs.in_force(), variant)
    if fault is not None or not isinstance(window, Window):
        return {**answer, "text": say("no calls: {fault}", fault=fault)}
    if not has_hours(batch, context.settings):
        text = say(
            "it has no calling hours yet; resume-batch {batch_id} --hours 09:00-19:00 starts it",
            batch_id=batch.batch_id,
        )
        return {**answer, "text": text}
    now = context.store.now()
    holds = read_holds_only(dry_run_context(context)).holds
    start = eligibility.evaluate_start(batch, account, holds=holds, defaults=defaults, now=now)
    failed = [check for check in start.checks if not check.passed and check.name != "window"]
    phones = say_n("{count} phone", "{count} phones", waiting.phones)
    who = joined(", ", (_people(len(waiting.people)), phones))
    if opted_out:
        who += say_n(" ({count} more has opted out)", " ({count} more have opted out)", opted_out)
    if why := [_why(check, batch) for check in failed if check.next_eligible_at is None]:
        return {**answer, "text": say("no calls: {why}; {who} wait", why=joined("; ", why), who=who)}
    at, is_now = start.next_eligible_at, start.may_dial
    until = joined("", (joined("", ("; ", _why(check, batch))) for check in failed))
    if (law := _first_by_law(context, batch, window, waiting, at or now)) is not None:
        if law.next_at is None:
            why_not = law.hours.sentence
            return {**answer, "text": say("no calls: {why}; {who} wait", why=why_not, who=who)}
        if at is not None and law.next_at > at:
            at, is_now = law.next_at, False
            until = joined("", (until, "; ", f"{law.hours.rule}: {law.hours.sentence}"))
    when = moment_text(at, now, window.zone, is_open=is_now)
    return {
        **answer,
        "at": at,
        "timezone": window.zone.key,
        "now": is_now,
        "text": say("first calls {when}, {who}{until}", when=when, who=who, until=until),
    }


def _first_by_law(
    context: HandlerContext, batch: Batch, window: Window, waiting: Waiting, at: datetime
) -> RuleDecision | None:
    """The decision about the number that the calling rules allow first; None: one that no rule is known for.

    Hours and holidays alone: what caps keep back is for ``forecast``, which reads each person's calls.

    Args:
        context: of the packs.
        batch: that starts.
        window: its own hours.
        waiting: with numbers of each country and area.
        at: from when on its own hours and its account allow calls.
    """
    settings, store = batch.call_settings, context.store
    if settings.purpose is None or not waiting.samples:
        return None
    in_force = store.packs.in_force()
    decisions: list[RuleDecision] = []
    for line in waiting.samples.values():
        country = country_of_number(line)
        key = None if country is None else in_force.key_for(country, settings.purpose, settings.pack_variant)
        pack = None if key is None else store.packs.find(key, in_force)
        if country is None or pack is None:
            return None
        person = PersonUnderRules(
            purpose=settings.purpose, packs={country: pack}, lines=frozenset({line}), account=batch.account_id
        )
        decisions.append(person.decide(line, batch=window, at=at, own_key=None))
    return min(decisions, key=lambda one: one.next_at or datetime.max.replace(tzinfo=UTC))


def _why(check: Check, batch: Batch) -> str:
    """Why no call of the batch goes out, and what an operator does about it."""
    remedy = "" if check.reason is None else _REMEDIES.get(check.reason, "")
    shown = joined("", (" (", say(remedy, account=batch.account_id), ")")) if remedy else ""
    masked = mask_prose(check.value)
    # A text without numbers stays translatable.
    value = check.value if masked == check.value else masked
    return joined("", (say(check.name), ": ", value, shown))


def moment_text(at: datetime | None, now: datetime, zone: ZoneInfo, *, is_open: bool) -> str:
    """``now``, ``today 14:00 America/Santiago``, ``tomorrow 09:00 …``, ``on Monday 2026-12-07 09:00 …``."""
    if at is None:
        return say("never within three weeks: see the hours and days")
    if is_open:
        return say("now")
    local, today = at.astimezone(zone), now.astimezone(zone).date()
    days = (local.date() - today).days
    later = say("on {weekday} {day}", weekday=say(_WEEKDAYS[local.weekday()]), day=local.date().isoformat())
    day = {0: say("today"), 1: say("tomorrow")}.get(days, later)
    return joined(" ", (day, f"{local:%H:%M}", zone.key))


def _people(count: int) -> str:
    return say_n("{count} person", "{count} people", count)
