"""Which steps fail again and again, whatever the cause: an operator must know. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from speechaid.model.masking import mask_prose
from speechaid.model.reading import as_printable
from speechaid.protocol.translation import say

#: Failures in a row that make a step a failing one; fewer pass by themselves.
REPEATED: Final = 3


class RepeatedFailures:
    """Counts the failures of each step since its last success."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._errors: dict[str, str] = {}

    def note_failure(self, step: str, error: str) -> bool:
        """Note a failure; whether it is news: the step's first one, or another error than before."""
        is_news = self._errors.get(step) != error
        self._counts[step] = self._counts.get(step, 0) + 1
        self._errors[step] = error
        return is_news

    def note_success(self, step: str) -> None:
        """Note that the step does its work again."""
        self._counts.pop(step, None)
        self._errors.pop(step, None)

    def repeated_errors(self) -> dict[str, str]:
        """The latest error of each step that has failed ``REPEATED`` times in a row.

        Printable, short, and with phone numbers masked: an error of the database may quote a document.
        """
        return {
            step: mask_prose(as_printable(error))
            for step, error in self._errors.items()
            if self._counts[step] >= REPEATED
        }


def failing_sentences(workers: Iterable[Mapping[str, Any]], tasks: Mapping[str, str]) -> tuple[str, ...]:
    """A sentence for each step that fails again and again: whose it is, and the error.

    Args:
        workers: rows of status, with ``slot`` and ``failing``.
        tasks: the failing tasks of the daemon itself, with their errors.
    """
    slots: dict[tuple[str, str], list[str]] = {}
    for row in workers:
        for step, error in row.get("failing", {}).items():
            slots.setdefault((step, error), []).append(str(row["slot"]))
    of_workers = [
        say(
            "{step} of {name}{more}: {error}",
            step=step,
            name=names[0],
            more=(say(" and {number} more", number=len(names) - 1) if len(names) > 1 else ""),
            error=error,
        )
        for (step, error), names in slots.items()
    ]
    return (
        *of_workers,
        *(
            say("housekeeping ({task}): {error}", task=task, error=error)
            for task, error in sorted(tasks.items())
        ),
    )
