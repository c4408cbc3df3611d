"""Fuzzes a live daemon with messages that it must refuse: ``python -m tests.support.fuzz_control``.

Over the unix socket, and over TCP with a reader's key, which may not write: valid writes are sent there too.
Every message is of a kind whose answer is known: an error code, with the message's id where that can be
read; errors without an id come in the order of the messages. In between, clients connect that speak no
ZeroMQ, or disconnect before their answer.
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

from speechaid.protocol.keys import credentials
from speechaid.protocol.messages import COMMANDS, JSON_LIMIT, Access, Argument, Kind, Runs
from speechctl.client import Client, Remote
from tests.support.terminal import Terminal, open_terminal

#: Messages without an answer at a time.
WINDOW = 48
PATIENCE_MS = 60_000
#: One misbehaving client for this many messages.
MISBEHAVE_EVERY = 200
#: Share of the messages that hypothesis generates.
GENERATED_SHARE = 0.1

Message = tuple[list[bytes], str, str | None]


@dataclass
class Findings:
    """Result of a run."""

    messages: int = 0
    seconds: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    memory_before_kb: int = 0
    memory_after_kb: int = 0
    #: The longest that the next answer was waited for, in seconds.
    longest_silence: float = 0.0

    @property
    def grown_kb(self) -> int:
        """How much the daemon's memory grew after its warm-up."""
        return self.memory_after_kb - self.memory_before_kb


class Fuzzer:
    """A client that sends invalid messages and checks each answer."""

    def __init__(self, target: Path | Remote, seed: int, findings: Findings) -> None:
        self._target = target
        self._random = random.Random(seed)
        self._findings = findings
        self._context = zmq.Context()
        self._dealer = self._context.socket(zmq.DEALER)
        self._dealer.linger = 0
        _connect(self._dealer, target)
        self._open: dict[str, tuple[str, bytes]] = {}
        #: Those whose answer has no id.
        self._without_id: deque[tuple[str, bytes]] = deque()
        self._kinds: list[Callable[[], Message]] = [
            self._noise,
            self._truncated,
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
            self._write,
        ]
        # Only a reader's writes are refused.
        write = 8 if isinstance(target, Remote) else 0
        self._weights = [8, 8, 6, 6, 6, 8, 12, 8, 6, 4, 2, 0.02, 8, write]

    def send(self, message: Message) -> None:
        """Send one; receive answers while too many are open."""
        frames, code, request_id = message
        self._dealer.send_multipart(frames)
        expected = (code, frames[0][:120])
        if request_id is None:
            self._without_id.append(expected)
        else:
            self._open[request_id] = expected
        self._findings.messages += 1
        while len(self._open) + len(self._without_id) >= WINDOW:
            self._receive()

    def any(self) -> Message:
        """A message of any kind."""
        return self._random.choices(self._kinds, self._weights)[0]()

    def finish(self) -> None:
        """Receive the answers that are still open."""
        while self._open or self._without_id:
            self._receive()
        self._dealer.close(linger=0)
        self._context.term()

    def misbehave(self) -> None:
        """Connect as a client that speaks no ZeroMQ, or disconnects before its answer."""
        if self._random.random() < 0.5:
            with _raw_connection(self._target) as raw:
                raw.sendall(self._random.randbytes(self._random.randrange(1, 300)))
            return
        context = zmq.Context()
        dealer = context.socket(zmq.DEALER)
        dealer.linger = 0
        _connect(dealer, self._target)
        dealer.send(self._header(command="status"))
        dealer.close(linger=0)
        context.term()

    def _receive(self) -> None:
        began = time.monotonic()
        answered = self._dealer.poll(PATIENCE_MS)
        self._findings.longest_silence = max(self._findings.longest_silence, time.monotonic() - began)
        if not answered:
            raise SystemExit(f"no answer within {PATIENCE_MS / 1000:g} s: {self._open} {self._without_id}")
        reply = json.loads(self._dealer.recv())
        got = "ok" if reply.get("ok") else str(reply.get("error", {}).get("code"))
        self._findings.answers[got] += 1
        request_id = reply.get("id")
        if request_id is None and self._without_id:
            code, sent = self._without_id.popleft()
        else:
            code, sent = self._open.pop(str(request_id), ("nothing", b"nothing"))
        if got != code:
            self._findings.wrong.append(f"{sent!r}: {got}, not {code}")

    # -- kinds of messages ---------------------------------------------------------------------------------

    def _id(self) -> str:
        return f"q{self._findings.messages}"

    def _header(self, **fields: Any) -> bytes:
        return json.dumps({"v": 1, "id": self._id(), "command": "status", "args": {}, **fields}).encode()

    def _noise(self) -> Message:
        return [b"\xff" + self._random.randbytes(self._random.randrange(0, 200))], "bad_json", None

    def _truncated(self) -> Message:
        whole = self._header(args={"a": "b" * self._random.randrange(50)})
        return [whole[: self._random.randrange(1, len(whole))]], "bad_json", None

    def _not_an_object(self) -> Message:
        value = self._random.choice([None, 1, -2.5, True, "status", [], [1, {"v": 1}]])
        return [json.dumps(value).encode()], "bad_request", None

    def _bad_id(self) -> Message:
        value = self._random.choice([None, 7, "", "x" * 65, "a b", "ñ", ["q"], {"id": 1}, "\n"])
        return [self._header(id=value)], "bad_request", None

    def _bad_version(self) -> Message:
        return (
            [self._header(v=self._random.choice([0, 2, -1, "1", None, True, [1], 1.5]))],
            "bad_version",
            self._id(),
        )

    def _unknown_command(self) -> Message:
        word = "".join(self._random.choices(string.printable, k=self._random.randrange(1, 30))) + "?"
        return [self._header(command=word)], "unknown_command", self._id()

    def _bad_argument(self) -> Message:
        specs = [spec for spec in COMMANDS.values() if spec.wire_arguments and spec.runs is not Runs.CLIENT]
        spec = self._random.choice([spec for spec in specs if not spec.takes_file])
        argument = self._random.choice(spec.wire_arguments)
        wrong: list[Any] = [[], {}, ["x"], {"a": 1}]
        wrong += ["yes", 1] if argument.kind is Kind.FLAG else [True]
        if argument.kind in {Kind.INTEGER, Kind.NUMBER, Kind.DURATION}:
            wrong += ["1", 10**30, -(10**30)]
        if argument.kind is Kind.TEXT:
            wrong += ["", "   ", "a\x00b", "\u202e", "x" * 5000, 3]
        return (
            [self._header(command=spec.name, args={argument.name: self._random.choice(wrong)})],
            "bad_argument",
            self._id(),
        )

    def _unknown_argument(self) -> Message:
        name = "no_such_" + "".join(self._random.choices(string.ascii_letters, k=5))
        spec = self._random.choice([spec for spec in COMMANDS.values() if spec.runs is not Runs.CLIENT])
        if spec.takes_file:
            return self._status()
        return [self._header(command=spec.name, args={name: 1})], "bad_argument", self._id()

    def _attachment(self) -> Message:
        if self._random.random() < 0.5:
            return [self._header(), self._random.randbytes(20)], "bad_request", self._id()
        return [self._header(command="import", args={"filename": "x.csv"})], "bad_request", self._id()

    def _frames(self) -> Message:
        return [self._header()] + [b"x"] * self._random.randrange(2, 6), "bad_request", None

    def _deep(self) -> Message:
        return [b"[" * self._random.randrange(2_000, 50_000)], "bad_json", None

    def _too_large(self) -> Message:
        return [b" " * (JSON_LIMIT + 1)], "too_large", None

    def _status(self) -> Message:
        return [self._header()], "ok", self._id()

    def _write(self) -> Message:
        """A valid write command, whose arguments have the values that are allowed."""
        specs = [spec for spec in COMMANDS.values() if spec.access is Access.WRITE and not spec.takes_file]
        spec = self._random.choice([spec for spec in specs if spec.runs is not Runs.CLIENT])
        args = {
            argument.name: _allowed_value(argument)
            for argument in spec.wire_arguments
            if argument.required or self._random.random() < 0.3
        }
        return [self._header(command=spec.name, args=args)], "forbidden", self._id()

    def generated(self, command: object, args: object, request_id: str) -> Message | None:
        """A message that hypothesis generated; None where it is a valid request."""
        header = {"v": 1, "id": request_id, "command": command, "args": args}
        from speechaid.protocol.messages import Refusal, validate

        checked = validate(header)
        if not isinstance(checked, Refusal):
            return None
        return [json.dumps(header).encode()], str(checked.code), checked.id


def _connect(dealer: zmq.Socket[bytes], target: Path | Remote) -> None:
    if isinstance(target, Path):
        dealer.connect(f"ipc://{target}")
        return
    dealer.curve_publickey = target.credentials.pair.public.encode()
    dealer.curve_secretkey = target.credentials.pair.secret.encode()
    dealer.curve_serverkey = target.credentials.server.encode()
    dealer.connect(target.address)


def _raw_connection(target: Path | Remote) -> socket.socket:
    if isinstance(target, Path):
        raw = socket.socket(socket.AF_UNIX)
        raw.connect(str(target))
        return raw
    host, _, port = target.address.removeprefix("tcp://").rpartition(":")
    return socket.create_connection((host, int(port)))


def _allowed_value(argument: Argument) -> Any:
    if argument.choices:
        return argument.choices[0]
    if argument.kind is Kind.FLAG:
        return True
    if argument.kind is Kind.TEXT:
        return "x"
    return int(argument.minimum or argument.maximum or 0)


def fuzz(target: Path | Remote, messages: int, *, seed: int = 1, warm_up: int = 5_000) -> Findings:
    """Send this many messages; measures the daemon's memory after a warm-up and at the end."""
    findings = Findings()
    with Client(target) as client:
        pid = int(client.ask("status", {}, timeout_seconds=30)["supervisor"]["pid"])
    warm = Fuzzer(target, seed, Findings())
    for _ in range(warm_up):
        warm.send(warm.any())
    warm.finish()
    findings.memory_before_kb = resident_kb(pid)
    fuzzer = Fuzzer(target, seed + 1, findings)
    began = time.monotonic()
    _send_generated(fuzzer, int(messages * GENERATED_SHARE))
    while findings.messages < messages:
        fuzzer.send(fuzzer.any())
        if findings.messages % MISBEHAVE_EVERY == 0:
            fuzzer.misbehave()
    fuzzer.finish()
    findings.seconds = time.monotonic() - began
    findings.memory_after_kb = resident_kb(pid)
    with Client(target) as client:
        assert client.ask("status", {}, timeout_seconds=30)["supervisor"]["pid"] == pid, (
            "another daemon answers"
        )
    return findings


def _send_generated(fuzzer: Fuzzer, count: int) -> None:
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
    valid = st.sampled_from(sorted(COMMANDS))

    @settings(
        max_examples=max(count, 1),
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        command=valid | values,
        args=st.dictionaries(st.sampled_from(names) | st.text(), values, min_size=1, max_size=4) | values,
    )
    def run(command: object, args: object) -> None:
        message = fuzzer.generated(command, args, f"h{next(numbers)}")
        if message is not None:
            fuzzer.send(message)

    numbers = itertools.count()
    run()


def resident_kb(pid: int) -> int:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def main() -> int:
    """Fuzz the daemon at --socket, else a new one also over TCP; exit status 1 where an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--socket", type=Path, help="a running daemon (default: starts one)")
    options = parser.parse_args()
    if options.socket is not None:
        return 1 if _report("unix socket", fuzz(options.socket, options.messages, seed=options.seed)) else 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    with open_terminal(start=False, SPEECHAID_CONTROL_TCP=address) as terminal:
        reader = add_reader(terminal, address)
        terminal.daemon.start()
        terminal.import_contacts(50, "meanwhile")
        terminal.until(lambda: written(terminal)[0])  # the import is recorded
        before = written(terminal)
        wrong = _report("unix socket", fuzz(terminal.daemon.socket, options.messages, seed=options.seed))
        wrong += _report("TCP, a reader's key", fuzz(reader, options.messages, seed=options.seed + 2))
        changed = written(terminal) != before
    print("WRITTEN" if changed else "nothing was written")
    return 1 if wrong or changed else 0


def add_reader(terminal: Terminal, address: str) -> Remote:
    """Keys of the daemon, which is not started yet, and a client's that may only read."""
    directory, file = terminal.place / "state" / "keys", terminal.place / "reader.key"
    terminal.type("keys", "server", "--dir", str(directory))
    terminal.type(*f"keys add reader --access read --dir {directory} --out {file}".split())
    return Remote(address=address, credentials=credentials(file))


def written(terminal: Terminal) -> Any:
    """What a write would change: recorded commands, and the state of the supervisor."""
    supervisor = terminal.ask("status")["supervisor"]
    names = ("held", "draining", "paused_batches", "wanted", "state")
    commands = terminal.database.call_logs.count_documents({"event": "command"})
    return commands, [supervisor[name] for name in names], terminal.database.batches.count_documents({})


def _report(where: str, findings: Findings) -> int:
    """Print the findings; the number of wrong answers."""
    print(
        f"{where}: {findings.messages} messages in {findings.seconds:.1f} s: "
        f"{dict(findings.answers.most_common())}"
    )
    print(f"memory of the daemon: {findings.memory_before_kb} kB, then {findings.memory_after_kb} kB")
    print(f"longest wait for an answer: {findings.longest_silence:.2f} s")
    for line in findings.wrong[:10]:
        print(f"WRONG: {line}")
    return len(findings.wrong)


if __name__ == "__main__":
    sys.exit(main())
