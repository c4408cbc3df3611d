"""What a reader process has in hand, in words for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from speechaid.importing.process import Work
from speechaid.importing.tasks import FileTask

_SMALLER: Final = "nothing was imported; split the file, and delete what does not belong to the table"
_OTHER: Final = "nothing was imported; save the file anew as CSV, and import that"


def file_work(task: FileTask, arguments: Mapping[str, Any], data: bytes, filename: str) -> Work:
    """The reading of a file."""
    form = "a workbook" if data.startswith(b"PK") else "text"
    subject = f"{filename} ({form} of {_size(len(data))})"
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
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"
