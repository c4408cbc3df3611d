"""The do-not-call list, imports, promises, exports, keys and ids as blocks; pure."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.money import plain_amount, price
from speechaid.protocol.translation import N_, say, say_n
from speechctl.render.blocks import Block, Heading, Result, table
from speechctl.render.text import erased_text, local_day, local_time, zone_name

_MAX_SHOWN: Final = 50
#: Why a number stays when a person is taken off the list.
_KEPT: Final = {
    "another person": N_("another person who opted out has it, too"),
    "itself": N_("it is listed for itself, too"),
}


def dnc(result: Result) -> list[Block]:
    """The result of ``dnc``."""
    people = int(result.get("listed_people") or 0)
    and_people = say_n(" and {count} person", " and {count} people", people) if people else ""
    size = say_n(
        "{count} number{and_people} on the do-not-call list",
        "{count} numbers{and_people} on the do-not-call list",
        int(result["listed_numbers"]),
        and_people=and_people,
    )
    if "number" not in result:
        return [say("{size}; speechctl export FILE --what dnc writes it to a file", size=size)]
    if not result["listed"]:
        return [say("{number} is not on the list ({size})", number=result["number"], size=size)]
    job = say(", job {job}", job=result["job"]) if result["job"] else ""
    numbers = say(", with {numbers}", numbers=", ".join(result["numbers"])) if result.get("numbers") else ""
    since = say("since {at} ({source}{job})", at=local_time(result["at"]), source=result["source"], job=job)
    return [
        say("{number} is on the list {since}{numbers}", number=result["number"], since=since, numbers=numbers)
    ]


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
        return [say("nothing has been imported yet: speechctl import FILE")]
    title = say("times in {zone_name}", zone_name=zone_name())
    blocks: list[Block] = [
        table(title, "started import file batch state #imported #already_there #bad_rows by", rows)
    ]
    if any(row["state"] == "broke_off" for row in result["imports"]):
        blocks.append(
            say("import the same file again with --batch BATCH: contacts already there are skipped")
        )
    return blocks


def _import_state(row: Result) -> str:
    if row["state"] == "done":
        return say("done {finished_at}", finished_at=local_time(row["finished_at"]))
    if row["state"] == "undone":
        return say("taken back")
    state = say("importing") if row["state"] == "importing" else say("interrupted")
    return (
        state
        if row["done"] is None
        else say("{state}: {done:,} of {of:,}", state=state, done=row["done"], of=row["of"])
    )


def dnc_add(result: Result) -> list[Block]:
    """The result of ``dnc-add``."""
    numbers = say(" and ").join(result["numbers"])
    lines: list[Block] = [
        (
            say("{numbers} were already on the list", numbers=numbers)
            if len(result["numbers"]) > 1
            else say("{numbers} was already on the list", numbers=numbers)
        )
        if result["was_listed"]
        else say("{numbers} will not be called again, on any host", numbers=numbers)
    ]
    if not result["valid"]:
        several = (
            say("each form in which it could be dialled") if len(result["numbers"]) > 1 else say("as written")
        )
        lines.append(
            say(
                "no numbering plan has this number: it is listed {several}; with the right number,"
                " add that too",
                several=several,
            )
        )
    if result["in_call"]:
        lines.append(say("it is in a call right now, which continues: speechctl hang-up JOB ends it"))
    return lines


def dnc_remove(result: Result) -> list[Block]:
    """The result of ``dnc-remove``."""
    number, numbers = result["number"], ", ".join(result.get("numbers") or [])
    if not result["was_listed"]:
        change = say("{number} was not on the list", number=number)
    elif numbers:
        change = say("{number} may be called again, and so may {numbers}", number=number, numbers=numbers)
    else:
        change = say("{number} may be called again", number=number)
    kept = [
        say("{number} stays on the list: {why}", number=row["number"], why=say(_KEPT[row["listed_for"]]))
        for row in result.get("kept", [])
    ]
    return [change, *kept]


def dnc_import(result: Result) -> list[Block]:
    """The result of ``dnc-import``."""
    numbers = say_n("{count} number", "{count} numbers", int(result["numbers"]))
    if result["dry_run"]:
        head = say(
            "{file}: {numbers}, {would_add} of them not listed yet",
            file=result["file"],
            numbers=numbers,
            would_add=result["would_add"],
        )
    else:
        head = say(
            "{file}: {numbers}, {added} of them new on the list",
            file=result["file"],
            numbers=numbers,
            added=result["added"],
        )
    count = int(result["bad_rows_count"])
    lines: list[Block] = [head]
    if count:
        shown = result["bad_rows"][:_MAX_SHOWN]
        lines.append(
            say_n("{count} line without a phone number:", "{count} lines without a phone number:", count)
        )
        lines += [say("  line {line}: {reason}", line=row["line"], reason=row["reason"]) for row in shown]
        lines += (
            [say("  and {number} more (--json lists them)", number=count - len(shown))]
            if count > len(shown)
            else []
        )
    return lines


def _with_code(amount: object, currency: object) -> object:
    """An amount as people read it; one that a file has as text stays as it is."""
    if isinstance(amount, int | float):
        return price(amount, str(currency)) if currency else plain_amount(amount)
    return f"{amount} {currency}" if amount and currency else amount


def promises(result: Result) -> list[Block]:
    """The result of ``promises``."""
    rows = [
        [
            local_day(row["promised_day"]) or row["promised_day_as_told"],
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
        return [say("there are no promises to pay yet")]
    heading = Heading(
        text=say_n(
            "{count} promise to pay, the soonest first",
            "{count} promises to pay, the soonest first",
            len(rows),
        )
    )
    blocks: list[Block] = [heading, table("", "day #amount name reference #debt job", rows)]
    if len(rows) == result["limit"]:
        blocks.append(say("there may be more: speechctl export FILE --what promises"))
    return blocks


def export(result: Result) -> list[Block]:
    """One page of ``export``, shown instead of written to a file."""
    return [table("", " ".join(result["columns"]), result["rows"])]


def keys(result: Result) -> list[Block]:
    """The result of ``keys``."""
    if "clients" in result:
        rows = [[row["name"], row["access"], row["public"]] for row in result["clients"]]
        head = say(
            "server key {server} in {directory}", server=result["server"], directory=result["directory"]
        )
        return (
            [head, table("", "client access key", rows)] if rows else [head, say("no client has access yet")]
        )
    if "key_file" in result:
        head = say(
            "{client} has {access} access; its key file is {key_file}",
            client=result["client"],
            access=result["access"],
            key_file=result["key_file"],
        )
        return [head, say("send the file by a secure channel: it works like a password"), result["next"]]
    if "revoked" in result:
        return [say("the access of {revoked} is revoked", revoked=result["revoked"]), result["next"]]
    return [say("created {made}", made=result["made"]), result["next"]]


def ids(result: Result) -> list[Block]:
    """The result of ``ids``, one a line."""
    return list(result["ids"])
