"""Test calls: what begins, how far it is, what was said; and the registered numbers. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from speechaid.protocol.money import RETELL_CURRENCY, plain_amount, price
from speechaid.protocol.translation import N_, say, say_n
from speechctl.render.blocks import Block, Heading, Result, table
from speechctl.render.text import as_words, duration, erased_text, local_time

#: What is said of a test's state; ``talking`` has the time, too.
_STATES: Final = {
    "queued": N_("queued: the next free worker takes it"),
    "dialling": N_("dialling"),
    "ringing": N_("ringing"),
    "talking": N_("talking"),
    "ended": N_("ended; the result is being recorded"),
    "unclear": N_("it is not known yet whether the dial became a call; Retell's call list is searched"),
    "over": N_("over"),
}


def test_call(result: Result) -> list[Block]:
    """What was begun."""
    batch = f"{result['batch_id']} ({result['name']})" if result.get("name") else str(result["batch_id"])
    return [
        say(
            "{test}: {number} is called as row {row} of {batch}",
            test=result["test"],
            number=result["number"],
            row=result["row"],
            batch=batch,
        ),
        _speaker(result),
        *(f"! {remark}" for remark in result["remarks"]),
    ]


def state_line(result: Result) -> str:
    """How far a test call is, in one line: ``talking 0:12``."""
    state = str(result["state"])
    if state == "talking" and result.get("since"):
        seconds = datetime.fromisoformat(result["at"]) - datetime.fromisoformat(result["since"])
        return say("talking {seconds}", seconds=duration(max(0.0, seconds.total_seconds())))
    known = _STATES.get(state)
    return state if known is None else say(known)


def test_result(result: Result) -> list[Block]:
    """How far it is; when it is over, the whole call."""
    to = say(" to {number}", number=result["number"]) if result["number"] else ""
    title = say(
        "{test}: test call of {batch_id}{to}, row {row}",
        test=result["test"],
        batch_id=result["batch_id"],
        to=to,
        row=result["row"],
    )
    gone = _erased(result)
    call = result.get("call")
    if call is None:
        why = (
            say("there was no call: {why}", why=as_words(result["why"]))
            if result.get("why")
            else state_line(result)
        )
        return [Heading(text=title), why, *gone]
    return [Heading(text=title), *_call_blocks(call, gone)]


def call(result: Result) -> list[Block]:
    """One call of a person."""
    to = say(" to {number}", number=result["phone"]) if result.get("phone") else ""
    who = str(result.get("name") or result.get("job_id") or "")
    title = say("call {call_id}{to}: {who}", call_id=result["call_id"], to=to, who=who)
    summary = (result.get("analysis") or {}).get("call_summary")
    promised = result.get("promised") or {}
    return [
        Heading(text=title),
        *([summary] if summary else []),
        *(
            [say("promised: {what}", what=" ".join(str(part) for part in promised.values()))]
            if promised
            else []
        ),
        *_call_blocks(result, []),
        *(
            [say("speechctl recording {call_id} has the address of the recording", call_id=result["call_id"])]
            if result.get("recording")
            else []
        ),
    ]


def recording(result: Result) -> list[Block]:
    """The address of a recording."""
    return [str(result["url"])]


def _call_blocks(call: Result, gone: list[Block]) -> list[Block]:
    """How a call ended, who spoke, what was said; ``gone``: what is not stored of its job."""
    talked, cost = duration(float(call.get("duration_ms") or 0) / 1000), call.get("cost")
    at_retell = "" if cost is None else say(", cost {price} at Retell", price=price(cost, RETELL_CURRENCY))
    reason = f" ({call['disconnection_reason']})" if call.get("disconnection_reason") else ""
    placed = (
        say(", placed {placed_at}", placed_at=local_time(call["placed_at"])) if call.get("placed_at") else ""
    )
    blocks: list[Block] = [
        say(
            "{outcome}{reason}, {talked} talked{at_retell}{charged}",
            outcome=as_words(call["outcome"]),
            reason=reason,
            talked=talked,
            at_retell=at_retell,
            charged=_charged(call),
        ),
        _speaker(call),
        say("call {call_id}{placed}", call_id=call["call_id"], placed=placed),
    ]
    if gone := _erased(call) or gone:
        return [*blocks, *gone]
    transcript = str(call.get("transcript") or "").strip()
    blocks += ["", *transcript.splitlines()] if transcript else ["", say("nobody said anything")]
    rows = [[row["name"], row["sent"], row["collected"]] for row in call["variables"]]
    return [*blocks, table("variables", "name sent collected", rows)] if rows else blocks


def _erased(fields: Result) -> list[Block]:
    """What is not stored any more of a test or its call."""
    text = erased_text(fields)
    if text is None:
        return []
    what = (
        say("number, transcript and variables")
        if fields["erased"]["what"] == "person"
        else say("transcript and variables")
    )
    return [f"{what}: {text}"]


def _charged(call: Result) -> str:
    charged = call.get("charged") or {}
    parts = (
        [say("{plain_amount} minutes", plain_amount=plain_amount(charged["minutes"]))]
        if charged.get("minutes")
        else []
    )
    parts += [price(charged["credit"], call.get("currency"))] if charged.get("credit") else []
    return say(", charged {parts}", parts=say(" and ").join(parts)) if parts else ""


def _speaker(fields: Result) -> str:
    """Who spoke, from which number; that it is not known, where nobody says it."""
    version = fields.get("agent_version")
    shown = "" if version is None else say(", version {version}", version=version)
    agent = (
        say("agent {agent_id}{shown}", agent_id=fields["agent_id"], shown=shown)
        if fields.get("agent_id")
        else say("agent not known")
    )
    return (
        say("{agent}, from {from_number}", agent=agent, from_number=fields["from_number"])
        if fields.get("from_number")
        else agent
    )


def test_numbers(result: Result) -> list[Block]:
    """The registered numbers."""
    if not result["numbers"]:
        return [say("no number is registered for test calls: speechctl test-number-add NUMBER")]
    rows = [
        [row["number"], row["note"], row["account_id"], row["by"], local_time(row["at"]), _marks(row)]
        for row in result["numbers"]
    ]
    return [
        say_n(
            "{count} number is registered for test calls",
            "{count} numbers are registered for test calls",
            len(rows),
        ),
        table("", "number note account by since", [row[:-1] for row in rows]),
        *(say("! {number} is {marks}", number=row[0], marks=row[-1]) for row in rows if row[-1]),
    ]


def _marks(row: Result) -> str:
    return say("on the do-not-call list: it is not called") if row["on_do_not_call_list"] else ""


def test_number_add(result: Result) -> list[Block]:
    """What was registered."""
    of_account = (
        say(" of account {account_id}", account_id=result["account_id"]) if result.get("account_id") else ""
    )
    note = f" ({result['note']})" if result.get("note") else ""
    again = say("was registered, and ") if result["was_registered"] else ""
    marks = _marks(result)
    return [
        say(
            "{number} {again}may get test calls{of_account}{note}",
            number=result["number"],
            again=again,
            of_account=of_account,
            note=note,
        ),
        *([say("! it is {marks}", marks=marks)] if marks else []),
    ]


def test_number_remove(result: Result) -> list[Block]:
    """What was removed."""
    done = say("gets no more test calls") if result["was_registered"] else say("was not registered")
    return [f"{result['number']} {done}"]
