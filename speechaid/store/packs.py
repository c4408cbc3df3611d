"""Packs in the database: one law for every host, whatever its version ships.

A pack lies in ``speechaid_packs`` under its content hash, and is never changed. Which ones are in force says
one document beside the holds, which every preflight reads anyway: ``{_id: "packs", packs: {"CL-collection":
hash}, span_days, ready, fill, by, at}``. ``ready`` is false until the ledger has the calls that were placed
before: caps would count too few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final

from pydantic import ValidationError

from speechaid.compliance.pack_files import canonical_json, content_hash, longest_span_days
from speechaid.compliance.packs import InvalidPack, Pack
from speechaid.model.reading import Document, mapping, text, whole
from speechaid.model.states import Purpose
from speechaid.protocol.translation import joined, say
from speechaid.store.table import Duplicate, Table

#: The ``_id`` of the document, in the collection of holds, that says which packs are in force.
IN_FORCE: Final = "packs"
#: Calls count for so many days at least: a week is what most caps count.
LEAST_SPAN_DAYS: Final = 7


@dataclass(frozen=True, kw_only=True)
class PacksInForce:
    """What the document says."""

    #: Content hashes by ``pack_key``.
    hashes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    #: Whether the ledger has every call that a cap may count.
    is_ready: bool = False
    #: The most days over which a cap that was ever in force counts: so long, and longer, entries are kept.
    span_days: int = LEAST_SPAN_DAYS
    #: Of the request to enter earlier calls in the ledger; None: there was none.
    fill: str | None = None
    #: Why nobody may be called under any pack; None: the document can be read.
    fault: str | None = None
    #: Whether there is a document at all.
    is_stored: bool = True

    def key_for(self, country: str, purpose: Purpose, variant: str | None) -> str:
        """The key of the pack that holds: the variant where the country has it, else that of all batches."""
        own = pack_key(country, purpose, variant)
        return own if own in self.hashes else pack_key(country, purpose)

    def fault_for(self, purpose: Purpose, variant: str | None) -> str | None:
        """Why nobody may be called for a purpose, as far as this document tells."""
        if self.fault is not None or variant is None:
            return self.fault
        if any(_purpose_and_variant(key) == (purpose, variant) for key in self.hashes):
            return None
        return say(
            "no pack {variant} for {purpose} is in force: set-pack FILE",
            variant=variant,
            purpose=str(purpose),
        )


#: Nobody may be called under any pack.
NOT_READ: Final = PacksInForce(fault="the calling rules in force were not read")


def pack_key(country: str, purpose: Purpose, variant: str | None = None) -> str:
    """Under which a pack is in force: ``CL-collection``, ``CL-collection@retail``."""
    return f"{country}-{purpose}" + (f"@{variant}" if variant else "")


def key_of_pack(pack: Pack) -> str:
    """The key of a pack."""
    return pack_key(pack.country, pack.purpose, pack.variant)


def _purpose_and_variant(key: str) -> tuple[str, str | None]:
    """Of a key."""
    purpose, _, variant = key.partition("-")[2].partition("@")
    return purpose, variant or None


def read_packs_in_force(document: Document | None) -> PacksInForce:
    """What is in force; a document that is missing, or cannot be read, has a fault."""
    if document is None:
        fault = say("no calling rules are in this database: set-pack --shipped")
        return PacksInForce(fault=fault, is_stored=False)
    stored = document.get("packs")
    hashes = {name: text(found) for name, found in mapping(stored).items()}
    if not isinstance(stored, Mapping) or None in hashes.values():
        return PacksInForce(fault=say("which calling rules are in force cannot be read: set-pack --shipped"))
    return PacksInForce(
        hashes={name: found for name, found in hashes.items() if found is not None},
        is_ready=document.get("ready") is True,
        span_days=max(LEAST_SPAN_DAYS, whole(document.get("span_days"))),
        fill=text(document.get("fill")),
    )


class Packs:
    """The packs, and which of them are in force."""

    def __init__(self, table: Table, holds: Table, now: Callable[[], datetime]) -> None:
        self._table = table
        self._holds = holds
        self._now = now
        #: By content hash; a stored pack never changes.
        self._known: dict[str, Pack] = {}

    def in_force(self) -> PacksInForce:
        """Which packs are in force."""
        return read_packs_in_force(self._holds.find_one({"_id": IN_FORCE}))

    def install(self, packs: Iterable[Pack], *, fill: str, is_ready: bool, by: str) -> bool:
        """Put packs in force where none are yet; whether these are the first.

        Args:
            packs: all of this version.
            fill: names the request to enter earlier calls in the ledger.
            is_ready: whether there are none to enter.
            by: who caused it.
        """
        found = list(packs)
        self._store(found, by)
        keys = {key_of_pack(pack): content_hash(pack) for pack in found}
        row = {
            "_id": IN_FORCE,
            "packs": keys,
            "span_days": _span_days(found),
            "ready": is_ready,
            "fill": fill,
            "by": by,
            "at": self._now(),
        }
        try:
            self._holds.insert(row)
        except Duplicate:
            return False
        return True

    def put_in_force(self, packs: Iterable[Pack], *, fill: str, by: str) -> None:
        """Put packs in force in the place of those of their countries and purposes; the ledger is filled."""
        found = list(packs)
        self._store(found, by)
        current = self._holds.find_one({"_id": IN_FORCE})
        changes: Document = {"ready": False, "fill": fill, "by": by, "at": self._now()}
        if current is not None and read_packs_in_force(current).fault is not None:
            changes["packs"] = {key_of_pack(pack): content_hash(pack) for pack in found}
        else:
            for pack in found:
                changes[f"packs.{key_of_pack(pack)}"] = content_hash(pack)
        with suppress(Duplicate):  # another host inserts it at this moment: repeat the command
            self._holds.update(
                {"_id": IN_FORCE}, {"$set": changes, "$max": {"span_days": _span_days(found)}}, upsert=True
            )

    def request_fill(self, fill: str) -> None:
        """Have the calls that the ledger does not have entered; until then capped batches wait."""
        self._holds.update({"_id": IN_FORCE}, {"$set": {"ready": False, "fill": fill}})

    def note_filled(self, fill: str | None) -> bool:
        """The ledger has every earlier call; False where another request has come since."""
        return self._holds.update({"_id": IN_FORCE, "fill": fill, "ready": False}, {"$set": {"ready": True}})

    def find(self, key: str, in_force: PacksInForce) -> Pack | InvalidPack | None:
        """The pack in force under a key; None: no rule is known. Invalid: nobody is called under it.

        Args:
            key: as ``pack_key`` makes it.
            in_force: as read with the holds.
        """
        wanted = in_force.hashes.get(key)
        if wanted is None:
            return None
        known = self._known.get(wanted)
        if known is None:
            found = self._table.find_one({"_id": wanted})
            known = None if found is None else _read(wanted, key, found)
            if known is None:
                country, purpose = key.partition("-")[0], _purpose_and_variant(key)[0]
                fault = say("the pack {key} in force is not in the database, or damaged: set-pack", key=key)
                is_purpose = purpose in set(Purpose)
                return InvalidPack(
                    country=country, purpose=Purpose(purpose) if is_purpose else None, faults=(fault,)
                )
            self._known[wanted] = known
        return known

    def all_in_force(self) -> dict[str, Pack | InvalidPack]:
        """Every pack in force by its key."""
        in_force = self.in_force()
        found = {key: self.find(key, in_force) for key in in_force.hashes}
        return {key: pack for key, pack in found.items() if pack is not None}

    def fault_of(self, purpose: Purpose, in_force: PacksInForce, variant: str | None = None) -> str | None:
        """Why people may not be called for a purpose: no rules in force, or a pack of it that is damaged.

        Args:
            purpose: of a batch.
            in_force: as read with the holds.
            variant: that the batch names.
        """
        if (fault := in_force.fault_for(purpose, variant)) is not None:
            return fault
        wanted = {(str(purpose), None), (str(purpose), variant)}
        keys = sorted(key for key in in_force.hashes if _purpose_and_variant(key) in wanted)
        packs = [self.find(key, in_force) for key in keys]
        faults = [fault for pack in packs if isinstance(pack, InvalidPack) for fault in pack.faults]
        return joined("; ", faults) or None

    def _store(self, packs: Iterable[Pack], by: str) -> None:
        for pack in packs:
            row = {
                "_id": content_hash(pack),
                "country": pack.country,
                "purpose": str(pack.purpose),
                "pack": canonical_json(pack),
                "by": by,
                "at": self._now(),
            }
            fields = {name: value for name, value in row.items() if name != "_id"}
            # A damaged one of this hash is written anew.
            with suppress(Duplicate):
                self._table.update({"_id": row["_id"]}, {"$set": fields}, upsert=True)


def _span_days(packs: Iterable[Pack]) -> int:
    return max(map(longest_span_days, packs), default=LEAST_SPAN_DAYS)


def _read(wanted: str, key: str, row: Document) -> Pack | None:
    """The pack of a document; None where it is not the one that its hash names."""
    try:
        pack = Pack.model_validate_json(text(row.get("pack")) or "", strict=True)
    except ValidationError:
        return None
    is_wanted = content_hash(pack) == wanted and key_of_pack(pack) == key
    return pack if is_wanted else None
