"""``report``: the figures of campaigns, of all or of what the filters leave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from speechaid.campaign.day_range import DayRange
from speechaid.campaign.report import shape
from speechaid.campaign.report_markdown import to_markdown
from speechaid.campaign.report_reading import AccountFacts, ReportReading, Scope
from speechaid.commands.account_place import account_place
from speechaid.commands.filters import filter_query
from speechaid.commands.ids import resolve_account, resolve_batch_id
from speechaid.commands.interfaces import CommandRefused, HandlerContext, Invocation, Result
from speechaid.model.account import Account
from speechaid.protocol.messages import ErrorCode
from speechaid.rules.metering import account_zone
from speechaid.store import report_queries
from speechaid.store.connection import Store

#: Accounts that one query reads.
_PORTION: Final = 500


def report(context: HandlerContext, command: Invocation) -> Result:
    """The figures of what the filters leave; on request as Markdown too."""
    args = {name: value for name, value in command.args.items() if name not in {"from", "to", "day"}}
    scope = _scope(context, command.args)
    found = read_report(
        context.store,
        scope,
        calls=filter_query(context, args, "results"),
        jobs=filter_query(context, args, "jobs"),
    )
    names = {name for name in (key.batch_id for key in found.calls) if name} | {
        name for name in found.jobs if name
    }
    shaped = shape(
        found, {batch.batch_id: batch.name for batch in context.store.batches.among(sorted(names))}
    )
    return shaped | ({"markdown": to_markdown(shaped)} if command.args["format"] == "markdown" else {})


def read_report(
    store: Store, scope: Scope, *, calls: Mapping[str, Any], jobs: Mapping[str, Any]
) -> ReportReading:
    """Read what the report counts, each document once; scans collections: for a process of its own.

    Args:
        store: the database.
        scope: of the report.
        calls: the query of its results.
        jobs: the query of its jobs; where the report is of some calls alone, its jobs are theirs.
    """
    found = ReportReading(scope)
    begin, end = _span(scope)
    with closing(report_queries.stream_calls(store, dict(calls), begin, end)) as documents:
        for result in documents:
            found.add_call(result)
    for job in (
        report_queries.stream_jobs_named(store, found.called_jobs)
        if scope.is_of_calls
        else report_queries.stream_jobs(store, dict(jobs))
    ):
        found.add_job(job)
    for job in report_queries.stream_payments(store, dict(jobs), begin, end):
        found.add_payment(job)
    found.finish()
    return found


def _scope(context: HandlerContext, args: Mapping[str, Any]) -> Scope:
    """What the report is about.

    Raises:
        CommandRefused: a filter or a day is not understood, or names nothing.
    """
    batch_id = resolve_batch_id(context.store, args["batch"])
    account = None if args["account"] is None else resolve_account(context.store, args["account"])
    place = account_place(context, batch_id, account)
    default = AccountFacts(zone=ZoneInfo(place.zone), country=place.country)
    known = _all_accounts(context.store) if account is None else [account]
    try:
        scope = Scope(
            at=context.store.now(),
            default=default,
            accounts={one.account_id: _facts(one, default) for one in known},
            days=DayRange.read(day=args["day"], first=args["from"], last=args["to"]),
            batch_id=batch_id,
            account_id=None if account is None else account.account_id,
            agent=args["agent"],
            from_number=args["from_number"],
            number=args["number"],
        )
        _span(scope)
    except ValueError as exc:
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, str(exc)) from exc
    return scope


def _facts(account: Account, default: AccountFacts) -> AccountFacts:
    return AccountFacts(
        zone=account_zone(account, default.zone.key),
        currency=account.currency,
        country=account.country or default.country,
    )


def _all_accounts(store: Store) -> Iterator[Account]:
    last: str | None = None
    while portion := store.accounts.page(_PORTION, last):
        yield from portion
        last = portion[-1].account_id


def _span(scope: Scope) -> tuple[datetime | None, datetime | None]:
    """The moments between which the days of the report lie, whatever the zone.

    Raises:
        ValueError: the last day is before the first.
    """
    zones = {scope.default.zone, *(facts.zone for facts in scope.accounts.values())}
    begins, ends = zip(*(scope.days.span_in(zone, scope.at) for zone in zones), strict=True)
    known_begins, known_ends = [one for one in begins if one], [one for one in ends if one]
    return (
        min(known_begins) if len(known_begins) == len(begins) else None,
        max(known_ends) if len(known_ends) == len(ends) else None,
    )
