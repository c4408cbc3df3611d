"""The results of ``import`` and ``undo-import``."""

from __future__ import annotations

from typing import Final

from speechctl.render.agents import own_agent
from speechctl.render.blocks import Block, Heading, Result, table
from speechctl.render.text import erased_text, local_time, plural

#: Rows shown one by one; --json has all.
_MAX_SHOWN: Final = 50
#: Known people that are named one by one.
_MAX_NAMED: Final = 10
#: The states of known people, in words.
_KNOWN_AS: Final = {
    "waiting": "waiting for a call",
    "reached": "reached lately",
    "called": "called lately",
    "paid": "paid lately",
    "opted_out": "on the do-not-call list as a person",
    "shared": "with no number but that of three people or more (--accept shared)",
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
        contacts = plural(int(result["would_delete"]), "contact")
        return [f"{name}: {contacts} would be deleted from {result['batch_id']}"]
    batch = ", and the batch, which was made by it" if result["batch_deleted"] else ""
    contacts = plural(int(result["deleted"]), "contact")
    lines: list[Block] = [f"{name}: {contacts} deleted from {result['batch_id']}{batch}"]
    if result["left"]:
        lines.append(f"! {plural(int(result['left']), 'contact')} stay: a worker took them meanwhile")
    return lines


def _head(result: Result) -> str:
    there = f"; {result['already_there']} were already there" if result["already_there"] else ""
    if result.get("left_out"):
        there += f"; {plural(int(result['left_out']), 'known person', 'known people')} left out"
    if result["dry_run"]:
        return f"{result['file']}: {plural(int(result['would_import']), 'contact')} would be imported{there}"
    name = result.get("name")
    batch = f"{result['batch_id']} ({name})" if name else str(result["batch_id"])
    head = f"{batch}: {plural(int(result['imported']), 'contact')} imported{there}"
    return head if result["active"] else f"{head} (paused; resume-batch starts it)"


def _first_calls(result: Result) -> str:
    calls = str(result["first_calls"]["text"])
    if not result.get("waits_for_start"):
        return calls
    if result["first_calls"]["at"] is None:
        return f"nobody is called: {calls}"
    return f"nobody is called before speechctl resume-batch {result['batch_id']} (started now: {calls})"


def _read(result: Result) -> list[Block]:
    """Which part of the file was read, where a reader could think otherwise."""
    read = result.get("read")
    if not read:
        return []
    parts = []
    if read["sheet"] is not None:
        parts.append(f"sheet {read['sheet']!r}")
    if read["encoding"] is not None:
        parts.append(str(read["encoding"]))
    parts.append(f"titles on line {read['header_row']}")
    lines: list[Block] = [f"read: {', '.join(parts)}"]
    unread = []
    if read["other_sheets"]:
        unread.append(f"sheets {', '.join(read['other_sheets'])} (--sheet NAME)")
    if read["lines_above"]:
        unread.append(f"{plural(int(read['lines_above']), 'line')} above the titles (--header-row N)")
    if read["hidden_rows"]:
        unread.append(f"{plural(int(read['hidden_rows']), 'hidden row')} (--with-hidden-rows)")
    return [*lines, *([f"not read: {', '.join(unread)}"] if unread else [])]


def _columns(result: Result) -> list[Block]:
    """Each column, in a dry run; otherwise only what an earlier mapping has changed."""
    blocks: list[Block] = []
    kept = result.get("kept_mapping")
    if kept:
        columns = ", ".join(f"{title}={role}" for title, role in kept.items())
        blocks.append(f"as you said for an earlier file with these titles: {columns} (--map changes it)")
    if not result["dry_run"] or not result.get("columns"):
        return blocks
    rows = [
        [
            column["position"],
            column["title"],
            _meaning(column),
            column["why"],
            " | ".join(column["values"]),
        ]
        for column in result["columns"]
    ]
    return [*blocks, table("columns", "# title taken_for why first_values", rows)]


def _meaning(column: Result) -> str:
    if column["role"] == "variable":
        return f"variable {{{{{column['variable']}}}}}"
    return str(column["role"])


def _known(result: Result) -> list[Block]:
    blocks: list[Block] = []
    same = result.get("same_file")
    if same:
        blocks.append(
            f"! the same file is in {same['batch_id']} already, imported {local_time(same['at'])} by "
            f"{same['by']}: --duplicates keep imports it once more"
        )
    known = result.get("known") or {"counts": {}, "people": []}
    if not known["counts"]:
        return blocks
    counts = dict(known["counts"])
    listed = {state: counts.pop(state) for state in ("opted_out", "shared") if state in counts}
    # Who is on the list is left out in any case; the others all are, or none is.
    if int(result.get("left_out") or 0) > sum(listed.values()):
        done = "left out (--duplicates keep imports them)"
    else:
        done = "would be imported all the same" if result["dry_run"] else "imported all the same"
    return [*blocks, *_known_group(done, counts, known), *_known_group("left out", listed, known)]


def _known_group(done: str, counts: dict[str, int], known: Result) -> list[Block]:
    """The known people of some states, with what became of them; the first are named."""
    if not counts:
        return []
    texts = ", ".join(f"{count} {_KNOWN_AS.get(state, state)}" for state, count in counts.items())
    people = [person for person in known["people"] if person["state"] in counts][:_MAX_NAMED]
    blocks: list[Block] = [f"known in the account, {done}: {texts}:"]
    blocks += [
        f"  line {person['line']}: {_KNOWN_AS.get(person['state'], person['state'])}"
        + (f", job {person['job_id']} of {person['batch_id']}" if person["job_id"] else "")
        for person in people
    ]
    more = sum(counts.values()) - len(people)
    return [*blocks, f"  and {more} more (--json lists them)"] if more > 0 else blocks


def _bad_rows(result: Result) -> list[Block]:
    count, rows = int(result["bad_rows_count"]), result["bad_rows"][:_MAX_SHOWN]
    blocks: list[Block] = []
    if count:
        blocks.append(f"{plural(count, 'bad row')}, not imported:")
        blocks += [f"  line {row['line']}: {row['reason']}" for row in rows]
        if count > len(rows):
            blocks.append(f"  and {count - len(rows)} more (--bad-rows FILE writes all to a file)")
    blocks += [
        f"  {kind['option']} keeps {plural(int(kind['count']), 'of these rows', 'of these rows')}: "
        f"{kind['meaning']}"
        for kind in result.get("bad_rows_by_kind", ())
    ]
    if count and result.get("bad_rows_file"):
        batch = f" with --batch {result['batch_id']}" if result.get("batch_id") else ""
        file = result["bad_rows_file"]
        blocks.append(f"bad rows are written to {file}: correct them and import that file{batch}")
    return blocks


def _remarks(result: Result) -> list[Block]:
    """The remarks by kind; one by one only where there are few."""
    count = int(result["remarks_count"])
    if not count:
        return []
    blocks: list[Block] = [f"{plural(count, 'remark')}:"]
    kinds = result.get("remarks_by_kind")
    if count <= _MAX_NAMED or not kinds:
        blocks += [f"  line {row['line']}: {row['text']}" for row in result["remarks"][:_MAX_SHOWN]]
    else:
        blocks += [
            f"  {kind['count']} {kind['kind']}: {kind['meaning']}; line {kind['line']}: {kind['example']}"
            for kind in kinds
        ]
        blocks.append("  (--json lists them)")
    options = [str(kind["option"]) for kind in kinds or () if kind["option"]]
    return [*blocks, f"  to change it: {', '.join(options)}, --remarks-are-bad"] if options else blocks


def _preview(preview: Result) -> list[Block]:
    blocks: list[Block] = [Heading(text=f"line {preview['line']}")]
    if "bad" in preview:
        return [*blocks, f"not imported: {preview['bad']}"]
    rows = sorted(preview["variables"].items())
    return [
        *blocks,
        f"dialled in this order: {', '.join(preview['phones'])}",
        *(f"remark: {text}" for text in preview["remarks"]),
        table("variables, as the agent gets them", "name value", rows),
    ]
