"""The process that reads one file: ``python -m speechaid.importing.files``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from speechaid.importing.child import serve
from speechaid.importing.output import Output
from speechaid.importing.tasks import FileTask


def run(arguments: Mapping[str, Any], file: bytes, output: Output) -> None:
    """Read the file as the task says."""
    task = FileTask(arguments["task"])
    # After the limits: the modules are heavy, and the one that is not needed is left out.
    import_module(f"speechaid.importing.{task.value}").run(arguments["of_task"], file, output)


if __name__ == "__main__":
    serve(run, "file")
