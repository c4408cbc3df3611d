"""The words that people and programs write where a cell should be empty. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

#: Compared in lower case: none of them is a name, an initial or an answer to a question.
#: Sources: exports of SQL and pandas (NULL, nan, None, <NA>, \\N), error values of
#: spreadsheets (#N/A, #N/D and the others), and what people type.
WORDS: Final = frozenset(
    {
        *(
            "none",
            "<na>",
            "\\n",
            "undefined",
            "(null)",
            "(blank)",
            "empty",
            "void",
        ),
        *("#n/a", "#n/d", "#na", "#ref!", "#¡ref!", "#value!", "#¡valor!", "#name?", "#¿nombre?", "#div/0!"),
        *("#¡div/0!", "#null!", "#¡nulo!", "#num!", "#¡num!", "#error!"),
        *(
            "n/a",
            "n.a.",
            "n.a",
            "n/d",
            "n.d.",
            "s/n",
            "n/i",
            "s/i",
            "s.i.",
            "s.i",
            "s/d",
            "s/inf",
            "s/inf.",
            "sin nombre",
            "sin dato",
            "sin datos",
        ),
        *(
            "sin información",
            "sin informacion",
            "no aplica",
            "no tiene",
            "no informado",
            "no informa",
            "no registra",
        ),
        *(
            "ninguno",
            "ninguna",
            "vacío",
            "vacio",
            "(vacío)",
            "(vacio)",
            "(en blanco)",
            "en blanco",
            "desconocido",
        ),
        *(
            "sin fono",
            "sin teléfono",
            "sin telefono",
            "sin celular",
            "sin número",
            "sin numero",
            "sin contacto",
        ),
        *(
            "no tiene fono",
            "no tiene celular",
            "no tiene teléfono",
            "no tiene telefono",
            "no phone",
            "no number",
        ),
        *(
            "sin contacto",
            "no number",
            "sem telefone",
            "sem celular",
            "sem contato",
            "não possui",
            "nao possui",
            "no posee",
        ),
        *("não tem", "nao tem", "sem nome", "não informado", "nao informado", "vazio", "xxx", "xxxx"),
    }
)
#: As programs write them: in other letters they are names (Nil, Nan, Null).
OF_PROGRAMS: Final = frozenset({"null", "NULL", "nil", "nan", "NaN", "NaT"})
#: Nothing; names, initials and codes as well (NA is Namibia's): remarked where such may stand.
AMBIGUOUS: Final = frozenset({"NA", "ND", "SN", "NAN", "NIL", "NAT"})
#: Characters of what stands for nothing, at most.
_LONGEST: Final = 20
#: Marks that fill a cell.
_MARKS: Final = "-–—_.*?·/\\ "  # noqa: RUF001 - the dashes that people type


def is_nothing(text: str) -> bool:
    """Whether a cell's text stands for an empty cell."""
    plain = text.strip()
    return len(plain) <= _LONGEST and _is_nothing(plain)


@lru_cache(maxsize=4096)  # each cell of a file is asked about several times
def _is_nothing(plain: str) -> bool:
    return not plain.strip(_MARKS) or plain.lower() in WORDS or plain in OF_PROGRAMS or plain in AMBIGUOUS


def is_ambiguous(text: str) -> bool:
    """Whether a text that stands for an empty cell may be a word or a name as well."""
    return text.strip() in AMBIGUOUS
