"""The start of a batch: calling hours are required, and one sentence says when the first call goes out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.dialer.context import dialling_defaults
from speechaid.model.batch import Batch
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.text import plural
from speechaid.rules import eligibility, windows
from speechaid.rules.windows import WindowFault
from speechaid.settings import Settings
from speechaid.store.imports import people_and_phones

#: Jobs changed, or read, by one task of the database thread.
_PORTION: Final = 1000

#: Reasons of the pause of a batch that waits for its start; any other pause is an operator's, for a cause.
CREATED_PAUSED: Final = "created paused"
IMPORTED_PAUSED: Final = "imported paused"
IMPORT_GOES_ON: Final = "the import goes on"
NOT_STARTED: Final = "not started"
REDIAL_PAUSED: Final = "a redial, not started"
_BEFORE_START: Final = frozenset(
    {CREATED_PAUSED, IMPORTED_PAUSED, IMPORT_GOES_ON, NOT_STARTED, REDIAL_PAUSED}
)

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
    message = (
        "there are no calling hours, so people would be called day and night: "
        f"{remedy}, or set SPEECHAID_DEFAULT_ALLOWED_HOURS (--hours 00:00-24:00 calls at any time)"
    )
    raise CommandRefused(ErrorCode.REFUSED, message)


def refuse_to_start_paused(batch: Batch) -> None:
    """Refuse to start a batch by an import that an operator has paused for a cause, or cancelled."""
    pause = batch.pause or {}
    if batch.is_active or (pause.get("reason") in _BEFORE_START and batch.cancelled is None):
        return
    by = f" by {pause['by']}" if pause.get("by") else ""
    reason = f": {pause['reason']}" if pause.get("reason") else ""
    message = f"batch {batch.batch_id} is paused{by}{reason}; leave out --start: resume-batch starts it"
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


def count_waiting(context: HandlerContext, batch_id: str, finish: Finish) -> Result | Continue:
    """Count people and phones that wait in the batch, in portions; finish with ``first_calls``."""
    rows = context.store.imports.waiting_jobs(batch_id)
    people: set[object] = set()
    phones = 0

    def step(context: HandlerContext) -> Result | Continue:
        nonlocal phones
        chunk = list(itertools.islice(rows, _PORTION))
        phones += people_and_phones(chunk, people)
        if len(chunk) == _PORTION:
            return Continue(after_seconds=0.0, step=step)
        return finish(context, say_first_calls(context, batch_id, len(people), phones))

    return step(context)


def say_first_calls(context: HandlerContext, batch_id: str, people: int, phones: int) -> Result:
    """``first_calls``, of people and phones that were counted."""
    batch = context.store.batches.get(batch_id)
    return {"first_calls": _first_calls(context, batch, people, phones)}


def _first_calls(context: HandlerContext, batch: Batch, people: int, phones: int) -> Result:
    """When the first call goes out (None: never under these settings), to how many people and phones."""
    account = None if batch.account_id is None else context.store.accounts.find(batch.account_id)
    defaults = dialling_defaults(context.settings)
    window = eligibility.window_for(batch, account.timezone if account else None, defaults)
    counts = {"people": people, "phones": phones}
    if isinstance(window, WindowFault):
        text = f"no calls: {window.sentence}"
        return {**counts, "at": None, "timezone": None, "now": False, "text": text}
    if not has_hours(batch, context.settings):
        text = f"it has no calling hours yet; resume-batch {batch.batch_id} --hours 09:00-19:00 starts it"
        return {**counts, "at": None, "timezone": None, "now": False, "text": text}
    now = context.store.now()
    at = windows.next_opening(window, now)
    is_open = windows.is_open(window, now)
    when = moment_text(at, now, window.zone, is_open=is_open)
    held = "; dialling is held (unhold)" if context.store.holds.find_hold() is not None else ""
    return {
        **counts,
        "at": at,
        "timezone": window.zone.key,
        "now": is_open,
        "text": f"first calls {when}, {_people(people)}, {plural(phones, 'phone')}{held}",
    }


def moment_text(at: datetime | None, now: datetime, zone: ZoneInfo, *, is_open: bool) -> str:
    """``now``, ``today 14:00 America/Santiago``, ``tomorrow 09:00 …``, ``on Monday 2026-12-07 09:00 …``."""
    if at is None:
        return "never within three weeks: see the hours and days"
    if is_open:
        return "now"
    local, today = at.astimezone(zone), now.astimezone(zone).date()
    days = (local.date() - today).days
    day = {0: "today", 1: "tomorrow"}.get(days, f"on {local:%A %Y-%m-%d}")
    return f"{day} {local:%H:%M} {zone.key}"


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"
