"""The floor: processes in a bare loop, each with its share of the jobs, which is read before it begins."""

from __future__ import annotations

import os
import sys
from typing import Any

from pymongo import MongoClient

from benchmarks.peers import work


def main(count: int, path: str) -> None:
    names = work.read_jobs(path)
    shares = [names[at::count] for at in range(count)]
    pids = []
    for share in shares:
        pid = os.fork()
        if pid == 0:
            loop(share)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)


def loop(names: list[str]) -> None:
    with MongoClient[dict[str, Any]](os.environ["BENCH_URI"], tz_aware=True) as client:
        jobs = client[os.environ["BENCH_DATABASE"]]["jobs"]
        found = {job["job_id"]: job for job in jobs.find({"job_id": {"$in": names}})}
    caller = work.caller()
    for name in names:
        caller.carry_out(found[name])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
