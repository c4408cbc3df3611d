"""What a reader process has in hand, in words for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from speechaid.importing.process import Work
from speechaid.importing.tasks import FileTask
from speechaid.protocol.translation import say, say_later

_SMALLER: Final = say_later(
    "nothing was imported; split the file, and delete what does not belong to the table"
)
_OTHER: Final = say_later("nothing was imported; save the file anew as CSV, and import that")


def file_work(task: FileTask, arguments: Mapping[str, Any], data: bytes, filename: str) -> Work:
    """The reading of a file."""
    form = say("a workbook") if data.startswith(b"PK") else "text"
    subject = say("{filename} ({form} of {size})", filename=filename, form=form, size=_size(len(data)))
    return Work(
        module="speechaid.importing.files",
        task=task.value,
        arguments={"task": task.value, "of_task": arguments},
        file=data,
        subject=subject,
        smaller=_SMALLER,
        other=_OTHER,
    )


def _size(count: int) -> str:
    return (
        say("{number:.1f} MB", number=count / 1000000.0)
        if count >= 100_000
        else say("{number:.1f} kB", number=count / 1000.0)
    )
