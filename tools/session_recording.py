"""An operator's session, recorded: ``python -m tools.session_recording docs/session.md``.

A daemon of its own on an embedded database, a Retell simulator, and the commands of a day; what they print
goes on the page as it is, but for this machine's name and places.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from speechaid.demo.contacts import contacts
from speechaid.demo.daemon import DaemonProcess
from tests.support.terminal import Terminal, open_terminal, variables

INTRO = """# An operator's session

Recorded from a real run (`python -m tools.session_recording docs/session.md`): a daemon on its embedded
database, a Retell simulator in the place of Retell, invented people. Calls last a few seconds here. Nothing
is left out but the machine's own name and places.
"""


class Recorder:
    """Types at a terminal and keeps what it saw."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._page = [INTRO]

    def say(self, text: str) -> None:
        """Words between two commands."""
        self._page.append(text + "\n")

    def type(self, line: str, *, status: int = 0) -> str:
        """One command, and what it printed."""
        shown = self._terminal.type(*shlex.split(line)[1:], status=status)
        return self.show(line, shown)

    def show(self, line: str, shown: str) -> str:
        """A command that was typed elsewhere."""
        text = f"$ {line}\n{shown}".rstrip()
        for own, other in ((str(self._terminal.place), "/home/maria"), (socket.gethostname(), "calls-1")):
            text = text.replace(own, other)
        self._page.append(f"```console\n{text}\n```\n")
        return shown

    def text(self) -> str:
        """The page."""
        return "\n".join(self._page)


def record(terminal: Terminal) -> str:
    """The whole session."""
    pen = Recorder(terminal)
    (terminal.place / "march.csv").write_bytes(contacts(40))
    (terminal.place / "april.csv").write_bytes(_april())
    begin(pen, terminal)
    april = campaigns(pen, terminal)
    slow_down(pen, terminal, april)
    lose_a_worker(pen, terminal)
    wonder(pen, terminal, april)
    upgrade(pen, terminal)
    resume(pen, terminal, april)
    return pen.text()


def begin(pen: Recorder, terminal: Terminal) -> None:
    pen.say("## The daemon is up, and has nothing to do")
    terminal.until(lambda: terminal.ask("status")["supervisor"]["present"] == 3)
    pen.type("speechctl doctor")


def campaigns(pen: Recorder, terminal: Terminal) -> str:
    pen.say("## Two campaigns\n\nA file is looked at first, then imported; calling begins with its last row.")
    file = terminal.place / "march.csv"
    pen.type(f"speechctl import {file} --country US --dry-run")
    options = "--hours 00:00-24:00 --timezone America/Santiago --max-attempts 2"
    pen.type(f"speechctl import {file} --name 'March reminders' --country US {options}")
    pen.type(
        f"speechctl import {terminal.place / 'april.csv'} --name April --hours 00:00-24:00 --priority high"
    )
    rows = {row["name"]: row["batch_id"] for row in terminal.ask("batches")["batches"]}
    terminal.a_live_call(rows["April"])
    terminal.until(lambda: len(terminal.ask("status")["batches"]) == 2)
    pen.type("speechctl status")
    return str(rows["April"])


def slow_down(pen: Recorder, terminal: Terminal, april: str) -> None:
    pen.say(
        "## Slower, and one campaign stopped\n\nFewer workers leave as their calls end; nobody is cut off."
    )
    pen.type("speechctl scale 2")
    terminal.until(lambda: terminal.ask("status")["supervisor"]["present"] == 2)
    pen.say("From the moment of this answer no call of April is placed, by any worker on any host.")
    pen.type(f"speechctl pause-batch {april[:17]} --reason 'wrong amounts in the file'")


def lose_a_worker(pen: Recorder, terminal: Terminal) -> None:
    pen.say(
        "## A worker is paused, and killed\n\nIts call is followed on by another; its successor stays paused."
    )
    pen.type("speechctl pause-worker 2")
    in_call = terminal.until(lambda: next((row for row in _workers(terminal) if row["call"]), None))
    slot = in_call["slot"]
    if slot != "worker-2":
        pen.type(f"speechctl pause-worker {slot}")
    os.kill(in_call["pid"], signal.SIGKILL)
    pen.show(f"kill -9 {in_call['pid']}   # {slot}, in {in_call['call']}", "")
    terminal.until(lambda: "call.adopted" in terminal.type("logs", "--job", in_call["job"]))
    pen.type("speechctl status")
    terminal.until(lambda: "call.settled" in terminal.type("logs", "--job", in_call["job"]))
    pen.type(f"speechctl job {in_call['job']}")
    if slot != "worker-2":
        pen.type(f"speechctl resume-worker {slot}")


def wonder(pen: Recorder, terminal: Terminal, april: str) -> None:
    pen.say("## Why is this person not being called?")
    waiting = terminal.jobs(april, "pending")[0]["job_id"]
    pen.type(f"speechctl explain {waiting}")
    pen.say("And what would happen next?")
    pen.type("speechctl forecast --limit 5")
    pen.say("A slip of the finger:")
    pen.type("speechctl explian " + waiting, status=2)


def upgrade(pen: Recorder, terminal: Terminal) -> None:
    pen.say(
        "## An upgrade\n\nDrained first, to do it quietly. (Without it, `speechctl shutdown --now` hands "
        "live calls over in a second, and the next start follows them on.)"
    )
    pen.type("speechctl drain")
    pen.type("speechctl drain --wait")
    pen.type("speechctl shutdown --yes")
    terminal.until(lambda: not terminal.daemon.is_alive())
    pen.type("speechctl status", status=3)
    pen.say(
        "The new version is installed and started (`systemctl start speechaid`), and is as the "
        "old one was left: drained."
    )
    terminal.daemon.stop()
    terminal.daemon = DaemonProcess(terminal.place, variables(terminal.place, terminal.simulator))
    terminal.daemon.start()
    terminal.until(lambda: terminal.ask("status").get("counted_at"))
    pen.type("speechctl status")


def resume(pen: Recorder, terminal: Terminal, april: str) -> None:
    pen.say("## And on")
    pen.type("speechctl undrain")
    pen.type("speechctl resume-worker worker-2")
    pen.type(f"speechctl resume-batch {april[:17]}")
    terminal.a_live_call(april)
    time.sleep(1.0)
    pen.type("speechctl top --once")
    job = terminal.a_live_call(april)["job_id"]
    pen.type(f"speechctl hang-up {job} --yes --reason 'he asked to be called tomorrow'")
    terminal.until(lambda: terminal.ask("job", job)["status"] == "cancelled")
    pen.say("What happens, as it happens (`speechctl events`), until Ctrl-C:")
    pen.show("speechctl events", _events(terminal))
    pen.say("Every command that changed something is on record:")
    terminal.until(lambda: "hang-up" in terminal.type("logs", "--commands", "--limit", "3"))
    pen.type("speechctl logs --commands --limit 12")
    pen.type("speechctl report")


def _events(terminal: Terminal) -> str:
    command = [sys.executable, "-m", "speechctl", "events", "--socket", str(terminal.daemon.socket)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stream:
        assert stream.stdout is not None
        lines = [stream.stdout.readline() for _ in range(6)]
        stream.terminate()
    return "".join(lines)


def _workers(terminal: Terminal) -> list[dict[str, Any]]:
    return list(terminal.ask("status")["workers"])


def _april() -> bytes:
    people = [f"Persona de Abril {n},+1646555{100 + n:04d}" for n in range(60)]
    return "\n".join(["nombre,telefono", *people, ""]).encode()


def main() -> None:
    """Write the page."""
    with open_terminal(talk_seconds=(60, 100)) as terminal:
        text = record(terminal)
    Path(sys.argv[1]).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
