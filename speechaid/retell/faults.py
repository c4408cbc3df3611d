"""Faults of Retell as errors that say what a caller may conclude.

For a create there are two families. ``NotPlaced`` proves that Retell made no call; ``Ambiguous`` proves
nothing: the dial stays open until it is resolved. A status that the tables below do not name is ambiguous.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from speechaid.errors import SpeechaidError
from speechaid.protocol.translation import say
from speechaid.retell import answers
from speechaid.rules import refusals
from speechaid.rules.refusals import Blame


class RetellError(SpeechaidError):
    """Base of all faults of Retell or of the connection; the message has no key and no full phone number.

    Attributes:
        status: the HTTP status; None without an answer.
        retry_after_seconds: how long Retell asks to wait; None where it does not.
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
    """Retell refuses the number called."""


class DoNotCallRefused(NotPlaced):
    """The number is marked as do-not-call in Retell."""


class Blocked(NotPlaced):
    """The API key, the payment or the request is at fault, not the number called; for any endpoint."""


class BatchRefused(NotPlaced):
    """Retell refuses the agent, the version or the number that the batch has chosen: no other batch's."""


class Unexplained(NotPlaced):
    """The request is refused, and the wording does not say what is at fault.

    Attributes:
        wording: the refusal with numbers and ids masked: equal for two refusals of one kind.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after_seconds: float | None = None,
        wording: str = "",
    ) -> None:
        super().__init__(message, status=status, retry_after_seconds=retry_after_seconds)
        self.wording = wording


class TooLarge(NotPlaced):
    """This very request is larger than Retell takes; other requests are not concerned.

    It is at least ``refusals.SMALL_REQUEST_BYTES`` long: a smaller one is not refused for its own length.
    """


class RateLimited(NotPlaced):
    """Too many requests or calls: the same create may succeed later."""


class NotSent(NotPlaced):
    """No byte of the request was sent: name resolution, connection or TLS failed."""


class Ambiguous(RetellError):  # noqa: N818 - a statement about the call, not a mistake
    """There may be a call or not."""


class WrongCall(Ambiguous):
    """The answer to a create is about another dial's call; whether there is one of this dial is unknown."""


class CallUnknown(RetellError):  # noqa: N818 - an answer, not a mistake
    """Retell has no call with that id."""


class ItemUnknown(RetellError):  # noqa: N818 - an answer, not a mistake
    """Retell has no agent, prompt or number of that name."""


class RetellUnavailable(RetellError):  # noqa: N818 - a condition of the world, not a mistake
    """A temporary fault of any request but a create: the same request may be sent again."""


class AnswerUnreadable(RetellUnavailable):
    """Retell answers about a call with something that is too large, or is not this call.

    Where other calls are told about, it is this call's own fault, and may stay so.
    """


#: What each status of a create proves. Other statuses prove nothing.
CREATE_FAULTS: Final[Mapping[int, type[RetellError]]] = MappingProxyType(
    {
        400: Blocked,
        401: Blocked,
        402: Blocked,
        403: Blocked,
        404: Blocked,
        408: Ambiguous,
        409: Ambiguous,
        413: TooLarge,
        422: Blocked,
        429: RateLimited,
    }
)

#: Only these can be about the number called, or its do-not-call mark.
_ABOUT_THE_NUMBER: Final = frozenset({400, 422})

#: What each status of any other request means. Other statuses are temporary.
OTHER_FAULTS: Final[Mapping[int, type[RetellError]]] = MappingProxyType(
    {400: Blocked, 401: Blocked, 402: Blocked, 403: Blocked, 404: CallUnknown, 422: Blocked}
)

#: The fault of each blame.
_BLAMED: Final[Mapping[Blame, type[RetellError]]] = MappingProxyType(
    {
        Blame.NUMBER: NumberRefused,
        Blame.DO_NOT_CALL: DoNotCallRefused,
        Blame.ACCOUNT: Blocked,
        Blame.UNCLEAR: Unexplained,
    }
)


def create_fault_for(
    status: int,
    body: object,
    *,
    headers: Mapping[str, str] = MappingProxyType({}),
    now: datetime | None = None,
    request_bytes: int = 0,
) -> RetellError:
    """The fault that an answer to a create means.

    ``x-should-retry`` overrides the status only where that cannot cause a second call: ``true`` makes a
    refusal of the number, or one for an unknown reason, temporary; ``false`` makes a 429 a block, which is
    probed with back-off. It never makes an ambiguous answer a proof, and never overrides a do-not-call mark.

    Args:
        status: any status that is not a success.
        body: the answer's JSON, or anything else.
        headers: the answer's, with a case-insensitive ``get``.
        now: the reference for a ``Retry-After`` date where the answer has no ``Date``.
        request_bytes: the length of the request's body; it decides what a 413 means.
    """
    kind = CREATE_FAULTS.get(status, Ambiguous)
    if kind is TooLarge and request_bytes < refusals.SMALL_REQUEST_BYTES:
        kind = Unexplained
    if status in _ABOUT_THE_NUMBER:
        kind = _BLAMED[refusals.blame_for(answers.refusal_text(body))]
    should_retry = answers.should_retry(headers)
    if kind in {NumberRefused, Unexplained} and should_retry is True:
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
    """The fault that an answer to any other request means; ``x-should-retry: true`` makes it temporary.

    ``false`` changes nothing: the next poll of a live call is a new request, and must be sent.
    """
    kind = OTHER_FAULTS.get(status, RetellUnavailable)
    if answers.should_retry(headers):
        kind = RetellUnavailable
    return _fault(kind, status, body, headers, now)


def _fault(
    kind: type[RetellError], status: int, body: object, headers: Mapping[str, str], now: datetime | None
) -> RetellError:
    text = answers.message(body)
    message = say("Retell answered {status}", status=status) + (f": {text}" if text else "")
    retry_after = answers.retry_after_seconds(headers, now=now)
    if kind is Unexplained:
        wording = f"{status} {refusals.mask_wording(answers.refusal_text(body))}".strip()
        return Unexplained(message, status=status, retry_after_seconds=retry_after, wording=wording)
    return kind(message, status=status, retry_after_seconds=retry_after)
