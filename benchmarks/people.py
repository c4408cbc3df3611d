"""How long a person is searched for among many jobs: ``python -m benchmarks.people``.

Half of the jobs are as speechaid imports them, half as another program writes them. A person has two jobs,
one of each kind. Every query is recorded, and the server's ``explain`` gives the documents and keys that it
examined, where it can be believed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pymongo import monitoring
from pymongo.write_concern import WriteConcern

from benchmarks import common
from benchmarks.claim import CommandRecorder, believed, examined, settings_for
from speechaid.campaign.people import person_keys
from speechaid.commands.interfaces import HandlerContext
from speechaid.commands.people import find_people
from speechaid.store.connection import connect

Document = dict[str, Any]

SIZES = (100_000, 1_000_000)
#: Jobs inserted by one command; of more the embedded server comes to a stand.
PORTION = 250
REPEATS = 20
FIRST_ID = 10_000_000
FIRST_NUMBER = 950_000_000
NAME = "speechaid_bench_people"


def jobs_of(people: int) -> Iterator[Document]:
    """Two jobs of each person, in two batches of one account."""
    now = datetime.now(UTC)
    for number in range(people):
        dni, phone = f"{FIRST_ID + number}-K", f"+56{FIRST_NUMBER + number}"
        common_fields = {"account_id": "acc-1", "status": "done", "created_at": now, "attempts": 1}
        yield {
            **common_fields,
            "job_id": f"own-{number}",
            "batch_id": "batch-1",
            "contact": {"name": f"Persona {number}", "dni": dni, "phones": [phone]},
            "to_number": phone,
            "name_key": f"persona {number}",
            "person_keys": person_keys(dni, [phone]),
        }
        yield {
            **common_fields,
            "job_id": f"other-{number}",
            "batch_id": "batch-2",
            "nombre": f"Persona {number}",
            "rut": f"{FIRST_ID + number:,}-K".replace(",", "."),
            "to_number": phone,
        }


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", metavar="JOBS", help="numbers of jobs")
    options = parser.parse_args()
    sizes = options.sizes or ([10_000] if options.quick else SIZES)
    recorder = CommandRecorder()
    monitoring.register(recorder)
    report = common.Report("people", options, sizes=sizes)
    with common.open_database(options) as server:
        report.server(server)
        with server.client() as client:
            for size in sizes:
                client.drop_database(NAME)
                settings = settings_for(server.uri, NAME)
                store = connect(settings.database)
                store.prepare()
                began = time.monotonic()
                fast = client.get_database(NAME, write_concern=WriteConcern(1, j=False))
                portion: list[Document] = []
                for document in jobs_of(size // 2):
                    portion.append(document)
                    if len(portion) == PORTION:
                        fast.jobs.insert_many(portion, ordered=False)
                        portion = []
                if portion:
                    fast.jobs.insert_many(portion, ordered=False)
                loaded = time.monotonic() - began
                is_believed = "find" in believed(client["speechaid_bench_probe"])
                context = HandlerContext(store=store, settings=settings, in_loop=lambda call: call())
                rows = [
                    [what, *measured(context, recorder, client[NAME], typed, explain=is_believed)]
                    for what, typed in typed_texts(size // 4).items()
                ]
                columns = ("typed", "ms", "queries", "documents", "keys", "people", "jobs")
                report.table(f"{size:,} jobs, loaded in {loaded:.0f} s", columns, rows)
                report.keep(**{f"people_{size}": [dict(zip(columns, row, strict=True)) for row in rows]})
                store.close()
                client.drop_database(NAME)
    report.write()


def typed_texts(number: int) -> dict[str, str]:
    """What is typed for one person in the middle, and for one who is not there."""
    return {
        "national id": f"{FIRST_ID + number}-K",
        "phone": f"+56{FIRST_NUMBER + number}",
        "name": f"persona {number}",
        "name of several": f"persona {str(number)[:-1]}",
        "unknown id": "99.999.999-9",
    }


def measured(
    context: HandlerContext, recorder: CommandRecorder, database: Any, typed: str, *, explain: bool
) -> list[float | None]:
    """The median time of a search, its queries, what they examined, and what was found."""
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        found = find_people(context, typed)
        seconds.append(time.perf_counter() - began)
    with recorder.recording() as sent:
        find_people(context, typed)
    of_jobs = [one.command for one in sent if one.command.get("find") == "jobs"]
    costs = [cost for command in of_jobs if explain and (cost := examined(database, command)) is not None]
    return [
        statistics.median(seconds) * 1000,
        float(len(sent)),
        float(sum(cost.documents for cost in costs)) if costs else None,
        float(sum(cost.keys for cost in costs)) if costs else None,
        float(len(found.people)),
        float(sum(len(person.jobs) for person in found.people)),
    ]


if __name__ == "__main__":
    main()
