"""``packs``, ``pack`` and ``check-pack``: the calling rules by country that this version has.

Nothing here reads the database: the answers are of the shipped packs, and of the file that comes with the
command. No call is refused by a pack in this version, and each answer says so (``enforced``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Final

from speechaid.commands.interfaces import CommandRefused, HandlerContext, Invocation, Result
from speechaid.compliance.pack_files import check_pack as checked_file
from speechaid.compliance.pack_files import content_hash, pack_warnings, shipped_packs
from speechaid.compliance.packs import Cap, Confidence, Holidays, Option, Pack, Statement, Windows
from speechaid.model.masking import mask_prose
from speechaid.model.states import Purpose
from speechaid.protocol.messages import ErrorCode

#: Whether calls are refused by packs.
ENFORCED: Final = False
ADVICE: Final = "no legal advice: have a local lawyer look at it before you rely on it"


def packs(_context: HandlerContext, _command: Invocation) -> Result:
    """The shipped packs, a row each."""
    today = _today()
    return {
        "packs": [_row(pack, today) for _, pack in sorted(shipped_packs().items())],
        "enforced": ENFORCED,
        "advice": ADVICE,
    }


def pack(_context: HandlerContext, command: Invocation) -> Result:
    """One pack, with each statement, its sources and how sure it is."""
    country, purpose = command.args["country"].strip().upper(), Purpose(command.args["purpose"])
    found = shipped_packs().get((country, purpose))
    if found is None:
        known = ", ".join(sorted({one for one, other in shipped_packs() if other is purpose})) or "none"
        message = f"no rule is known for {purpose} in {mask_prose(country)}; countries with a pack: {known}"
        raise CommandRefused(ErrorCode.NOT_FOUND, message)
    return {"pack": _described(found, _today()), "enforced": ENFORCED, "advice": ADVICE}


def check_pack(_context: HandlerContext, command: Invocation) -> Result:
    """Whether an operator's file can be used, and what would hold with it; it is stored nowhere."""
    today = _today()
    found = checked_file(command.attachment or b"", command.args["filename"], today)
    return {
        "file": command.args["filename"],
        "kind": found.kind,
        "valid": not found.faults,
        "faults": list(found.faults),
        "pack": None if found.pack is None else _described(found.pack, today),
        "enforced": ENFORCED,
        "advice": ADVICE,
    }


def _today() -> date:
    """By this host's clock: the database may be away."""
    return datetime.now(UTC).date()


def _row(one: Pack, today: date) -> Result:
    return {
        "country": one.country,
        "purpose": one.purpose,
        "windows": None if one.windows is None else str(one.windows),
        "holidays": None if one.holidays is None else one.holidays.rule,
        "caps": [str(cap) for cap in one.caps],
        "confidence": max((each.confidence for _, each in one.all_statements()), key=list(Confidence).index),
        "reviewed": one.reviewed.isoformat(),
        "hash": content_hash(one),
        "warnings": list(pack_warnings(one, today)),
    }


def _described(one: Pack, today: date) -> Result:
    return {
        **_row(one, today),
        "remark": one.remark,
        "zones": list(one.zones),
        "counted_purposes": list(one.counted_purposes),
        "statements": list(_statements(one)),
        "operator_must": list(one.operator_must),
        "not_covered": list(one.not_covered),
        "chosen": list(one.chosen),
        "exemptions": [each.model_dump(mode="json") for each in one.exemptions],
    }


def _statements(one: Pack) -> Iterator[Result]:
    for place, statement in one.all_statements():
        yield {
            "about": place,
            "rule": _rule(statement),
            "says": statement.says,
            "source": one.source_of(statement),
            "confidence": statement.confidence,
        }
    if one.caller_numbers is not None:
        for each in one.caller_numbers.exemptions:
            yield {
                "about": f"caller_numbers exemption {each.name}",
                "rule": None,
                "says": each.says,
                "source": "; ".join(one.sources[name] for name in each.sources),
                "confidence": one.caller_numbers.confidence,
            }


def _rule(statement: Statement) -> str | None:
    """What a statement says in short, where that is more than its words."""
    match statement:
        case Holidays():
            extra = f", and {', '.join(map(str, statement.extra))}" if statement.extra else ""
            places = f" with {', '.join(statement.subdivisions)}" if statement.subdivisions else ""
            return f"{statement.rule}: holidays of {statement.calendar}{places}{extra}"
        case Option():
            parts = [*map(str, statement.hours), *map(str, statement.caps), *statement.subdivisions]
            return "; ".join(parts)
        case Cap() | Windows():
            return str(statement)
        case _:
            return None
