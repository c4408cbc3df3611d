"""The debt of a row: its amount with the currency, and its due date. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any

from babel.numbers import get_currency_precision

from speechaid.campaign import cells
from speechaid.campaign.amounts import Amount, AmountFault, read_amount, thousands_mark, unknown_words
from speechaid.campaign.columns import Columns
from speechaid.campaign.date_warnings import ReadDay, date_warning
from speechaid.campaign.dates import DateFault, order_of, read_date
from speechaid.campaign.kinds import Kind
from speechaid.campaign.number_formats import ShownNumber
from speechaid.campaign.row_texts import days_from_1900, text_of
from speechaid.campaign.rows import Remarking, UnusableRowError
from speechaid.campaign.tables import Line
from speechaid.campaign.titles import Role
from speechaid.campaign.whole_file import DateOrders, ThousandsMarks
from speechaid.campaign.words_for_nothing import is_nothing
from speechaid.protocol.translation import joined, say
from speechaid.rules.currencies import CODES, OF_COUNTRY, SYMBOLS


@dataclass(frozen=True, kw_only=True)
class DebtReader:
    """Reads amounts and due dates of rows under the columns of one file."""

    columns: Columns
    #: ISO 3166 alpha-2, of the file.
    country: str
    today: date
    #: Whether a workbook's numbers of the day count from 1904.
    counts_from_1904: bool = False
    #: What the rows show about each other, told row by row.
    dates: DateOrders = field(default_factory=DateOrders)
    thousands: ThousandsMarks = field(default_factory=ThousandsMarks)

    def amount(self, line: Line, texts: Sequence[str], country: str, remark: Remarking) -> dict[str, Any]:
        """``debt_amount`` and ``currency`` of a row; no amount is a remark.

        Raises:
            UnusableRowError: the amount, or its currency, is not understood.
        """
        found = self.columns.of(Role.DEBT_AMOUNT)
        if not found:
            return {"debt_amount": None}
        column = found[0]
        cell = line.cells[column.position] if column.position < len(line.cells) else None
        text = cell.typed_text if isinstance(cell, ShownNumber) else texts[column.position]
        if is_nothing(text):
            error = say(": the sheet has the error {text}", text=text) if text.startswith("#") else ""
            remark(
                Kind.AMOUNT,
                say("{short_title}: there is no amount{error}", short_title=column.short_title, error=error),
            )
            return {"debt_amount": None}
        said = self._currency(texts, column.currency)
        amount = read_amount(cell if isinstance(cell, int | float) else text, self.country, said)
        if isinstance(amount, AmountFault):
            which = unknown_words(text, self.country) if amount is AmountFault.UNKNOWN_WORD else []
            named = say(": {which}", which=joined(", ", which)[:40]) if which else ""
            raise UnusableRowError(
                say(
                    "{short_title}: {text!r}: {amount}{named}",
                    short_title=column.short_title,
                    text=text[:40],
                    amount=amount,
                    named=named,
                )
            )
        if said is not None and amount.currency not in {None, said} and said not in amount.may_be:
            whose = say("its title") if column.currency else say("the currency column")
            raise UnusableRowError(
                say(
                    "the amount is in {currency}, and {whose} says {said}",
                    currency=amount.currency,
                    whose=whose,
                    said=said,
                )
            )
        if amount.assumed is not None:
            remark(
                Kind.ASSUMED,
                say(
                    "{short_title}: {text!r} is read as {value}: {assumed}",
                    short_title=column.short_title,
                    text=text[:40],
                    value=amount.value,
                    assumed=amount.assumed,
                ),
            )
        mark = None if isinstance(cell, int | float) else thousands_mark(text)
        if mark is not None:
            self.thousands.add(line.number, text, mark[0], is_certain=mark[1])
        if amount.value == 0:
            remark(Kind.AMOUNT, say("{short_title}: the amount is 0", short_title=column.short_title))
        self._remark_currency(
            lambda: say("{short_title}: {text!r}", short_title=column.short_title, text=text[:40]),
            amount,
            said,
            country,
            remark,
        )
        whole = amount.value == amount.value.to_integral_value()
        value = int(amount.value) if whole else float(amount.value)
        return {"debt_amount": value, "currency": said or amount.currency or column.assumed_currency}

    def _remark_currency(
        self, cell: Callable[[], str], amount: Amount, said: str | None, country: str, remark: Remarking
    ) -> None:
        """Remark a fraction of a currency without one, and a currency that only the file's country says."""
        own = OF_COUNTRY.get(self.country)
        currency = said or amount.currency or own
        has_fraction = amount.value != amount.value.to_integral_value()
        is_strange = currency is not None and has_fraction and get_currency_precision(currency) == 0
        is_foreign = said is None and amount.may_be and own is not None and own not in amount.may_be
        is_named = said is not None or (amount.currency is not None and not amount.may_be)
        is_of_file = not is_named and own is not None and OF_COUNTRY.get(country, own) != own
        if not (is_strange or is_foreign or is_of_file):
            return
        shown = cell()
        if is_strange:
            remark(
                Kind.ASSUMED,
                say(
                    "{cell} is read as {value}, and {currency} has no decimals",
                    cell=shown,
                    value=amount.value,
                    currency=currency,
                ),
            )
        if is_foreign:
            remark(
                Kind.ASSUMED,
                say("{cell} is taken for {own}, which is not written so", cell=shown, own=own),
            )
        if is_of_file:
            remark(
                Kind.ASSUMED,
                say(
                    "{cell} is taken for {own}, and the row's country is {country}",
                    cell=shown,
                    own=own,
                    country=country,
                ),
            )

    def due_date(self, line: Line, texts: Sequence[str], country: str, remark: Remarking) -> str | None:
        """The day as ``YYYY-MM-DD``; None where the row has none.

        Raises:
            UnusableRowError: it is not understood.
        """
        text = text_of(Role.DUE_DATE, self.columns, texts)
        if self.counts_from_1904 and text is not None:
            cell = line.cells[self.columns.of(Role.DUE_DATE)[0].position]
            text = cells.clean(days_from_1900(cell))
        column = self.columns.of(Role.DUE_DATE)[0] if text is not None else None
        if text is None or column is None:
            return None
        order = column.date_order or order_of(country)
        found = read_date(text, order)
        if found is None:
            return None
        title = column.short_title
        if isinstance(found, DateFault):
            raise UnusableRowError(
                say("{title}: {text!r}: {found}", title=title, text=text[:40], found=found)
            )
        if found.assumed is not None:
            remark(
                Kind.ASSUMED,
                say(
                    "{title}: {text!r} is read as {day}: {assumed}",
                    title=title,
                    text=text[:40],
                    day=found.day.isoformat(),
                    assumed=found.assumed,
                ),
            )
        contradicts = column.date_order is not None and found.written_in not in {None, order}
        read = ReadDay(text=text, day=found.day, today=self.today, contradicts_order=contradicts)
        warning = date_warning(read)
        if warning is not None:
            remark(Kind.DATE, say("{title}: {warning}", title=title, warning=warning))
        if column.date_order is None:
            self.dates.add(line.number, text, found, order)
        return found.day.isoformat()

    def _currency(self, texts: Sequence[str], of_title: str | None) -> str | None:
        """The currency by the title of the amounts and by a column of currencies, which must agree."""
        text = text_of(Role.CURRENCY, self.columns, texts)
        return of_title if text is None else _agreed_currency(text, of_title, self.country)


@lru_cache(maxsize=256)  # a column has few
def _agreed_currency(text: str, of_title: str | None, country: str) -> str:
    word = cells.fold_accents(text.casefold()).strip(" .")
    code = SYMBOLS.get(word, text.upper() if text.upper() in CODES else None)
    may_be: frozenset[str] = frozenset()
    if code is None:
        read = read_amount(f"1 {text}", country)
        code, may_be = (read.currency, read.may_be) if isinstance(read, Amount) else (None, may_be)
    if code is None:
        raise UnusableRowError(
            say("the currency {text!r} is not known: write its code, such as CLP", text=text[:40])
        )
    if of_title not in {None, code} and of_title not in may_be:
        raise UnusableRowError(
            say(
                "the amount is in {of_title}, and the currency column says {code}",
                of_title=of_title,
                code=code,
            )
        )
    return of_title or code
