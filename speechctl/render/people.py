"""The results of commands about one person as blocks; pure."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.money import plain_amount, price
from speechaid.protocol.translation import say, say_n
from speechctl.render.blocks import Block, Heading, Result, table
from speechctl.render.text import as_words, duration, local_time, with_local_times, zone_name

#: Rows of a list that are shown; --json has more.
_MAX_SHOWN: Final = 10


def person(result: Result) -> list[Block]:
    """The result of ``person``."""
    understood = say(" or ").join(map(say, result["understood_as"]))
    if not result["people"]:
        blocks: list[Block] = [
            say(
                "no job is of that person, understood as {understood}; {note}",
                understood=understood,
                note=result["note"],
            )
        ]
        return blocks + _opt_outs(result)
    if len(result["people"]) > 1 or result["more_people"]:
        return _candidates(result, understood)
    (one,) = result["people"]
    title = ", ".join(str(part) for part in (one["name"], one["dni"]) if part) or say(
        "a person without a name"
    )
    blocks = [
        Heading(
            text=say_n(
                "{title}: {count} job, found by {understood}",
                "{title}: {count} jobs, found by {understood}",
                int(one["jobs"]),
                title=title,
                understood=understood,
            )
        ),
        say("phones: {phones}", phones=", ".join(one["phones"]) or say("none")),
        _next_dial(result["next_dial"]),
    ]
    blocks += _opt_outs(result)
    blocks.append(
        table(
            "jobs",
            "job batch status #attempts phones",
            [
                [row["job_id"], _batch(row), _status(row), row["attempts"], ", ".join(row["phones"])]
                for row in result["jobs"]
            ],
        )
    )
    blocks += _payments(result["jobs"])
    calls = [
        [
            local_time(row["at"]),
            _batch(row),
            row["phone"],
            as_words(row["outcome"] or ""),
            duration(float(row["duration_ms"] or 0) / 1000),
            row["from_number"],
            row["agent"],
            row["call_id"],
        ]
        for row in result["calls"]
    ]
    blocks.append(
        table("calls", "at batch phone outcome #talked from agent call", calls)
        if calls
        else say("no calls yet")
    )
    blocks.append(say("times in {zone_name}", zone_name=zone_name(result["as_of"])))
    if result["more"]:
        blocks.append(say("there are more, of which the latest are shown; --limit shows more"))
    return blocks


def _candidates(result: Result, understood: str) -> list[Block]:
    rows = [
        [one["name"], one["dni"], ", ".join(one["phones"]), one["jobs"], ", ".join(map(str, one["accounts"]))]
        for one in result["people"]
    ]
    more = say("; there are more") if result["more_people"] else ""
    return [
        say(
            "several people may be meant, by {understood}: give the national id or the number of one{more}",
            understood=understood,
            more=more,
        ),
        table("", "name id phones #jobs account", rows),
    ]


def _next_dial(found: Result | None) -> str:
    if found is None:
        return say("next dial: none, no job waits")
    others = int(found["waiting_jobs"]) - 1
    more = f" ({say_n('{count} more job waits', '{count} more jobs wait', others)})" if others else ""
    phone = say(" to {phone}", phone=found["phone"]) if found["phone"] else ""
    at = f" {local_time(found['at'])}" if found["at"] else ""
    where = f"{_batch(found)}{phone}{at}".strip()
    where = f"{where}: " if where else ""
    return say(
        "next dial: {where}{sentence}{more}",
        where=where,
        sentence=with_local_times(found["sentence"]),
        more=more,
    )


def _opt_outs(result: Result) -> list[Block]:
    return [
        say(
            "opted out: {what}, since {since} ({by}{job})",
            what=row["what"],
            since=local_time(row["since"]),
            by=row["by"],
            job=say(", job {job}", job=row["job"]) if row["job"] else "",
        )
        for row in result["opt_outs"]
    ]


def _batch(row: Result) -> str:
    return str(row.get("batch_name") or row.get("batch_id") or "")


def _status(row: Result) -> str:
    paid = row.get("paid")
    if not paid:
        return str(row["why"])
    amount = paid_amount(paid)
    return say("{why}; paid{amount}", why=row["why"], amount=(f" {amount}" if amount else ""))


def paid_amount(paid: Result, side: str = "") -> str:
    """A recorded amount with its currency; empty where there is none."""
    amount, currency = paid.get(f"{side}amount"), paid.get(f"{side}currency")
    if amount is None:
        return ""
    return price(float(amount), str(currency)) if currency else plain_amount(float(amount))


def paid_lines(paid: Result) -> list[Block]:
    """What is recorded of a payment, and what was recorded before it was corrected."""
    what = " ".join(filter(None, ("paid", paid_amount(paid))))
    note = f": {paid['note']}" if paid.get("note") else ""
    lines: list[Block] = [
        say(
            "{what}, recorded {at} by {by}{note}",
            what=what,
            at=local_time(paid.get("at")),
            by=paid.get("by"),
            note=note,
        )
    ]
    for one in paid.get("corrections") or ():
        change = f"{paid_amount(one, 'old_')} -> {paid_amount(one)}"
        lines.append(
            say("  corrected {at} by {by}: {change}", at=local_time(one["at"]), by=one["by"], change=change)
        )
    return lines


def _payments(rows: list[Result]) -> list[Block]:
    """Each payment once: a person's jobs all have it, the amount stands on one of them."""
    by_note: dict[tuple[object, object], Result] = {}
    for row in rows:
        paid = row.get("paid")
        if paid and (paid.get("note") or paid.get("corrections")):
            key = (paid.get("by"), paid.get("note"))
            if key not in by_note or paid.get("amount") is not None:
                by_note[key] = paid
    return [line for paid in by_note.values() for line in paid_lines(paid)]


def opt_out(result: Result) -> list[Block]:
    """The result of ``opt-out``."""
    who = ", ".join(str(result[name]) for name in ("name", "dni") if result.get(name))
    phones = ", ".join(result["phones"])
    if not result["known"]:
        what = say(" and ").join(
            part for part in (say("the national id") if result["as_person"] else "", phones) if part
        )
        where = (
            say(" in account {accounts}", accounts=result["accounts"][0])
            if result["accounts"] and result["as_person"]
            else ""
        )
        blocks: list[Block] = [
            say(
                "no job is of that person, understood as {understood_as}",
                understood_as=say(" and ").join(result["understood_as"]),
            )
        ]
        blocks.append(
            say("{what} was already on the do-not-call list{where}", what=what, where=where)
            if result["was_listed"]
            else say("{what} is now on the do-not-call list{where}", what=what, where=where)
        )
        return [*blocks, f"! {result['remark']}"] if result["remark"] else blocks
    done = (
        say("was on the do-not-call list already")
        if result["was_listed"]
        else say("will not be called again, on any host")
    )
    blocks = [f"{who or say('the person')} {done}: {phones or say('no phone')}"]
    if result["as_person"]:
        blocks.append(say("a number that comes with this national id later is not called either"))
    else:
        blocks.append(say("no job has a national id of the person: only these numbers are listed"))
    blocks.append(
        say_n(
            "{count} job cancelled of {jobs}",
            "{count} jobs cancelled of {jobs}",
            int(result["cancelled"]),
            jobs=result["jobs"],
        )
    )
    if result["in_call"]:
        jobs = ", ".join(result["in_call"])
        blocks.append(
            say("in a call right now, which continues: {jobs} (speechctl hang-up JOB ends it)", jobs=jobs)
        )
    if result["more"]:
        blocks.append(
            say("there are more jobs of these numbers than were read; they are not dialled on them either")
        )
    return blocks


def paid(result: Result) -> list[Block]:
    """The result of ``paid``."""
    who = ", ".join(str(result[name]) for name in ("name", "dni") if result.get(name))
    head = (
        say_n("{count} person", "{count} people", int(result["people"]))
        if result["file"]
        else who or say("the person")
    )
    would = say("would be ") if result["dry_run"] else ""
    blocks: list[Block] = [
        say(
            "{file}{head} {would}recorded as paid",
            file=(result["file"] + ": " if result["file"] else ""),
            head=head,
            would=would,
        )
        if result["recorded"] or not result["recorded_before"]
        else say(
            "{file}{head} was recorded as paid before",
            file=(result["file"] + ": " if result["file"] else ""),
            head=head,
        ),
        say_n(
            "{count} waiting job {would}cancelled, {ended} had ended",
            "{count} waiting jobs {would}cancelled, {ended} had ended",
            int(result["cancelled"]),
            would=would,
            ended=result["ended"],
        ),
    ]
    if result["in_call"]:
        jobs = ", ".join(result["in_call"][:_MAX_SHOWN])
        blocks.append(say("in a call right now, which continues and is not repeated: {jobs}", jobs=jobs))
    if result["amounts"] or result["amounts_known"]:
        known = (
            say(", {amounts_known} had one already", amounts_known=result["amounts_known"])
            if result["amounts_known"]
            else ""
        )
        blocks.append(
            say_n(
                "{count} amount {would}recorded{known}",
                "{count} amounts {would}recorded{known}",
                int(result["amounts"]),
                would=would,
                known=known,
            )
        )
    changes = result.get("changes") or result.get("would_change") or []
    blocks += [
        say("amount {would}corrected: {changed_amount}", would=would, changed_amount=_changed_amount(row))
        for row in changes[:_MAX_SHOWN]
    ]
    if len(changes) > _MAX_SHOWN:
        blocks.append(
            say(
                "{amounts_corrected} amounts {would}corrected in all",
                amounts_corrected=result["amounts_corrected"],
                would=would,
            )
        )
    if result.get("different"):
        blocks.append(say("another amount is recorded, and stays; --correct replaces it:"))
        blocks += [f"  {_changed_amount(row)}" for row in result["different"][:_MAX_SHOWN]]
        more = int(result["amounts_different"]) - _MAX_SHOWN
        blocks += [say("  and {more} more (--json lists them)", more=more)] if more > 0 else []
    missing = result["not_found"][:_MAX_SHOWN]
    if missing:
        blocks.append(
            say_n("{count} id without a job:", "{count} ids without a job:", int(result["not_found_count"]))
        )
        blocks += [say("  line {line}: {dni}", line=row["line"], dni=row["dni"]) for row in missing]
        more = int(result["not_found_count"]) - len(missing)
        blocks += [say("  and {more} more (--json lists them)", more=more)] if more > 0 else []
    bad = result["bad_rows"][:_MAX_SHOWN]
    if bad:
        blocks.append(
            say_n("{count} line not read:", "{count} lines not read:", int(result["bad_rows_count"]))
        )
        blocks += [say("  line {line}: {reason}", line=row["line"], reason=row["reason"]) for row in bad]
    return blocks


def _changed_amount(row: Result) -> str:
    old = paid_amount({"amount": row["old"], "currency": row["old_currency"]})
    new = paid_amount({"amount": row["new"], "currency": row["currency"]})
    return f"{old} -> {new} ({row['job_id']})"


def evidence(result: Result) -> list[Block]:
    """The result of ``evidence``."""
    if result["person"] is None:
        return [say("no job is of that person")]
    rows = [
        [
            local_time(row["at"]),
            _where_it_rang(row) or say("not known"),
            row["phone"],
            row["batch_id"],
            row["rule"] or say("none"),
            (row["pack"] or "")[:12],
            as_words(row["outcome"] or ""),
            as_words(row["counts_as"] or ""),
        ]
        for row in result["calls"]
    ]
    blocks: list[Block] = [
        Heading(text=say("calls to {person}", person=result["person"])),
        table("", "at where_it_rang phone batch rule pack outcome counts_as", rows),
    ]
    return [*blocks, say("there are more: --limit")] if result["more"] else blocks


def _where_it_rang(row: Result) -> str:
    """The local times of a call, which are not the reader's, with their zones."""
    times = zip(row["local_at"] or (), row["zones"], strict=False)
    return ", ".join(f"{local[:16].replace('T', ' ')} {zone}" for local, zone in times)
