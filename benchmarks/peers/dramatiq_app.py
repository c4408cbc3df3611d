"""Dramatiq on Redis."""

from __future__ import annotations

import os
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers import work


class Connects(dramatiq.Middleware):
    """Connects a worker when it boots."""

    def after_worker_boot(self, _broker: Any, _worker: Any) -> None:
        work.caller().connect()


broker = RedisBroker(url=os.environ["BENCH_REDIS"])
broker.add_middleware(Connects())
dramatiq.set_broker(broker)


@dramatiq.actor(max_retries=0)
def call(job_id: str) -> None:
    work.caller().run(job_id)


def enqueue(name: str) -> None:
    call.send(name)
