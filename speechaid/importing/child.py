"""The child's side of a reader process: ``python -P -B -m MODULE PARENT MEMORY CPU``, started by ``process``.

The module calls ``serve``. Standard input has tasks, each with its file; standard output takes frames.
Standard error is nobody's: what a library prints there may hold people's data.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from speechaid.importing import frames
from speechaid.importing.frames import Kind
from speechaid.importing.limits import Limits, confine_process
from speechaid.importing.output import Output
from speechaid.importing.tasks import REFUSALS
from speechaid.protocol.translation import wire_text

_STDOUT: Final = 1

#: Carries out a task with its arguments and its file, and sends the parts of its result.
Run = Callable[[Mapping[str, Any], bytes, Output], None]


def serve(run: Run, title: str, *, most_tasks: int = 1) -> None:
    """Carry out tasks until the parent has no more; never returns.

    Args:
        run: may raise the errors of ``tasks.REFUSALS``, which the parent raises in its turn.
        title: of the process.
        most_tasks: how many tasks to carry out.
    """
    parent, memory, cpu = sys.argv[1:]
    confine_process(Limits.from_arguments(memory, cpu), int(parent))
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    _set_title(title)
    output = Output(_STDOUT)
    with contextlib.suppress(BrokenPipeError):
        for _ in range(most_tasks):
            _carry_out(run, output)
    # Without a clean-up, which takes long where there is much to free.
    os._exit(0)


def _carry_out(run: Run, output: Output) -> None:
    # Encoded before the work: there is no memory for it afterwards.
    out_of_memory = frames.encode(Kind.OUT_OF_MEMORY)
    try:
        arguments = json.loads(_read(Kind.ARGUMENTS))
        run(arguments, _read(Kind.FILE), output)
    except MemoryError:
        os.write(_STDOUT, out_of_memory)
    except BrokenPipeError:
        raise
    except tuple(REFUSALS.values()) as exc:
        name = next(name for name, kind in REFUSALS.items() if isinstance(exc, kind))
        output.send(Kind.REFUSAL, json.dumps({"kind": name, "text": wire_text(str(exc))}).encode())
    except BaseException as exc:  # noqa: BLE001 - a panic of the workbook's reader is no Exception
        output.send(Kind.FAULT, json.dumps(_named(exc)).encode())
    else:
        output.send(Kind.END)


def _set_title(title: str) -> None:
    from setproctitle import setproctitle  # noqa: PLC0415 - after the limits

    setproctitle(f"speechaid: reader [{title}]")


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
