"""The operations of the API; the time is an argument, and there is no network.

A create request has two steps, so that a slow one can be simulated: ``open`` validates it and takes its
idempotency key, ``place`` places the call. Between them the same key is answered with 409.
"""

from __future__ import annotations

import math
import uuid
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from speechaid.demo.simulator import calls, listing, placed_calls
from speechaid.demo.simulator.bodies import CreateBody, Refusal, digest, read_create
from speechaid.demo.simulator.calls import Call
from speechaid.demo.simulator.directory import check_caller, resolve_agent
from speechaid.demo.simulator.document import describe, item
from speechaid.demo.simulator.placed_calls import PlacedCallsFile
from speechaid.demo.simulator.script import Outcome, choose, rng_for
from speechaid.demo.simulator.settings import Settings
from speechaid.model.states import CallStatus

#: Changes a call object before it is sent; used by faults that misreport calls.
Rewrite = Callable[[Call, dict[str, Any]], dict[str, Any]]


def unchanged(_call: Call, document: dict[str, Any]) -> dict[str, Any]:
    """The rewrite that changes nothing."""
    return document


@dataclass(frozen=True, kw_only=True)
class AcceptedCreate:
    """A create request that is accepted, but whose call is not placed yet."""

    body: CreateBody
    body_digest: str
    key_fingerprint: str
    key_expires_at: float
    agent_version: int


@dataclass(frozen=True, kw_only=True)
class _Key:
    """A known idempotency key; without a call: its first request is still being processed."""

    body_digest: str
    expires_at: float
    call_id: str | None = None


class Workspace:
    """All calls of one workspace."""

    def __init__(self, settings: Settings, file: PlacedCallsFile | None = None) -> None:
        self.settings = settings
        self._file = file
        self._calls: dict[str, Call] = {}
        #: Call ids by number, in order of placement.
        self._by_number: defaultdict[str, list[str]] = defaultdict(list)
        #: Ids of calls that may be live; ended ones are removed on the next use.
        self._live: set[str] = set()
        self._keys: dict[str, _Key] = {}
        #: Times of the create requests of the last second, by from_number.
        self._recent: defaultdict[str, deque[float]] = defaultdict(deque)

    def restore(self, placed: list[Call]) -> None:
        """Continue with the calls of a file of placed calls, idempotency keys included."""
        for call in placed:
            self._add(call)
            if call.idempotency_key:
                self._keys[call.idempotency_key] = _Key(
                    body_digest=call.body_digest,
                    expires_at=call.placed_at + self.settings.key_seconds,
                    call_id=call.call_id,
                )

    def open(self, document: object, key_fingerprint: str, now: float) -> AcceptedCreate | Call:
        """Accept a create request; return it for ``place``, or the call that its key already has.

        Raises:
            Refusal: no call will be placed.
        """
        body = read_create(document)
        body_digest = digest(document)
        known = self._known_key(body.idempotency_key, now)
        if known is not None:
            if known.body_digest != body_digest:
                raise Refusal(409, "idempotency_key was used with another request")
            if known.call_id is None:
                raise Refusal(409, "a request with this idempotency_key is being processed")
            return self._calls[known.call_id]
        version = self._refuse(body, now)
        expires_at = now + self.settings.key_seconds
        if body.idempotency_key:
            self._keys[body.idempotency_key] = _Key(body_digest=body_digest, expires_at=expires_at)
        return AcceptedCreate(
            body=body,
            body_digest=body_digest,
            key_fingerprint=key_fingerprint,
            key_expires_at=expires_at,
            agent_version=version,
        )

    def place(self, accepted: AcceptedCreate, now: float) -> Call:
        """Place the call of an accepted request."""
        body = accepted.body
        nth = len(self._by_number[body.to_number])
        rng = rng_for(self.settings.seed, body.to_number, nth)
        if self.concurrency(now) >= self.settings.outbound_limit:
            outcome = Outcome(reason="concurrency_limit_reached")
        else:
            outcome = choose(self.settings.script, self.settings.odds, body.to_number, nth, rng)
        identity = calls.Identity(
            call_id=f"call_{uuid.uuid4().hex}",
            serial=len(self._calls),
            key_fingerprint=accepted.key_fingerprint,
            body_digest=accepted.body_digest,
        )
        if outcome.reason == "user_requested_dnc" and not body.detects_dnc:
            outcome = Outcome(reason="user_hangup")
        placing = calls.Placing(
            body=body,
            outcome=outcome,
            rng=rng,
            settings=self.settings,
            now=now,
            agent_version=accepted.agent_version,
        )
        call = calls.plan(identity, placing)
        if body.idempotency_key:
            self._keys[body.idempotency_key] = _Key(
                body_digest=accepted.body_digest, expires_at=accepted.key_expires_at, call_id=call.call_id
            )
        self._append("placed", call)
        self._add(call)
        return call

    def abandon(self, accepted: AcceptedCreate) -> None:
        """Forget an accepted request whose call will not be placed."""
        self._keys.pop(accepted.body.idempotency_key, None)

    def find(self, call_id: str) -> Call | None:
        """A call by its id, or None."""
        return self._calls.get(call_id)

    def get(self, call_id: str) -> Call:
        """A call by its id.

        Raises:
            Refusal: 404.
        """
        if call_id not in self._calls:
            raise Refusal(404, f"Item {call_id} not found from call")
        return self._calls[call_id]

    def stop(self, call_id: str, now: float) -> None:
        """End a ringing or ongoing call.

        Raises:
            Refusal: 404 unknown, 400 already ended.
        """
        call = self.get(call_id)
        if call.is_over(now):
            raise Refusal(400, "Call is not ongoing")
        stopped = call.stopped(now)
        self._append("stopped", stopped)
        self._calls[call_id] = stopped

    def list_calls(
        self,
        document: object,
        now: float,
        rewrite: Rewrite = unchanged,
        is_listed: Callable[[Call], bool] = lambda _call: True,
    ) -> dict[str, Any]:
        """One page of list-calls, without what the settings of the list hide.

        Raises:
            Refusal: 400; or the status of ``list_most_ids_status``.
        """
        body, settings = listing.read_list(document), self.settings
        ids = body.wanted_ids or ()
        if settings.list_most_ids is not None and len(ids) > settings.list_most_ids:
            raise Refusal(settings.list_most_ids_status, "Invalid request format: call_id: too many values")
        then = now - settings.list_lag_seconds
        listed_until = min(then, now - settings.list_delay_seconds)
        visible = (
            call
            for call in self._candidates(body)
            if call.placed_at <= listed_until
            and not (settings.list_lacks_ringing and call.status(then) is CallStatus.REGISTERED)
            and is_listed(call)
        )
        shown = ((call.serial, item(rewrite(call, describe(call, then)))) for call in visible)
        return listing.page(body, shown)

    def _candidates(self, body: listing.ListBody) -> list[Call]:
        """Preselect calls by id, number or metadata, the usual filters, to save describing all of them."""
        wanted = body.filter_criteria.to_number
        found = list(self._calls.values())
        if body.wanted_ids is not None:
            found = [self._calls[call_id] for call_id in body.wanted_ids if call_id in self._calls]
        if wanted is not None and wanted.op == "eq":
            found = [self._calls[call_id] for call_id in self._by_number.get(wanted.value, [])]
        for entry in body.filter_criteria.metadata or ():
            if isinstance(entry, listing.StringFilter) and entry.op == "eq" and entry.key is not None:
                found = [call for call in found if (call.metadata or {}).get(entry.key) == entry.value]
        return found

    def concurrency(self, now: float) -> int:
        """The number of live calls."""
        self._live = {call_id for call_id in self._live if not self._calls[call_id].is_over(now)}
        return len(self._live)

    def concurrency_document(self, now: float) -> dict[str, Any]:
        """The response of get-concurrency."""
        limit = self.settings.concurrency_limit
        base = min(limit, 20)
        return {
            "current_concurrency": self.concurrency(now),
            "concurrency_limit": limit,
            "base_concurrency": base,
            "purchased_concurrency": limit - base,
            "concurrency_purchase_limit": max(100, limit - base),
            "remaining_purchase_limit": max(100, limit - base) - (limit - base),
            "concurrency_burst_enabled": self.settings.burst,
            "concurrency_burst_limit": self.settings.burst_limit,
            "reserved_inbound_concurrency": self.settings.reserved_inbound,
        }

    def all_calls(self) -> list[Call]:
        """Every call, in order of placement."""
        return list(self._calls.values())

    def placed_calls(self, now: float) -> list[dict[str, Any]]:
        """The record of placed calls."""
        return [placed_calls.entry(call, now) for call in self._calls.values()]

    def _known_key(self, key: str, now: float) -> _Key | None:
        known = self._keys.get(key)
        if known is not None and now >= known.expires_at:
            del self._keys[key]
            return None
        return known

    def _refuse(self, body: CreateBody, now: float) -> int:
        """Refuse what Retell would; return the agent's version that the request means."""
        owned = self.settings.from_numbers
        if owned is not None and body.from_number not in owned:
            raise Refusal(404, "from_number was not found in this workspace")
        check_caller(self.settings.numbers, body.from_number, body.to_number)
        agent_id, version = body.given("override_agent_id"), body.given("override_agent_version")
        resolved = 0 if agent_id is None else resolve_agent(self.settings.agents, agent_id, version)
        if body.honor_internal_dnc and self._is_do_not_call(body.to_number, now):
            raise Refusal(400, "to_number belongs to a contact that is marked do_not_call")
        limit = self.settings.calls_per_second
        if limit is not None and self._rate(body.from_number, now) > limit:
            message = "Account rate limited, please throttle your requests."
            raise Refusal(429, message, retry_headers(1.0))
        return resolved

    def _is_do_not_call(self, number: str, now: float) -> bool:
        """Whether the operator listed the number, or the person asked for it in an earlier call."""
        if number in self.settings.do_not_call:
            return True
        earlier = (self._calls[call_id] for call_id in self._by_number.get(number, []))
        return any(call.end_reason == "user_requested_dnc" and call.is_over(now) for call in earlier)

    def _rate(self, from_number: str, now: float) -> int:
        recent = self._recent[from_number]
        recent.append(now)
        while recent[0] <= now - 1:
            recent.popleft()
        return len(recent)

    def _append(self, event: str, call: Call) -> None:
        if self._file is not None:
            self._file.append(event, call)

    def _add(self, call: Call) -> None:
        self._calls[call.call_id] = call
        self._by_number[call.to_number].append(call.call_id)
        self._live.add(call.call_id)


def retry_headers(seconds: float) -> dict[str, str]:
    """Headers that say when to retry, in both forms of the API."""
    return {"retry-after": str(math.ceil(seconds)), "retry-after-ms": str(round(seconds * 1000))}
