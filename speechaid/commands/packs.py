"""``packs``, ``pack``, ``check-pack`` and ``set-pack``: the calling rules by country, and which are in force.

Packs in force lie in the database, equal for every host. They come there with the first batch that names a
purpose: those that this version ships; from then on ``set-pack`` alone changes them, no new version. Until
then the answers are about the shipped ones, which refuse no call (``enforced``).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.commands.wait_for_dials import wait_for_dials
from speechaid.compliance.overlays import looser_parts
from speechaid.compliance.pack_files import check_pack as checked_file
from speechaid.compliance.pack_files import content_hash, pack_warnings, shipped_packs
from speechaid.compliance.packs import (
    Cap,
    Confidence,
    Holidays,
    InvalidPack,
    Option,
    Pack,
    Statement,
    Windows,
)
from speechaid.model.levels import Level
from speechaid.model.masking import mask_prose
from speechaid.model.states import Purpose
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import say, say_later
from speechaid.store.connection import Store
from speechaid.store.packs import key_of_pack, pack_key

ADVICE: Final = say_later("no legal advice: have a local lawyer look at it before you rely on it")
#: Jobs that are made due by one task of the database thread.
_PORTION: Final = 500
#: Calls of so many days before the first batch with a purpose are looked for.
_EARLIER_DAYS: Final = 8


def packs(context: HandlerContext, _command: Invocation) -> Result:
    """The packs, a row each: those in force, else the shipped ones."""
    today, known = _today(), _known_packs(context.store)
    rows = [_row(pack, today) for _, pack in sorted(known.items()) if isinstance(pack, Pack)]
    broken = [pack for _, pack in sorted(known.items()) if isinstance(pack, InvalidPack)]
    in_force = context.store.packs.in_force()
    return {
        "packs": rows,
        "faults": [fault for pack in broken for fault in pack.faults]
        + ([] if in_force.fault is None or not in_force.is_stored else [in_force.fault]),
        "enforced": in_force.is_stored,
        "caps_ready": in_force.is_ready if in_force.is_stored else None,
        "advice": ADVICE,
    }


def pack(context: HandlerContext, command: Invocation) -> Result:
    """One pack, with each statement, its sources and how sure it is."""
    country, purpose = command.args["country"].strip().upper(), Purpose(command.args["purpose"])
    known, variant = _known_packs(context.store), command.args["variant"]
    found = known.get(pack_key(country, purpose, variant))
    if found is None:
        of_purpose = sorted({key.partition("-")[0] for key in known if key.endswith(f"-{purpose}")})
        message = say(
            "no rule is known for {purpose} in {country}{named}; countries with a pack: {countries}",
            purpose=purpose,
            country=mask_prose(country),
            named=say(" under the name {variant}", variant=mask_prose(variant)) if variant else "",
            countries=", ".join(of_purpose) or say("none"),
        )
        raise CommandRefused(ErrorCode.NOT_FOUND, message)
    if isinstance(found, InvalidPack):
        raise CommandRefused(ErrorCode.REFUSED, "; ".join(found.faults))
    enforced = context.store.packs.in_force().is_stored
    return {"pack": _described(found, _today()), "enforced": enforced, "advice": ADVICE}


def check_pack(context: HandlerContext, command: Invocation) -> Result:
    """Whether an operator's file can be used, and what would hold with it; it is stored nowhere."""
    today = _today()
    found = checked_file(command.attachment or b"", command.args["filename"], today)
    return {
        "file": command.args["filename"],
        "kind": found.kind,
        "valid": not found.faults,
        "faults": list(found.faults),
        "pack": None if found.pack is None else _described(found.pack, today),
        "enforced": context.store.packs.in_force().is_stored,
        "advice": ADVICE,
    }


def set_pack(context: HandlerContext, command: Invocation) -> Result | Continue:
    """Put a file's pack, or all shipped ones, in force for every host.

    The answer comes when no dial is in flight that was cleared under the rules before; jobs that waited for
    a rule are looked at again.
    """
    wanted = _wanted_packs(command)
    in_force = context.store.packs.in_force()
    if in_force.is_stored and in_force.fault is not None and not command.args["shipped"]:
        raise CommandRefused(ErrorCode.REFUSED, in_force.fault)
    before = _known_packs(context.store) if in_force.is_stored else {}
    warnings = [warning for pack in wanted for warning in pack_warnings(pack, _today())]
    warnings += _check_variants(wanted, _known_packs(context.store))
    introduce_packs(context.store, by=command.actor)
    context.store.packs.put_in_force(wanted, fill=secrets.token_hex(8), by=command.actor)
    changes = [_change(before.get(key_of_pack(pack)), pack) for pack in wanted]

    def finish(context: HandlerContext, released: int) -> Result | Continue:
        return wait_for_dials(
            context,
            command,
            done=say("the rules are in force"),
            again="set-pack",
            result={"packs": changes, "released": released, "warnings": warnings, "advice": ADVICE},
        )

    return release_waiting(context, None, finish)


def introduce_packs(store: Store, *, by: str) -> None:
    """Put the shipped packs in force, where none are: the first batch with a purpose needs them.

    A daemon that does not know packs must not dial any more. From then on each dial is in the ledger; what
    was cleared before has an intent by now, and is looked for afterwards.
    """
    store.holds.require_level(Level.CALLING_RULES, by=by)
    if store.packs.in_force().is_stored:
        return
    fill = secrets.token_hex(8)
    is_first = store.packs.install(shipped_packs().values(), fill=fill, is_ready=False, by=by)
    if is_first and not _has_earlier_calls(store):
        store.packs.note_filled(fill)


def _has_earlier_calls(store: Store) -> bool:
    """Whether there are calls that caps may count, and that are in no ledger."""
    dials = store.jobs.open_dials()
    since = store.now() - timedelta(days=_EARLIER_DAYS)
    is_dialling = dials.on_their_way + dials.ambiguous + dials.live_calls > 0
    return is_dialling or store.results.has_calls_since(since)


def release_waiting(
    context: HandlerContext,
    batch_id: str | None,
    finish: Callable[[HandlerContext, int], Result | Continue],
    released: int = 0,
) -> Result | Continue:
    """Have jobs that wait for a rule looked at again, in portions: of a batch, or of all."""
    changed = context.store.queue.release_waiting(batch_id, _PORTION)
    if not changed:
        return finish(context, released)
    return Continue(
        after_seconds=0.0,
        step=lambda context: release_waiting(context, batch_id, finish, released + changed),
    )


def _wanted_packs(command: Invocation) -> list[Pack]:
    name = command.args["filename"]
    if command.args["shipped"] is (name is not None):
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, say("give either a file or --shipped"))
    if name is None:
        return list(shipped_packs().values())
    found = checked_file(command.attachment or b"", name, _today())
    if found.pack is None:
        raise CommandRefused(ErrorCode.REFUSED, "; ".join(found.faults))
    return [found.pack]


def _check_variants(wanted: Sequence[Pack], known: Mapping[str, Pack | InvalidPack]) -> list[str]:
    """Refuse a variant that is looser than the pack of all batches; warn of those in force that become so."""
    warnings: list[str] = []
    for one in wanted:
        if one.variant is None:
            variants = [
                other
                for other in known.values()
                if isinstance(other, Pack)
                and other.variant is not None
                and (other.country, other.purpose) == (one.country, one.purpose)
            ]
            warnings += [
                say("{name} allows more than this: set it anew", name=other.name)
                for other in variants
                if _looser_faults(one, other)
            ]
        elif isinstance(base := known.get(pack_key(one.country, one.purpose)), Pack) and (
            faults := _looser_faults(base, one)
        ):
            raise CommandRefused(ErrorCode.REFUSED, "; ".join(faults))
    return warnings


def _looser_faults(base: Pack, variant: Pack) -> list[str]:
    """In what a variant allows more than the pack of all batches, but for its exemptions."""
    allowed = {part for exemption in variant.exemptions for part in exemption.loosens}
    return [fault for part, fault in looser_parts(base, variant) if part not in allowed]


def _change(old: Pack | InvalidPack | None, new: Pack) -> Result:
    return {
        "country": new.country,
        "purpose": new.purpose,
        "variant": new.variant,
        "hash": content_hash(new),
        "before": content_hash(old) if isinstance(old, Pack) else None,
        "exemptions": [each.model_dump(mode="json") for each in new.exemptions],
    }


def _known_packs(store: Store) -> Mapping[str, Pack | InvalidPack]:
    """Those in force; until there are any, the shipped ones, by ``pack_key``."""
    if store.packs.in_force().is_stored:
        return store.packs.all_in_force()
    return {pack_key(country, purpose): pack for (country, purpose), pack in shipped_packs().items()}


def _today() -> date:
    """By this host's clock: the database may be away."""
    return datetime.now(UTC).date()


def _row(one: Pack, today: date) -> Result:
    return {
        "country": one.country,
        "purpose": one.purpose,
        "variant": one.variant,
        "windows": None if one.windows is None else str(one.windows),
        "holidays": None if one.holidays is None else one.holidays.rule,
        "caps": [str(cap) for cap in one.caps],
        "spread_attempts": one.spread_attempts,
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
                "about": say("caller_numbers exemption {name}", name=each.name),
                "rule": None,
                "says": each.says,
                "source": "; ".join(one.sources[name] for name in each.sources),
                "confidence": one.caller_numbers.confidence,
            }


def _rule(statement: Statement) -> str | None:
    """What a statement says in short, where that is more than its words."""
    match statement:
        case Holidays():
            days = ", ".join(map(str, statement.extra))
            names = ", ".join(statement.subdivisions)
            return say(
                "{rule}: holidays of {calendar}{places}{extra}",
                rule=statement.rule,
                calendar=statement.calendar,
                places=say(" with {names}", names=names) if names else "",
                extra=say(", and {days}", days=days) if days else "",
            )
        case Option():
            parts = [*map(str, statement.hours), *map(str, statement.caps), *statement.subdivisions]
            return "; ".join(parts)
        case Cap() | Windows():
            return str(statement)
        case _:
            return None
