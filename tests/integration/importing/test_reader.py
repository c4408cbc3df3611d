"""Reader processes: what they may do, how they end, and what is said of it."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import xlsxwriter

from speechaid.campaign.importer import Choices, Parsed
from speechaid.errors import ImportFailed, SpeechaidError
from speechaid.importing.contacts import ContactsReading
from speechaid.importing.ids import IdsReading
from speechaid.importing.limits import Limits
from speechaid.importing.lists import ListReading
from speechaid.importing.numbers import NumbersReading
from speechaid.importing.process import ReaderFailed, ReaderPool
from speechaid.importing.subjects import file_work
from speechaid.importing.tasks import FileTask
from tests.support.contacts import TODAY, parse_contacts
from tests.support.fleet_harness import is_alive, until

CONTACTS = """nombre;rut;telefono;monto;color
Ana Rojas;1-9;955550071;1.500;blue
Eva Diaz;;955550072;;red
Sin Telefono;;nada;;
Luz;;955550099;;
Sol;;955550099;;
Mar;;955550099 / 955550073;;
"""
MIB = 2**20


@pytest.fixture
def pool() -> Iterator[ReaderPool]:
    before = descriptors()
    pool = ReaderPool()
    yield pool
    pool.close()
    with pool.child_pids() as pids:
        assert pids == frozenset()
    assert descriptors() == before, "every pipe is closed"


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def contacts(pool: ReaderPool, data: bytes, filename: str = "march.csv") -> ContactsReading:
    return ContactsReading(pool, data, filename, country="CL", today=TODAY, choices=Choices())


def many(rows: int) -> bytes:
    lines = (f"Persona {number};{955_000_000 + number}" for number in range(rows))
    return "\n".join(["nombre;telefono", *lines]).encode()


def finish(reading: ContactsReading | ListReading) -> None:
    deadline = time.monotonic() + 120
    while not reading.poll():
        assert time.monotonic() < deadline, "no end"
        time.sleep(0.01)


def read(pool: ReaderPool, data: bytes, filename: str = "march.csv") -> Parsed:
    reading = contacts(pool, data, filename)
    finish(reading)
    return reading.parsed


def running(reading: ContactsReading | ListReading) -> int:
    """The pid of the reader's process, which is at work."""

    def at_work() -> int | None:
        reading.poll()
        pid = reading.reader.pid
        return pid if pid is not None and "reader" in title_of(pid) else None

    return int(until(at_work, "a reader at work"))


def title_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").rstrip("\0 ")
    except OSError:
        return ""


def is_gone(pid: int) -> bool:
    """No process, and no zombie."""
    return not Path(f"/proc/{pid}").exists()


def test_a_file_is_read_as_in_one_process(pool: ReaderPool) -> None:
    for data in (CONTACTS.encode(), many(1_200)):
        assert read(pool, data) == parse_contacts(data, "march.csv")


def test_a_list_of_numbers_comes_whole(pool: ReaderPool) -> None:
    reading = NumbersReading(pool, many(12_000), "list.csv", countries=["CL"])
    finish(reading)
    assert reading.numbers.good == [f"+56{955_000_000 + number}" for number in range(12_000)]
    assert reading.numbers.bad == []


def test_a_list_of_ids_comes_whole_with_the_lines_that_are_none(pool: ReaderPool) -> None:
    lines = [f"{number};{number}" for number in range(10_000, 16_001)] + ["no sabe;5"] * 5_500
    data = "\n".join(["rut;monto", *lines]).encode()
    reading = IdsReading(pool, data, "paid.csv", country="CL", column=None, amounts="monto")
    finish(reading)
    good = [(one.dni, one.amount) for one in reading.ids.good]
    assert good == [(str(number), float(number)) for number in range(10_000, 16_001)]
    assert reading.ids.bad == [(line, "that is no national id") for line in range(6_003, 11_503)]


def test_a_file_that_cannot_be_used_is_refused_in_the_same_words(pool: ReaderPool) -> None:
    for data in (b"", b"a,b\n1,2\n", b"PK\x03\x04 no archive"):
        with pytest.raises(ImportFailed) as here:
            parse_contacts(data, "march.csv")
        with pytest.raises(ImportFailed) as there:
            read(pool, data)
        assert str(there.value) == str(here.value)


def test_the_process_has_limits_and_nothing_of_ours(
    pool: ReaderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETELL_API_KEY", "key_0123456789abcdef")
    monkeypatch.setenv("MONGO_URI", "mongodb://ana:s3cret@host/")
    reading = contacts(pool, many(20_000))
    pid = running(reading)
    place = Path(f"/proc/{pid}")
    until(lambda: reading.poll() or reading.reader.done, "its first rows")
    assert {entry.name for entry in (place / "fd").iterdir()} == {"0", "1", "2"}
    limits = {line[:26].strip(): line[26:].split()[0] for line in (place / "limits").read_text().splitlines()}
    assert limits["Max address space"] == str(512 * MIB)
    assert limits["Max data size"] == str(512 * MIB)
    assert limits["Max core file size"] == limits["Max file size"] == "0"
    assert int(limits["Max open files"]) <= 64
    assert int(limits["Max cpu time"]) == Limits().cpu_seconds
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    assert (place / "oom_score_adj").read_text().strip() == "1000"
    environment = (place / "environ").read_bytes()
    assert b"0123456789abcdef" not in environment
    assert b"s3cret" not in environment
    reading.reader.close()
    assert is_gone(pid)


def test_a_process_that_is_no_longer_wanted_is_killed_and_reaped(pool: ReaderPool) -> None:
    reading = contacts(pool, many(50_000))
    pid = running(reading)
    reading.reader.close()
    assert is_gone(pid)
    assert reading.reader.poll() == []


def test_two_files_are_read_at_once_and_the_third_waits(pool: ReaderPool) -> None:
    readings = [contacts(pool, many(3_000), f"{number}.csv") for number in range(3)]
    pids = [running(reading) for reading in readings[:2]]
    readings[2].poll()
    assert readings[2].reader.is_waiting
    assert len(set(pids)) == 2
    for reading in readings:
        finish(reading)
    assert [len(reading.parsed.rows) for reading in readings] == [3_000] * 3


def test_one_that_waits_may_be_given_up(pool: ReaderPool) -> None:
    readings = [contacts(pool, many(3_000)) for _ in range(4)]
    for reading in readings:
        reading.poll()
    readings[2].reader.close()
    for reading in (readings[0], readings[1], readings[3]):
        finish(reading)
    assert len(readings[3].parsed.rows) == 3_000


def limited(pool: ReaderPool, data: bytes, limits: Limits) -> SpeechaidError:
    """What is said where these limits are too narrow."""
    arguments = {"filename": "march.csv", "country": "CL", "today": str(TODAY), "choices": {}}
    work = replace(file_work(FileTask.CONTACTS, arguments, data, "march.csv"), limits=limits)
    reader = pool.begin(work)

    def ended() -> SpeechaidError | None:
        try:
            reader.poll()
        except SpeechaidError as exc:
            return exc
        assert not reader.is_finished, "the limits are too wide"
        return None

    failure = until(ended, "the end of the reader")
    assert reader.pid is None
    assert isinstance(failure, SpeechaidError)
    return failure


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (Limits(memory_bytes=80 * MIB), "needs more than 80 MiB of memory; nothing was imported; split"),
        (Limits(cpu_seconds=2), "needs more than 2 seconds of the processor; nothing was imported; split"),
        (Limits(wall_seconds=1.5), "takes longer than 1.5 seconds; nothing was imported; split"),
    ],
    ids=["memory", "processor", "time"],
)
def test_a_limit_is_said_in_one_sentence(pool: ReaderPool, limits: Limits, text: str) -> None:
    failure = limited(pool, many(200_000), limits)
    assert isinstance(failure, ReaderFailed)
    assert str(failure).startswith("march.csv (text of 4.9 MB) ")
    assert text in str(failure)
    assert "\n" not in str(failure)


def test_a_process_that_is_killed_is_said_in_one_sentence(pool: ReaderPool) -> None:
    reading = contacts(pool, many(50_000))
    os.kill(running(reading), signal.SIGKILL)
    with pytest.raises(ReaderFailed, match=r"was killed, and not by speechaid: try again later"):
        finish(reading)
    assert reading.reader.pid is None


def test_a_crash_is_said_in_one_sentence(pool: ReaderPool) -> None:
    reading = contacts(pool, many(50_000))
    os.kill(running(reading), signal.SIGSEGV)
    with pytest.raises(ReaderFailed, match=r"march\.csv .* failed \(SIGSEGV\); nothing was imported; save"):
        finish(reading)


def workbook(**cells: str) -> bytes:
    """A workbook with one sheet of texts at these places."""
    data = io.BytesIO()
    with xlsxwriter.Workbook(data, {"in_memory": True}) as book:
        sheet = book.add_worksheet("S")
        for place, text in cells.items():
            sheet.write_string(place, text)
    return data.getvalue()


def test_a_far_cell_is_refused_by_the_used_range(pool: ReaderPool) -> None:
    data = workbook(A1="telefono", A2="955550001", XFD1048576="x")
    assert len(data) < 8_000
    with pytest.raises(ImportFailed, match="17,179,869,184 cells, and at most 20,000,000"):
        read(pool, data, "far.xlsx")


def test_a_sheet_of_the_allowed_range_that_does_not_fit_into_memory_is_one_sentence(
    pool: ReaderPool,
) -> None:
    data = workbook(A1="telefono", A2="955550001", T1000000="x")
    try:
        parsed = read(pool, data, "wide.xlsx")
    except ReaderFailed as exc:
        assert "needs more than 512 MiB of memory" in str(exc)  # noqa: PT017 - one of two ends
    else:
        assert [row.phones for row in parsed.rows] == [("+56955550001",)]


PARENT = """
import sys, time
from tests.integration.importing.test_reader import contacts, many, running
from speechaid.importing.process import ReaderPool
print(running(contacts(ReaderPool(), many(100_000))), flush=True)
time.sleep(600)
"""


def test_a_reader_dies_with_its_daemon() -> None:
    daemon = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert daemon.stdout is not None
    try:
        pid = int(daemon.stdout.readline())
        assert is_alive(pid)
    finally:
        daemon.kill()
        daemon.wait()
        daemon.stdout.close()
    until(lambda: is_gone(pid) or "reader" not in title_of(pid), "the reader's end")


SANDBOXED = """
import ctypes, os, platform, struct, time
from tests.integration.importing.test_reader import CONTACTS, read
from speechaid.importing.process import ReaderPool
NUMBER = {"x86_64": 141, "aarch64": 140}[platform.machine()]
# Load the number of the system call; setpriority is EPERM, everything else is allowed.
lines = [(0x20, 0, 0, 0), (0x15, 0, 1, NUMBER), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(lines), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, program) == 0, os.strerror(ctypes.get_errno())
try:
    os.nice(1)
except PermissionError:
    print(len(read(ReaderPool(), CONTACTS.encode()).rows))
"""


def test_a_sandbox_that_forbids_to_be_nice_forbids_no_import() -> None:
    """As ``SystemCallFilter=~@resources`` of a unit does."""
    done = subprocess.run(
        [sys.executable, "-c", SANDBOXED], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == str(len(parse_contacts(CONTACTS.encode()).rows))


def test_nothing_is_reaped_while_a_process_is_being_started(pool: ReaderPool) -> None:
    with pool.child_pids() as first:
        assert first == frozenset()
        with pool.child_pids() as second:
            assert second is None
    reading = contacts(pool, many(3_000))
    pid = running(reading)
    with pool.child_pids() as pids:
        assert pids == frozenset({pid})
    with contextlib.suppress(SpeechaidError):
        finish(reading)
