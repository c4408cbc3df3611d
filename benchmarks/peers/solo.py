"""A worker without a queue, for process managers; with a number, a loop that forks that many."""

from __future__ import annotations

import os
import sys
import time

from benchmarks.peers import work


def main() -> None:
    caller = work.caller()
    caller.connect()
    while True:
        if not caller.run_any():
            time.sleep(0.2)


def keep(count: int) -> None:
    """Fork ``count`` workers, and another one for each that dies."""
    for _ in range(count):
        fork()
    while True:
        os.wait()
        fork()


def fork() -> None:
    if os.fork() == 0:
        try:
            main()
        finally:
            os._exit(1)


if __name__ == "__main__":
    keep(int(sys.argv[1])) if len(sys.argv) > 1 else main()
