"""Nonsense by the hundred thousand against a live control socket: ``python -m tests.support.fuzz_control``.

Every message is one of a kind whose answer is known: its own error code, under its own id where that can be
read; errors without an id come in the order of the questions. Between them the
socket is also met by clients that speak no ZeroMQ at all, and by ones that leave before their answer.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import socket
import string
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from speechaid.protocol.messages import COMMANDS, JSON_LIMIT, Kind, Runs
from speechctl.client import Client
from tests.support.terminal import open_terminal

#: Questions on their way at a time.
WINDOW = 48
PATIENCE_MS = 60_000
#: The clumsy clients, one for so many messages.
RUDE_EVERY = 200
#: Share of the messages that hypothesis makes up.
INVENTED_SHARE = 0.1

Question = tuple[list[bytes], str, str | None]


@dataclass
class Findings:
    """What a run came to."""

    messages: int = 0
    seconds: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    memory_before_kb: int = 0
    memory_after_kb: int = 0

    @property
    def grown_kb(self) -> int:
        """How much the daemon's memory grew after its warm-up."""
        return self.memory_after_kb - self.memory_before_kb


class Fuzzer:
    """One client that asks nonsense and checks each answer."""

    def __init__(self, path: Path, seed: int, findings: Findings) -> None:
        self._path = path
        self._dice = random.Random(seed)
        self._findings = findings
        self._context = zmq.Context()
        self._dealer = self._context.socket(zmq.DEALER)
        self._dealer.linger = 0
        self._dealer.connect(f"ipc://{path}")
        self._open: dict[str, tuple[str, bytes]] = {}
        #: Those whose answer can have no id.
        self._nameless: deque[tuple[str, bytes]] = deque()
        self._kinds: list[Callable[[], Question]] = [
            self._noise,
            self._torn,
            self._not_an_object,
            self._bad_id,
            self._bad_version,
            self._unknown_command,
            self._bad_argument,
            self._unknown_argument,
            self._attachment,
            self._frames,
            self._deep,
            self._too_large,
            self._status,
        ]
        self._weights = [8, 8, 6, 6, 6, 8, 12, 8, 6, 4, 2, 0.02, 8]

    def ask(self, question: Question) -> None:
        """Send one; take answers while too many are on their way."""
        frames, code, request_id = question
        self._dealer.send_multipart(frames)
        asked = (code, frames[0][:120])
        if request_id is None:
            self._nameless.append(asked)
        else:
            self._open[request_id] = asked
        self._findings.messages += 1
        while len(self._open) + len(self._nameless) >= WINDOW:
            self._hear()

    def any(self) -> Question:
        """A message of any kind."""
        return self._dice.choices(self._kinds, self._weights)[0]()

    def finish(self) -> None:
        """Take what is still to come."""
        while self._open or self._nameless:
            self._hear()
        self._dealer.close(linger=0)
        self._context.term()

    def rude(self) -> None:
        """A client that speaks no ZeroMQ, or leaves before its answer."""
        if self._dice.random() < 0.5:
            with socket.socket(socket.AF_UNIX) as raw:
                raw.connect(str(self._path))
                raw.sendall(self._dice.randbytes(self._dice.randrange(1, 300)))
            return
        context = zmq.Context()
        dealer = context.socket(zmq.DEALER)
        dealer.linger = 0
        dealer.connect(f"ipc://{self._path}")
        dealer.send(self._header(command="status"))
        dealer.close(linger=0)
        context.term()

    def _hear(self) -> None:
        if not self._dealer.poll(PATIENCE_MS):
            raise SystemExit(f"no answer within {PATIENCE_MS / 1000:g} s: {self._open} {self._nameless}")
        reply = json.loads(self._dealer.recv())
        got = "ok" if reply.get("ok") else str(reply.get("error", {}).get("code"))
        self._findings.answers[got] += 1
        request_id = reply.get("id")
        if request_id is None and self._nameless:
            code, asked = self._nameless.popleft()
        else:
            code, asked = self._open.pop(str(request_id), ("nothing", b"nothing"))
        if got != code:
            self._findings.wrong.append(f"{asked!r}: {got}, not {code}")

    # -- what is asked -------------------------------------------------------------------------------------

    def _id(self) -> str:
        return f"q{self._findings.messages}"

    def _header(self, **fields: Any) -> bytes:
        return json.dumps({"v": 1, "id": self._id(), "command": "status", "args": {}, **fields}).encode()

    def _noise(self) -> Question:
        return [b"\xff" + self._dice.randbytes(self._dice.randrange(0, 200))], "bad_json", None

    def _torn(self) -> Question:
        whole = self._header(args={"a": "b" * self._dice.randrange(50)})
        return [whole[: self._dice.randrange(1, len(whole))]], "bad_json", None

    def _not_an_object(self) -> Question:
        value = self._dice.choice([None, 1, -2.5, True, "status", [], [1, {"v": 1}]])
        return [json.dumps(value).encode()], "bad_request", None

    def _bad_id(self) -> Question:
        value = self._dice.choice([None, 7, "", "x" * 65, "a b", "ñ", ["q"], {"id": 1}, "\n"])
        return [self._header(id=value)], "bad_request", None

    def _bad_version(self) -> Question:
        return (
            [self._header(v=self._dice.choice([0, 2, -1, "1", None, True, [1], 1.5]))],
            "bad_version",
            self._id(),
        )

    def _unknown_command(self) -> Question:
        word = "".join(self._dice.choices(string.printable, k=self._dice.randrange(1, 30))) + "?"
        return [self._header(command=word)], "unknown_command", self._id()

    def _bad_argument(self) -> Question:
        specs = [spec for spec in COMMANDS.values() if spec.wire_arguments and spec.runs is not Runs.CLIENT]
        spec = self._dice.choice([spec for spec in specs if not spec.takes_file])
        argument = self._dice.choice(spec.wire_arguments)
        wrong: list[Any] = [[], {}, ["x"], {"a": 1}]
        wrong += ["yes", 1] if argument.kind is Kind.FLAG else [True]
        if argument.kind in {Kind.INTEGER, Kind.NUMBER, Kind.DURATION}:
            wrong += ["1", 10**30, -(10**30)]
        if argument.kind is Kind.TEXT:
            wrong += ["", "   ", "a\x00b", "\u202e", "x" * 5000, 3]
        return (
            [self._header(command=spec.name, args={argument.name: self._dice.choice(wrong)})],
            "bad_argument",
            self._id(),
        )

    def _unknown_argument(self) -> Question:
        name = "no_such_" + "".join(self._dice.choices(string.ascii_letters, k=5))
        spec = self._dice.choice([spec for spec in COMMANDS.values() if spec.runs is not Runs.CLIENT])
        if spec.takes_file:
            return self._status()
        return [self._header(command=spec.name, args={name: 1})], "bad_argument", self._id()

    def _attachment(self) -> Question:
        if self._dice.random() < 0.5:
            return [self._header(), self._dice.randbytes(20)], "bad_request", self._id()
        return [self._header(command="import", args={"filename": "x.csv"})], "bad_request", self._id()

    def _frames(self) -> Question:
        return [self._header()] + [b"x"] * self._dice.randrange(2, 6), "bad_request", None

    def _deep(self) -> Question:
        return [b"[" * self._dice.randrange(2_000, 50_000)], "bad_json", None

    def _too_large(self) -> Question:
        return [b" " * (JSON_LIMIT + 1)], "too_large", None

    def _status(self) -> Question:
        return [self._header()], "ok", self._id()

    def invented(self, command: object, args: object, request_id: str) -> Question | None:
        """A message that hypothesis made up; None where it would be a sound request."""
        header = {"v": 1, "id": request_id, "command": command, "args": args}
        from speechaid.protocol.messages import Refusal, validate

        checked = validate(header)
        if not isinstance(checked, Refusal):
            return None
        return [json.dumps(header).encode()], str(checked.code), checked.id


def fuzz(path: Path, messages: int, *, seed: int = 1, warm_up: int = 5_000) -> Findings:
    """Ask so many; the daemon's memory is measured after a warm-up, and at the end."""
    findings = Findings()
    with Client(path) as client:
        pid = int(client.ask("status", {}, timeout_seconds=30)["supervisor"]["pid"])
    warm = Fuzzer(path, seed, Findings())
    for _ in range(warm_up):
        warm.ask(warm.any())
    warm.finish()
    findings.memory_before_kb = resident_kb(pid)
    fuzzer = Fuzzer(path, seed + 1, findings)
    began = time.monotonic()
    _invent(fuzzer, int(messages * INVENTED_SHARE))
    while findings.messages < messages:
        fuzzer.ask(fuzzer.any())
        if findings.messages % RUDE_EVERY == 0:
            fuzzer.rude()
    fuzzer.finish()
    findings.seconds = time.monotonic() - began
    findings.memory_after_kb = resident_kb(pid)
    with Client(path) as client:
        assert client.ask("status", {}, timeout_seconds=30)["supervisor"]["pid"] == pid, (
            "another daemon answers"
        )
    return findings


def _invent(fuzzer: Fuzzer, count: int) -> None:
    values = st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    )
    names = sorted({argument.name for spec in COMMANDS.values() for argument in spec.wire_arguments})
    sound = st.sampled_from(sorted(COMMANDS))

    @settings(
        max_examples=max(count, 1),
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        command=sound | values,
        args=st.dictionaries(st.sampled_from(names) | st.text(), values, min_size=1, max_size=4) | values,
    )
    def run(command: object, args: object) -> None:
        question = fuzzer.invented(command, args, f"h{next(numbers)}")
        if question is not None:
            fuzzer.ask(question)

    numbers = itertools.count()
    run()


def resident_kb(pid: int) -> int:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def main() -> int:
    """A run against a daemon of its own, or the one at --socket; exit 1 where anything was amiss."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--socket", type=Path, help="a running daemon (default: one of its own)")
    options = parser.parse_args()
    if options.socket is not None:
        findings = fuzz(options.socket, options.messages, seed=options.seed)
    else:
        with open_terminal() as terminal:
            terminal.import_contacts(50, "meanwhile")
            findings = fuzz(terminal.daemon.socket, options.messages, seed=options.seed)
    print(f"{findings.messages} messages in {findings.seconds:.1f} s: {dict(findings.answers.most_common())}")
    print(f"memory of the daemon: {findings.memory_before_kb} kB, then {findings.memory_after_kb} kB")
    for line in findings.wrong[:10]:
        print(f"WRONG: {line}")
    return 1 if findings.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
