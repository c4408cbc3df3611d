"""``Idempotency-Key``: the same request with the same key creates nothing again, and is answered the same."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Header

from speechaid.errors import StoreUnavailable
from speechaid.model.identity import Principal
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.text import encode_json
from speechaid.store.connection import Store
from speechaid.store.idempotency import IdempotencyRecords, KeyRecord
from speechaid.web.database import DatabaseReader
from speechaid.web.problems import Problem

#: Statuses after which it is not known whether the daemon did it: the key stays taken.
_UNDECIDED: Final = frozenset({HTTPStatus.GATEWAY_TIMEOUT, HTTPStatus.BAD_GATEWAY})

#: The parameter of a route that creates something.
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=128,
        description="a text of the client's own: under it, this is done once, however often it is sent",
    ),
]


class IdempotencyKeys:
    """The keys of all clients."""

    def __init__(self, reader: DatabaseReader) -> None:
        self._reader = reader
        self._prepared = False

    async def once(
        self,
        caller: Principal,
        key: str | None,
        request: object,
        carry_out: Callable[[], Awaitable[dict[str, Any]]],
    ) -> tuple[dict[str, Any], bool]:
        """Carry out a request, or return what the first one with this key has created.

        Args:
            caller: whose key it is; others may use the same.
            key: None: carry it out.
            request: what is asked for, as JSON types.
            carry_out: does it.

        Returns:
            The result, and whether it is the first one's.

        Raises:
            Problem: the key was given to another request, or the first one's end is not known.
        """
        if key is None:
            return await carry_out(), False
        name = _digest(caller.actor, key)
        digest = _digest(encode_json(request, sort_keys=True, default=str).decode())
        known = await self._reader.on_identities(lambda store: self._begin(_records(store), name, digest))
        if known is not None:
            return _replayed(known, digest), True
        try:
            result = await carry_out()
        except Problem as problem:
            if HTTPStatus(problem.document.status) not in _UNDECIDED:
                await self._reader.on_identities(lambda store: _records(store).forget(name))
            raise
        created = {name: value for name, value in result.items() if _is_scalar(value)}
        try:
            await self._reader.on_identities(
                lambda store: _records(store).finish(name, int(HTTPStatus.CREATED), created)
            )
        except StoreUnavailable as exc:
            text = "it was done, but its key could not be recorded: do not repeat it"
            raise Problem(HTTPStatus.BAD_GATEWAY, f"{text}; created: {created}", code="internal") from exc
        return result, False

    def _begin(self, records: IdempotencyRecords, name: str, digest: str) -> KeyRecord | None:
        if not self._prepared:
            records.prepare()
            self._prepared = True
        return records.begin(name, digest)


def _replayed(known: KeyRecord, digest: str) -> dict[str, Any]:
    if known.request != digest:
        text = "Idempotency-Key: the key was given to another request: take a new one for each"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, text, code=ErrorCode.BAD_ARGUMENT)
    if known.status is None:
        text = (
            "the first request with this Idempotency-Key is under way, or its end is not known: see whether"
            " it was done before a new key is used"
        )
        raise Problem(HTTPStatus.CONFLICT, text, code=ErrorCode.REFUSED)
    return dict(known.created)


def _records(store: Store) -> IdempotencyRecords:
    return IdempotencyRecords(store.identities.users.sibling("idempotency_keys"), store.now)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _is_scalar(value: object) -> bool:
    """What names the created thing; lists and the like may hold people's data, and are not kept."""
    return value is None or isinstance(value, str | int | float | bool)
