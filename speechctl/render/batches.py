"""The results of commands about one batch as blocks; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from speechaid.protocol.money import RETELL_CURRENCY, money, plain_amount
from speechaid.protocol.translation import N_, say, say_n
from speechctl.render.actions import left_out_line
from speechctl.render.blocks import Block, Heading, Result, table
from speechctl.render.text import (
    as_words,
    counted_words,
    duration,
    erased_text,
    local_time,
    local_time_with_zone,
    pause_text,
)

#: Changes of what is no option, in words, and what they are where there was nothing before.
_NO_OPTIONS: Final = {
    "pinned_version": (N_("the agent's version, pinned for this batch"), N_("none")),
    "amount": (N_("amount paid"), N_("none")),
}
#: How a setting is shown that nobody has set.
_NOT_SET: Final = {
    "hours": N_("none"),
    "days": N_("every day"),
    "ring_timeout": N_("as Retell does"),
    "max_concurrent_calls": N_("no limit"),
}
_SPANS: Final = frozenset({"ring_timeout", "max_call_duration"})
#: Arguments of a command that say which batch it is about, and nothing else.
_WHICH: Final = frozenset({"batch", "filename"})


def batch(result: Result) -> list[Block]:
    """The result of ``batch``."""
    name = f" ({result['name']})" if result.get("name") else ""
    blocks: list[Block] = [
        Heading(text=f"{result['batch_id']}{name}: {batch_state(result)}"),
        say("as of {local_time_with_zone}", local_time_with_zone=local_time_with_zone(result["as_of"])),
    ]
    if result.get("description"):
        blocks.append(str(result["description"]))
    if result.get("fault"):
        blocks.append(say("! it is not dialled: {fault}", fault=result["fault"]))
    if result.get("cancelled") is None:
        first = str(result["first_calls"]["text"])
        blocks.append(first if result["active"] else say("after resume-batch: {first}", first=first))
    jobs = counted_words(result["jobs"])
    cost = money(result["cost"] or 0, RETELL_CURRENCY)
    talked = say(
        "{plain_amount} minutes, {cost} at Retell",
        plain_amount=plain_amount(result["minutes"] or 0),
        cost=cost,
    )
    blocks += [
        say("jobs: {jobs}", jobs=jobs or say("none")),
        say("calls: {live_calls} in progress; {talked}", live_calls=result["live_calls"], talked=talked),
        say(
            "account: {account_id}", account_id=result["account_id"] or say("none, its calls are not metered")
        ),
    ]
    blocks += [_created(result)]
    blocks.append(
        table("settings", "setting value from default", [_setting(row) for row in result["settings"]])
    )
    imports = [
        [
            local_time(row["started_at"]),
            row["file"] or erased_text(row),
            row.get("contacts"),
            _import_end(row),
            row["by"],
        ]
        for row in result["imports"]
    ]
    if imports:
        blocks.append(table("imports", "started file #contacts ended by", imports))
    history = [[local_time(row["at"]), row["actor"], row["command"], _what(row)] for row in result["history"]]
    if history:
        blocks.append(table(say("who did what"), "at who command what", history))
    return blocks


def batch_state(row: Result) -> str:
    """``active``, ``paused by …``, ``cancelled by …: reason``."""
    cancelled = row.get("cancelled")
    if cancelled:
        return pause_text(cancelled, cancelled=True)
    return say("active") if row["active"] else pause_text(row.get("pause"))


def edit_batch(result: Result) -> list[Block]:
    """The result of ``edit-batch``."""
    name = f" ({result['name']})" if result.get("name") else ""
    if not result["changes"]:
        return [say("{batch_id}{name} has these settings already", batch_id=result["batch_id"], name=name)]
    blocks: list[Block] = [
        say(
            "{batch_id}{name}: in force for the next dial, on every host",
            batch_id=result["batch_id"],
            name=name,
        )
    ]
    blocks += change_lines(result)
    if result.get("moved_retries"):
        jobs = say_n("{count} job that waits", "{count} jobs that wait", int(result["moved_retries"]))
        blocks.append(say("{jobs} for a retry moved to the new delay", jobs=jobs))
    if result.get("first_calls"):
        first = str(result["first_calls"]["text"])
        blocks.append(first if result["active"] else say("after resume-batch: {first}", first=first))
    if result.get("warning"):
        blocks.append(f"! {result['warning']}")
    return blocks


def change_lines(result: Result) -> list[Block]:
    """Each change of a setting with its old and new value."""
    return [f"  {change_text(change)}" for change in result.get("changes") or ()]


def redial_batch(result: Result) -> list[Block]:
    """The result of ``redial-batch``."""
    name = f" ({result['source_name']})" if result.get("source_name") else ""
    source = f"{result['source']}{name}"
    tail = left_out_line(result)
    if result["dry_run"]:
        people = say_n("{count} person", "{count} people", int(result["would_add"]))
        return [
            say(
                "{people} of {source} would be called again; nothing was changed",
                people=people,
                source=source,
            ),
            *tail,
        ]
    return [
        say(
            "{batch_id} ({name}), of {source}: {text}",
            batch_id=result["batch_id"],
            name=result["name"],
            source=source,
            text=result["text"],
        ),
        *tail,
    ]


def delete_batch(result: Result) -> list[Block]:
    """The result of ``delete-batch``."""
    name = f" ({result['name']})" if result.get("name") else ""
    if result["dry_run"]:
        contacts = say_n("{count} contact", "{count} contacts", int(result["would_delete"]))
        return [
            say(
                "{batch_id}{name} has {contacts}, none called; nothing was changed",
                batch_id=result["batch_id"],
                name=name,
                contacts=contacts,
            )
        ]
    return [
        say_n(
            "{batch_id}{name} is deleted with {count} contact",
            "{batch_id}{name} is deleted with {count} contacts",
            int(result["deleted"]),
            batch_id=result["batch_id"],
            name=name,
        )
    ]


def _created(result: Result) -> str:
    by = say(" by {created_by}", created_by=result["created_by"]) if result.get("created_by") else ""
    again = result.get("redial") or {}
    of = say("; calls again those of {of}", of=again["of"]) if again.get("of") else ""
    resumed = result.get("resumed") or {}
    started = (
        say("; resumed {at} by {by}", at=local_time(resumed["at"]), by=resumed["by"])
        if resumed.get("at")
        else ""
    )
    return say(
        "created {created_at}{by}{of}{started}",
        created_at=local_time(result["created_at"]),
        by=by,
        of=of,
        started=started,
    )


def _setting(row: Result) -> Sequence[object]:
    source = row["variable"] if row["source"] == "settings" else as_words(row["source"])
    is_own = row["source"] == "batch"
    return [
        row["option"].replace("_", "-"),
        _value(row["option"], row["value"]),
        source,
        _value(row["option"], row["default"]) if is_own else "",
    ]


def _value(option: str, value: object) -> str:
    if value is None:
        return say(_NOT_SET.get(option, "none"))
    if isinstance(value, bool):
        return say("yes") if value else say("no")
    if value in {"yes", "no"}:
        return say(str(value))
    if option in _SPANS and isinstance(value, int | float):
        return duration(value)
    return str(value)


def _import_end(row: Result) -> str:
    if row.get("undone"):
        return say("taken back")
    return local_time(row["finished_at"]) or say("not finished")


def change_text(change: Mapping[str, object]) -> str:
    """A changed setting: ``hours: 09:00-18:00 -> 10:00-18:00``."""
    option = str(change["option"])
    name, unset = _NO_OPTIONS.get(option, (option.replace("_", "-"), N_("default")))
    old, new = (
        say(unset) if change.get(side) is None else _value(option, change[side]) for side in ("old", "new")
    )
    return f"{name}: {old} -> {new}"


def _what(row: Result) -> str:
    outcome = "" if row["outcome"] == "done" else say("refused ({outcome}) ", outcome=row["outcome"])
    if row.get("changes"):
        return outcome + "; ".join(map(change_text, row["changes"]))
    args = row.get("args") or {}
    return outcome + " ".join(f"{name}={value}" for name, value in args.items() if name not in _WHICH)
