"""The do-not-call list, imports, promises, exports, keys and ids as blocks; pure."""

from __future__ import annotations

from typing import Final

from speechctl.render.blocks import Block, Heading, Result, table
from speechctl.render.text import erased_text, local_time, plural, zone_name

_MAX_SHOWN: Final = 50
#: Why a number stays when a person is taken off the list.
_KEPT: Final = {
    "another person": "another person who opted out has it, too",
    "itself": "it is listed for itself, too",
}


def dnc(result: Result) -> list[Block]:
    """The result of ``dnc``."""
    people = int(result.get("listed_people") or 0)
    and_people = f" and {plural(people, 'person', 'people')}" if people else ""
    size = f"{plural(int(result['listed_numbers']), 'number')}{and_people} on the do-not-call list"
    if "number" not in result:
        return [f"{size}; speechctl export FILE --what dnc writes it to a file"]
    if not result["listed"]:
        return [f"{result['number']} is not on the list ({size})"]
    job = f", job {result['job']}" if result["job"] else ""
    numbers = f", with {', '.join(result['numbers'])}" if result.get("numbers") else ""
    since = f"since {local_time(result['at'])} ({result['source']}{job})"
    return [f"{result['number']} is on the list {since}{numbers}"]


def imports(result: Result) -> list[Block]:
    """The result of ``imports``."""
    rows = [
        [
            local_time(row["started_at"]),
            row.get("import_id"),
            row["file"] or erased_text(row),
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
    title = f"times in {zone_name()}"
    blocks: list[Block] = [
        table(title, "started import file batch state #imported #already_there #bad_rows by", rows)
    ]
    if any(row["state"] == "broke_off" for row in result["imports"]):
        blocks.append("import the same file again with --batch BATCH: contacts already there are skipped")
    return blocks


def _import_state(row: Result) -> str:
    if row["state"] == "done":
        return f"done {local_time(row['finished_at'])}"
    if row["state"] == "undone":
        return "taken back"
    state = "importing" if row["state"] == "importing" else "interrupted"
    return state if row["done"] is None else f"{state}: {row['done']:,} of {row['of']:,}"


def dnc_add(result: Result) -> list[Block]:
    """The result of ``dnc-add``."""
    numbers = " and ".join(result["numbers"])
    lines: list[Block] = [
        f"{numbers} {'were' if len(result['numbers']) > 1 else 'was'} already on the list"
        if result["was_listed"]
        else f"{numbers} will not be called again, on any host"
    ]
    if not result["valid"]:
        several = "each form in which it could be dialled" if len(result["numbers"]) > 1 else "as written"
        lines.append(
            f"no numbering plan has this number: it is listed {several}; with the right number, add that too"
        )
    if result["in_call"]:
        lines.append("it is in a call right now, which continues: speechctl hang-up JOB ends it")
    return lines


def dnc_remove(result: Result) -> list[Block]:
    """The result of ``dnc-remove``."""
    change = "may be called again" if result["was_listed"] else "was not on the list"
    numbers = f", and so may {', '.join(result['numbers'])}" if result.get("numbers") else ""
    kept = [
        f"{row['number']} stays on the list: {_KEPT[row['listed_for']]}" for row in result.get("kept", [])
    ]
    return [f"{result['number']} {change}{numbers}", *kept]


def dnc_import(result: Result) -> list[Block]:
    """The result of ``dnc-import``."""
    numbers = plural(int(result["numbers"]), "number")
    if result["dry_run"]:
        head = f"{result['file']}: {numbers}, {result['would_add']} of them not listed yet"
    else:
        head = f"{result['file']}: {numbers}, {result['added']} of them new on the list"
    count = int(result["bad_rows_count"])
    lines: list[Block] = [head]
    if count:
        shown = result["bad_rows"][:_MAX_SHOWN]
        lines.append(f"{plural(count, 'line')} without a phone number:")
        lines += [f"  line {row['line']}: {row['reason']}" for row in shown]
        lines += [f"  and {count - len(shown)} more (--json lists them)"] if count > len(shown) else []
    return lines


def _with_code(amount: object, currency: object) -> object:
    return f"{amount} {currency}" if amount and currency else amount


def promises(result: Result) -> list[Block]:
    """The result of ``promises``."""
    rows = [
        [
            row["promised_day"] or row["promised_day_as_told"],
            _with_code(row["promised_amount"], row.get("promised_currency"))
            or row["promised_amount_as_told"],
            row["name"],
            row["reference_number"],
            _with_code(row["debt_amount"], row.get("currency")),
            row["job_id"],
        ]
        for row in result["promises"]
    ]
    if not rows:
        return ["there are no promises to pay yet"]
    heading = Heading(text=f"{plural(len(rows), 'promise')} to pay, the soonest first")
    blocks: list[Block] = [heading, table("", "day #amount name reference #debt job", rows)]
    if len(rows) == result["limit"]:
        blocks.append("there may be more: speechctl export FILE --what promises")
    return blocks


def export(result: Result) -> list[Block]:
    """One page of ``export``, shown instead of written to a file."""
    return [table("", " ".join(result["columns"]), result["rows"])]


def keys(result: Result) -> list[Block]:
    """The result of ``keys``."""
    if "clients" in result:
        rows = [[row["name"], row["access"], row["public"]] for row in result["clients"]]
        head = f"server key {result['server']} in {result['directory']}"
        return [head, table("", "client access key", rows)] if rows else [head, "no client has access yet"]
    if "key_file" in result:
        head = f"{result['client']} has {result['access']} access; its key file is {result['key_file']}"
        return [head, "send the file by a secure channel: it works like a password", result["next"]]
    if "revoked" in result:
        return [f"the access of {result['revoked']} is revoked", result["next"]]
    return [f"created {result['made']}", result["next"]]


def ids(result: Result) -> list[Block]:
    """The result of ``ids``, one a line."""
    return list(result["ids"])
