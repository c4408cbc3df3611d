"""Packs from files: parsed, checked and identified; one sentence for each fault.

A file is TOML, at most 64 KiB, of one of three kinds. A ``pack`` has the rules of a country for a purpose, a
``reference`` takes all of those of another purpose, an ``overlay`` has an operator's stricter values for a
shipped pack. What cannot be used is ``InvalidPack``: under it nobody is called.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

from speechaid.compliance.overlays import apply_overlay
from speechaid.compliance.packs import WEEKDAYS, Cap, InvalidPack, Overlay, Pack, Reference, Span
from speechaid.compliance.public_holidays import calendar_fault
from speechaid.model.reading import find_zone, shown
from speechaid.model.states import Purpose

#: A longer file is none of ours.
MAX_BYTES: Final = 64 * 1024
#: After so many days a pack should be reviewed again.
REVIEW_DAYS: Final = 365
#: Faults that are named of one file.
MAX_FAULTS: Final = 20
_KINDS: Final[Mapping[str, type[Pack | Reference | Overlay]]] = MappingProxyType(
    {"pack": Pack, "reference": Reference, "overlay": Overlay}
)
#: Dots of one line: the parser's time grows with the square of a key's parts.
_MAX_DOTS: Final = 100


@dataclass(frozen=True, kw_only=True)
class CheckedFile:
    """What ``check_pack`` found of an operator's file."""

    #: What holds with this file; None where it has faults.
    pack: Pack | None
    faults: tuple[str, ...]
    warnings: tuple[str, ...]
    #: Of the pack that holds with it.
    content_hash: str | None
    kind: str | None


def parse_file(data: bytes, file: str) -> Pack | Reference | Overlay | InvalidPack:
    """Read one file.

    Args:
        data: its bytes.
        file: its name, for the faults.
    """
    try:
        content = _read_toml(data)
    except ValueError as error:
        return InvalidPack(country=None, purpose=None, faults=(f"{file}: {error}",))
    kind = content.get("kind")
    model = _KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        faults = [f"{file}: kind: {_given(content, 'kind')}; allowed: {', '.join(_KINDS)}"]
        return _invalid(content, faults)
    try:
        # Through JSON, where pydantic tells a number from a text, and knows dates and lists.
        found = model.model_validate_json(json.dumps(content, default=_as_json), strict=True)
    except (ValidationError, TypeError, ValueError) as error:
        faults = (
            list(_sentences(error, model, content)) if isinstance(error, ValidationError) else [str(error)]
        )
        return _invalid(content, [f"{file}: {fault}" for fault in faults[:MAX_FAULTS]])
    faults = [f"{file}: {fault}" for fault in _faults_between_fields(found)]
    return _invalid(content, faults[:MAX_FAULTS]) if faults else found


def shipped_packs() -> Mapping[tuple[str, Purpose], Pack]:
    """The packs of this version by country and purpose, references resolved.

    Raises:
        ValueError: a file of the package is damaged.
    """
    return _shipped()


def pack_in_force(
    country: str, purpose: Purpose, operators: Mapping[str, bytes]
) -> Pack | InvalidPack | None:
    """The pack that holds for a country and purpose.

    Args:
        country: ISO 3166 code.
        purpose: of the calls.
        operators: the operator's files by name, for any country.

    Returns:
        None where no rule is known. Invalid where a file that concerns them has a fault, or one that does not
        tell whom it concerns.
    """
    shipped = shipped_packs().get((country, purpose))
    own: list[tuple[str, Pack | Reference | Overlay]] = []
    faults: list[str] = []
    for file, data in sorted(operators.items()):
        found = parse_file(data, file)
        if isinstance(found, InvalidPack):
            if found.country in {country, None} and found.purpose in {purpose, None}:
                faults += found.faults
        elif (found.country, found.purpose) == (country, purpose):
            own.append((file, found))
    if len(own) > 1:
        names = ", ".join(file for file, _ in own)
        faults.append(f"{names}: several files for {country} {purpose}; allowed: one")
    pack = shipped
    if own and not faults:
        pack, more = _with_file(own[0][1], own[0][0], operators)
        faults += more
    if faults:
        return InvalidPack(country=country, purpose=purpose, faults=tuple(faults))
    return pack


def check_pack(data: bytes, file: str, today: date) -> CheckedFile:
    """Whether an operator's file can be used, and what would hold with it."""
    found = parse_file(data, file)
    if isinstance(found, InvalidPack):
        return CheckedFile(pack=None, faults=found.faults, warnings=(), content_hash=None, kind=None)
    pack, faults = _with_file(found, file, {})
    return CheckedFile(
        pack=None if faults else pack,
        faults=tuple(faults),
        warnings=() if pack is None or faults else tuple(pack_warnings(pack, today)),
        content_hash=None if pack is None or faults else content_hash(pack),
        kind=found.kind,
    )


def pack_warnings(pack: Pack, today: date) -> Iterator[str]:
    """What somebody should see to, though the pack can be used."""
    age = (today - pack.reviewed).days
    if age > REVIEW_DAYS:
        yield f"{pack.name} was last reviewed on {pack.reviewed}, more than 12 months ago: review it"
    if age < 0:
        yield f"{pack.name} says that it was reviewed on {pack.reviewed}, which is to come"


def content_hash(pack: Pack) -> str:
    """SHA-256 of the pack's canonical JSON, hexadecimal: equal packs have equal hashes on every host."""
    return hashlib.sha256(canonical_json(pack).encode()).hexdigest()


def canonical_json(pack: Pack) -> str:
    """The pack as JSON of one form: sorted keys, no blanks, every field.

    A variant's name and ``spread_attempts`` are left out where they are not set: packs keep their hashes.
    """
    content = pack.model_dump(mode="json")
    for later in ("variant", "spread_attempts"):
        if not content[later]:
            del content[later]
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def longest_span_days(pack: Pack) -> int:
    """The most days over which one of its caps counts, at least 7: the length of a calendar week."""
    return max([7, *(_span_days(cap) for cap in pack.caps)])


def _span_days(cap: Cap) -> int:
    length = cap.length or 0
    return -(-length // 24) if cap.span is Span.ROLLING_HOURS else length


@lru_cache(maxsize=1)
def _shipped() -> Mapping[tuple[str, Purpose], Pack]:
    packs: dict[tuple[str, Purpose], Pack] = {}
    references: list[Reference] = []
    directory = files("speechaid") / "data" / "packs"
    for path in sorted(directory.iterdir(), key=lambda path: path.name):
        found = parse_file(path.read_bytes(), path.name)
        if isinstance(found, InvalidPack):
            raise ValueError("; ".join(found.faults))  # noqa: TRY004 - the file is wrong, not the type
        if path.name != f"{found.country}-{found.purpose}.toml":
            raise ValueError(f"{path.name}: it is of {found.country} {found.purpose}")
        if isinstance(found, Reference):
            references.append(found)
        elif isinstance(found, Pack):
            packs[found.country, found.purpose] = found
        else:
            raise ValueError(f"{path.name}: an overlay is an operator's")  # noqa: TRY004 - as above
    for one in references:
        packs[one.country, one.purpose] = _resolved(one, packs[one.country, one.rules_of])
    return MappingProxyType(packs)


def _resolved(reference: Reference, rules: Pack) -> Pack:
    remark = reference.remark if rules.remark is None else f"{reference.remark} {rules.remark}"
    return rules.model_copy(
        update={
            "purpose": reference.purpose,
            "reviewed": min(reference.reviewed, rules.reviewed),
            "remark": remark,
        }
    )


def _with_file(
    found: Pack | Reference | Overlay, file: str, operators: Mapping[str, bytes]
) -> tuple[Pack | None, list[str]]:
    """What holds with an operator's file, or the faults."""
    shipped = shipped_packs().get((found.country, found.purpose))
    name = f"{found.country} {found.purpose}"
    if isinstance(found, Overlay):
        if shipped is None:
            return None, [f"{file}: there is no pack {name} to make stricter; allowed: kind = pack"]
        pack, faults = apply_overlay(shipped, found)
        faults += [*_faults_of_calendar(pack), *_faults_of_result(pack)]
        return pack, [f"{file}: {fault}" for fault in faults]
    if shipped is not None:
        return None, [f"{file}: the pack {name} is shipped; allowed: kind = overlay, which makes it stricter"]
    if isinstance(found, Pack):
        return found, []
    return _with_reference(found, file, operators)


def _with_reference(
    found: Reference, file: str, operators: Mapping[str, bytes]
) -> tuple[Pack | None, list[str]]:
    others = {other: data for other, data in operators.items() if other != file}
    rules = pack_in_force(found.country, found.rules_of, others)
    if isinstance(rules, InvalidPack):
        return None, list(rules.faults)
    if rules is None or found.rules_of is found.purpose:
        return None, [f"{file}: rules_of: there is no pack {found.country} {found.rules_of} beside it"]
    return _resolved(found, rules), []


def _read_toml(data: bytes) -> dict[str, Any]:
    """The content of a file.

    Raises:
        ValueError: with a sentence for people.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"it has {len(data)} bytes; allowed: at most {MAX_BYTES}")
    if any(line.count(b".") > _MAX_DOTS for line in data.splitlines()):
        raise ValueError(f"a line has too many dots; allowed: at most {_MAX_DOTS}")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("it is no UTF-8 text; allowed: TOML in UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise ValueError(f"it is no TOML: {shown(str(error))}") from None


def _as_json(value: date | time) -> str:
    """Of TOML's values those that JSON lacks; a field that wants another says so."""
    return value.isoformat()


def _invalid(content: Mapping[str, Any], faults: Sequence[str]) -> InvalidPack:
    """With the country and purpose that the file names, where it does so rightly."""
    country, purpose = content.get("country"), content.get("purpose")
    is_country = isinstance(country, str) and re.fullmatch(r"[A-Z]{2}", country)
    is_purpose = isinstance(purpose, str) and purpose in set(Purpose)
    return InvalidPack(
        country=str(country) if is_country else None,
        purpose=Purpose(str(purpose)) if is_purpose else None,
        faults=tuple(faults),
    )


def _sentences(error: ValidationError, model: type[BaseModel], content: Mapping[str, Any]) -> Iterator[str]:
    """A fault each: field, what is there, what is allowed."""
    for one in error.errors(include_url=False, include_context=True):
        place = ".".join(str(part + 1 if isinstance(part, int) else part) for part in one["loc"])
        allowed, fields = _allowed(model, one["loc"])
        if one["type"] == "value_error":
            yield f"{place or 'the file'}: {one['ctx']['error']}"
        elif one["type"] == "missing":
            yield f"{place}: it is missing; allowed: {allowed}"
        elif one["type"] == "extra_forbidden":
            yield f"{place}: there is no such field; allowed: {', '.join(fields)}"
        else:
            yield f"{place}: {_given(content, *one['loc'])}; allowed: {allowed}"


def _given(content: object, *place: int | str) -> str:
    """The value at a place as it may be shown."""
    for part in place:
        try:
            content = content[part]  # type: ignore[index]
        except (LookupError, TypeError):
            return "it is missing" if content is None or isinstance(content, Mapping) else shown(content)
    return shown(content)


def _allowed(model: type[BaseModel], place: Sequence[int | str]) -> tuple[str, Sequence[str]]:
    """What is allowed at a place, and the fields of the table that it lies in."""
    allowed, current = "a table", model
    fields: Sequence[str] = list(model.model_fields)
    for part in place:
        if not isinstance(part, str) or part not in current.model_fields:
            continue
        field = current.model_fields[part]
        allowed = field.description or allowed
        inner = _model_in(field.annotation)
        if inner is not None:
            current, fields = inner, list(inner.model_fields)
    return allowed, fields


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside ``tuple[Model, ...]`` or ``Model | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for one in get_args(annotation) if (found := _model_in(one)) is not None), None)


def _faults_between_fields(found: Pack | Reference | Overlay) -> Iterator[str]:
    """What no single field shows."""
    if isinstance(found, Pack):
        yield from _faults_of_pack(found)
    elif isinstance(found, Overlay):
        yield from _faults_of_overlay(found)


def _faults_of_pack(pack: Pack) -> Iterator[str]:
    yield from _faults_of_names(pack)
    yield from _faults_of_sources(pack)
    yield from _faults_of_calendar(pack)
    for zone in pack.zones:
        if find_zone(zone) is None:
            yield f"zones: {shown(zone)} is no known zone; allowed: IANA names as America/Santiago"
    if pack.chosen or pack.exemptions:
        yield "chosen, exemptions: they belong to an overlay; allowed: none"
    for option in pack.options:
        chosen = Overlay(
            kind="overlay", format=1, country=pack.country, purpose=pack.purpose, options=(option.name,)
        )
        for fault in apply_overlay(pack, chosen)[1]:
            yield f"options {option.name}: {fault}"


def _faults_of_overlay(overlay: Overlay) -> Iterator[str]:
    yield from _duplicates("caps", [cap.name for cap in overlay.caps])
    yield from _duplicates("exemptions", [one.name for one in overlay.exemptions])
    for cap in overlay.caps:
        if cap.sources:
            yield f"caps {cap.name}: sources: an overlay has no table of sources; allowed: none, and L"
    for day in overlay.closed_days:
        if day not in WEEKDAYS:
            yield f"closed_days: {day}; allowed: a list of days from 1 (Monday) to 7 (Sunday)"


def _faults_of_result(pack: Pack) -> Iterator[str]:
    """Why what holds with an overlay is no pack, such as hours that overlap: it is read again by its hash."""
    try:
        Pack.model_validate_json(canonical_json(pack), strict=True)
    except ValidationError as error:
        yield from _sentences(error, Pack, pack.model_dump(mode="json"))


def _faults_of_names(pack: Pack) -> Iterator[str]:
    yield from _duplicates("caps", [cap.name for cap in pack.caps])
    yield from _duplicates("options", [option.name for option in pack.options])
    yield from _duplicates("registries", [registry.name for registry in pack.registries])


def _duplicates(place: str, names: Sequence[str]) -> Iterator[str]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{place}: {name} stands twice; allowed: each name once"


def _faults_of_sources(pack: Pack) -> Iterator[str]:
    named = [(place, statement.sources) for place, statement in pack.all_statements()]
    if pack.caller_numbers is not None:
        named += [(f"exemption {one.name}", one.sources) for one in pack.caller_numbers.exemptions]
    for place, sources in named:
        for name in sources:
            if name not in pack.sources:
                allowed = ", ".join(pack.sources)
                yield f"{place}: sources: there is no source {shown(name)}; allowed: {allowed}"


def _faults_of_calendar(pack: Pack) -> Iterator[str]:
    if pack.holidays is None:
        return
    options = [one for option in pack.options for one in option.subdivisions]
    fault = calendar_fault(pack.holidays.calendar, (*pack.holidays.subdivisions, *options))
    if fault is not None:
        yield f"holidays: {fault}"
