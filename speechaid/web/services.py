"""What the routes work with: the reader of the database, the daemon, and exact ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from speechaid.errors import NotFound, StoreUnavailable
from speechaid.model.account import Account
from speechaid.model.batch import Batch
from speechaid.model.identity import Principal
from speechaid.store.scoped import ScopedStore
from speechaid.web.daemon import DaemonConnection
from speechaid.web.database import DatabaseReader
from speechaid.web.idempotency import IdempotencyKeys
from speechaid.web.places import Kind, current_kind
from speechaid.web.problems import Problem, not_found

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Services:
    """The parts of one application."""

    reader: DatabaseReader
    daemon: DaemonConnection
    keys: IdempotencyKeys

    async def get_batch(self, caller: Principal, name: str) -> Batch:
        """The batch of this exact ``batch_id`` or ``_id`` that the caller may see.

        Raises:
            Problem: there is none.
        """
        return await self._get(caller, "batch", lambda store: store.batches.find_by_any_id(name))

    async def get_account(self, caller: Principal, name: str) -> Account:
        """As ``get_batch``, of an account."""
        return await self._get(caller, "account", lambda store: store.accounts.find_by_any_id(name))

    async def resolve(self, caller: Principal, kind: str, name: str) -> str:
        """The id by which the daemon knows a ``batch``, an ``account`` or a ``job``: never another one's.

        While the database is away the daemon gets what was typed of a caller who may see all: it can stop
        calls all the same.

        Raises:
            Problem: there is none that the caller may see.
            StoreUnavailable: the database is away, and the caller is bound to an account.
        """
        try:
            if kind == "batch":
                return (await self.get_batch(caller, name)).batch_id
            if kind == "account":
                return (await self.get_account(caller, name)).account_id
            return await self._get(caller, "job", lambda store: _find_job(store, name))
        except (StoreUnavailable, Problem) as exc:
            is_busy = isinstance(exc, StoreUnavailable) or (
                exc.document.status == HTTPStatus.SERVICE_UNAVAILABLE and current_kind.get() is Kind.URGENT
            )
            if is_busy and caller.account_id is None:
                return name
            raise

    async def daemon_state(self) -> str:
        """``up`` or ``away``."""
        return "up" if await self.daemon.is_up() else "away"

    async def _get(self, caller: Principal, kind: str, find: Callable[[ScopedStore], _T | None]) -> _T:
        found = await self.reader.read(caller.account_id, find)
        if found is None:
            raise not_found(kind)
        return found


def _find_job(store: ScopedStore, name: str) -> str | None:
    try:
        return store.jobs.get(name).job_id
    except NotFound:
        return None


def services_of(request: Request) -> Services:
    """The services of the application that serves this request."""
    services: Services = request.app.state.services
    return services


#: The parameter of a route that has the services.
Served = Annotated[Services, Depends(services_of)]
