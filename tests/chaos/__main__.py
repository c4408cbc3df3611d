"""``python -m tests.chaos``: prints its seed, and at the end a table; exit status 1 if anything is wrong."""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
from pathlib import Path

from tests.chaos.plan import Options
from tests.chaos.run import progress_printer, run


def main() -> int:
    """Run once; return the exit status."""
    arguments = _parser().parse_args()
    # On SIGTERM a run cleans up as on Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", file=sys.stderr if arguments.json else sys.stdout, flush=True)
    options = Options(
        jobs=arguments.jobs,
        seed=seed,
        people=arguments.people,
        hosts=arguments.hosts,
        workers=arguments.workers,
        kill_workers=arguments.kill_workers,
        kill_supervisors=arguments.kill_supervisors,
        kill_databases=arguments.kill_database,
        freezes=arguments.freezes,
        hand_overs=arguments.hand_overs,
        pauses=arguments.pauses,
        faults=arguments.faults,
        pace_seconds=arguments.pace,
        timeout_seconds=arguments.patience,
    )
    report = run(options, keep=arguments.keep, announce=progress_printer(silent=arguments.quiet))
    print(json.dumps(report.document(), indent=2) if arguments.json else report.text(), flush=True)
    if not report.clean:
        print(f"logs, placed calls and database: {report.directory}", file=sys.stderr)
    return 0 if report.clean else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    for name, default, text in (
        ("jobs", 120, "jobs of the campaign"),
        ("people", 3, "people under caps, with four of the jobs each"),
        ("hosts", 3, "supervisors on one database"),
        ("workers", 5, "workers per host"),
        ("kill-workers", 15, "SIGKILLs of a worker"),
        ("kill-supervisors", 2, "SIGKILLs of a supervisor; every third with all its workers"),
        ("kill-database", 1, "SIGKILLs of the database, back after 1 to 5 s"),
        ("freezes", 6, "SIGSTOPs longer than the lease: workers, supervisors, whole hosts"),
        ("hand-overs", 1, "hand-overs: two SIGTERMs to a supervisor"),
        ("pauses", 2, "batch pauses, resumed some seconds after the answer"),
        ("faults", 8, "periods in which Retell fails, hangs or misreports"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{text} (default {default})")
    parser.add_argument(
        "--pace", type=float, metavar="SECONDS", help="between two actions (default: by the campaign's pace)"
    )
    parser.add_argument("--seed", type=int, help="for all random choices (default: a random seed)")
    parser.add_argument(
        "--patience", type=float, default=7200.0, help="seconds after which unfinished jobs count as lost"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep logs, placed calls and database in DIR"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--quiet", action="store_true", help="print no progress")
    return parser


if __name__ == "__main__":
    sys.exit(main())
