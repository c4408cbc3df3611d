"""Reports: figures and graphs of the calls that the address names, and their files."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Response
from starlette.responses import HTMLResponse, StreamingResponse

from speechaid.protocol.report_sheets import report_sheets
from speechaid.protocol.sheets import (
    CsvForm,
    Sheet,
    exported_cells,
    exported_titles,
    write_csv,
    write_workbook,
)
from speechaid.protocol.translation import in_language, say
from speechaid.web.page.campaign_form import to_download
from speechaid.web.page.report_graphs import report_graphs
from speechaid.web.page.visits import Visit, Visiting, needs_grant
from speechaid.web.problems import Problem

router = APIRouter()

#: Seconds for which one report serves all who ask for the same.
_REPORT_SECONDS: Final = 30.0
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_NAMED_DAYS: Final = ("today", "yesterday")


@dataclass(frozen=True)
class Filters:
    """What a report is about, as its address says."""

    day: Annotated[str, Query(max_length=20)] = "today"
    first: Annotated[str, Query(alias="from", max_length=20)] = ""
    last: Annotated[str, Query(alias="to", max_length=20)] = ""
    batch: Annotated[str, Query(max_length=200)] = ""
    account: Annotated[str, Query(max_length=200)] = ""

    @property
    def given(self) -> dict[str, str]:
        """The filters as fields of the form and of addresses."""
        days = {"from": self.first, "to": self.last} if self.first or self.last else {"day": self.day}
        return {
            name: value
            for name, value in {**days, "batch": self.batch, "account": self.account}.items()
            if value
        }

    def faults(self) -> dict[str, str]:
        """What of it is no day."""
        wrong = {
            name: say("This is no day: write it as 2026-11-30.")
            for name, value in (("from", self.first), ("to", self.last))
            if value and not _DAY.fullmatch(value)
        }
        if self.day not in {"", "all", *_NAMED_DAYS} and not _DAY.fullmatch(self.day):
            wrong["from"] = say("This is no day: write it as 2026-11-30.")
        return wrong

    @property
    def query(self) -> str:
        """Behind the question mark of an address."""
        return urlencode(self.given)


Filtered = Annotated[Filters, Depends()]


@router.get("/reports", **needs_grant("report"))
async def show_reports(visit: Visiting, filters: Filtered) -> Response:
    """The figures, once they are added up."""
    faults = filters.faults()
    report, is_late = None, False
    if not faults:
        try:
            report, is_late = await visit.soon(_report(visit, filters), 1.0)
        except Problem as problem:
            faults = {"batch" if "batch" in str(problem.detail) else "": problem.detail}
    return await visit.page(
        "reports.html",
        422 if faults else 200,
        filters=filters,
        given=filters.given,
        report=report,
        graphs={} if report is None else report_graphs(report, visit.language),
        report_is_late=is_late,
        faults=faults,
    )


@router.get("/reports/figures", **needs_grant("report"))
async def show_figures(visit: Visiting, filters: Filtered) -> Response:
    """The figures, however long they take."""
    report = await _report(visit, filters)
    values = {
        "filters": filters,
        "report": report,
        "graphs": report_graphs(report, visit.language),
        "given": filters.given,
    }
    if visit.is_part:
        return HTMLResponse(visit.part("report_figures.html", **values))
    return await visit.page("reports.html", **values, report_is_late=False)


@router.get("/reports/report.xlsx", **needs_grant("report"))
async def download_report(visit: Visiting, filters: Filtered) -> Response:
    """The report as a workbook, in the account's zone."""
    report = await _report(visit, filters)
    sheets = [_translated(sheet, visit.language) for sheet in report_sheets(report)]
    made = io.BytesIO()
    await asyncio.to_thread(write_workbook, "report.xlsx", made, sheets)
    return to_download(f"{say('report')}-{report['at'][:10]}.xlsx", made.getvalue())


@router.get("/reports/calls.csv", **needs_grant("export"))
async def download_calls(visit: Visiting, filters: Filtered) -> Response:
    """Every call of the report with its telephone; who reads them is recorded."""
    args = await _args(visit, filters)
    day = args.pop("day", None)
    if day is not None and _DAY.fullmatch(day):
        args |= {"from": day, "to": day}
    elif day is not None:
        # The report knows in which zone today is.
        report = await _report(visit, filters)
        args |= {"from": report["from"], "to": report["to"]}
    first = await visit.ask("export", {**args, "what": "calls"})
    return StreamingResponse(
        _lines(visit, {**args, "what": "calls"}, first),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="calls.csv"'},
    )


async def _lines(visit: Visit, args: dict[str, Any], page: dict[str, Any]) -> AsyncIterator[bytes]:
    """All pages; where one cannot be had the transfer breaks off, so that no part passes for the whole."""
    form = CsvForm(**page["form"])
    rows: list[list[Any]] = [exported_titles(page)]
    mark = "\ufeff"
    while True:
        rows += (exported_cells(row, page) for row in page["rows"])
        text = io.StringIO(newline="")
        await asyncio.to_thread(write_csv, text, rows, form, line_end="\r\n")
        yield (mark + text.getvalue()).encode()
        if page["next"] is None:
            return
        rows, mark = [], ""
        page = await visit.ask("export", {**args, "after": page["next"]})


async def _args(visit: Visit, filters: Filters) -> dict[str, Any]:
    args: dict[str, Any] = dict(filters.given)
    if args.get("day") == "all":
        del args["day"]
    for kind in ("batch", "account"):
        if kind in args:
            args[kind] = await visit.services.resolve(visit.caller, kind, args[kind])
    return args


async def _report(visit: Visit, filters: Filters) -> dict[str, Any]:
    args = await _args(visit, filters)
    return await visit.share("report", {**args, "format": "json"}, _REPORT_SECONDS)


def _translated(sheet: Sheet, language: str) -> Sheet:
    name, titles, rows = sheet

    def said(cell: Any) -> Any:
        return in_language(cell, language) if isinstance(cell, str) else cell

    return said(name), [said(title) for title in titles], [[said(cell) for cell in row] for row in rows]
