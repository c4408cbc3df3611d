"""Fuzzes a live daemon with messages that may change nothing: ``python -m tests.fuzz.control``.

Over the unix socket, and over TCP with the keys of a reader and of a monitor (``status`` access). *Random*
messages must be refused; a key's valid writes are among them. *Shaped* ones are valid requests for every
command, with arguments of the allowed kinds that nobody would type: what the key may read is answered or
refused, the rest is forbidden. In between, clients connect that speak no ZeroMQ, or leave before their
answer. All the while another client asks for the status ten times a second: it must never wait for a second.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import socket
import string
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import zmq
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from speechaid.protocol.client import Client, Remote
from speechaid.protocol.keys import credentials
from speechaid.protocol.messages import COMMANDS, JSON_LIMIT, Access, Argument, CommandSpec, Kind, Runs
from tests.support.terminal import Terminal, open_terminal

#: Messages without an answer at a time.
WINDOW = 48
PATIENCE_MS = 60_000
#: One misbehaving client for this many messages.
MISBEHAVE_EVERY = 200
#: Shaped messages without an answer at a time: as many as one client may have under way.
SHAPED_WINDOW = 8
#: Seconds between two questions of the client that listens for silence, and the longest silence allowed.
PROBE_SECONDS = 0.1
SILENCE_SECONDS = 1.0
#: By how much a process may grow in a run, in kB: what Python's allocator keeps of a burst, and no more.
GROWTH_KB = 32 * 1024
#: Share of the messages that hypothesis generates.
GENERATED_SHARE = 0.1

#: Frames, the codes that may answer them, and the id of the answer.
Message = tuple[list[bytes], str, str | None]
#: A code that stands for every answer but ``forbidden`` and ``internal``.
ANY = "any"
#: Texts that a careless query, shell or pattern would take for more than a text.
TEXTS = (
    *("b", "j", "batch-", "job-", "x" * 4096, ".*", "(a+)+$", "$where", "job-$(id)", "'; --", "../../etc"),
    *("+56912345671", "912345671", "2026-11-20", "\U0001f4de", "%s%n", "{0}", "0" * 24, "f" * 24, "-1"),
)


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

    def __init__(
        self,
        target: Path | Remote,
        seed: int,
        findings: Findings,
        *,
        access: Access = Access.READ,
        window: int = WINDOW,
    ) -> None:
        self._target = target
        #: Of the key; on the unix socket, which gives all access, nothing beyond it is sent.
        self._access = access
        self._window = window
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
        # Only a key's are refused.
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
        while len(self._open) + len(self._without_id) >= self._window:
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
        if "progress" in reply:
            return
        got = "ok" if reply.get("ok") else str(reply.get("error", {}).get("code"))
        self._findings.answers[got] += 1
        request_id = reply.get("id")
        if request_id is None and self._without_id:
            code, sent = self._without_id.popleft()
        else:
            code, sent = self._open.pop(str(request_id), ("nothing", b"nothing"))
        if got in {"forbidden", "internal"} if code == ANY else got != code:
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
        """A valid command beyond the key's access."""
        spec = self._random.choice(
            [
                spec
                for spec in _requests()
                if not self._access.is_enough_for(spec.access) and not spec.takes_file
            ]
        )
        args = {
            argument.name: _allowed_value(argument)
            for argument in spec.wire_arguments
            if argument.required or self._random.random() < 0.3
        }
        return [self._header(command=spec.name, args=args)], "forbidden", self._id()

    def shaped(self) -> Message:
        """A valid request for any command that nobody would type; on the unix socket for a read alone."""
        found = [spec for spec in _requests() if self._may_be_sent(spec)]
        # Each asks Retell, and reads the database for up to two seconds.
        spec = self._random.choices(found, [0.05 if spec.name == "doctor" else 1 for spec in found])[0]
        args = {
            argument.name: _odd_value(argument, self._random)
            for argument in spec.wire_arguments
            if argument.required or self._random.random() < 0.5
        }
        file = [self._random.randbytes(self._random.randrange(2000))] if spec.takes_file else []
        allowed = self._is_allowed(spec)
        frames = [self._header(command=spec.name, args=args), *file]
        return frames, ANY if allowed else "forbidden", self._id()

    def _is_allowed(self, spec: CommandSpec) -> bool:
        is_remote = isinstance(self._target, Remote)
        return self._access.is_enough_for(spec.access) and not (spec.is_local and is_remote)

    def _may_be_sent(self, spec: CommandSpec) -> bool:
        allowed = self._is_allowed(spec)
        # A stream that is allowed has no last answer.
        return spec.runs is not Runs.STREAM if allowed else isinstance(self._target, Remote)

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


def _requests() -> list[CommandSpec]:
    return [spec for spec in COMMANDS.values() if spec.runs is not Runs.CLIENT]


def _odd_value(argument: Argument, chosen: random.Random) -> Any:
    if argument.repeatable:
        return [chosen.choice(argument.choices or TEXTS) for _ in range(chosen.randrange(4))]
    if argument.choices:
        return chosen.choice(argument.choices)
    if argument.kind is Kind.FLAG:
        return chosen.random() < 0.5
    if argument.kind in {Kind.TEXT, Kind.FILE}:
        return chosen.choice(TEXTS)
    low, high = int(argument.minimum or 0), int(argument.maximum or 1000)
    return chosen.choice((low, high, chosen.randint(low, high)))


def _allowed_value(argument: Argument) -> Any:
    if argument.repeatable:
        return list(argument.choices[:1]) or ["x"]
    if argument.choices:
        return argument.choices[0]
    if argument.kind is Kind.FLAG:
        return True
    if argument.kind is Kind.TEXT:
        return "x"
    return int(argument.minimum or argument.maximum or 0)


def fuzz(
    target: Path | Remote,
    messages: int,
    *,
    seed: int = 1,
    warm_up: int = 5_000,
    access: Access = Access.READ,
    is_shaped: bool = False,
) -> Findings:
    """Send this many messages; measures the daemon's memory after a warm-up and at the end."""
    findings = Findings()
    with Client(target) as client:
        pid = int(client.ask("status", {}, timeout_seconds=30)["supervisor"]["pid"])
    window = SHAPED_WINDOW if is_shaped else WINDOW
    warm = Fuzzer(target, seed, Findings(), access=access, window=window)
    for _ in range(warm_up):
        warm.send(warm.shaped() if is_shaped else warm.any())
    warm.finish()
    findings.memory_before_kb = memory_kb(pid)
    fuzzer = Fuzzer(target, seed + 1, findings, access=access, window=window)
    began = time.monotonic()
    if not is_shaped:
        _send_generated(fuzzer, int(messages * GENERATED_SHARE))
    while findings.messages < messages:
        fuzzer.send(fuzzer.shaped() if is_shaped else fuzzer.any())
        if findings.messages % MISBEHAVE_EVERY == 0:
            fuzzer.misbehave()
    fuzzer.finish()
    findings.seconds = time.monotonic() - began
    findings.memory_after_kb = memory_kb(pid)
    with Client(target) as client:
        assert client.ask("status", {}, timeout_seconds=30)["supervisor"]["pid"] == pid, (
            "another daemon answers"
        )
    return findings


class SilenceProbe:
    """Asks a daemon for its status again and again, in a thread of its own; remembers the longest wait."""

    def __init__(self, path: Path) -> None:
        self.longest = 0.0
        self.answers = 0
        self._path = path
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with Client(self._path) as client:
            while not self._over.wait(PROBE_SECONDS):
                began = time.monotonic()
                client.ask("status", {}, timeout_seconds=60)
                self.longest = max(self.longest, time.monotonic() - began)
                self.answers += 1


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


def memory_kb(supervisor: int) -> int:
    """Resident memory of a daemon and of its process for control over TCP."""
    own = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    titles = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in own}
    of_tcp = [pid for pid, title in titles.items() if title.startswith(b"speechaid: control over TCP")]
    return sum(map(resident_kb, [supervisor, *of_tcp]))


def resident_kb(pid: int) -> int:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def main() -> int:
    """Fuzz a new daemon in every way; exit status 1 where an answer was wrong, or something was written."""
    parser = argparse.ArgumentParser(prog="tests.fuzz.control", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000, help="random ones (default: %(default)s)")
    parser.add_argument("--shaped", type=int, default=10_000, help="shaped ones (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    with open_terminal(start=False, SPEECHAID_CONTROL_TCP=address) as terminal:
        reader = add_client(terminal, address, Access.READ)
        monitor = add_client(terminal, address, Access.STATUS)
        terminal.daemon.start()
        terminal.import_contacts(200, "meanwhile")
        terminal.until(lambda: written(terminal)[0])  # the import is recorded
        before, faults = written(terminal), 0
        with SilenceProbe(terminal.daemon.socket) as silence:
            for where, target, access in (
                ("unix socket", terminal.daemon.socket, Access.READ),
                ("TCP, a reader's key", reader, Access.READ),
                ("TCP, a monitor's key", monitor, Access.STATUS),
            ):
                for kind, count in (("random", options.messages), ("shaped", options.shaped)):
                    is_shaped = kind == "shaped"
                    warm_up = min(count, 1_000 if is_shaped else 5_000)
                    found = fuzz(
                        target, count, seed=options.seed, warm_up=warm_up, access=access, is_shaped=is_shaped
                    )
                    faults += _report(f"{where}, {kind}", found)
        is_written = written(terminal) != before
        log_kb = terminal.daemon.log.stat().st_size // 1024
    print("WRITTEN" if is_written else "nothing was written")
    print(f"the daemon's log has {log_kb} kB")
    print(f"longest of {silence.answers} waits for status meanwhile: {silence.longest:.3f} s")
    return 1 if faults or is_written or silence.longest > SILENCE_SECONDS else 0


def add_client(terminal: Terminal, address: str, access: Access) -> Remote:
    """A key with this access for the daemon, which is not started yet; the server's keys with the first."""
    directory, file = terminal.place / "state" / "keys", terminal.place / f"{access}.key"
    if not directory.exists():
        terminal.type("keys", "server", "--dir", str(directory))
    terminal.type(*f"keys add {access} --access {access} --dir {directory} --out {file}".split())
    return Remote(address=address, credentials=credentials(file))


def written(terminal: Terminal) -> Any:
    """What a write would change: recorded commands, and the state of the supervisor."""
    supervisor = terminal.ask("status")["supervisor"]
    names = ("held", "draining", "paused_batches", "wanted", "state")
    commands = terminal.database.call_logs.count_documents({"event": "command"})
    return commands, [supervisor[name] for name in names], terminal.database.batches.count_documents({})


def _report(where: str, findings: Findings) -> int:
    """Print the findings; the number of wrong ones."""
    print(
        f"{where}: {findings.messages} messages in {findings.seconds:.1f} s: "
        f"{dict(findings.answers.most_common())}"
    )
    print(f"memory of daemon and relay: {findings.memory_before_kb} kB, then {findings.memory_after_kb} kB")
    print(f"longest wait for an answer: {findings.longest_silence:.2f} s")
    for line in findings.wrong[:10]:
        print(f"WRONG: {line}")
    return len(findings.wrong) + (findings.grown_kb > GROWTH_KB)


if __name__ == "__main__":
    sys.exit(main())
