"""Results of ``packs``, ``pack``, ``check-pack`` and ``set-pack``."""

from __future__ import annotations

from typing import Final

from speechctl.render.blocks import Block, Heading, Result, table

_NOT_ENFORCED: Final = "! these rules refuse no call until a batch has a purpose: its hours hold alone"
_NOT_READY: Final = "! earlier calls are still being entered in the ledger: people with a cap wait"
#: Characters of a hash that are shown; --json has them all.
_HASH_LENGTH: Final = 12


def packs(result: Result) -> list[Block]:
    """The result of ``packs``."""
    rows = [
        [
            row["country"],
            _purpose(row),
            row["windows"] or "not known",
            row["holidays"] or "not known",
            row["confidence"],
            row["reviewed"],
            row["hash"][:_HASH_LENGTH],
            "; ".join(row["caps"]) or "none known",
        ]
        for row in result["packs"]
    ]
    warnings = [f"! {warning}" for row in result["packs"] for warning in row["warnings"]]
    return [
        table("", "country purpose hours holidays sure reviewed hash caps", rows),
        *warnings,
        *(f"! {fault}" for fault in result["faults"]),
        *([_NOT_READY] if result["caps_ready"] is False else []),
        *_remarks(result),
    ]


def pack(result: Result) -> list[Block]:
    """The result of ``pack``."""
    return [*_pack(result["pack"]), *_remarks(result)]


def check_pack(result: Result) -> list[Block]:
    """The result of ``check-pack``."""
    if not result["valid"]:
        return [
            f"{result['file']} cannot be used; under it nobody would be called",
            *(f"! {fault}" for fault in result["faults"]),
        ]
    return [f"{result['file']} can be used; with it would hold:", *_pack(result["pack"]), *_remarks(result)]


def set_pack(result: Result) -> list[Block]:
    """The result of ``set-pack``."""
    rows = [
        [row["country"], _purpose(row), row["hash"][:_HASH_LENGTH], (row["before"] or "none")[:_HASH_LENGTH]]
        for row in result["packs"]
    ]
    exemptions = [
        f"exemption {each['name']} of {row['country']} {_purpose(row)}, from {', '.join(each['loosens'])}: "
        f"{each['reason']} ({each['said_by']}, {each['at']})"
        for row in result["packs"]
        for each in row["exemptions"]
    ]
    return [
        table("", "country purpose hash before", rows),
        f"in force on every host; {result['released']} jobs that waited for a rule are looked at again",
        *exemptions,
        *(f"! {warning}" for warning in result["warnings"]),
        result["advice"],
    ]


def _pack(one: Result) -> list[Block]:
    blocks: list[Block] = [
        Heading(text=f"{one['country']} {_purpose(one)}, reviewed {one['reviewed']}"),
        f"hash {one['hash'][:_HASH_LENGTH]}, zones {', '.join(one['zones'])}",
    ]
    if one["remark"] is not None:
        blocks.append(one["remark"])
    rows = [
        [each["about"], each["confidence"], each["rule"] or "", f"{each['says']} ({each['source']})"]
        for each in one["statements"]
    ]
    blocks.append(table("", "rule sure means says", rows))
    for title, texts in (("you have to", one["operator_must"]), ("not covered", one["not_covered"])):
        blocks += [f"{title}: {text}" for text in texts]
    if one.get("spread_attempts"):
        blocks.append("spread_attempts: after an attempt that reached nobody, another part of the day")
    if one["chosen"]:
        blocks.append(f"options chosen: {', '.join(one['chosen'])}")
    blocks += [
        f"exemption {each['name']}, from {', '.join(each['loosens'])}: "
        f"{each['reason']} ({each['said_by']}, {each['at']})"
        for each in one["exemptions"]
    ]
    blocks += [f"! {warning}" for warning in one["warnings"]]
    return blocks


def _purpose(row: Result) -> str:
    """With the name under which single batches ask for it."""
    return f"{row['purpose']} ({row['variant']})" if row.get("variant") else str(row["purpose"])


def _remarks(result: Result) -> list[Block]:
    return [result["advice"], *([] if result["enforced"] else [_NOT_ENFORCED])]
