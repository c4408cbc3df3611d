"""What is this host's alone: workers, settings, the end of the daemon."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.specs.specification import Argument, Kind, loop_write

_WORKER: Final = Argument(
    name="worker",
    help="the worker's name in status: worker-3",
    positional=True,
    required=True,
    completes="worker",
)
SPECS: Final = (
    loop_write(
        "drain",
        "stop taking new jobs on this host; calls in progress finish; stays after a restart",
        Argument(name="wait", kind=Kind.FLAG, local=True, help="return when the last call has ended"),
        Argument(name="stop", kind=Kind.FLAG, help="then stop the daemon (it starts drained)"),
        urgent=True,
    ),
    loop_write("undrain", "take new jobs on this host again"),
    loop_write(
        "scale",
        "set the number of workers: more at once, fewer as their calls end",
        Argument(
            name="count",
            kind=Kind.INTEGER,
            positional=True,
            required=True,
            minimum=0,
            maximum=2000,
            help="workers wanted",
        ),
    ),
    loop_write(
        "pause-worker",
        "one worker takes no new job, nor do its replacements; stays after a restart",
        _WORKER,
        urgent=True,
    ),
    loop_write("resume-worker", "one worker takes jobs again", _WORKER),
    loop_write("reload", "read the settings again; if one is invalid, all are refused and the old ones stay"),
    loop_write(
        "log-level",
        "how much the daemon logs, until the next reload",
        Argument(
            name="level",
            positional=True,
            required=True,
            choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
            help="the lowest level that is logged",
        ),
    ),
    loop_write(
        "shutdown",
        "stop the daemon: calls in progress finish first, or are handed over with --now",
        Argument(name="now", kind=Kind.FLAG, help="hand over live calls; the next start follows them"),
        question="Stop the daemon?",
        urgent=True,
    ),
)
