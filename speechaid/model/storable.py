"""Make JSON of others storable: only values that BSON can hold, and no more of them than fits. Pure.

MongoDB takes documents of 16 MiB; an answer of Retell may be twice as long, and BSON is longer than JSON. So
no odd and no long answer can stop a settlement.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from speechaid.model.masking import mask_bare_phones
from speechaid.model.reading import Document

#: The largest document that MongoDB stores.
LARGEST_DOCUMENT_BYTES: Final = 16 * 1024 * 1024
#: A field is first cut to this size, before smaller ones are touched.
_FIRST_CUT_BYTES: Final = 64 * 1024
#: Fields that are named where many were cut; of the others there is the number.
_NAMED: Final = 20
_LONGEST_NAME: Final = 60

_LEAST_INT: Final = -(2**63)
_LARGEST_INT: Final = 2**63 - 1
#: MongoDB allows 100 levels of nesting; Retell's answer is stored a few levels down.
MAX_DEPTH: Final = 60


_FIXED_BYTES: Final[Mapping[type, int]] = {type(None): 0, bool: 8, int: 8, float: 8, datetime: 8}


@dataclass(frozen=True, kw_only=True)
class CutField:
    """A field of which not all is stored; sizes in bytes of BSON."""

    #: Names of nested fields are joined by dots.
    field: str
    length: int
    kept: int


def storable(value: Any, depth: int = 0) -> Any:
    """Make JSON storable as BSON.

    Keys lose NULs, and a leading ``$`` gets a prefix; a key that is changed so replaces no other one.
    Integers past 64 bits become text; NaN, infinities and levels deeper than ``MAX_DEPTH`` become None.
    """
    if depth > MAX_DEPTH:
        return None
    if isinstance(value, str):
        # A lone surrogate is valid JSON, but not valid UTF-8.
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return _storable_object(value, depth)
    if isinstance(value, list):
        return [storable(item, depth + 1) for item in value]
    return _storable_number(value)


def _storable_number(value: Any) -> Any:
    """A number, or what needs no change: true, false, null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and not _LEAST_INT <= value <= _LARGEST_INT:
        return str(value)
    return value


def _storable_object(value: dict[Any, Any], depth: int) -> Document:
    kept: Document = {}
    changed: Document = {}
    for name, item in value.items():
        key = _key(str(name))
        (kept if key == name else changed)[key] = storable(item, depth + 1)
    return {**changed, **kept} if changed else kept


def _key(name: str) -> str:
    if name.isascii() and "\0" not in name and not name.startswith("$"):
        return name
    clean = name.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    return f"_{clean}" if clean.startswith("$") else clean


def bson_size(value: Any) -> int:
    """Bytes that a value takes in BSON, without its name; for types that JSON lacks an upper estimate."""
    fixed = _FIXED_BYTES.get(type(value))
    if fixed is not None:
        return fixed
    if isinstance(value, str | bytes):
        return 5 + (_utf8_length(value) if isinstance(value, str) else len(value))
    if isinstance(value, dict):
        return 5 + sum(2 + _utf8_length(str(name)) + bson_size(item) for name, item in value.items())
    if isinstance(value, list | tuple):
        # The names of a list's items are their places, in digits.
        return (
            5
            + sum(map(bson_size, value))
            + sum(2 + digits for digits in map(len, map(str, range(len(value)))))
        )
    return 64


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def fit_document(
    document: Document, limit_bytes: int, *, keep: Collection[str] = ()
) -> tuple[Document, list[CutField]]:
    """Cut a document to a size, its longest fields first; a document that fits is returned as it is.

    Texts keep their beginning, objects are cut field by field, lists are left out. Fields that are small
    are touched last.

    Args:
        document: storable.
        limit_bytes: of BSON.
        keep: fields that are cut only where nothing else is left.
    """
    sizes = {name: bson_size(value) for name, value in document.items()}
    total = 5 + sum(2 + _utf8_length(name) + size for name, size in sizes.items())
    if total <= limit_bytes:
        return document, []
    kept, cuts = dict(document), dict[str, list[CutField]]()
    kept_sizes = dict(sizes)
    order = sorted(sizes, key=lambda name: (name in keep, -sizes[name]))
    for smallest in (_FIRST_CUT_BYTES, -1):
        for name in order:
            if total <= limit_bytes:
                break
            if name not in kept or (size := kept_sizes[name]) <= smallest:
                continue
            value, inner = _cut(document[name], max(smallest, size - (total - limit_bytes)))
            left = 0 if value is None else bson_size(value)
            if value is None:
                del kept[name]
                total -= 2 + _utf8_length(name)
            else:
                kept[name] = value
            kept_sizes[name] = left
            total -= size - left
            cuts[name] = inner or [CutField(field="", length=sizes[name], kept=left)]
    return kept, [_under(name, cut) for name, found in cuts.items() for cut in found]


def _cut(value: Any, limit_bytes: int) -> tuple[Any, list[CutField]]:
    """At most so many bytes of a value, or None; and what was cut inside it."""
    if isinstance(value, str):
        start = value.encode("utf-8")[: max(0, limit_bytes - 5)].decode("utf-8", "ignore")
        return start or None, []
    if isinstance(value, dict):
        return fit_document(value, limit_bytes) if limit_bytes > 5 else (None, [])
    return None, []


def _under(name: str, cut: CutField) -> CutField:
    path = f"{name[:_LONGEST_NAME]}.{cut.field}" if cut.field else name[:_LONGEST_NAME]
    return CutField(field=path[: 4 * _LONGEST_NAME], length=cut.length, kept=cut.kept)


def describe_cuts(cuts: list[CutField]) -> list[Document]:
    """What was cut, as it is stored: the longest fields by name, and the number of the others."""
    longest = sorted(cuts, key=lambda cut: -cut.length)
    named: list[Document] = [
        {"field": mask_bare_phones(cut.field), "bytes": cut.length, "kept_bytes": cut.kept}
        for cut in longest[:_NAMED]
    ]
    return [*named, {"others": len(cuts) - _NAMED}] if len(cuts) > _NAMED else named
