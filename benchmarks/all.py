"""Every benchmark, one after the other: ``python -m benchmarks.all --json-dir DIR``.

With ``--quick`` each runs just long enough to show that it works. A benchmark that fails is reported at the
end; the others still run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.setup import ROOT

NAMES = (
    "throughput",
    "memory",
    "restart",
    "control_latency",
    "emergency",
    "web_clients",
    "claim",
    "idle",
    "ramp",
    "fleet",
    "follow",
    "start",
    "scrape",
    "blocked_jobs",
    "import_file",
    "people",
    "erasing",
    "calling_rules",
)


def main() -> int:
    purpose = (__doc__ or "").strip()
    parser = argparse.ArgumentParser(
        description=purpose, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--json-dir", type=Path, metavar="DIR", help="directory for one JSON file a benchmark"
    )
    parser.add_argument("--quick", action="store_true", help="minutes instead of half an hour")
    parser.add_argument("--mongo", metavar="URI", help="passed on")
    parser.add_argument("--server", choices=("embedded", "fast"), help="passed on")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), metavar="NAME")
    options = parser.parse_args()
    failed = [name for name in options.only if run(name, options) != 0]
    for name in failed:
        print(f"{name} failed")
    return 1 if failed else 0


def run(name: str, options: argparse.Namespace) -> int:
    """Run one benchmark in a new process; returns its exit status."""
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    command += ["--quick"] if options.quick else []
    for passed_on in ("mongo", "server"):
        value = getattr(options, passed_on)
        command += [f"--{passed_on}", value] if value is not None else []
    if options.json_dir is not None:
        options.json_dir.mkdir(parents=True, exist_ok=True)
        command += ["--json", str(options.json_dir.absolute() / f"{name}.json")]
    began = time.monotonic()
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    print(f"\n== {name}: {time.monotonic() - began:.0f} s, exit {status} ==\n", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
