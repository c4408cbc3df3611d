"""The results of commands about accounts as blocks; pure."""

from __future__ import annotations

from typing import Any, Final

from speechaid.protocol.money import money, plain_amount, price
from speechaid.protocol.translation import say, say_n
from speechctl.render.batches import change_text
from speechctl.render.blocks import Block, Heading, Result, table
from speechctl.render.text import as_words, local_time, local_time_with_zone, zone_name

_COSTS: Final = frozenset({"cost_per_minute", "cost_per_call_setup", "cost_failed_call"})
_LIMITS: Final = frozenset({"max_concurrent_calls", "daily_call_limit"})


def accounts(result: Result) -> list[Block]:
    """The result of ``accounts``."""
    rows = [
        [
            row["account_id"],
            row["name"],
            as_words(row["plan"] or say("not understood")),
            _state(row),
            _left(row),
            _calls(row),
            row["live_calls"] or "",
        ]
        for row in result["accounts"]
    ]
    if not rows:
        return [say("there are no accounts; speechctl create-account ID --plan PLAN creates one")]
    blocks: list[Block] = [table("", "account name plan status #left #calls_today #in_progress", rows)]
    blocks += [f"! {row['account_id']}: {fault}" for row in result["accounts"] for fault in row["faults"]]
    if result.get("next"):
        blocks.append(say("more accounts: --after {next}", next=result["next"]))
    return blocks


def account(result: Result) -> list[Block]:
    """The result of ``account``."""
    blocks: list[Block] = [
        Heading(text=f"{_name(result)}: {_state(result)}"),
        say("as of {local_time_with_zone}", local_time_with_zone=local_time_with_zone(result["as_of"])),
        say("plan: {plan}", plan=as_words(result["plan"] or say("not understood"))),
        *_balance(result),
        say(
            "calls today: {calls}; {live_calls} in progress",
            calls=_calls(result),
            live_calls=result["live_calls"],
        ),
        *(say("! its people are not called: {fault}", fault=fault) for fault in result["faults"]),
    ]
    if result.get("created_at"):
        by = say(" by {created_by}", created_by=result["created_by"]) if result.get("created_by") else ""
        blocks.append(say("created {created_at}{by}", created_at=local_time(result["created_at"]), by=by))
    rows = [
        [
            row["option"].replace("_", "-"),
            _value(row["option"], row["value"], result["currency"]),
            row["variable"] or as_words(row["source"]),
        ]
        for row in result["settings"]
    ]
    blocks.append(table("settings", "setting value from", rows))
    last = result.get("last_call_settings")
    if last:
        of = f"{last['from_batch']} ({last['name']})" if last.get("name") else last["from_batch"]
        settings = [[row["option"].replace("_", "-"), row["value"]] for row in last["settings"]]
        title = say("call settings that it used last, of {of}", of=of)
        blocks.append(
            table(title, "setting value", settings) if settings else say("{title}: the defaults", title=title)
        )
    return blocks


def create_account(result: Result) -> list[Block]:
    """The result of ``create-account``."""
    unit = {"minutes_based": "--minutes N", "credit_based": "--credit N"}.get(result["plan"])
    currency = f", {result['currency']}" if result["currency"] else ""
    blocks: list[Block] = [
        say(
            "account {name} is made ({plan}{currency})",
            name=_name(result),
            plan=as_words(result["plan"]),
            currency=currency,
        )
    ]
    if result.get("warning"):
        blocks.append(f"! {result['warning']}")
    if unit:
        blocks.append(
            say(
                "its balance is 0: speechctl top-up {account_id} {unit}",
                account_id=result["account_id"],
                unit=unit,
            )
        )
    return blocks


def edit_account(result: Result) -> list[Block]:
    """The result of ``edit-account``."""
    currency = result["currency"]
    if result["changes"]:
        blocks: list[Block] = [
            say("account {name}: in force for the next dial, on every host", name=_name(result))
        ]
        blocks += [f"  {change_text(_with_sums(change, currency))}" for change in result["changes"]]
    else:
        blocks = [say("account {name} has these settings already", name=_name(result))]
    blocks += [say("! its people are not called: {fault}", fault=fault) for fault in result["faults"]]
    if result["status"] != "active":
        blocks.append(say("it is {status}: its people are not called", status=as_words(result["status"])))
        if result["live_calls"]:
            blocks.append(
                say_n(
                    "{count} call of it in progress, not interrupted",
                    "{count} calls of it in progress, not interrupted",
                    int(result["live_calls"]),
                )
            )
    if result.get("jobs_resumed"):
        blocks.append(
            say_n("{count} job pending again", "{count} jobs pending again", int(result["jobs_resumed"]))
        )
    if result.get("warning"):
        blocks.append(f"! {result['warning']}")
    return blocks


def top_up(result: Result) -> list[Block]:
    """The result of ``top-up``."""
    is_taken = (result.get("credit") or result.get("minutes") or 0) < 0
    if result["repeated"]:
        was_done = say("was taken off already, now nothing"), say("was added already, now nothing")
    else:
        was_done = say("taken off"), say("added")
    blocks: list[Block] = [
        say(
            "account {name}: {amount} {done} (key {key})",
            name=_name(result),
            amount=_amount(result).lstrip("-"),
            done=was_done[0] if is_taken else was_done[1],
            key=result["key"],
        ),
        *_balance(result),
    ]
    if result["repeated"]:
        blocks.append(
            say(
                "that was {local_time_with_zone}, by {by}",
                local_time_with_zone=local_time_with_zone(result["at"]),
                by=result["by"] or say("unknown"),
            )
        )
    return blocks


def transactions(result: Result) -> list[Block]:
    """The result of ``transactions``."""
    rows = [
        [
            local_time(row["at"]),
            as_words(row["type"]),
            _amount(row),
            "" if row.get("after") is None else _sum(row["after"], row),
            row.get("by") or row.get("call_id"),
            row.get("note") or as_words(row.get("outcome") or ""),
        ]
        for row in result["transactions"]
    ]
    blocks: list[Block] = [Heading(text=say("Transactions of {name}", name=_name(result))), *_balance(result)]
    if not rows:
        return [*blocks, say("there are no such transactions")]
    first = result["transactions"][0]["at"]
    blocks += [
        table("", "at type #amount #bought_in_all by_or_call what_for", rows),
        say("times in {zone_name}", zone_name=zone_name(first)),
    ]
    if result.get("next"):
        blocks.append(say("older ones: --after {next}", next=result["next"]))
    return blocks


def _name(result: Result) -> str:
    return f"{result['account_id']} ({result['name']})" if result.get("name") else str(result["account_id"])


def _state(row: Result) -> str:
    state = as_words(str(row["status"]))
    return (
        say("{state}, not called for", state=state) if row["faults"] and row["status"] == "active" else state
    )


def _left(row: Result) -> str:
    balance = row["balance"]
    if balance is None:
        return say("unlimited") if row["plan"] == "unlimited" else ""
    return _in_unit(balance["left"], balance["unit"], row["currency"])


def _balance(result: Result) -> list[Block]:
    balance = result["balance"]
    if balance is None:
        return []

    def text(name: str) -> str:
        return _in_unit(balance[name], balance["unit"], result["currency"])

    line = say(
        "balance: {left} left of {bought}; {used} used",
        left=text("left"),
        bought=text("bought"),
        used=text("used"),
    )
    reserved = (
        say(", {reserved} reserved by calls in progress", reserved=text("reserved"))
        if balance["reserved"]
        else ""
    )
    blocks: list[Block] = [f"{line}{reserved}"]
    if balance["unit"] == "credit" and not result["currency"]:
        account = result["account_id"]
        blocks.append(
            say(
                "! its sums have no currency: speechctl edit-account {account} --currency CLP sets it",
                account=account,
            )
        )
    return blocks


def _in_unit(amount: float, unit: str, currency: str | None) -> str:
    return (
        money(amount, currency)
        if unit == "credit"
        else say("{plain_amount} min", plain_amount=plain_amount(amount))
    )


def _calls(row: Result) -> str:
    limit = row["daily_call_limit"]
    return (
        str(row["calls_today"])
        if limit is None
        else say("{calls_today} of {limit}", calls_today=row["calls_today"], limit=limit)
    )


def _amount(row: Result) -> str:
    """What was added or charged, with its sign."""
    if row.get("credit"):
        text = price(row["credit"], row["currency"])
    elif row.get("minutes"):
        text = say("{plain_amount} min", plain_amount=plain_amount(row["minutes"]))
    else:
        return ""
    return text if text.startswith("-") else f"+{text}"


def _sum(amount: float, row: Result) -> str:
    return (
        money(amount, row["currency"])
        if row.get("credit")
        else say("{plain_amount} min", plain_amount=plain_amount(amount))
    )


def _value(option: str, value: Any, currency: str | None) -> str:
    if option in _COSTS:
        amount = 0.0 if value is None else value
        return price(amount, currency) if isinstance(amount, int | float) else str(amount)
    if value is None:
        return say("no limit") if option in _LIMITS else say("none")
    return f"{value:,}" if option in _LIMITS and isinstance(value, int) else str(value)


def _with_sums(change: dict[str, Any], currency: str | None) -> dict[str, Any]:
    """A change whose prices are texts."""
    if change["option"] not in _COSTS:
        return change
    sides = {side: change[side] for side in ("old", "new") if change.get(side) is not None}
    return {**change, **{side: _value(change["option"], value, currency) for side, value in sides.items()}}
