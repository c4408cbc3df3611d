"""``report --directory``: one file for each account; no older file is overwritten unless told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from speechaid.protocol.client import Client

#: By the format of the report.
ENDINGS: Final = {"terminal": "txt", "markdown": "md", "json": "json", "xlsx": "xlsx"}
#: Accounts of one page.
_PAGE: Final = 200


class Written(StrEnum):
    """What became of an account's report."""

    WRITTEN = "written"
    REPLACED = "replaced"
    #: A file of that name is there, and stays.
    KEPT = "kept"
    #: Nothing happened in the account on these days: there is no file.
    EMPTY = "empty"


@dataclass(frozen=True, kw_only=True)
class AccountReport:
    """One account's report."""

    #: None: everything, where there is no account.
    account: str | None
    path: Path
    state: Written


def write_reports(
    client: Client,
    args: Mapping[str, Any],
    directory: Path,
    *,
    ending: str,
    replace: bool,
    write: Callable[[Path, dict[str, Any]], None],
    timeout_seconds: float,
) -> Iterator[AccountReport]:
    """Write the report of each account, or of the one that ``args`` names.

    Args:
        client: of the daemon.
        args: of the command.
        directory: where the files are written.
        ending: of their names.
        replace: write anew what is there already.
        write: writes one report to a path.
        timeout_seconds: for each answer.

    Raises:
        OSError: a file cannot be written.
        SheetError: a file cannot be written.
    """
    named = args.get("account")
    names = [named] if named is not None else [*_accounts(client, timeout_seconds)]
    for name in names or [None]:
        report = client.ask("report", {**args, "account": name}, timeout_seconds=timeout_seconds)
        path = directory / f"{_stem(report)}.{ending}"
        state = Written.WRITTEN
        # As it was named when it was asked for: an id may be given by its beginning.
        account = report["account_id"]
        if path.exists() or path.is_symlink():
            state = Written.REPLACED if replace else Written.KEPT
        elif not report["calls"]["total"] and not report["recovered"]["jobs"]:
            state = Written.EMPTY
        if state in {Written.WRITTEN, Written.REPLACED}:
            try:
                write(path, report)
            except FileExistsError:
                state = Written.KEPT
        yield AccountReport(account=account, path=path, state=state)


def _accounts(client: Client, timeout_seconds: float) -> Iterator[str]:
    after: str | None = None
    while True:
        page = client.ask("accounts", {"limit": _PAGE, "after": after}, timeout_seconds=timeout_seconds)
        yield from (row["account_id"] for row in page["accounts"])
        after = page["next"]
        if after is None:
            return


def _stem(report: Mapping[str, Any]) -> str:
    """``report-acme-2026-11-29``; an account's id may hold signs that no file name should have."""
    days = [day for day in dict.fromkeys((report["from"], report["to"])) if day]
    parts = ["report", quote(report["account_id"] or "all", safe=""), *map(str, days or ["everything"])]
    return "-".join(parts)[:200]
