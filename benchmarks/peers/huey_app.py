"""Huey on SQLite, synced to disk."""

from __future__ import annotations

import os

from huey import SqliteHuey

from benchmarks.peers import work

huey = SqliteHuey("bench", filename=os.environ["BENCH_SQLITE"], fsync=True, results=False)


@huey.on_startup()
def ready() -> None:
    work.caller().connect()


@huey.task()
def call(job_id: str) -> None:
    work.caller().run(job_id)


def enqueue(name: str) -> None:
    call(name)
