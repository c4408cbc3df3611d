"""What can go wrong with Retell, as errors that say what a caller may conclude.

For a create there are two families. ``NotPlaced`` is proof that Retell made no call; ``Ambiguous`` is no
proof of anything: the dial stays open until it is settled. What the tables below do not name is ambiguous.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from speechaid.errors import SpeechaidError
from speechaid.retell import answers


class RetellError(SpeechaidError):
    """Base of all faults of Retell or of the way to it; the text holds no key and no full phone number.

    Attributes:
        status: the HTTP status, where there was an answer.
        retry_after_seconds: how long Retell asks to be left alone, where it said so.
    """

    def __init__(
        self, message: str, *, status: int | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class NotPlaced(RetellError):  # noqa: N818 - a statement about the call, not a mistake
    """Proof that the create made no call."""


class NumberRefused(NotPlaced):
    """Retell blames the number called."""


class DoNotCallRefused(NotPlaced):
    """Retell has the number marked as do-not-call."""


class Blocked(NotPlaced):
    """The key, the money or the request is at fault, not the number called; any endpoint may say so."""


class RateLimited(NotPlaced):
    """Too fast or too many: the same create may succeed later."""


class NotSent(NotPlaced):
    """Not one byte of the request left: no name, no connection, no TLS."""


class Ambiguous(RetellError):  # noqa: N818 - a statement about the call, not a mistake
    """There may be a call, or not."""


class CallUnknown(RetellError):  # noqa: N818 - an answer, not a mistake
    """Retell knows no call of that id."""


class RetellUnavailable(RetellError):  # noqa: N818 - a condition of the world, not a mistake
    """Temporary, for everything but a create: the same question may be asked again."""


#: What each status to a create proves. A status that is not here proves nothing.
CREATE_FAULTS: Final[Mapping[int, type[RetellError]]] = MappingProxyType(
    {
        400: Blocked,
        401: Blocked,
        402: Blocked,
        403: Blocked,
        404: Blocked,
        408: Ambiguous,
        409: Ambiguous,
        422: Blocked,
        429: RateLimited,
    }
)

#: Only these may be the fault of the number called, or tell of its do-not-call mark.
_ABOUT_THE_NUMBER: Final = frozenset({400, 422})

#: What each status to any other request means. A status that is not here is temporary.
OTHER_FAULTS: Final[Mapping[int, type[RetellError]]] = MappingProxyType(
    {400: Blocked, 401: Blocked, 402: Blocked, 403: Blocked, 404: CallUnknown, 422: Blocked}
)

_DO_NOT_CALL: Final = re.compile(r"do[ _-]?not[ _-]?call|\bdnc\b", re.IGNORECASE)
_CALLED: Final = re.compile(r"\b(to[ _-]?number|destination|recipient|callee)(_?number)?\b", re.IGNORECASE)
_CALLER: Final = re.compile(r"\b(from[ _-]?number|caller)\b", re.IGNORECASE)


def create_fault_for(
    status: int,
    body: object,
    *,
    to_number: str | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
    now: datetime | None = None,
) -> RetellError:
    """The fault that an answer to a create stands for.

    ``x-should-retry`` outranks the status only where that cannot cause a second call: ``true`` makes a
    refusal of the number temporary, ``false`` makes a 429 a block, which is probed with back-off.
    It never turns an ambiguous answer into proof, and never overrides a do-not-call mark.

    Args:
        status: any status that is not a success.
        body: the answer's JSON, or anything else.
        to_number: the number called: an answer that quotes it blames it.
        headers: the answer's, with a case-insensitive ``get``.
        now: to read a ``Retry-After`` date where the answer has no ``Date``.
    """
    kind = CREATE_FAULTS.get(status, Ambiguous)
    if status in _ABOUT_THE_NUMBER:
        kind = _blamed(answers.all_text(body), to_number) or kind
    should_retry = answers.should_retry(headers)
    if kind is NumberRefused and should_retry is True:
        kind = RateLimited
    elif kind is RateLimited and should_retry is False:
        kind = Blocked
    return _fault(kind, status, body, headers, now)


def other_fault_for(
    status: int,
    body: object,
    *,
    headers: Mapping[str, str] = MappingProxyType({}),
    now: datetime | None = None,
) -> RetellError:
    """The fault that an answer to any other request stands for; ``x-should-retry: true`` makes it temporary.

    ``false`` changes nothing: the next poll of a live call is a new question, and must be asked.
    """
    kind = OTHER_FAULTS.get(status, RetellUnavailable)
    if answers.should_retry(headers):
        kind = RetellUnavailable
    return _fault(kind, status, body, headers, now)


def _blamed(text: str, to_number: str | None) -> type[RetellError] | None:
    """Who a refusal blames: the mark, the number called, or (None) neither for sure."""
    if _DO_NOT_CALL.search(text):
        return DoNotCallRefused
    # A text that names both numbers may well mean the caller's; blocking burns nobody's phone.
    called = _CALLED.search(text) or (to_number is not None and to_number in text)
    if called and not _CALLER.search(text):
        return NumberRefused
    return None


def _fault(
    kind: type[RetellError], status: int, body: object, headers: Mapping[str, str], now: datetime | None
) -> RetellError:
    said = answers.message(body)
    return kind(
        f"Retell answered {status}" + (f": {said}" if said else ""),
        status=status,
        retry_after_seconds=answers.retry_after_seconds(headers, now=now),
    )
