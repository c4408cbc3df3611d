"""``evidence``: each call to a person, with the rule under which it was placed and the hour where it rang.

For those who ask whether a person was called by the law. What a call was placed under is recorded with its
result; a call without a rule was placed before its batch had a purpose, or where no rule is known.
"""

from __future__ import annotations

from datetime import datetime

from speechaid.commands.interfaces import HandlerContext, Invocation, Result
from speechaid.commands.people import describe, the_person
from speechaid.commands.person import account_of
from speechaid.compliance.caps import LedgerEntry
from speechaid.model.masking import mask_phone
from speechaid.model.reading import Document, find_zone, instant, mapping, sequence, text, yes_or_no
from speechaid.model.states import Outcome
from speechaid.store.people import EVIDENCE_FIELDS


def evidence(context: HandlerContext, command: Invocation) -> Result:
    """The calls to the one person of whom was typed, the latest first."""
    limit, account = command.args["limit"], account_of(context, command)
    person, _ = the_person(context, command.args["person"], account)
    calls: list[Document] = []
    if person is not None:
        names = [job.job_id for job in person.jobs]
        calls = context.store.people.calls_of(names, limit + 1, fields=EVIDENCE_FIELDS)
    return {
        "as_of": context.store.now(),
        "person": None if person is None else describe(person),
        "account": account,
        "calls": [_row(call) for call in calls[:limit]],
        "more": len(calls) > limit or (person is not None and person.has_more),
    }


def _row(call: Document) -> Result:
    rule, number = mapping(call.get("calling_rule")), text(mapping(call.get("contact")).get("phone_used"))
    at = instant(call.get("placed_at")) or instant(call.get("created_at"))
    zones = [zone for name in sequence(rule.get("zones")) if (zone := find_zone(str(name))) is not None]
    local = None if at is None or not zones else [at.astimezone(zone).isoformat() for zone in zones]
    return {
        "at": at,
        "local_at": local,
        "zones": [zone.key for zone in zones],
        "phone": None if number is None else mask_phone(number),
        "call_id": call.get("call_id"),
        "job_id": call.get("job_id"),
        "batch_id": call.get("batch_id"),
        "account_id": call.get("account_id"),
        "purpose": text(rule.get("purpose")),
        "rule": text(rule.get("rule")),
        "pack": text(rule.get("pack")),
        "outcome": call.get("outcome") or call.get("call_status"),
        "counts_as": _counts_as(call, at),
    }


def _counts_as(call: Document, at: datetime | None) -> str | None:
    """What the call counts as in caps; None: its time cannot be read."""
    if at is None:
        return None
    outcome = text(call.get("outcome"))
    entry = LedgerEntry(
        key="",
        at=at,
        outcome=Outcome(outcome) if outcome in set(Outcome) else None,
        connected=yes_or_no(call.get("connected")),
    )
    if entry.is_contact:
        return "contact"
    return "attempt" if entry.is_attempt else "nothing"
