"""The child's side: ``python -P -B -m speechaid.importing.child PARENT MEMORY CPU``, started by ``process``.

Standard input has the task and its file; standard output takes frames. Standard error is nobody's: what a
library prints there may hold people's data.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from speechaid.importing import frames
from speechaid.importing.frames import Kind
from speechaid.importing.limits import Limits, confine_process
from speechaid.importing.output import Output
from speechaid.importing.tasks import REFUSALS, Task

_STDOUT: Final = 1


class TaskModule(Protocol):
    """A module of ``speechaid.importing`` that carries out a task."""

    def run(self, arguments: Mapping[str, Any], file: bytes, output: Output) -> None:
        """Carry out the task, and send the parts of its result."""


def main() -> int:
    """Carry out one task."""
    parent, memory, cpu = sys.argv[1:]
    confine_process(Limits.from_arguments(memory, cpu), int(parent))
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    output = Output(_STDOUT)
    with contextlib.suppress(BrokenPipeError):
        _run(output)
    # Without a clean-up, which takes long where there is much to free.
    os._exit(0)


def _run(output: Output) -> None:
    # Encoded before the work: there is no memory for it afterwards.
    out_of_memory = frames.encode(Kind.OUT_OF_MEMORY)
    try:
        arguments = json.loads(_read(Kind.ARGUMENTS))
        task = Task(arguments.pop("task"))
        _set_title(task)
        module: TaskModule = importlib.import_module(f"speechaid.importing.{task.value}")
        module.run(arguments, _read(Kind.FILE), output)
    except MemoryError:
        os.write(_STDOUT, out_of_memory)
    except BrokenPipeError:
        raise
    except tuple(REFUSALS.values()) as exc:
        name = next(name for name, kind in REFUSALS.items() if isinstance(exc, kind))
        output.send(Kind.REFUSAL, json.dumps({"kind": name, "text": str(exc)}).encode())
    except BaseException as exc:  # noqa: BLE001 - a panic of the workbook's reader is no Exception
        output.send(Kind.FAULT, json.dumps(_named(exc)).encode())
    else:
        output.send(Kind.END)


def _set_title(task: Task) -> None:
    from setproctitle import setproctitle  # noqa: PLC0415 - after the limits

    setproctitle(f"speechaid: reader [{task.value}]")


def _named(exc: BaseException) -> dict[str, str]:
    """A fault by its type and place: its text may quote a cell."""
    frame = traceback.extract_tb(exc.__traceback__)[-1]
    return {"type": type(exc).__name__, "place": f"{Path(frame.filename).name}:{frame.lineno}"}


def _read(wanted: Kind) -> bytes:
    """The next frame's body."""
    size, kind = frames.read_header(_read_exactly(frames.HEADER_BYTES))
    if kind is not wanted:
        raise frames.FrameError(f"a frame of kind {kind.name}")
    return _read_exactly(size)


def _read_exactly(size: int) -> bytes:
    data = sys.stdin.buffer.read(size)
    if len(data) < size:
        raise BrokenPipeError  # the parent has left
    return data


if __name__ == "__main__":
    sys.exit(main())
