"""What the calling rules decide about one dial: the facts, and the decision by hours and caps. Pure.

``dialer.calling_rules`` gathers the facts; ``rules.checks`` has the checks that ask here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo

from speechaid.compliance.callee_zones import callee_zones
from speechaid.compliance.caps import LedgerEntry, PlannedDial
from speechaid.compliance.next_chance import RuleDecision, check_rules
from speechaid.compliance.packs import InvalidPack, Pack
from speechaid.model.states import Purpose
from speechaid.rules.numbers import country_of_number, line_identity
from speechaid.rules.windows import Window, WindowFault


@dataclass(frozen=True, kw_only=True)
class PersonUnderRules:
    """A person with the packs that hold for the person's numbers, and the ledger's entries."""

    purpose: Purpose
    #: By the country of a number; a country without a pack is not in it.
    packs: Mapping[str, Pack | InvalidPack] = field(default_factory=lambda: MappingProxyType({}))
    #: Why nobody may be called under any pack; None: which ones are in force is known.
    fault: str | None = None
    #: Whether the ledger has every call that a cap may count.
    is_ready: bool = True
    #: National ids in their one form, and the lines of all phones.
    ids: frozenset[str] = frozenset()
    lines: frozenset[str] = frozenset()
    account: str | None = None
    debt: str | None = None
    #: Of these people, of every number above; those of others do no harm.
    entries: Sequence[LedgerEntry] = field(default=(), repr=False)

    @property
    def has_caps(self) -> bool:
        """Whether earlier calls decide, by a pack that holds for one of the numbers."""
        return any(isinstance(pack, Pack) and pack.counts_calls for pack in self.packs.values())

    def pack_for(self, number: str) -> Pack | InvalidPack | None:
        """The pack that holds for a number in E.164; None: no rule is known."""
        country = country_of_number(number)
        return None if country is None else self.packs.get(country)

    def planned_dial(self, number: str, key: str | None = None) -> PlannedDial:
        """A dial of one of the numbers; without an id, the person is all of the numbers."""
        numbers = frozenset({line_identity(number)}) if self.ids else self.lines | {line_identity(number)}
        return PlannedDial(key=key, ids=self.ids, numbers=numbers, account=self.account, debt=self.debt)

    def zones_of(self, number: str, batch: Window | WindowFault) -> tuple[ZoneInfo, ...]:
        """The zones in one of which a number rings (``callee_zones``)."""
        pack = self.pack_for(number)
        return callee_zones(
            line_identity(number),
            country_of_number(number) or "",
            pack_zones=pack.zones if isinstance(pack, Pack) else (),
            batch_zone=batch.zone if isinstance(batch, Window) else None,
        )

    def decide(
        self, number: str, *, batch: Window | WindowFault, at: datetime, own_key: str | None
    ) -> RuleDecision:
        """Whether hours and caps allow a dial at an instant.

        Args:
            number: E.164.
            batch: the batch's own hours.
            at: aware.
            own_key: the entry of this dial, which does not count.
        """
        pack = self.pack_for(number)
        return check_rules(
            country=country_of_number(number) or "",
            purpose=self.purpose,
            packs=() if pack is None else (pack,),
            batch=batch,
            zones=self.zones_of(number, batch),
            entries=self.entries,
            dial=self.planned_dial(number, own_key),
            at=at,
        )
