"""Which language a reader of the page gets: the one chosen, else the browser's, else this host's; pure."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.translation import LANGUAGES

LANGUAGE_COOKIE: Final = "speechaid_language"
#: Parts of ``Accept-Language`` that are read.
_MOST: Final = 20


def choose_language(chosen: str | None, accepted: str | None, default: str) -> str:
    """The language of a page.

    Args:
        chosen: the value of the reader's cookie.
        accepted: the header ``Accept-Language``.
        default: the host's language.
    """
    if chosen in LANGUAGES:
        return chosen
    wanted: list[tuple[float, str]] = []
    for part in (accepted or "").split(",")[:_MOST]:
        name, _, quality = part.partition(";")
        code = name.strip().partition("-")[0].lower()
        weight = _weight(quality)
        if code in LANGUAGES and weight > 0:
            wanted.append((weight, code))
    # The first one of the greatest weight.
    return max(wanted, key=lambda one: one[0])[1] if wanted else default


def _weight(quality: str) -> float:
    name, _, value = quality.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
