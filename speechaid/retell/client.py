"""Calls at Retell; each method keeps to one time-out, none retries by itself.

What else a workspace has (agents, prompts, numbers) is read by ``retell.directory``.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote, urlencode

from speechaid import __version__
from speechaid.model import reading
from speechaid.model.call import Call, ListedCall, ReportedCall
from speechaid.model.masking import fingerprint
from speechaid.model.reading import Document
from speechaid.model.states import TERMINAL_CALL_STATUSES
from speechaid.protocol.translation import say
from speechaid.retell import answers, transport
from speechaid.retell.faults import (
    Ambiguous,
    AnswerUnreadable,
    CallUnknown,
    ItemUnknown,
    NotSent,
    RetellUnavailable,
    WrongCall,
    create_fault_for,
    other_fault_for,
)
from speechaid.retell.requests_body import DIAL_KEY
from speechaid.settings import Settings

#: A create does not travel on a connection that rested for longer: the server may be closing it this moment,
#: and the reset would leave the dial ambiguous.
FRESH_SECONDS: Final = 1.0
#: Calls asked for in one page of the list.
PAGE_SIZE: Final = 100
#: The largest page that Retell's list gives.
LARGEST_PAGE: Final = 1000
#: The statuses of ended calls, as the list's filter names them.
ENDED_STATUSES: Final = tuple(sorted(TERMINAL_CALL_STATUSES))

Reported = TypeVar("Reported", bound=ReportedCall)

#: Told of each request: endpoint, HTTP status or kind of fault, seconds.
Observer = Callable[[str, str, float], None]


@dataclass(frozen=True, kw_only=True)
class Concurrency:
    """How many calls the workspace has and may have at once."""

    current: int
    limit: int
    #: Slots of ``limit`` that outbound calls may not use.
    reserved_inbound: int
    #: The limit while bursting; 0 where bursting is off.
    burst: int

    @property
    def free(self) -> int:
        """How many more outbound calls may start now."""
        return max(0, max(self.limit, self.burst) - self.reserved_inbound - self.current)

    @classmethod
    def read(cls, document: Document) -> Concurrency:
        """Read the answer of ``GET /get-concurrency``.

        Raises:
            ValueError: it does not tell the limit or the present number.
        """
        current = reading.number(document.get("current_concurrency"))
        limit = reading.number(document.get("concurrency_limit"))
        if current is None or limit is None:
            raise ValueError("no concurrency figures")
        bursting = reading.flag(document.get("concurrency_burst_enabled"), default=False)
        return cls(
            current=int(current),
            limit=int(limit),
            reserved_inbound=reading.whole(document.get("reserved_inbound_concurrency")),
            burst=reading.whole(document.get("concurrency_burst_limit")) if bursting else 0,
        )


class RetellClient:
    """Retell over HTTP; for one thread. Connections are made at the first request, thus after a fork."""

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        timeout_seconds: float,
        user_agent: str,
        observe: Observer | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        #: One method call takes no longer, whatever the server does.
        self.timeout_seconds = timeout_seconds
        #: Names the API key without telling it.
        self.fingerprint = fingerprint(api_key)
        #: Retell's ``Date`` on the answer to the last request; None where there was none.
        self.server_date: datetime | None = None
        #: When that was told, in seconds of boot time.
        self.server_date_read_at = 0.0
        self._auth = transport.BearerAuth(api_key)
        self._user_agent = user_agent
        self.observe = observe
        self._session: transport.Session | None = None
        self._rested_since = 0.0

    def create_call(self, body: Document) -> ReportedCall:
        """Have Retell place one call, once; ``body`` is from ``requests_body.create_body``.

        An answer without our metadata may still be about another call: ``names_dial`` tells.

        Raises:
            NotPlaced: one of its leaves; surely no call was made.
            Ambiguous: nobody knows whether a call was made.
            WrongCall: as Ambiguous; the answer is about the call of another dial.
            ValueError: the body has no ``idempotency_key``, so that nobody could ever settle its fate.
        """
        if not body.get("idempotency_key"):
            raise ValueError("a create without its idempotency_key")
        self._drop_rested_connection()
        try:
            answer = self._request("POST", "/v2/create-phone-call", body=body)
        except transport.ExchangeFailed as exc:
            if exc.sent:
                raise Ambiguous(
                    say("the request to Retell got no whole answer ({word})", word=exc.word)
                ) from exc
            raise NotSent(
                say("the request could not be sent to Retell: {reason}", reason=exc.reason)
            ) from exc
        document = self._parse(answer)
        if not 200 <= answer.status < 300:
            raise create_fault_for(
                answer.status,
                document,
                headers=answer.headers,
                now=datetime.now(UTC),
                request_bytes=len(json.dumps(body)),
            )
        try:
            call = _read_call(ReportedCall, document)
        except ValueError as exc:
            raise Ambiguous(say("Retell's answer to the create names no call"), status=answer.status) from exc
        if contradicts_create(call, body):
            raise WrongCall(say("Retell answered the create with another call"), status=answer.status)
        return call

    def get_call(self, call_id: str) -> Call:
        """The call as Retell tells it now.

        Raises:
            CallUnknown: Retell knows no such call.
            AnswerUnreadable: Retell answered, but not with this call: it may be this call's own fault.
            RetellUnavailable: ask again later.
            Blocked: the key or the request is refused.
        """
        document = self._ask("GET", _call_path("/v2/get-call", call_id), fault=AnswerUnreadable)
        try:
            call = _read_call(Call, document)
        except ValueError as exc:
            raise AnswerUnreadable(say("Retell's answer is not a call")) from exc
        if call.call_id != call_id:
            raise AnswerUnreadable(say("Retell answered with another call"))
        return call

    def find_calls(
        self,
        *,
        call_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        to_number: str | None = None,
        started_after: datetime | None = None,
        limit: int = PAGE_SIZE,
    ) -> list[ListedCall]:
        """Calls of Retell's list that match all that is given, latest start first.

        A call without a start time always counts as late enough: one that still rings, or never connected,
        has none. An empty list soon after a create is no proof that there is no call.

        Raises:
            RetellUnavailable: ask again later; also when the list cannot be read whole.
            Blocked: the key or the request is refused.
        """
        found: list[ListedCall] = []
        for call in self._pages(_filters(metadata, to_number, call_id)):
            if started_after is not None and call.started_at is not None and call.started_at < started_after:
                continue
            if call_id in {None, call.call_id} and _fits(call, metadata, to_number):
                found.append(call)
            if len(found) >= limit:
                break
        return found

    def list_calls(
        self, call_ids: Sequence[str], *, ended_only: bool, seconds: float | None = None
    ) -> list[ListedCall]:
        """Those of these calls that Retell's list shows; with ``ended_only`` those that it shows as ended.

        What the list tells is a hint: it may be older than the call, and may lack calls that ring.

        Args:
            call_ids: of calls, each once; Retell may refuse too many.
            ended_only: have Retell leave out calls that it takes for live.
            seconds: the longest that it may take altogether; the client's time-out unless given.

        Raises:
            RetellUnavailable: ask again later; also when the list cannot be read whole.
            Blocked: the key or the request is refused.
        """
        asked = frozenset(call_ids)
        filters = ids_filter(call_ids, ended_only=ended_only)
        pages = self._pages(filters, page_size=LARGEST_PAGE, seconds=seconds)
        # A filter that Retell did not apply must make no stranger's call ours, and no live one ended.
        return [call for call in pages if call.call_id in asked and (call.is_over or not ended_only)]

    def stop_call(self, call_id: str) -> None:
        """Ask Retell to end a call; whether and how it ended is for ``get_call`` to tell.

        Raises:
            CallUnknown: Retell knows no such call.
            RetellUnavailable: ask again later.
            Blocked: the key or the request is refused.
        """
        self._ask("POST", _call_path("/v2/stop-call", call_id), expect_document=False)

    def get_concurrency(self) -> Concurrency:
        """Calls at once: now, and allowed.

        Raises:
            RetellUnavailable: ask again later.
            Blocked: the key or the request is refused.
        """
        try:
            return Concurrency.read(self._ask("GET", "/get-concurrency"))
        except ValueError as exc:
            raise RetellUnavailable(say("Retell's answer holds no concurrency figures")) from exc

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Document | None = None,
        seconds: float | None = None,
    ) -> Document:
        """Read a document of any endpoint that changes nothing.

        Args:
            method: of HTTP.
            path: its parts quoted, without a query.
            query: added to the path.
            body: sent as JSON.
            seconds: the longest that it may take; the client's time-out unless given.

        Raises:
            ItemUnknown: Retell has nothing of that name.
            RetellUnavailable: ask again later.
            Blocked: the key or the request is refused.
        """
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            return self._ask(method, target, body=body, seconds=seconds)
        except CallUnknown as exc:  # what 404 means everywhere else
            raise ItemUnknown(str(exc), status=exc.status) from exc

    def server_now(self) -> datetime | None:
        """Retell's time by now, as its last answer told it; None where it told none."""
        if self.server_date is None:
            return None
        since = time.clock_gettime(time.CLOCK_BOOTTIME) - self.server_date_read_at
        return self.server_date + timedelta(seconds=since)

    def prepare(self) -> None:
        """Make what a request needs, short of a connection: a fork shares it."""
        with contextlib.suppress(OSError, ValueError):  # each request tells of it
            self._open_session().prepare()

    def _open_session(self) -> transport.Session:
        if self._session is None:
            self._session = transport.Session(self.base_url, auth=self._auth, user_agent=self._user_agent)
        return self._session

    def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _pages(
        self, filters: Document, *, page_size: int | None = None, seconds: float | None = None
    ) -> Iterator[ListedCall]:
        """Page through the list, within one time-out altogether."""
        deadline = time.monotonic() + (self.timeout_seconds if seconds is None else seconds)
        limit = PAGE_SIZE if page_size is None else page_size
        body: Document = {"filter_criteria": filters, "limit": limit, "sort_order": "descending"}
        seen: set[str] = set()
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise RetellUnavailable(say("Retell's call list took too long"))
            page = self._ask("POST", "/v3/list-calls", body=body, seconds=remaining)
            items = page.get("items")
            if not isinstance(items, list):
                raise RetellUnavailable(say("Retell's answer is not a list of calls"))
            try:
                yield from [_read_call(ListedCall, item) for item in items]
            except ValueError as exc:
                raise RetellUnavailable(say("Retell's list holds something that is not a call")) from exc
            if not page.get("has_more"):
                return
            key = reading.text(page.get("pagination_key"))
            if key is None or key in seen:
                raise RetellUnavailable(say("Retell's call list does not say how to go on"))
            seen.add(key)
            body = {**body, "pagination_key": key}

    def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Document | None = None,
        seconds: float | None = None,
        expect_document: bool = True,
        fault: type[RetellUnavailable] = RetellUnavailable,
    ) -> Document:
        """One request that may be repeated: everything but a create.

        An answer that cannot be read raises ``fault``.
        """
        try:
            answer = self._request(method, path, body=body, seconds=seconds)
        except transport.ExchangeFailed as exc:
            kind = fault if exc.word == transport.UNREADABLE else RetellUnavailable
            raise kind(say("no whole answer from Retell ({word})", word=exc.word)) from exc
        document = self._parse(answer)
        if not 200 <= answer.status < 300:
            raise other_fault_for(answer.status, document, headers=answer.headers, now=datetime.now(UTC))
        if expect_document and not isinstance(document, dict):
            raise fault(say("Retell's answer cannot be read"), status=answer.status)
        return _document(document)

    def _request(
        self, method: str, path: str, *, body: Document | None = None, seconds: float | None = None
    ) -> transport.Answer:
        """One exchange, observed."""
        session = self._open_session()
        self.server_date = None
        started, code = time.monotonic(), "fault"
        try:
            answer = session.exchange(
                method,
                path,
                content=None if body is None else json.dumps(body, separators=(",", ":")).encode(),
                seconds=self.timeout_seconds if seconds is None else seconds,
            )
            code = str(answer.status)
        except transport.ExchangeFailed as exc:
            code = exc.word
            raise
        finally:
            self._rested_since = time.monotonic()
            if self.observe is not None:
                self.observe(_endpoint(path), code, self._rested_since - started)
        self.server_date = answers.date(answer.headers)
        self.server_date_read_at = time.clock_gettime(time.CLOCK_BOOTTIME)
        return answer

    def _parse(self, answer: transport.Answer) -> Any:
        """The answer's JSON, or None; a refusal may quote the key, which goes first."""
        content = answer.content if answer.status < 400 else self._auth.redact(answer.content)
        try:
            return answers.parse(content)
        except ValueError:
            return None

    def _drop_rested_connection(self) -> None:
        if self._session is not None and time.monotonic() - self._rested_since > FRESH_SECONDS:
            self._session.close()


def _document(value: object) -> Document:
    """A JSON object as a document; anything else as an empty one."""
    return dict(reading.mapping(value))


def _read_call(kind: type[Reported], value: object) -> Reported:
    """Retell's call object.

    Raises:
        ValueError: it is none; an id that is no string is garbage too, and must not become a call's name.
    """
    document = _document(value)
    if not isinstance(document.get("call_id"), str):
        raise ValueError("no call_id")  # noqa: TRY004 - what is wrong is the answer
    return kind.read(document)


def names_dial(call: ReportedCall, key: str) -> bool:
    """Whether a call's metadata names this very dial."""
    return call.metadata.get(DIAL_KEY) == key


def contradicts_create(call: ReportedCall, body: Mapping[str, Any]) -> bool:
    """Whether a call cannot be the one that this create asked for: it names another number or dial.

    What Retell leaves out contradicts nothing, and proves nothing.
    """
    asked = reading.mapping(body.get("metadata")).get(DIAL_KEY)
    return call.to_number not in (None, body.get("to_number")) or call.metadata.get(DIAL_KEY) not in (
        None,
        asked,
    )


def _endpoint(path: str) -> str:
    """The path without version, id and query: a label with few values."""
    parts = path.partition("?")[0].strip("/").split("/")
    return parts[1] if parts[0] in {"v2", "v3"} else parts[0]


def _call_path(prefix: str, call_id: str) -> str:
    if call_id in {"", ".", ".."}:  # would climb to another path
        raise CallUnknown(say("this cannot be the id of a call"))
    return f"{prefix}/{quote(call_id, safe='')}"


def ids_filter(call_ids: Sequence[str], *, ended_only: bool) -> Document:
    """``filter_criteria`` of a question for calls by their ids."""
    filters: Document = {"call_id": {"type": "enum", "op": "in", "value": list(call_ids)}}
    if ended_only:
        filters["call_status"] = {"type": "enum", "op": "in", "value": list(ENDED_STATUSES)}
    return filters


def _filters(
    metadata: Mapping[str, str] | None, to_number: str | None, call_id: str | None = None
) -> Document:
    """``filter_criteria``; never by start time, which would hide a call that still rings."""
    filters: Document = {}
    if call_id is not None:
        filters["call_id"] = {"type": "enum", "op": "in", "value": [call_id]}
    if metadata:
        filters["metadata"] = [
            {"key": key, "type": "string", "op": "eq", "value": value} for key, value in metadata.items()
        ]
    if to_number is not None:
        filters["to_number"] = {"type": "string", "op": "eq", "value": to_number}
    return filters


def _fits(call: ListedCall, metadata: Mapping[str, str] | None, to_number: str | None) -> bool:
    """Whether a listed call is what was asked for; what the list leaves out is taken on trust.

    A filter that Retell did not apply must not make a stranger's call ours.
    """
    if to_number is not None and call.to_number not in {None, to_number}:
        return False
    if not metadata or call.document.get("metadata") is None:
        return True
    return all(call.metadata.get(key) == value for key, value in metadata.items())


def open_retell(settings: Settings, *, observe: Observer | None = None) -> RetellClient:
    """A client under the settings' key; it connects at its first request."""
    return RetellClient(
        base_url=str(settings.retell.base_url),
        api_key=settings.retell.api_key.get_secret_value(),
        timeout_seconds=settings.retell.timeout_seconds,
        user_agent=f"speechaid/{__version__} ({socket.gethostname()})",
        observe=observe,
    )
