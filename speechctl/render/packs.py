"""Results of ``packs``, ``pack``, ``check-pack`` and ``set-pack``."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.translation import N_, say, say_n
from speechctl.render.blocks import Block, Heading, Result, table

_NOT_ENFORCED: Final = N_("! these rules refuse no call until a batch has a purpose: its hours hold alone")
_NOT_READY: Final = N_("! earlier calls are still being entered in the ledger: people with a cap wait")
#: Characters of a hash that are shown; --json has them all.
_HASH_LENGTH: Final = 12


def packs(result: Result) -> list[Block]:
    """The result of ``packs``."""
    rows = [
        [
            row["country"],
            _purpose(row),
            row["windows"] or say("not known"),
            row["holidays"] or say("not known"),
            row["confidence"],
            row["reviewed"],
            row["hash"][:_HASH_LENGTH],
            "; ".join(row["caps"]) or say("none known"),
        ]
        for row in result["packs"]
    ]
    warnings = [f"! {warning}" for row in result["packs"] for warning in row["warnings"]]
    return [
        table("", "country purpose hours holidays sure reviewed hash caps", rows),
        *warnings,
        *(f"! {fault}" for fault in result["faults"]),
        *([say(_NOT_READY)] if result["caps_ready"] is False else []),
        *_remarks(result),
    ]


def pack(result: Result) -> list[Block]:
    """The result of ``pack``."""
    return [*_pack(result["pack"]), *_remarks(result)]


def check_pack(result: Result) -> list[Block]:
    """The result of ``check-pack``."""
    if not result["valid"]:
        return [
            say("{file} cannot be used; under it nobody would be called", file=result["file"]),
            *(f"! {fault}" for fault in result["faults"]),
        ]
    return [
        say("{file} can be used; with it would hold:", file=result["file"]),
        *_pack(result["pack"]),
        *_remarks(result),
    ]


def set_pack(result: Result) -> list[Block]:
    """The result of ``set-pack``."""
    rows = [
        [
            row["country"],
            _purpose(row),
            row["hash"][:_HASH_LENGTH],
            (row["before"] or say("none"))[:_HASH_LENGTH],
        ]
        for row in result["packs"]
    ]
    exemptions = [
        say(
            "exemption {name} of {country} {purpose}, from {loosens}: {reason} ({said_by}, {at})",
            country=row["country"],
            purpose=_purpose(row),
            **_exemption(each),
        )
        for row in result["packs"]
        for each in row["exemptions"]
    ]
    return [
        table("", "country purpose hash before", rows),
        say_n(
            "in force on every host; {count} job that waited for a rule is looked at again",
            "in force on every host; {count} jobs that waited for a rule are looked at again",
            result["released"],
        ),
        *exemptions,
        *(f"! {warning}" for warning in result["warnings"]),
        result["advice"],
    ]


def _pack(one: Result) -> list[Block]:
    blocks: list[Block] = [
        Heading(
            text=say(
                "{country} {purpose}, reviewed {day}",
                country=one["country"],
                purpose=_purpose(one),
                day=one["reviewed"],
            )
        ),
        say("hash {hash}, zones {zones}", hash=one["hash"][:_HASH_LENGTH], zones=", ".join(one["zones"])),
    ]
    if one["remark"] is not None:
        blocks.append(one["remark"])
    rows = [
        [each["about"], each["confidence"], each["rule"] or "", f"{each['says']} ({each['source']})"]
        for each in one["statements"]
    ]
    blocks.append(table("", "rule sure means says", rows))
    for title, texts in (
        (say("you have to"), one["operator_must"]),
        (say("not covered"), one["not_covered"]),
    ):
        blocks += [f"{title}: {text}" for text in texts]
    if one.get("spread_attempts"):
        blocks.append(say("spread_attempts: after an attempt that reached nobody, another part of the day"))
    if one["chosen"]:
        blocks.append(say("options chosen: {names}", names=", ".join(one["chosen"])))
    blocks += [
        say("exemption {name}, from {loosens}: {reason} ({said_by}, {at})", **_exemption(each))
        for each in one["exemptions"]
    ]
    blocks += [f"! {warning}" for warning in one["warnings"]]
    return blocks


def _purpose(row: Result) -> str:
    """With the name under which single batches ask for it."""
    return f"{row['purpose']} ({row['variant']})" if row.get("variant") else str(row["purpose"])


def _exemption(each: Result) -> Result:
    return {
        **{name: each[name] for name in ("name", "reason", "said_by", "at")},
        "loosens": ", ".join(each["loosens"]),
    }


def _remarks(result: Result) -> list[Block]:
    return [result["advice"], *([] if result["enforced"] else [say(_NOT_ENFORCED)])]
