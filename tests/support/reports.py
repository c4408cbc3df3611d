"""A report on a store, without a daemon."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from speechaid.campaign.report import shape
from speechaid.campaign.report_reading import AccountFacts, Scope
from speechaid.commands.report import read_report
from speechaid.store.connection import Store
from speechaid.store.test_calls import of_campaigns

Document = dict[str, Any]


def report_of(
    store: Store, batch_id: str | None, zone: str = "UTC", *, country: str | None = None, **scope: Any
) -> Document:
    """The report of a batch, or of all."""
    query: Document = of_campaigns({} if batch_id is None else {"batch_id": batch_id})
    default = AccountFacts(zone=ZoneInfo(zone), country=country)
    about = Scope(**{"at": store.now(), "default": default, "batch_id": batch_id, **scope})
    found = read_report(store, about, calls=query, jobs=query)
    names = [name for name in found.jobs if name is not None]
    return shape(found, {batch.batch_id: batch.name for batch in store.batches.among(sorted(names))})
