"""What a file says about who is not to be called. Pure."""

from __future__ import annotations

from typing import Final

from speechaid.campaign.cells import fold, one_line
from speechaid.campaign.dates import DateOrder, Day, read_date
from speechaid.campaign.words_for_nothing import is_nothing

#: Answers in a column of a do-not-call title, folded; a date is that of the opt-out.
_YES: Final = frozenset(
    {
        *(
            "1",
            "x",
            "xx",
            "xxx",
            "y",
            "yes",
            "s",
            "si",
            "sim",
            "t",
            "true",
            "v",
            "verdadero",
            "verdadeiro",
            "on",
        ),
        *(
            "ok dnc",
            "excluir",
            "excluido",
            "excluida",
            "bloqueado",
            "bloqueada",
            "opt out",
            "opted out",
            "optout",
        ),
        *("unsubscribed", "blocked", "listed", "checked", "lista negra"),
    }
)
_NO: Final = frozenset({"0", "n", "no", "nao", "not", "f", "false", "falso", "off", "unchecked", "permitido"})
#: A cell of any column that says this and nothing else, in lower case: VICIdial's statuses, and what people
#: write into a column of states or notes.
WORDS: Final = frozenset(
    {
        *("dnc", "dncl", "dncc", "do not call", "do not contact", "donotcall", "no llamar", "no llamar más"),
        *("no llamar mas", "no volver a llamar", "no contactar", "no molestar", "no desea llamadas"),
        *(
            "no desea ser llamado",
            "no desea ser contactado",
            "opt out",
            "opted out",
            "não ligar",
            "nao ligar",
        ),
    }
)


def asks_not_to_be_called(text: str) -> bool | None:
    """Whether a cell of a do-not-call column says so; None where it is not understood."""
    word = fold(one_line(text))
    if word in _YES or word in WORDS:
        return True
    if word in _NO or is_nothing(text):
        return False
    return True if isinstance(read_date(text, DateOrder.DAY_FIRST), Day) else None
