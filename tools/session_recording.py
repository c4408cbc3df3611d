"""A recorded operator's session: ``python -m tools.session_recording docs/session.md``.

It starts a daemon on an embedded database and a Retell simulator, and runs the commands of a day; the page
shows what they print, with this machine's name and directories replaced.
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
database, a simulator in the place of Retell, invented people. Calls last a few seconds here. Only the
machine's name and directories are replaced.
"""


class Recorder:
    """Runs commands in a terminal and records what they print."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._page = [INTRO]

    def say(self, text: str) -> None:
        """Add text between two commands."""
        self._page.append(text + "\n")

    def type(self, line: str, *, status: int = 0) -> str:
        """Run one command and record what it prints."""
        shown = self._terminal.type(*shlex.split(line)[1:], status=status)
        return self.show(line, shown)

    def show(self, line: str, shown: str) -> str:
        """Record a command that was run elsewhere."""
        text = f"$ {line}\n{shown}".rstrip()
        for real, shown_as in ((str(self._terminal.place), "/home/maria"), (socket.gethostname(), "calls-1")):
            text = text.replace(real, shown_as)
        self._page.append(f"```console\n{text}\n```\n")
        return shown

    def text(self) -> str:
        """The page."""
        return "\n".join(self._page)


def record(terminal: Terminal) -> str:
    """The whole session."""
    recorder = Recorder(terminal)
    (terminal.place / "march.csv").write_bytes(contacts(40))
    (terminal.place / "april.csv").write_bytes(_april())
    begin(recorder, terminal)
    april = campaigns(recorder, terminal)
    slow_down(recorder, terminal, april)
    lose_a_worker(recorder, terminal)
    explain(recorder, terminal, april)
    upgrade(recorder, terminal)
    resume(recorder, terminal, april)
    return recorder.text()


def begin(recorder: Recorder, terminal: Terminal) -> None:
    recorder.say("## The daemon is up, and has nothing to do")
    terminal.until(lambda: terminal.ask("status")["supervisor"]["present"] == 3)
    recorder.type("speechctl doctor")


def campaigns(recorder: Recorder, terminal: Terminal) -> str:
    recorder.say(
        "## Two campaigns\n\nA file is checked first, then imported; with `--start` calling begins when its "
        "last row is in."
    )
    file = terminal.place / "march.csv"
    recorder.type(f"speechctl import {file} --country US --accept unassigned --dry-run")
    options = "--accept unassigned --hours 00:00-24:00 --timezone America/Santiago --max-attempts 2 --start"
    recorder.type(f"speechctl import {file} --name 'March reminders' --country US {options}")
    options = "--accept unassigned --hours 00:00-24:00 --priority high --start"
    recorder.type(f"speechctl import {terminal.place / 'april.csv'} --name April {options}")
    rows = {row["name"]: row["batch_id"] for row in terminal.ask("batches")["batches"]}
    terminal.a_live_call(rows["April"])
    terminal.until(lambda: len(terminal.ask("status")["batches"]) == 2)
    recorder.type("speechctl status")
    return str(rows["April"])


def slow_down(recorder: Recorder, terminal: Terminal, april: str) -> None:
    recorder.say(
        "## Slower, and one campaign stopped\n\nSurplus workers leave as their calls end; no call is cut."
    )
    recorder.type("speechctl scale 2")
    terminal.until(lambda: terminal.ask("status")["supervisor"]["present"] == 2)
    recorder.say("Once this has answered, no call of April is placed, by any worker on any host.")
    recorder.type(f"speechctl pause-batch {april[:17]} --reason 'wrong amounts in the file'")


def lose_a_worker(recorder: Recorder, terminal: Terminal) -> None:
    recorder.say(
        "## A worker is paused, and killed\n\nAnother worker adopts its call; its successor stays paused."
    )
    recorder.type("speechctl pause-worker 2")
    in_call = terminal.until(lambda: next((row for row in _workers(terminal) if row["call"]), None))
    slot = in_call["slot"]
    if slot != "worker-2":
        recorder.type(f"speechctl pause-worker {slot}")
    os.kill(in_call["pid"], signal.SIGKILL)
    recorder.show(f"kill -9 {in_call['pid']}   # {slot}, in {in_call['call']}", "")
    terminal.until(lambda: "call.adopted" in terminal.type("logs", "--job", in_call["job"]))
    recorder.type("speechctl status")
    terminal.until(lambda: "call.settled" in terminal.type("logs", "--job", in_call["job"]))
    recorder.type(f"speechctl job {in_call['job']}")
    if slot != "worker-2":
        recorder.type(f"speechctl resume-worker {slot}")


def explain(recorder: Recorder, terminal: Terminal, april: str) -> None:
    recorder.say("## Why is this person not being called?")
    waiting = terminal.jobs(april, "pending")[0]["job_id"]
    recorder.type(f"speechctl explain {waiting}")
    recorder.say("And what would happen next?")
    recorder.type("speechctl forecast --limit 5")
    recorder.say("A misspelt command:")
    recorder.type("speechctl explian " + waiting, status=2)


def upgrade(recorder: Recorder, terminal: Terminal) -> None:
    recorder.say(
        "## An upgrade\n\nThe host is drained first, so that no call is in progress. (Without a drain, "
        "`speechctl shutdown --now` hands live calls over in a second, and the next start follows them.)"
    )
    recorder.type("speechctl drain")
    recorder.type("speechctl drain --wait")
    recorder.type("speechctl shutdown --yes")
    terminal.until(lambda: not terminal.daemon.is_alive())
    recorder.type("speechctl status", status=3)
    recorder.say(
        "The new version is installed and started (`systemctl start speechaid`). It is still drained, as the "
        "old one was."
    )
    terminal.daemon.stop()
    terminal.daemon = DaemonProcess(terminal.place, variables(terminal.place, terminal.simulator))
    terminal.daemon.start()
    terminal.until(lambda: terminal.ask("status").get("counted_at"))
    recorder.type("speechctl status")


def resume(recorder: Recorder, terminal: Terminal, april: str) -> None:
    recorder.say("## Calling again")
    recorder.type("speechctl undrain")
    recorder.type("speechctl resume-worker worker-2")
    recorder.type(f"speechctl resume-batch {april[:17]}")
    terminal.a_live_call(april)
    time.sleep(1.0)
    recorder.type("speechctl top --once")
    job = terminal.a_live_call(april)["job_id"]
    recorder.type(f"speechctl hang-up {job} --yes --reason 'he asked to be called tomorrow'")
    terminal.until(lambda: terminal.ask("job", job)["status"] == "cancelled")
    recorder.say("Events as they happen (`speechctl events`), until Ctrl-C:")
    recorder.show("speechctl events", _events(terminal))
    recorder.say("Every command that changes something is recorded:")
    terminal.until(lambda: "hang-up" in terminal.type("logs", "--commands", "--limit", "3"))
    recorder.type("speechctl logs --commands --limit 12")
    recorder.type("speechctl report")


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
