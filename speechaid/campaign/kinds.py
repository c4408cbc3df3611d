"""The kinds of remark on a contacts file, and what is done about each. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from speechaid.protocol.translation import say_later


class Kind(StrEnum):
    """The kinds of remark; ``--accept KIND`` keeps such rows, ``--refuse KIND`` makes them bad."""

    UNASSIGNED = "unassigned"
    PLACEHOLDER = "placeholder"
    SHARED = "shared"
    SERVICE = "service"
    FOREIGN = "foreign"
    LANDLINE = "landline"
    ASSUMED = "assumed"
    NOTE = "note"
    PHONE = "phone"
    NAME = "name"
    AMOUNT = "amount"
    DATE = "date"
    DATE_ORDER = "date-order"
    ID = "id"
    REPEATED = "repeated"
    LETTERS = "letters"
    DO_NOT_CALL = "do-not-call"
    TOTAL = "total"
    COLUMN = "column"
    FILE = "file"


@dataclass(frozen=True)
class KindPolicy:
    """What a kind of remark means, and what is done about it unless told otherwise."""

    #: For people.
    meaning: str
    #: Whether the phone (for the kinds of phones) or the row is refused by default.
    is_bad: bool = False
    #: Whether ``--accept`` and ``--refuse`` change it.
    can_change: bool = True


#: One row a kind.
KINDS: Final[dict[Kind, KindPolicy]] = {
    Kind.UNASSIGNED: KindPolicy(say_later("the numbering plan has no such number"), is_bad=True),
    Kind.PLACEHOLDER: KindPolicy(say_later("a number that only fills the field"), is_bad=True),
    Kind.SHARED: KindPolicy(say_later("one number under three or more people"), is_bad=True),
    Kind.SERVICE: KindPolicy(
        say_later("a service number (toll-free, shared cost), not a person's"), is_bad=True
    ),
    Kind.FOREIGN: KindPolicy(say_later("a number of another country than the file's")),
    Kind.LANDLINE: KindPolicy(say_later("a landline under a title of mobiles")),
    Kind.ASSUMED: KindPolicy(say_later("something was assumed to read the cell")),
    Kind.NOTE: KindPolicy(say_later("words stand beside the number")),
    Kind.PHONE: KindPolicy(say_later("one of several phones cannot be used"), can_change=False),
    Kind.NAME: KindPolicy(say_later("the contact has no name")),
    Kind.AMOUNT: KindPolicy(say_later("the amount is missing or zero")),
    Kind.DATE: KindPolicy(say_later("the date is probably wrong")),
    Kind.DATE_ORDER: KindPolicy(say_later("it is not known whether day or month comes first"), is_bad=True),
    Kind.ID: KindPolicy(say_later("the id is probably mistyped")),
    Kind.REPEATED: KindPolicy(say_later("probably the same debt as in another row")),
    Kind.LETTERS: KindPolicy(say_later("letters were lost before the file was written")),
    Kind.DO_NOT_CALL: KindPolicy(
        say_later("the file says that the person is not to be called"), can_change=False
    ),
    Kind.TOTAL: KindPolicy(say_later("a row of totals or notes, of no person"), can_change=False),
    Kind.COLUMN: KindPolicy(say_later("a column is not used as its title suggests"), can_change=False),
    Kind.FILE: KindPolicy(say_later("the file was not read as it stands"), can_change=False),
}


@dataclass(frozen=True, kw_only=True)
class KindChoices:
    """What the owner of a file decided about kinds of remark."""

    #: Kinds whose rows are kept, and kinds whose rows are bad, whatever their default.
    accepted: frozenset[Kind] = frozenset()
    refused: frozenset[Kind] = frozenset()

    def is_bad(self, kind: Kind) -> bool:
        """Whether such a row, or such a phone, is left out."""
        if kind in self.accepted:
            return False
        return KINDS[kind].is_bad or (kind in self.refused and KINDS[kind].can_change)


#: Kinds of rows that become no job, and that nobody needs to mend.
LEFT_OUT: Final = frozenset({Kind.DO_NOT_CALL, Kind.TOTAL})
