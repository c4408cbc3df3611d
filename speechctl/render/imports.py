"""The results of ``import`` and ``undo-import``."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.translation import N_, say, say_n
from speechctl.render.agents import own_agent
from speechctl.render.blocks import Block, Heading, Result, table
from speechctl.render.text import as_words, erased_text, local_time

#: Rows shown one by one; --json has all.
_MAX_SHOWN: Final = 50
#: Known people that are named one by one.
_MAX_NAMED: Final = 10
#: The states of known people, in words.
_KNOWN_AS: Final = {
    "waiting": N_("waiting for a call"),
    "reached": N_("reached lately"),
    "called": N_("called lately"),
    "paid": N_("paid lately"),
    "opted_out": N_("on the do-not-call list as a person"),
    "shared": N_("with no number but that of three people or more (--accept shared)"),
}


def contacts_import(result: Result) -> list[Block]:
    """The result of ``import``: in a dry run with the columns and what was read."""
    if result.get("preview"):
        return _preview(result["preview"])
    blocks: list[Block] = [_head(result)]
    if result.get("first_calls"):
        blocks.append(_first_calls(result))
    blocks += [
        f"! {result[name]}" for name in ("warning", "name_remark", "agent_warning") if result.get(name)
    ]
    blocks += own_agent(result.get("agent"))
    blocks += _read(result)
    blocks += _columns(result)
    blocks += _known(result)
    blocks += _bad_rows(result)
    return [*blocks, *_remarks(result)]


def undo_import(result: Result) -> list[Block]:
    """The result of ``undo-import``."""
    name = f"{result['import_id']} ({result['file'] or erased_text(result)})"
    if result["dry_run"]:
        contacts = say_n("{count} contact", "{count} contacts", int(result["would_delete"]))
        return [
            say(
                "{name}: {contacts} would be deleted from {batch_id}",
                name=name,
                contacts=contacts,
                batch_id=result["batch_id"],
            )
        ]
    batch = say(", and the batch, which was made by it") if result["batch_deleted"] else ""
    contacts = say_n("{count} contact", "{count} contacts", int(result["deleted"]))
    lines: list[Block] = [
        say(
            "{name}: {contacts} deleted from {batch_id}{batch}",
            name=name,
            contacts=contacts,
            batch_id=result["batch_id"],
            batch=batch,
        )
    ]
    if result["left"]:
        lines.append(
            say_n(
                "! {count} contact stay: a worker took them meanwhile",
                "! {count} contacts stay: a worker took them meanwhile",
                int(result["left"]),
            )
        )
    return lines


def _head(result: Result) -> str:
    there = (
        say("; {already_there} were already there", already_there=result["already_there"])
        if result["already_there"]
        else ""
    )
    if result.get("left_out"):
        there += say_n(
            "; {count} known person left out", "; {count} known people left out", int(result["left_out"])
        )
    if result["dry_run"]:
        return say_n(
            "{file}: {count} contact would be imported{there}",
            "{file}: {count} contacts would be imported{there}",
            int(result["would_import"]),
            file=result["file"],
            there=there,
        )
    name = result.get("name")
    batch = f"{result['batch_id']} ({name})" if name else str(result["batch_id"])
    head = say_n(
        "{batch}: {count} contact imported{there}",
        "{batch}: {count} contacts imported{there}",
        int(result["imported"]),
        batch=batch,
        there=there,
    )
    return head if result["active"] else say("{head} (paused; resume-batch starts it)", head=head)


def _first_calls(result: Result) -> str:
    calls = str(result["first_calls"]["text"])
    if not result.get("waits_for_start"):
        return calls
    if result["first_calls"]["at"] is None:
        return say("nobody is called: {calls}", calls=calls)
    return say(
        "nobody is called before speechctl resume-batch {batch_id} (started now: {calls})",
        batch_id=result["batch_id"],
        calls=calls,
    )


def _read(result: Result) -> list[Block]:
    """Which part of the file was read, where a reader could think otherwise."""
    read = result.get("read")
    if not read:
        return []
    parts = []
    if read["sheet"] is not None:
        parts.append(say("sheet {sheet!r}", sheet=read["sheet"]))
    if read["encoding"] is not None:
        parts.append(str(read["encoding"]))
    parts.append(say("titles on line {header_row}", header_row=read["header_row"]))
    lines: list[Block] = [say("read: {parts}", parts=", ".join(parts))]
    unread = []
    if read["other_sheets"]:
        unread.append(
            say("sheets {other_sheets} (--sheet NAME)", other_sheets=", ".join(read["other_sheets"]))
        )
    if read["lines_above"]:
        unread.append(
            say_n(
                "{count} line above the titles (--header-row N)",
                "{count} lines above the titles (--header-row N)",
                int(read["lines_above"]),
            )
        )
    if read["hidden_rows"]:
        unread.append(
            say_n(
                "{count} hidden row (--with-hidden-rows)",
                "{count} hidden rows (--with-hidden-rows)",
                int(read["hidden_rows"]),
            )
        )
    return [*lines, *([say("not read: {unread}", unread=", ".join(unread))] if unread else [])]


def _columns(result: Result) -> list[Block]:
    """Each column, in a dry run; otherwise only what an earlier mapping has changed."""
    blocks: list[Block] = []
    kept = result.get("kept_mapping")
    if kept:
        columns = ", ".join(f"{title}={role}" for title, role in kept.items())
        blocks.append(
            say(
                "as you said for an earlier file with these titles: {columns} (--map changes it)",
                columns=columns,
            )
        )
    if not result["dry_run"] or not result.get("columns"):
        return blocks
    rows = [
        [
            column["position"],
            column["title"],
            _meaning(column),
            say(column["why"]),
            " | ".join(column["values"]),
        ]
        for column in result["columns"]
    ]
    return [*blocks, table("columns", "# title taken_for why first_values", rows)]


def _meaning(column: Result) -> str:
    if column["role"] == "variable":
        placeholder = f"{{{{{column['variable']}}}}}"
        return say("variable {variable}", variable=placeholder)
    return as_words(column["role"])


def _known(result: Result) -> list[Block]:
    blocks: list[Block] = []
    same = result.get("same_file")
    if same:
        blocks.append(
            say(
                "! the same file is in {batch_id} already, imported {at} by {by}: --duplicates keep"
                " imports it once more",
                batch_id=same["batch_id"],
                at=local_time(same["at"]),
                by=same["by"],
            )
        )
    known = result.get("known") or {"counts": {}, "people": []}
    if not known["counts"]:
        return blocks
    counts = dict(known["counts"])
    listed = {state: counts.pop(state) for state in ("opted_out", "shared") if state in counts}
    # Who is on the list is left out in any case; the others all are, or none is.
    if int(result.get("left_out") or 0) > sum(listed.values()):
        done = say("left out (--duplicates keep imports them)")
    else:
        done = say("would be imported all the same") if result["dry_run"] else say("imported all the same")
    return [*blocks, *_known_group(done, counts, known), *_known_group(say("left out"), listed, known)]


def _known_group(done: str, counts: dict[str, int], known: Result) -> list[Block]:
    """The known people of some states, with what became of them; the first are named."""
    if not counts:
        return []
    texts = ", ".join(f"{count} {say(_KNOWN_AS.get(state, state))}" for state, count in counts.items())
    people = [person for person in known["people"] if person["state"] in counts][:_MAX_NAMED]
    blocks: list[Block] = [say("known in the account, {done}: {texts}:", done=done, texts=texts)]
    blocks += [
        say(
            "  line {line}: {state}",
            line=person["line"],
            state=say(_KNOWN_AS.get(person["state"], person["state"])),
        )
        + (
            say(", job {job_id} of {batch_id}", job_id=person["job_id"], batch_id=person["batch_id"])
            if person["job_id"]
            else ""
        )
        for person in people
    ]
    more = sum(counts.values()) - len(people)
    return [*blocks, say("  and {more} more (--json lists them)", more=more)] if more > 0 else blocks


def _bad_rows(result: Result) -> list[Block]:
    count, rows = int(result["bad_rows_count"]), result["bad_rows"][:_MAX_SHOWN]
    blocks: list[Block] = []
    if count:
        blocks.append(say_n("{count} bad row, not imported:", "{count} bad rows, not imported:", count))
        blocks += [say("  line {line}: {reason}", line=row["line"], reason=row["reason"]) for row in rows]
        if count > len(rows):
            blocks.append(
                say("  and {number} more (--bad-rows FILE writes all to a file)", number=count - len(rows))
            )
    blocks += [
        say_n(
            "  {option} keeps {count} of these rows: {meaning}",
            "  {option} keeps {count} of these rows: {meaning}",
            int(kind["count"]),
            option=kind["option"],
            meaning=kind["meaning"],
        )
        for kind in result.get("bad_rows_by_kind", ())
    ]
    if count and result.get("bad_rows_file"):
        batch = say(" with --batch {batch_id}", batch_id=result["batch_id"]) if result.get("batch_id") else ""
        file = result["bad_rows_file"]
        blocks.append(
            say(
                "bad rows are written to {file}: correct them and import that file{batch}",
                file=file,
                batch=batch,
            )
        )
    return blocks


def _remarks(result: Result) -> list[Block]:
    """The remarks by kind; one by one only where there are few."""
    count = int(result["remarks_count"])
    if not count:
        return []
    blocks: list[Block] = [f"{say_n('{count} remark', '{count} remarks', count)}:"]
    kinds = result.get("remarks_by_kind")
    if count <= _MAX_NAMED or not kinds:
        blocks += [
            say("  line {line}: {text}", line=row["line"], text=row["text"])
            for row in result["remarks"][:_MAX_SHOWN]
        ]
    else:
        blocks += [
            say(
                "  {number} {kind}: {meaning}; line {line}: {example}",
                number=kind["count"],
                kind=kind["kind"],
                meaning=kind["meaning"],
                line=kind["line"],
                example=kind["example"],
            )
            for kind in kinds
        ]
        blocks.append(say("  (--json lists them)"))
    options = [str(kind["option"]) for kind in kinds or () if kind["option"]]
    return (
        [*blocks, say("  to change it: {options}, --remarks-are-bad", options=", ".join(options))]
        if options
        else blocks
    )


def _preview(preview: Result) -> list[Block]:
    blocks: list[Block] = [Heading(text=say("line {line}", line=preview["line"]))]
    if "bad" in preview:
        return [*blocks, say("not imported: {bad}", bad=preview["bad"])]
    rows = sorted(preview["variables"].items())
    return [
        *blocks,
        say("dialled in this order: {phones}", phones=", ".join(preview["phones"])),
        *(say("remark: {text}", text=text) for text in preview["remarks"]),
        table(say("variables, as the agent gets them"), "name value", rows),
    ]
