"""A run's report: a table, or one JSON object."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.chaos.audit import Findings, Records, quarantined
from tests.chaos.plan import ActionKind, Options

SHOWN_AT_MOST: Final = 20
#: The note that counts planned actions without a target until the end.
NOT_PERFORMED: Final = "actions not performed"


@dataclass(kw_only=True)
class Report:
    """The result of a run."""

    options: Options
    findings: Findings
    records: Records
    done: dict[str, int]
    notes: dict[str, int]
    seconds: float
    #: Logs, placed calls and database, if they were kept.
    directory: Path

    @property
    def clean(self) -> bool:
        """Nothing wrong was found, and every action was performed."""
        return self.findings.clean and not self.notes.get(NOT_PERFORMED)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "seed": self.options.seed,
            "ok": self.clean,
            "jobs": len(self.records.jobs),
            "jobs_by_status": dict(Counter(str(job["status"]) for job in self.records.jobs)),
            "quarantined": quarantined(self.records),
            "calls_placed": len(self.records.placed_calls),
            **{name: len(found) for name, found in vars(self.findings).items()},
            "done": dict(sorted(self.done.items())),
            "notes": {name: number for name, number in self.notes.items() if number},
            "seconds": round(self.seconds, 1),
            "found": self.found(),
        }

    def found(self) -> list[str]:
        """Everything that is wrong, one sentence each."""
        return [f"{name}: {text}" for name, found in vars(self.findings).items() for text in found]

    def text(self) -> str:
        """As a table."""
        facts = self.document()
        statuses = ", ".join(
            f"{number} {status}" for status, number in sorted(facts["jobs_by_status"].items())
        )
        kinds = set(map(str, ActionKind))
        rows = [
            ("seed", facts["seed"]),
            ("jobs", f"{facts['jobs']} ({statuses}; {facts['quarantined']} quarantined)"),
            ("calls placed", facts["calls_placed"]),
            *((name.replace("_", " "), len(found)) for name, found in vars(self.findings).items()),
            *((f"  {what}", number) for what, number in facts["done"].items() if what in kinds),
            *((f"    {what}", number) for what, number in facts["done"].items() if what not in kinds),
            *((f"  {what}", number) for what, number in facts["notes"].items()),
            ("time", f"{self.seconds:.0f} s"),
            ("verdict", "clean" if self.clean else "NOT CLEAN"),
        ]
        lines = [f"{name:<34} {value}" for name, value in rows]
        return "\n".join([*lines, *self.found()[:SHOWN_AT_MOST]])
