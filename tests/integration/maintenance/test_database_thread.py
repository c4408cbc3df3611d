"""The database thread's queue: full for requests, never for the note of a crashed worker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from pydantic import SecretStr
from pymongo.database import Database

from speechaid.commands.interfaces import HandlerContext
from speechaid.errors import ControlError
from speechaid.maintenance.database_thread import MAX_TASKS, DatabaseThread
from speechaid.rules.respawn import ExitCause
from speechaid.settings import Settings
from speechaid.store.connection import connect
from tests.support.fleet_harness import until
from tests.support.stage import Document


@pytest.fixture
def own_settings(settings: Settings, database: Database[Document], database_uri: str) -> Settings:
    """Settings with this test's database."""
    address = settings.database.model_copy(update={"uri": SecretStr(database_uri), "name": database.name})
    return settings.model_copy(update={"database": address})


@pytest.fixture
def database_thread(own_settings: Settings) -> Iterator[DatabaseThread]:
    with closing(DatabaseThread(connect(own_settings.database), own_settings)) as thread:
        yield thread


def is_full(database_thread: DatabaseThread) -> bool:
    try:
        database_thread.submit(lambda _: None, lambda _: None)
    except ControlError:
        return True
    return False


def test_a_crashed_workers_job_is_released_however_many_requests_wait(
    database_thread: DatabaseThread, own_settings: Settings, database: Database[Document]
) -> None:
    jobs = database[own_settings.database.jobs_collection]
    mine = {"worker_id": "worker-1@host-a:1", "claim_token": "t"}
    jobs.insert_one({"job_id": "job-1", "status": "in_progress", **mine})
    gate = threading.Event()

    def wait(_: HandlerContext) -> None:
        gate.wait()

    try:
        for _ in range(MAX_TASKS):
            database_thread.submit(wait, lambda _: None)
        until(lambda: is_full(database_thread), "a full queue")
        database_thread.on_worker_exit("worker-1@host-a:1", "job-1", ExitCause.KILLED)
    finally:
        gate.set()
    until(lambda: jobs.count_documents({"status": "pending", "crashes": 1}), "its return")
