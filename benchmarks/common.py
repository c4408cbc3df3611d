"""Shared by all benchmarks: command line, figures, tables, JSON, and the environment of the run.

    options = common.parser(__doc__).parse_args()
    report = common.Report("throughput", options, jobs=400)
    with common.open_database(options) as server:      # benchmarks.servers: uri, pid, client()
        report.server(server)
        report.table("CPU per job", ["contender", "ms"], rows)
    report.write()                                     # JSON, where --json FILE asks for it

``benchmarks.processes`` reads processor time (``cpu_seconds``) and memory (``pss_mib``) of processes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.servers import Server, fast_binary, open_server
from speechaid import __version__

__all__ = (
    "Report",
    "Server",
    "Spread",
    "figure",
    "layout",
    "open_database",
    "parser",
    "percentile",
    "versions",
)

#: Libraries whose versions are reported.
LIBRARIES = ("pymongo", "requests", "pyzmq", "prometheus-client", "pydantic", "SecantusDB")


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Several measurements of one quantity."""

    low: float
    median: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """From the measurements themselves, at least one."""
        return cls(low=min(values), median=statistics.median(values), high=max(values), count=len(values))

    def __str__(self) -> str:
        return f"{figure(self.median)} ({figure(self.low)} to {figure(self.high)})"


def figure(value: float) -> str:
    """A number with about three significant digits."""
    for bound, digits in ((100, 0), (10, 1), (1, 2)):
        if abs(value) >= bound:
            return f"{value:.{digits}f}"
    return f"{value:.3f}" if value else "0"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of the measurements does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def parser(purpose: str | None) -> argparse.ArgumentParser:
    """The options of every benchmark."""
    made = argparse.ArgumentParser(
        description=(purpose or "").strip(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--mongo", metavar="URI", help="any MongoDB server, instead of one of our own")
    made.add_argument(
        "--server",
        choices=("embedded", "fast"),
        default="fast" if fast_binary() else "embedded",
        help="the server of our own: embedded, or fast where it is installed (default: %(default)s)",
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    made.add_argument("--quick", action="store_true", help="fewer and smaller rounds: is it alive at all?")
    return made


@contextlib.contextmanager
def open_database(options: argparse.Namespace) -> Iterator[Server]:
    """The server that the options name; a run that is terminated also stops what it started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with open_server(mongo=options.mongo, kind=options.server) as server:
        yield server


def environment() -> dict[str, Any]:
    """What is needed to compare runs: machine, versions, load."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processors": os.cpu_count(),
        "processor": model,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "speechaid": __version__,
        "load": [round(load, 1) for load in os.getloadavg()],
        "libraries": versions(LIBRARIES),
    }


def versions(names: Sequence[str]) -> dict[str, str]:
    """The versions of those libraries that are installed."""
    found = {}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def layout(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table for a terminal: the first column aligned left, figures right."""
    texts = [[_cell(cell) for cell in row] for row in [columns, *rows]]
    widths = [max(len(row[at]) for row in texts) for at in range(len(columns))]
    lines = []
    for row in texts:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return figure(value) if isinstance(value, float) else str(value)


class Report:
    """One run: printed as it goes, and written as JSON at the end."""

    def __init__(self, name: str, options: argparse.Namespace, **settings: Any) -> None:
        self._file: Path | None = options.json
        self._content: dict[str, Any] = {
            "benchmark": name,
            "environment": environment(),
            "settings": settings,
            "tables": [],
        }
        found = self._content["environment"]
        print(f"{name}: {found['processors']} x {found['processor']}, load {found['load']}, ", end="")
        print(f"Python {found['python']}, speechaid {found['speechaid']}")
        print("  " + ", ".join(f"{name} {version}" for name, version in found["libraries"].items()))
        self.settings()

    def settings(self, **more: Any) -> None:
        """Print the settings of the run; those in ``more``, known only now, are added first."""
        self._content["settings"].update(more)
        shown = more or self._content["settings"]
        if shown:
            print("  " + ", ".join(f"{name} {value}" for name, value in shown.items()), flush=True)

    def server(self, server: Server) -> None:
        """Print which database is used."""
        self.settings(database=server.kind, database_version=server.version)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table and add it to the JSON."""
        self._content["tables"].append({"title": title, "columns": list(columns), "rows": _plain(rows)})
        print(f"\n{title}\n{layout(columns, rows)}", flush=True)

    def keep(self, **figures: Any) -> None:
        """Add raw figures to the JSON only."""
        self._content.setdefault("raw", {}).update(_plain(figures))

    def note(self, text: str) -> None:
        """Print a sentence about the figures and add it to the JSON."""
        self._content.setdefault("notes", []).append(text)
        print(text, flush=True)

    def write(self) -> None:
        """Write the JSON file, if ``--json`` names one."""
        if self._file is not None:
            self._file.write_text(json.dumps(self._content, indent=1, ensure_ascii=False) + "\n")


def _plain(value: Any) -> Any:
    """As JSON types."""
    if isinstance(value, Spread):
        return asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
