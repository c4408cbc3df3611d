"""Queries of ``speechaid check`` on a database; no data of an operator is changed."""

from __future__ import annotations

import os
import socket
import time
from datetime import timedelta

from speechaid.model.reading import instant, text
from speechaid.model.states import JobStatus
from speechaid.rules.check_findings import LATELY_SECONDS, OtherWorkers, Topology
from speechaid.store.connection import Store

#: Written and cleared again only by the check.
SCRATCH_COLLECTION = "speechaid_checks"
#: More would not change the finding.
_MOST_JOBS = 1000


def read_topology(store: Store) -> Topology:
    """Read what kind of server answers.

    Raises:
        StoreError: it does not answer, or refuses the login.
    """
    hello = store.jobs.table.hello()
    return Topology(
        replica_set=text(hello.get("setName")),
        members=len(hello.get("hosts") or ()),
        sharded=hello.get("msg") == "isdbgrid",
        writable=bool(hello.get("isWritablePrimary", hello.get("ismaster"))),
    )


def write_durably(store: Store) -> float:
    """Make a durable write; return the seconds until a majority had it in its journal.

    Raises:
        StoreError: the write was not confirmed.
    """
    scratch = store.jobs.table.sibling(SCRATCH_COLLECTION)
    mine = f"{socket.gethostname()}:{os.getpid()}"
    started = time.monotonic()
    scratch.update({"_id": mine}, {"$set": {"at": store.now()}}, upsert=True)
    took = time.monotonic() - started
    scratch.delete({"_id": mine})
    return took


def missing_indexes(store: Store) -> list[str]:
    """Names of the indexes of speechaid whose keys no index of the collection has, or none that is unique."""
    return [
        f"{table.name}.{index.name}"
        for table, wanted in store.indexed()
        for keys in [table.index_keys()]
        for index in wanted
        if index.keys not in keys or (index.options.get("unique") and not table.has_unique_index(index.keys))
    ]


def other_workers(store: Store) -> OtherWorkers:
    """Count jobs in progress without a claim of speechaid that changed within ``LATELY_SECONDS``."""
    since = store.now() - timedelta(seconds=LATELY_SECONDS)
    rows = store.jobs.table.find(
        {
            "status": JobStatus.IN_PROGRESS,
            "claim_token": None,
            "$or": [{name: {"$gt": since}} for name in ("updated_at", "started_at", "call_started_at")],
        },
        limit=_MOST_JOBS,
        fields=("updated_at", "started_at", "call_started_at", "worker_id"),
    )
    if not rows:
        return OtherWorkers(jobs=0, worker=None, last_at=None)
    touched = [
        (at, text(row.get("worker_id")))
        for row in rows
        for name in ("updated_at", "started_at", "call_started_at")
        if (at := instant(row.get(name))) is not None
    ]
    last_at, worker = max(touched, key=lambda pair: pair[0])
    return OtherWorkers(jobs=len(rows), worker=worker, last_at=last_at)
