"""``python -m tests.chaos``: prints its seed first and a table at the end; exit 1 where anything is wrong."""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
from pathlib import Path

from tests.chaos.plan import Options
from tests.chaos.run import run, teller


def main() -> int:
    """Run once."""
    arguments = _parser().parse_args()
    # A run that is stopped clears up after itself, as one does that was interrupted from the keyboard.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", file=sys.stderr if arguments.json else sys.stdout, flush=True)
    options = Options(
        jobs=arguments.jobs,
        seed=seed,
        hosts=arguments.hosts,
        workers=arguments.workers,
        kill_workers=arguments.kill_workers,
        kill_supervisors=arguments.kill_supervisors,
        kill_databases=arguments.kill_database,
        freezes=arguments.freezes,
        hand_overs=arguments.hand_overs,
        pauses=arguments.pauses,
        faults=arguments.faults,
        patience_seconds=arguments.patience,
    )
    report = run(options, keep=arguments.keep, say=teller(silent=arguments.quiet))
    print(json.dumps(report.document(), indent=2) if arguments.json else report.text(), flush=True)
    if not report.clean:
        print(f"logs, ledger and database: {report.directory}", file=sys.stderr)
    return 0 if report.clean else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    for name, default, text in (
        ("jobs", 120, "jobs of the campaign"),
        ("hosts", 3, "supervisors on the one database"),
        ("workers", 5, "workers of each"),
        ("kill-workers", 15, "SIGKILL of a worker"),
        ("kill-supervisors", 2, "SIGKILL of a supervisor; every third with all its workers"),
        ("kill-database", 1, "SIGKILL of the database, back after 1 to 5 s"),
        ("freezes", 6, "SIGSTOP past the lease: workers, supervisors, whole hosts"),
        ("hand-overs", 1, "two SIGTERMs to a supervisor"),
        ("pauses", 2, "pause-batch, resumed some seconds after its answer"),
        ("faults", 8, "spells in which Retell fails, stalls or lies"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{text} (default {default})")
    parser.add_argument("--seed", type=int, help="what is drawn, and in which order (default: a random one)")
    parser.add_argument(
        "--patience", type=float, default=7200.0, help="seconds until what is not over counts as lost"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep logs, ledger and database in DIR")
    parser.add_argument("--json", action="store_true", help="one object instead of the table")
    parser.add_argument("--quiet", action="store_true", help="say nothing on the way")
    return parser


if __name__ == "__main__":
    sys.exit(main())
