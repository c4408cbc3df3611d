"""``batch``: one batch with its settings and where each comes from, counts, cost, imports and history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from speechaid.commands.batch_fields import DESCRIPTION, OPTIONS, days_text
from speechaid.commands.batch_start import count_waiting
from speechaid.commands.batches import batch_faults
from speechaid.commands.ids import resolve_batch
from speechaid.commands.interfaces import Continue, HandlerContext, Invocation, Result
from speechaid.commands.jobs import erased_fields
from speechaid.commands.options import shown_value, stored_value
from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.reading import Document, number
from speechaid.model.states import Priority, counts_by_status
from speechaid.protocol.money import exact_amount
from speechaid.protocol.translation import say
from speechaid.settings import Settings

#: Imports and commands that the answer has, the latest.
_IMPORTS: Final = 20
_COMMANDS: Final = 50
_IMPORT_FIELDS: Final = ("file", "by", "started_at", "finished_at", "contacts", "undone")
_COMMAND_FIELDS: Final = ("at", "actor", "command", "outcome", "args", "changes")


@dataclass(frozen=True, kw_only=True)
class _Default:
    """What applies where the batch says nothing, and where that comes from."""

    value: object
    #: ``account``, ``settings``, or ``default``: what holds where nobody says anything.
    source: str
    #: The environment variables, where it comes from the settings.
    variable: str | None = None


def batch(context: HandlerContext, command: Invocation) -> Result | Continue:
    """Everything about one batch; the people who wait are counted in portions."""
    found = resolve_batch(context.store, command.args["batch"])

    def finish(context: HandlerContext, first: Result) -> Result:
        return _answer(context, context.store.batches.get(found.batch_id)) | first

    return count_waiting(context, found.batch_id, finish)


def _answer(context: HandlerContext, batch: Batch) -> Result:
    document = batch.document
    return {
        "as_of": context.store.now(),
        "batch_id": batch.batch_id,
        "name": batch.name,
        "description": shown_value(document, DESCRIPTION),
        "account_id": batch.account_id,
        "active": batch.is_active,
        "pause": batch.pause,
        "cancelled": batch.cancelled,
        "resumed": document.get("resumed"),
        "created_at": document.get("created_at"),
        "created_by": document.get("created_by"),
        "redial": document.get("redial"),
        "fault": batch_faults(context, [batch]).get(batch.batch_id),
        "settings": settings_rows(context, batch),
        "jobs": counts_by_status(context.store.jobs.counts(batch.batch_id)),
        "live_calls": context.store.jobs.open_dials(batch.batch_id).live_calls,
        "cost": _sum(document, "total_cost"),
        "minutes": _sum(document, "total_minutes"),
        "imports": [
            {
                "import_id": str(record["_id"]),
                **{name: record.get(name) for name in _IMPORT_FIELDS},
                **erased_fields(record),
            }
            for record in context.store.imports.of_batch(batch.batch_id, _IMPORTS)
        ],
        "history": [
            {name: line[name] for name in _COMMAND_FIELDS if name in line}
            for line in reversed(context.store.logs.of_batch(batch.batch_id, _COMMANDS))
        ],
    }


def _sum(document: Document, name: str) -> float | None:
    """A sum of the batch's calls without binary residue; None where it has none."""
    found = number(document.get(name))
    return None if found is None else float(exact_amount(found))


def settings_rows(context: HandlerContext, batch: Batch) -> list[Result]:
    """Each setting with the value in force, its source, and the default that ``--unset`` would restore."""
    account = None if batch.account_id is None else context.store.accounts.find(batch.account_id)
    defaults = defaults_of(context.settings, account)
    rows = []
    for option in OPTIONS:
        default = defaults.get(option.name)
        if default is None:
            continue
        is_own = stored_value(batch.document, option) is not None
        rows.append(
            {
                "option": option.name,
                "value": shown_value(batch.document, option) if is_own else default.value,
                "source": "batch" if is_own else default.source,
                "variable": None if is_own else default.variable,
                "default": default.value,
                "default_source": default.source,
            }
        )
    return rows


def defaults_of(settings: Settings, account: Account | None) -> dict[str, _Default]:
    """What applies where a batch says nothing, by option, as an operator would type it if possible.

    The name, the description and the account are no settings with a default, and have no row.
    """
    dialling, worker, call = settings.dialling, settings.worker, settings.call
    hours = dialling.default_allowed_hours
    days = dialling.default_days
    return {
        "country": _of_account(
            account and account.country, dialling.default_country, "SPEECHAID_DEFAULT_COUNTRY"
        ),
        "priority": _Default(value=Priority.NORMAL.name.lower(), source="default"),
        "hours": _setting(
            None if hours is None else f"{hours.start}-{hours.end}", "SPEECHAID_DEFAULT_ALLOWED_HOURS"
        ),
        "days": _setting(None if days is None else days_text(days), "SPEECHAID_DEFAULT_DAYS"),
        "timezone": _of_account(
            account and account.timezone, dialling.default_timezone, "SPEECHAID_DEFAULT_TIMEZONE"
        ),
        "start_at": _Default(value=None, source="default"),
        "max_attempts": _setting(worker.max_attempts, "MAX_ATTEMPTS"),
        "retry_delay_hours": _setting(
            say(
                "{retry_delay_minutes:g} min, {no_answer_retry_minutes:g} min after no answer",
                retry_delay_minutes=worker.retry_delay_minutes,
                no_answer_retry_minutes=call.no_answer_retry_minutes,
            ),
            say("RETRY_DELAY_MINUTES, NO_ANSWER_RETRY_MINUTES"),
        ),
        "ring_timeout": _Default(value=None, source="default"),
        "max_call_duration": _setting(call.max_duration_minutes * 60, "CALL_MAX_DURATION_MINUTES"),
        "max_concurrent_calls": _Default(value=None, source="default"),
        "voicemail_counts": _setting(call.voicemail_counts, "SPEECHAID_VOICEMAIL_COUNTS"),
        "agent": _setting(settings.retell.agent_id, "RETELL_AGENT_ID"),
        "agent_version": _Default(value=None, source="default"),
        "from_number": _setting(settings.retell.from_number, "RETELL_FROM_NUMBER"),
        "language": _Default(value=None, source="default"),
        "voicemail_option": _Default(value="agent", source="default"),
        "dnc_detection": _Default(value="yes", source="default"),
        "purpose": _Default(value=None, source="default"),
        "pack_variant": _Default(value=None, source="default"),
    }


def _setting(value: Any, variable: str) -> _Default:
    return _Default(value=value, source="settings", variable=variable)


def _of_account(value: object, default: object, variable: str) -> _Default:
    return _setting(default, variable) if value is None else _Default(value=value, source="account")
