"""Adds the jobs of a file to a peer's queue: ``python -m benchmarks.peers.enqueue huey_app FILE``."""

from __future__ import annotations

import importlib
import sys

from benchmarks.peers.work import read_jobs


def main(module: str, path: str) -> None:
    enqueue = importlib.import_module(f"benchmarks.peers.{module}").enqueue
    for name in read_jobs(path):
        enqueue(name)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
