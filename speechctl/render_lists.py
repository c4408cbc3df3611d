"""The do-not-call list, promises and exports for people: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from speechctl.blocks import Block, Heading, grid
from speechctl.words import instant, plural

Result = Mapping[str, Any]
_MOST_SHOWN: Final = 50


def dnc(result: Result) -> list[Block]:
    """The answer to ``dnc``."""
    size = f"{plural(int(result['listed_numbers']), 'number')} on the do-not-call list"
    if "number" not in result:
        return [f"{size}; speechctl export FILE --what dnc writes them down"]
    if not result["listed"]:
        return [f"{result['number']} is not on the list ({size})"]
    job = f", job {result['job']}" if result["job"] else ""
    return [f"{result['number']} is on the list since {instant(result['at'])} ({result['source']}{job})"]


def imports(result: Result) -> list[Block]:
    """The answer to ``imports``."""
    rows = [
        [
            instant(row["started_at"]),
            row["file"],
            row["batch_id"],
            _import_state(row),
            row["imported"],
            row["already_there"],
            row["bad_rows"],
            row["by"],
        ]
        for row in result["imports"]
    ]
    if not rows:
        return ["nothing has been imported yet: speechctl import FILE"]
    blocks: list[Block] = [grid("", "begun file batch state #imported #there_already #bad_rows by", rows)]
    if any(row["state"] == "broke_off" for row in result["imports"]):
        blocks.append("import the same file again with --batch BATCH: what is there already is left out")
    return blocks


def _import_state(row: Result) -> str:
    if row["state"] == "done":
        return f"done {instant(row['finished_at'])}"
    word = "importing" if row["state"] == "importing" else "broke off"
    return f"{word}: {row['done']:,} of {row['of']:,}"


def dnc_add(result: Result) -> list[Block]:
    """The answer to ``dnc-add``."""
    lines: list[Block] = [
        f"{result['number']} was on the list already"
        if result["was_listed"]
        else f"{result['number']} is not called any more, on any host"
    ]
    if result["in_call"]:
        lines.append("it is in a call right now, which goes on: speechctl hang-up JOB ends it")
    return lines


def dnc_remove(result: Result) -> list[Block]:
    """The answer to ``dnc-remove``."""
    done = "may be called again" if result["was_listed"] else "was not on the list"
    return [f"{result['number']} {done}"]


def dnc_import(result: Result) -> list[Block]:
    """The answer to ``dnc-import``."""
    numbers = plural(int(result["numbers"]), "number")
    if result["dry_run"]:
        head = f"{result['file']}: {numbers}, {result['would_add']} of them not listed yet"
    else:
        head = f"{result['file']}: {numbers}, {result['added']} of them new on the list"
    count = int(result["bad_rows_count"])
    lines: list[Block] = [head]
    if count:
        shown = result["bad_rows"][:_MOST_SHOWN]
        lines.append(f"{plural(count, 'line')} without a phone number:")
        lines += [f"  line {row['line']}: {row['reason']}" for row in shown]
        lines += [f"  and {count - len(shown)} more (--json lists them)"] if count > len(shown) else []
    return lines


def promises(result: Result) -> list[Block]:
    """The answer to ``promises``."""
    rows = [
        [
            row["promised_day"] or row["promised_day_as_told"],
            row["promised_amount"] or row["promised_amount_as_told"],
            row["name"],
            row["reference_number"],
            row["debt_amount"],
            row["job_id"],
        ]
        for row in result["promises"]
    ]
    if not rows:
        return ["nobody has promised to pay yet"]
    heading = Heading(text=f"{plural(len(rows), 'promise')} to pay, the soonest first")
    blocks: list[Block] = [heading, grid("", "day #amount name reference #debt job", rows)]
    if len(rows) == result["limit"]:
        blocks.append("there may be more: speechctl export FILE --what promises")
    return blocks


def export(result: Result) -> list[Block]:
    """The answer to ``export``, where a page is shown instead of written."""
    return [grid("", " ".join(result["columns"]), result["rows"])]
