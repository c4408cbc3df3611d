"""``python -m tests.poison``: prints its seed and what went wrong; exit status 1 if anything did."""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from tests.poison.run import SERVERS, Options, run


def main() -> int:
    """Run once; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.poison", description=__doc__)
    parser.add_argument("--seed", type=int, help="for all random choices (default: a random seed)")
    parser.add_argument("--count", type=int, default=120, help="hostile documents (default 120)")
    parser.add_argument("--jobs", type=int, default=60, help="sound jobs (default 60)")
    parser.add_argument("--server", choices=list(SERVERS), default="embedded")
    parser.add_argument("--seconds", type=float, default=120.0, help="patience for the sound jobs")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep log and database in DIR")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    options = Options(
        seed=seed,
        count=arguments.count,
        server=arguments.server,
        jobs=arguments.jobs,
        seconds=arguments.seconds,
    )
    report = run(options, arguments.keep)
    print("\n".join(report.faults))
    print(
        f"{options.jobs} sound jobs in {report.seconds:.0f} s beside {len(report.poison)} hostile documents"
        f" ({report.refused} refused by the server): {len(report.faults)} faults"
    )
    if not report.is_clean:
        print(f"log and database: {report.directory}", file=sys.stderr)
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
