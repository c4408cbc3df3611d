"""RQ on Redis: it forks a process for each job, which opens a new connection."""

from __future__ import annotations

import os

from redis import Redis
from rq import Queue

from benchmarks.peers import work


def call(job_id: str) -> None:
    work.caller().run(job_id)


def enqueue(name: str) -> None:
    queue = Queue(connection=Redis.from_url(os.environ["BENCH_REDIS"]))
    queue.enqueue("benchmarks.peers.rq_app.call", name, result_ttl=0)
