"""Celery on Redis, set to lose nothing: acknowledged late, one task at a time, rejected on a lost worker."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import worker_process_init

from benchmarks.peers import work

app = Celery("bench", broker=os.environ["BENCH_REDIS"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)


@worker_process_init.connect
def ready(**_: Any) -> None:
    work.caller().connect()


@app.task(name="call")
def call(job_id: str) -> None:
    work.caller().run(job_id)


def enqueue(name: str) -> None:
    call.delay(name)
