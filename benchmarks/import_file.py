"""A contacts file into the database, and where the time goes: ``python -m benchmarks.import_file``.

A file of twelve columns as CSV and as XLSX: its bare reading by the library, and its reading as contacts,
each in a process of its own; the same by the daemon's reader process; the writing of its jobs alone;
``speechctl import`` of the whole file; and a dry run of it afterwards, when everybody is known. Beside the
time stands the peak memory of who reads, and the processor time of the daemon with its processes.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import os
import random
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import python_calamine
import xlsxwriter

from benchmarks import campaign, common
from benchmarks.common import Report, Server, Spread
from benchmarks.processes import cpu_seconds, peak_mib
from speechaid.campaign.importer import Choices, ContactsReader, job_documents
from speechaid.demo.daemon import DaemonProcess
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.importing.contacts import ContactsReading
from speechaid.importing.process import ReaderPool
from speechaid.store.connection import connect

TODAY = date(2026, 11, 30)
TITLES = (
    *("rut", "nombre", "telefono 1", "telefono 2", "telefono 3", "monto total", "moneda"),
    *("fecha vencimiento", "producto", "sucursal", "ejecutivo", "observacion"),
)
FIRST_NAMES = ("Ana", "María", "José", "Luis", "Camila", "Sofía", "Martín", "Elena", "Andrés")
SURNAMES = ("Soto", "Pérez", "González", "Muñoz", "Rojas", "Díaz", "Sepúlveda", "Rodríguez")
FORMS = ("csv", "xlsx")
CHUNK = 1000


def contacts(count: int) -> Iterator[list[str]]:
    """Rows of people in Chile, their numbers written in four ways; the same in every run."""
    chosen = random.Random(1)
    for number in range(count):
        body = 5_000_000 + 391 * number
        check = sum(int(digit) * (2 + place % 6) for place, digit in enumerate(reversed(str(body))))
        mobiles = [f"9{chosen.randrange(30_000_000, 100_000_000)}" for _ in range(2)]
        first = mobiles[0]
        spellings = (f"+56{first}", first, f"+56 9 {first[1:5]} {first[5:]}", f"0{first}")
        day = TODAY + timedelta(days=chosen.randrange(-300, 400))
        yield [
            f"{body}-{'0123456789K'[-check % 11]}",
            f"{chosen.choice(FIRST_NAMES)} {chosen.choice(SURNAMES)} {chosen.choice(SURNAMES)}",
            chosen.choice(spellings),
            mobiles[1] if chosen.random() < 0.6 else "",
            f"2 2{chosen.randrange(2_000_000, 8_000_000)}" if chosen.random() < 0.5 else "",
            f"$ {chosen.randrange(10_000, 5_000_000):,}".replace(",", "."),
            "CLP",
            f"{day:%d/%m/%Y}",
            chosen.choice(("Crédito", "Tarjeta", "Consumo")),
            f"Sucursal {chosen.randrange(90)}",
            f"{chosen.choice(FIRST_NAMES)} {chosen.choice(SURNAMES)}",
            f"Cuota {chosen.randrange(48)} de 48",
        ]


def write_files(place: Path, count: int) -> dict[str, Path]:
    """The file in both forms."""
    files = {form: place / f"contacts.{form}" for form in FORMS}
    with files["csv"].open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=";")
        writer.writerows([TITLES, *contacts(count)])
    with xlsxwriter.Workbook(str(files["xlsx"]), {"constant_memory": True}) as workbook:
        sheet = workbook.add_worksheet("Base")
        for line, row in enumerate([TITLES, *contacts(count)]):
            sheet.write_row(line, 0, row)
    return files


# -- reading, in a process of its own ----------------------------------------------------------------------


def read_bare(path: Path) -> int:
    """The cells by the library alone."""
    if path.suffix == ".csv":
        return sum(1 for _ in csv.reader(io.StringIO(path.read_text(encoding="utf-8")), delimiter=";"))
    sheet = python_calamine.CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0)
    return len(sheet.to_python(skip_empty_area=False))


def read_contacts(path: Path) -> int:
    """The contacts, slice by slice as the daemon's child reads them."""
    reader = ContactsReader(path.read_bytes(), path.name, country="CL", today=TODAY)
    rows = 0
    goes_on = True
    while goes_on:
        goes_on = reader.read(500)
        rows += len(reader.take().rows)
    return rows


READERS: dict[str, Callable[[Path], int]] = {"bare": read_bare, "contacts": read_contacts}
CHILD = "reader process"


def print_reading(reader: str, path: Path) -> None:
    """Read the file, and print what it took as JSON."""
    cpu, began = time.process_time(), time.monotonic()
    rows = READERS[reader](path)
    took = {"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**took, "mib": peak, "rows": rows}))


def measure_reading(reader: str, path: Path) -> dict[str, float]:
    """What a new process takes to read the file."""
    command = [sys.executable, "-m", "benchmarks.import_file", "--reading", reader, str(path)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def measure_child(path: Path) -> dict[str, float]:
    """What the daemon's reader process takes, and its peak memory as the system counts it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began, peak, rows = time.monotonic(), 0.0, 0
    pool = ReaderPool()
    try:
        reading = ContactsReading(
            pool, path.read_bytes(), path.name, country="CL", today=TODAY, choices=Choices()
        )
        while not reading.poll():
            if reading.reader.pid is not None:
                peak = max(peak, peak_mib(reading.reader.pid))
            time.sleep(0.005)
        rows = len(reading.parsed.rows)
    finally:
        pool.close()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.monotonic() - began, "cpu": cpu, "mib": peak, "rows": rows}


# -- the database ------------------------------------------------------------------------------------------


def measure_writing(server: Server, path: Path) -> dict[str, float]:
    """Write the file's jobs into an empty database, a thousand by one command."""
    reader = ContactsReader(path.read_bytes(), path.name, country="CL", today=TODAY)
    while reader.read(500):
        pass
    documents = job_documents(
        reader.take().rows,
        batch_id="batch-bench",
        account_id=campaign.ACCOUNT,
        now=datetime.now(UTC),
        new_id=lambda: f"job-{secrets.token_hex(8)}",
    )
    with campaign.database_of(server) as database:
        store = connect(campaign.settings_for(server.uri, database.name, "http://127.0.0.1:9").database)
        cpu, began = _cpu(server), time.monotonic()
        for first in range(0, len(documents), CHUNK):
            store.jobs.insert_many(documents[first : first + CHUNK])
        took = {"seconds": time.monotonic() - began, "cpu": _cpu(server) - cpu}
        store.close()
    return {**took, "rows": len(documents)}


def measure_import(server: Server, path: Path) -> dict[str, dict[str, float]]:
    """``speechctl import``, then a dry run of a copy of the file, whose people are all known."""
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp")))
        simulator = stack.enter_context(SimulatorProcess())
        database = stack.enter_context(campaign.database_of(server))
        campaign.enter_customer(database)
        variables = campaign.environ_for(
            server.uri,
            database.name,
            simulator.base_url,
            place,
            RETELL_API_KEY=simulator.api_key,
            WORKER_COUNT="1",
            DEFAULT_COUNTRY="CL",
        )
        daemon = DaemonProcess(place, variables)
        daemon.start()
        stack.callback(lambda: daemon.stop(at_once=True))
        copy = place / f"copy{path.suffix}"
        copy.write_bytes(path.read_bytes())
        return {
            "import": _timed(server, daemon, path),
            "dry run, all known": _timed(server, daemon, copy, "--dry-run"),
        }


def _timed(server: Server, daemon: DaemonProcess, path: Path, *options: str) -> dict[str, float]:
    command = [sys.executable, "-m", "speechctl", "--json", "import", str(path)]
    command += ["--account", campaign.ACCOUNT, *options]
    cpu, of_daemon, began = _cpu(server), _cpu_of_daemon(daemon), time.monotonic()
    ended = subprocess.run(
        command, capture_output=True, check=False, env=os.environ | {"SPEECHAID_SOCKET": str(daemon.socket)}
    )
    if ended.returncode:
        raise SystemExit(
            f"import ended with {ended.returncode}: {ended.stdout[-400:]!r} {ended.stderr[-400:]!r}"
        )
    found: dict[str, Any] = json.loads(ended.stdout)
    rows = found.get("result", found).get("good_rows", 0)
    return {
        "seconds": time.monotonic() - began,
        "cpu": _cpu(server) - cpu,
        "daemon": _cpu_of_daemon(daemon) - of_daemon,
        "rows": rows,
    }


def _cpu_of_daemon(daemon: DaemonProcess) -> float:
    return cpu_seconds(int(daemon.ask("status")["supervisor"]["pid"]))


def _cpu(server: Server) -> float:
    return 0.0 if server.pid is None else cpu_seconds(server.pid)


# -- rounds ------------------------------------------------------------------------------------------------


def measure(server: Server, path: Path) -> dict[str, dict[str, float]]:
    """All parts once, one after the other."""
    found = {reader: measure_reading(reader, path) for reader in READERS}
    found[CHILD] = measure_child(path)
    found["writing alone"] = measure_writing(server, path)
    return found | measure_import(server, path)


def table(rounds: list[dict[str, dict[str, float]]]) -> list[list[object]]:
    """One row a part; the ratio is that of the same round's bare reading."""
    return [
        [
            part,
            int(rounds[0][part]["rows"]),
            Spread.of([one[part]["seconds"] for one in rounds]),
            Spread.of([one[part]["cpu"] for one in rounds]),
            Spread.of([one[part]["cpu"] / one["bare"]["cpu"] for one in rounds]),
            max((one[part]["mib"] for one in rounds if "mib" in one[part]), default=None),
            max((one[part]["daemon"] for one in rounds if "daemon" in one[part]), default=None),
        ]
        for part in rounds[0]
    ]


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reading", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reading:
        print_reading(options.reading[0], Path(options.reading[1]))
        return
    if options.quick:
        options.rows, options.rounds = 1_000, 1
    report = Report("import_file", options, rows=options.rows, columns=len(TITLES), rounds=options.rounds)
    with common.open_database(options) as server, tempfile.TemporaryDirectory(prefix="sb-") as place:
        report.server(server)
        files = write_files(Path(place), options.rows)
        taken: dict[str, list[dict[str, dict[str, float]]]] = {form: [] for form in FORMS}
        for number in range(options.rounds):
            for form in FORMS:
                taken[form].append(measure(server, files[form]))
                whole = taken[form][-1]["import"]["seconds"]
                print(f"  round {number + 1}: {form}: imported in {whole:.1f} s", flush=True)
    columns = ["part", "rows", "seconds", "CPU s", "CPU to bare reading", "peak MiB", "daemon's CPU s"]
    for form in FORMS:
        report.table(
            f"{form}; CPU of reading is the reader's, of the others the database's",
            columns,
            table(taken[form]),
        )
    report.keep(rounds=taken)
    report.write()


if __name__ == "__main__":
    main()
