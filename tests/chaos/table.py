"""A run's report: a table for people, one object for programs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.chaos.books import Books, Findings, quarantined
from tests.chaos.plan import Kind, Options

SHOWN_AT_MOST: Final = 20


@dataclass(kw_only=True)
class Report:
    """What came of a run."""

    options: Options
    findings: Findings
    books: Books
    done: dict[str, int]
    notes: dict[str, int]
    seconds: float
    #: Logs, ledger and database, where they were kept.
    directory: Path

    @property
    def clean(self) -> bool:
        """Nothing wrong was found, and all that was to be done was done."""
        return self.findings.clean and not self.notes.get("deeds left undone")

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "seed": self.options.seed,
            "ok": self.clean,
            "jobs": len(self.books.jobs),
            "jobs_by_status": dict(Counter(str(job["status"]) for job in self.books.jobs)),
            "quarantined": quarantined(self.books),
            "calls_placed": len(self.books.ledger),
            **{name: len(found) for name, found in vars(self.findings).items()},
            "done": dict(sorted(self.done.items())),
            "staged": {name: number for name, number in self.notes.items() if number},
            "seconds": round(self.seconds, 1),
            "found": self.found(),
        }

    def found(self) -> list[str]:
        """Each wrong thing, a sentence each."""
        return [f"{name}: {text}" for name, found in vars(self.findings).items() for text in found]

    def text(self) -> str:
        """The table."""
        facts = self.document()
        statuses = ", ".join(
            f"{number} {status}" for status, number in sorted(facts["jobs_by_status"].items())
        )
        kinds = set(map(str, Kind))
        rows = [
            ("seed", facts["seed"]),
            ("jobs", f"{facts['jobs']} ({statuses}; {facts['quarantined']} quarantined)"),
            ("calls placed", facts["calls_placed"]),
            *((name.replace("_", " "), len(found)) for name, found in vars(self.findings).items()),
            *((f"  {what}", number) for what, number in facts["done"].items() if what in kinds),
            *((f"    {what}", number) for what, number in facts["done"].items() if what not in kinds),
            *((f"  {what}", number) for what, number in facts["staged"].items()),
            ("time", f"{self.seconds:.0f} s"),
            ("verdict", "clean" if self.clean else "NOT CLEAN"),
        ]
        lines = [f"{name:<34} {value}" for name, value in rows]
        return "\n".join([*lines, *self.found()[:SHOWN_AT_MOST]])
