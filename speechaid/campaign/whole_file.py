"""What only a whole file shows about its rows: told row by row, and concluded at its end. Pure.

The result does not depend on the order of the rows, nor on the slices in which they are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from speechaid.campaign.dates import DateOrder, Day
from speechaid.campaign.kinds import Kind
from speechaid.protocol.translation import joined, say, say_later

_ORDER_NAMES: Final = {
    DateOrder.DAY_FIRST: say_later("day first"),
    DateOrder.MONTH_FIRST: say_later("month first"),
}
_MARK_NAMES: Final = {".": "points", ",": "commas"}
#: Lines that a sentence names.
_MOST_NAMED: Final = 5


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A remark on a row, which the row itself did not show."""

    line: int
    kind: Kind
    text: str


@dataclass(frozen=True, kw_only=True)
class OrderConclusion:
    """In which order a column's dates are written."""

    #: By line: the right date of rows that were read in the other order.
    days: Mapping[int, date] = field(default_factory=dict)
    #: By line: both dates that a cell may be, where the column has both orders.
    either: Mapping[int, tuple[date, date]] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()
    #: A sentence on the column, where its order is not the country's.
    remark: str | None = None


class DateOrders:
    """The order of day and month of one column, by the values that can only be read in one way.

    Where all of them have one order, it is that of the column; where both occur, its ambiguous values are not
    understood; where no value shows an order, it is the country's. Rows of countries that write the day
    first, and rows of the others, are looked at separately.
    """

    def __init__(self) -> None:
        self._seen: Counter[tuple[DateOrder, DateOrder]] = Counter()
        self._examples: dict[DateOrder, tuple[int, str]] = {}
        self._ambiguous: dict[DateOrder, list[tuple[int, str, Day]]] = {order: [] for order in DateOrder}

    def add(self, line: int, text: str, day: Day, read_in: DateOrder) -> None:
        """Note a date, and the order of its row's country, in which it was read."""
        if day.written_in is not None:
            self._seen[read_in, day.written_in] += 1
            self._examples.setdefault(day.written_in, (line, text))
        elif day.other_day is not None:
            self._ambiguous[read_in].append((line, text, day))

    def conclusion(self, title: str, key: object) -> OrderConclusion:
        """What the whole column shows.

        Args:
            title: of the column, for people.
            key: by which ``--map`` names it.
        """
        days: dict[int, date] = {}
        either: dict[int, tuple[date, date]] = {}
        doubts: list[Doubt] = []
        others: Counter[DateOrder] = Counter()
        for read_in, values in self._ambiguous.items():
            order = self._order(read_in)
            if order is not None and order is not read_in:
                others[order] += len(values)
            for line, text, day in values:
                assert day.other_day is not None  # noqa: S101 - an ambiguous one
                if order is None:
                    either[line] = day.day, day.other_day
                    doubts.append(self._doubt(line, text, either[line], title, key))
                elif order is not read_in:
                    days[line] = day.other_day
        others.update(
            {
                written: count
                for (read_in, written), count in self._seen.items()
                if written is not read_in and self._order(read_in) is written
            }
        )
        remark = self._remark(others, title, key)
        return OrderConclusion(days=days, either=either, doubts=tuple(doubts), remark=remark)

    def _order(self, read_in: DateOrder) -> DateOrder | None:
        """The order of values that were read so; None where both occur."""
        orders = {written for own, written in self._seen if own is read_in} or {read_in}
        return next(iter(orders)) if len(orders) == 1 else None

    def _doubt(self, line: int, text: str, days: tuple[date, date], title: str, key: object) -> Doubt:
        seen = joined(
            " and ",
            (
                say(
                    "{ORDER_NAMES} (line {number}: {example!r})",
                    ORDER_NAMES=_ORDER_NAMES[order],
                    number=number,
                    example=example[:40],
                )
                for order, (number, example) in sorted(self._examples.items())
            ),
        )
        sentence = say(
            "{title}: {text!r} may be {days} or {days_2}, and the column has dates {seen}:"
            " --map '{key}=due-date:dmy' or '{key}=due-date:mdy' says which is right",
            title=title,
            text=text[:40],
            days=days[0].isoformat(),
            days_2=days[1].isoformat(),
            seen=seen,
            key=key,
        )
        return Doubt(line=line, kind=Kind.DATE_ORDER, text=sentence)

    def _remark(self, others: Mapping[DateOrder, int], title: str, key: object) -> str | None:
        if not others:
            return None
        order = next(iter(others))
        line, example = self._examples[order]
        back = next(other for other in DateOrder if other is not order)
        return say(
            "{title}: dates are read {ORDER_NAMES}, as those are written that can be read in"
            " one way only, such as {example!r} on line {line}: --map '{key}=due-date:{back}'"
            " reads them {ORDER_NAMES_2}",
            title=title,
            ORDER_NAMES=_ORDER_NAMES[order],
            example=example[:40],
            line=line,
            key=key,
            back=back,
            ORDER_NAMES_2=_ORDER_NAMES[back],
        )


class ThousandsMarks:
    """The marks that separate thousands in one column of amounts: who mixes them may mean cents."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._doubtful: dict[str, list[tuple[int, str]]] = {mark: [] for mark in _MARK_NAMES}

    def add(self, line: int, text: str, mark: str, *, is_certain: bool) -> None:
        """Note an amount with thousands; a certain one has cents behind them, or millions before."""
        if mark in self._doubtful:
            self._counts[mark] += 1
            if not is_certain:
                self._doubtful[mark].append((line, text))

    def conclusion(self, title: str) -> Iterator[Doubt]:
        """The amounts with the rarer mark; with both, where they are equally frequent."""
        if len(self._counts) < 2:
            return
        most = max(self._counts.values())
        for mark, count in self._counts.items():
            if count == most and set(self._counts.values()) != {most}:
                continue
            for line, text in self._doubtful[mark]:
                yield Doubt(
                    line=line,
                    kind=Kind.ASSUMED,
                    text=say(
                        "{title}: {text!r} is read with {MARK_NAMES} between thousands, and other cells of"
                        " the column are written otherwise",
                        title=title,
                        text=text[:40],
                        MARK_NAMES=_MARK_NAMES[mark],
                    ),
                )


class SharedLines:
    """The lines (by their identity) that stand under so many people of a file, told row by row."""

    def __init__(self, at_least: int = 3) -> None:
        self._at_least = at_least
        #: Of each line the first person, and of most lines there is no other: who, and in which row.
        self._first: dict[str, tuple[str, int]] = {}
        self._further: dict[str, list[tuple[str, int]]] = {}

    def add(self, who: str, row: int, lines: Iterable[str]) -> None:
        """Note the lines of a person, who stands in this row of the file."""
        note = (who, row)
        for line in lines:
            if self._first.setdefault(line, note) is not note:
                self._further.setdefault(line, []).append(note)

    def rows_of(self, line: str) -> set[int]:
        """The rows (by their line in the file) that have a line."""
        notes = [*filter(None, (self._first.get(line),)), *self._further.get(line, ())]
        return {row for _, row in notes}

    def find_shared(self) -> dict[str, tuple[int, list[int]]]:
        """By line: how many people have it, and the rows (by their line in the file) with it."""
        found = {}
        for line, further in self._further.items():
            notes = [self._first[line], *further]
            people = len({who for who, _ in notes})
            if people >= self._at_least:
                found[line] = people, sorted({row for _, row in notes})
        return found


def lines_named(rows: Iterable[int]) -> str:
    """``lines 4, 8, 9``; of many the first."""
    listed = list(rows)
    more = say(" and {listed} more", listed=len(listed) - _MOST_NAMED) if len(listed) > _MOST_NAMED else ""
    return say("lines {listed}{more}", listed=joined(", ", map(str, listed[:_MOST_NAMED])), more=more)
