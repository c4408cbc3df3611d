"""Commands through the real client, socket, database thread and database; only the fleet is a fake."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from speechaid.maintenance.database_thread import DatabaseThread
from speechaid.model.states import STATUS_DATES
from speechaid.protocol.client import Client, Refused
from speechaid.settings import Settings, get_settings
from speechaid.store.connection import Store, connect
from speechaid.store.operator_actions import OperatorActions
from speechaid.store.queue import CHUNK_SIZE
from speechaid.store.table import Table
from tests.support.fakes import FakeDaemon, Service, served

Document = dict[str, Any]
#: Long enough for a busy machine.
PATIENCE_SECONDS = 60.0

CSV = """nombre,telefono,telefono_2,monto
Ana Rojas,+56955550071,+56955550072,1000
Luis Soto,not a phone,,2000
Eva Diaz,+56955550073,,3000
"""


class Operator:
    """A client of the daemon, with direct access to the daemon and its database."""

    def __init__(self, client: Client, service: Service, store: Store, database: Database[Document]) -> None:
        self.client = client
        self.service = service
        self.daemon: FakeDaemon = service.daemon
        self.dispatcher = service.dispatcher
        self.store = store
        self.database = database

    def run(self, command: str, *, file: str | None = None, **args: Any) -> Document:
        return self.client.ask(
            command,
            args,
            attachment=None if file is None else file.encode(),
            timeout_seconds=PATIENCE_SECONDS,
        )

    def run_until_lapsed(self, command: str, **args: Any) -> Document:
        """Run a command that waits for leases; they lapse once it waits."""

        def let_lapse(progress: Any) -> None:
            if progress["state"] == "waiting":
                past = self.store.now() - timedelta(seconds=1)
                self.database.jobs.update_many({}, {"$set": {"reserved_until": past}})

        return self.client.ask(command, args, timeout_seconds=PATIENCE_SECONDS, on_progress=let_lapse)

    def refusal(self, command: str, *, file: str | None = None, **args: Any) -> Refused:
        with pytest.raises(Refused) as caught:
            self.run(command, file=file, **args)
        return caught.value

    def batch(self, batch_id: str) -> Document:
        found = self.database.batches.find_one({"batch_id": batch_id})
        assert found is not None
        return found

    def add_job(self, job_id: str, **fields: Any) -> None:
        contact = {"name": "Ana", "phones": ["+56912345671"], "next_phone_index": 0}
        self.database.jobs.insert_one({"job_id": job_id, "status": "pending", "contact": contact, **fields})

    def recorded(self, lines: int, event: str = "command") -> list[Document]:
        """The recorded commands, once there are this many."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            found = list(self.database.call_logs.find({"event": event}).sort("at", 1))
            if len(found) >= lines:
                return found
            time.sleep(0.02)
        raise AssertionError(f"only {len(found)} lines")


def settings_for(uri: str, name: str, **changes: str) -> Settings:
    environ = {
        "MONGO_URI": uri,
        "MONGO_DB": name,
        "RETELL_API_KEY": "key_0123456789abcdef",
        "RETELL_BASE_URL": "http://127.0.0.1:1",  # no command of these tests needs Retell
        "RETELL_AGENT_ID": "agent_test",
        "RETELL_FROM_NUMBER": "+15005550006",
        "RETELL_TIMEOUT_SECONDS": "5",
        **changes,
    }
    return get_settings(environ, env_file=None)


@pytest.fixture
def operator(tmp_path: Path, database: Database[Document], database_uri: str) -> Iterator[Operator]:
    settings = settings_for(database_uri, database.name)
    database_thread = DatabaseThread(connect(settings.database), settings)
    store = connect(settings.database)
    store.prepare()
    path = tmp_path / "control.sock"
    with served(path, database_thread) as service, Client(path) as client:
        yield Operator(client, service, store, database)
    database_thread.close()
    store.close()


# -- batches -----------------------------------------------------------------------------------------------


def test_create_batch_writes_the_arguments_and_returns_the_id(operator: Operator) -> None:
    answer = operator.run(
        "create-batch",
        name="March reminders",
        priority="high",
        hours="9:00-18:30",
        days="1-5",
        timezone="America/Santiago",
        ring_timeout=45,
    )
    batch = operator.batch(answer["batch_id"])
    assert (batch["name"], batch["is_active"], batch["priority"]) == ("March reminders", True, 2)
    assert batch["call_settings"] == {
        "allowed_hours": {"start": "09:00", "end": "18:30"},
        "days_of_week": [1, 2, 3, 4, 5],
        "timezone": "America/Santiago",
        "ring_timeout": 45,
    }


def test_a_batch_created_paused_records_who_paused_it(operator: Operator) -> None:
    batch = operator.batch(operator.run("create-batch", name="later", paused=True)["batch_id"])
    assert batch["is_active"] is False
    assert batch["pause"]["reason"] == "created paused"


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ({"hours": "9am-6pm"}, "bad_argument"),
        ({"days": "0-8"}, "bad_argument"),
        ({"timezone": "Mars/Olympus"}, "bad_argument"),
        ({"account": "nobody"}, "not_found"),
    ],
)
def test_a_batch_that_could_never_be_called_is_not_created(
    operator: Operator, args: dict[str, str], code: str
) -> None:
    assert operator.refusal("create-batch", name="x", **args).code == code
    assert operator.database.batches.count_documents({}) == 0


def test_pause_and_resume_record_who_when_and_why(operator: Operator) -> None:
    batch_id = operator.store.batches.create({"name": "March"})
    answer = operator.run("pause-batch", batch=batch_id, reason="wrong amounts")
    assert (answer["was_active"], answer["waited_for"], answer["live_calls"]) == (True, 0, 0)
    pause = operator.batch(batch_id)["pause"]
    assert (pause["reason"], "uid" in pause["by"]) == ("wrong amounts", True)
    assert operator.run("resume-batch", batch=batch_id)["was_active"] is False
    assert operator.batch(batch_id)["is_active"] is True


def test_a_batch_with_invalid_settings_shows_the_fault_when_resumed_and_listed(operator: Operator) -> None:
    settings = {"allowed_hours": {"start": "9am", "end": "6pm"}}
    batch_id = operator.store.batches.create({"name": "March", "call_settings": settings})
    fault = operator.run("resume-batch", batch=batch_id)["fault"]
    assert "9am" in fault
    (row,) = operator.run("batches")["batches"]
    assert (row["active"], row["fault"]) == (True, fault)


def test_an_id_may_be_shortened_while_it_is_unique(operator: Operator) -> None:
    for batch_id in ("batch-20260101-aa", "batch-20260101-ab"):
        operator.store.batches.create({"batch_id": batch_id})
    assert operator.run("pause-batch", batch="batch-20260101-aa")["batch_id"] == "batch-20260101-aa"
    refused = operator.refusal("pause-batch", batch="batch-2026")
    assert refused.code == "ambiguous_id"
    assert "batch-20260101-aa, batch-20260101-ab" in str(refused)
    assert operator.refusal("pause-batch", batch="nothing").code == "not_found"


def test_pause_batch_answers_when_no_dial_is_in_flight(operator: Operator) -> None:
    batch_id = operator.store.batches.create({"name": "March"})
    soon = operator.store.now() + timedelta(seconds=60)
    past = operator.store.now() - timedelta(seconds=60)

    def dial(number: str, **fields: Any) -> Document:
        intent = {"key": number, "number": number, "batch_id": batch_id, "intent_at": past}
        return {**intent, **fields}

    on_the_way = dial("+56911111111")
    operator.add_job("j1", status="in_progress", reserved_until=soon, batch_id=batch_id, dial=on_the_way)
    lost = dial("+56922222222")
    operator.add_job("j2", status="in_progress", reserved_until=past, batch_id=batch_id, dial=lost)
    talking = dial("+56933333333", call_id="call_3")
    operator.add_job("j3", status="in_progress", reserved_until=soon, batch_id=batch_id, dial=talking)
    seen: list[Any] = []

    def on_progress(progress: Any) -> None:
        seen.append(progress)
        if progress["state"] == "waiting":
            assert operator.batch(batch_id)["is_active"] is False, "paused before it waits"
            placed = {"$set": {"dial.call_id": "call_1"}}
            operator.database.jobs.update_one({"job_id": "j1"}, placed)

    answer = operator.client.ask(
        "pause-batch", {"batch": batch_id}, timeout_seconds=PATIENCE_SECONDS, on_progress=on_progress
    )
    assert {"state": "waiting", "on_their_way": 1} in seen
    assert (answer["waited_for"], answer["live_calls"], answer["ambiguous"]) == (1, 2, 1)


def test_batches_are_listed_with_their_counts(operator: Operator) -> None:
    batch_id = operator.store.batches.create({"name": "March"})
    operator.add_job("j1", batch_id=batch_id)
    operator.add_job("j2", batch_id=batch_id, status="done")
    operator.add_job("j3")
    answer = operator.run("batches")
    (row,) = answer["batches"]
    assert (row["batch_id"], row["jobs"]) == (batch_id, {"pending": 1, "done": 1})
    assert answer["without_batch"] == {"pending": 1}


def test_batches_tells_of_older_ones_and_of_jobs_whose_batch_does_not_exist(operator: Operator) -> None:
    for name in ("older", "newer"):
        batch_id = operator.run("create-batch", name=name)["batch_id"]
        operator.database.jobs.insert_one({"job_id": name, "batch_id": batch_id, "status": "completed"})
    operator.database.jobs.insert_one({"job_id": "lost", "batch_id": "batch-gone", "status": "pending"})
    answer = operator.run("batches", limit=1)
    assert [(row["name"], row["jobs"]) for row in answer["batches"]] == [("newer", {"done": 1})]
    assert answer["left_out"] == 1
    assert answer["missing"] == {"batch-gone": {"pending": 1}}


# -- import ------------------------------------------------------------------------------------------------


def test_an_import_makes_a_batch_of_the_good_rows_and_lists_the_bad_ones(operator: Operator) -> None:
    answer = operator.run("import", file=CSV, filename="march.csv", country="CL")
    assert (answer["imported"], answer["created"], answer["name"], answer["active"]) == (
        2,
        True,
        "march",
        False,
    )
    assert answer["bad_rows_count"] == 1
    assert answer["bad_rows"][0]["line"] == 3
    assert operator.batch(answer["batch_id"])["is_active"] is False
    assert operator.batch(answer["batch_id"])["pause"]["reason"] == "not started"
    jobs = list(operator.database.jobs.find({"batch_id": answer["batch_id"]}))
    assert sorted(job["contact"]["name"] for job in jobs) == ["Ana Rojas", "Eva Diaz"]
    assert {job["status"] for job in jobs} == {"pending"}


def test_the_same_file_again_adds_no_contact_twice(operator: Operator) -> None:
    batch_id = operator.run("import", file=CSV, filename="march.csv")["batch_id"]
    more = CSV + "Rosa Paz,+56955550079,,100\n"
    answer = operator.run("import", file=more, filename="march.csv", batch=batch_id)
    assert (answer["imported"], answer["already_there"]) == (1, 2)
    assert operator.database.jobs.count_documents({"batch_id": batch_id}) == 3


def test_a_dry_run_reports_and_changes_nothing(operator: Operator) -> None:
    answer = operator.run("import", file=CSV, filename="march.csv", dry_run=True)
    assert (answer["would_import"], answer["imported"], answer["bad_rows_count"]) == (2, 0, 1)
    assert operator.database.jobs.count_documents({}) == 0
    assert operator.database.batches.count_documents({}) == 0


@pytest.mark.parametrize(
    ("file", "args", "message"),
    [
        (CSV, {"strict": True}, "line 3"),
        ("nombre,telefono\nAna,none\n", {}, "no row can be used"),
        ("nombre,edad\nAna,33\n", {}, "no column of phone numbers"),
        ("", {}, "empty"),
    ],
    ids=["strict", "all-bad", "no-phones", "empty"],
)
def test_a_file_that_cannot_be_used_changes_nothing(
    operator: Operator, file: str, args: dict[str, Any], message: str
) -> None:
    refused = operator.refusal("import", file=file, filename="march.csv", **args)
    assert (refused.code, message in str(refused)) == ("refused", True)
    assert operator.database.batches.count_documents({}) == 0


def test_a_large_file_is_written_in_parts_and_its_batch_starts_after_the_last(operator: Operator) -> None:
    rows = "".join(f"Person {n},+5695{n:07}\n" for n in range(1, 1201))
    states: list[Any] = []

    def on_progress(progress: Any) -> None:
        if progress["state"] == "importing":
            found = operator.database.batches.find_one({})
            states.append((progress["done"], found and found["is_active"]))

    answer = operator.client.ask(
        "import",
        {"filename": "big.csv", "hours": "00:00-24:00", "start": True},
        attachment=f"nombre,telefono\n{rows}".encode(),
        timeout_seconds=PATIENCE_SECONDS,
        on_progress=on_progress,
    )
    assert answer["imported"] == 1200
    assert states == [(1000, False)]
    assert operator.batch(answer["batch_id"])["is_active"] is True
    assert "pause" not in operator.batch(answer["batch_id"])


def test_an_import_is_listed_while_it_runs_and_when_it_is_done(operator: Operator) -> None:
    rows = "".join(f"Person {n},+5695{n:07}\n" for n in range(1, 1101))
    seen: list[Any] = []

    def on_progress(progress: Any) -> None:
        batch = operator.database.batches.find_one({})
        if progress["state"] == "importing" and batch is not None:
            seen.append(batch["last_import"])

    answer = operator.client.ask(
        "import",
        {"filename": "big.csv"},
        attachment=f"nombre,telefono\nNobody,12\n{rows}".encode(),
        timeout_seconds=PATIENCE_SECONDS,
        on_progress=on_progress,
    )
    assert [(noted["done"], noted["of"], noted.get("finished_at")) for noted in seen] == [(1000, 1100, None)]
    (row,) = operator.run("imports")["imports"]
    assert (row["batch_id"], row["file"], row["state"]) == (answer["batch_id"], "big.csv", "done")
    assert (row["imported"], row["already_there"], row["bad_rows"]) == (1100, 0, 1)


def test_an_import_without_progress_for_long_is_listed_as_broken_off(operator: Operator) -> None:
    now = operator.store.now()
    noted = {"file": "march.csv", "by": "maria", "started_at": now, "done": 2000, "of": 5000, "at": now}
    operator.store.batches.create({"last_import": noted})
    assert operator.run("imports")["imports"][0]["state"] == "importing"
    long_ago = {"last_import.at": now - timedelta(minutes=10)}
    operator.database.batches.update_one({}, {"$set": long_ago})
    assert operator.run("imports")["imports"][0]["state"] == "broke_off"


NATIONAL = "nombre,telefono\nAna,5512345678\n"


@pytest.mark.parametrize(
    ("of_batch", "of_account", "number"),
    [("MX", "US", "+525512345678"), (None, "MX", "+525512345678"), ("US", "MX", "+15512345678")],
    ids=["the batch's before the account's", "the account's", "the batch's again"],
)
def test_national_numbers_take_the_country_of_the_batch_else_of_the_account(
    operator: Operator, of_batch: str | None, of_account: str, number: str
) -> None:
    operator.database.accounts.insert_one({"account_id": "acc", "country": of_account})
    country = {} if of_batch is None else {"country": of_batch.lower()}
    batch_id = operator.run("create-batch", name="March", account="acc", **country)["batch_id"]
    assert operator.batch(batch_id).get("country") == of_batch
    operator.run("import", file=NATIONAL, filename="march.csv", batch=batch_id)
    found = operator.database.jobs.find_one({"batch_id": batch_id})
    assert found is not None
    assert found["contact"]["phones"] == [number]


def test_the_country_of_the_file_wins_and_a_new_batch_keeps_it(operator: Operator) -> None:
    operator.database.accounts.insert_one({"account_id": "acc", "country": "US"})
    answer = operator.run("import", file=NATIONAL, filename="march.csv", account="acc", country="MX")
    assert operator.batch(answer["batch_id"])["country"] == "MX"
    found = operator.database.jobs.find_one({"batch_id": answer["batch_id"]})
    assert found is not None
    assert found["contact"]["phones"] == ["+525512345678"]


def test_an_invalid_country_is_refused_in_batch_and_account(operator: Operator) -> None:
    assert operator.refusal("create-batch", name="March", country="UK").code == "bad_argument"
    operator.database.accounts.insert_one({"account_id": "acc", "country": "Chile"})
    refused = operator.refusal("import", file=NATIONAL, filename="march.csv", account="acc")
    assert "the account's country 'Chile' is not a country code" in str(refused)
    assert operator.database.batches.count_documents({}) == 0


def test_settings_of_a_new_batch_are_refused_for_an_existing_one(operator: Operator) -> None:
    batch_id = operator.store.batches.create({})
    refused = operator.refusal("import", file=CSV, filename="a.csv", batch=batch_id, hours="09:00-10:00")
    assert (refused.code, "--hours" in str(refused)) == ("bad_argument", True)


# -- jobs --------------------------------------------------------------------------------------------------


def test_jobs_are_listed_by_batch_and_status(operator: Operator) -> None:
    batch_id = operator.store.batches.create({})
    operator.add_job("j1", batch_id=batch_id)
    operator.add_job("j2", batch_id=batch_id, status="failed", last_outcome="busy")
    answer = operator.run("jobs", batch=batch_id, status="failed")
    assert [(row["job_id"], row["outcome"]) for row in answer["jobs"]] == [("j2", "busy")]


def test_a_job_shows_its_history_with_masked_numbers(operator: Operator) -> None:
    operator.add_job("job-aa11", last_error="no answer from +56912345671")
    operator.database.call_results.insert_one(
        {
            "job_id": "job-aa11",
            "call_id": "call_1",
            "outcome": "busy",
            "contact": {"phone_used": "+56912345671"},
        }
    )
    operator.store.logs.write("call.placed", job_id="job-aa11", phone="+56912345671")
    answer = operator.run("job", job="job-aa")
    assert answer["calls"][0]["call_id"] == "call_1"
    assert answer["events"][0]["event"] == "call.placed"
    assert answer["phones"] == ["+569******71"]
    assert "56912345671" not in str(answer)


def test_a_report_counts_jobs_and_calls_of_one_batch_or_of_all(operator: Operator) -> None:
    batch_id = operator.store.batches.create({"name": "March"})
    operator.add_job("j1", batch_id=batch_id, status="done")
    operator.add_job("j2", status="pending")
    result = {"job_id": "j1", "batch_id": batch_id, "outcome": "answered", "duration_ms": 60_000, "cost": 0.5}
    operator.database.call_results.insert_one(result)
    everything = operator.run("report")
    assert (everything["jobs"]["total"], everything["calls"]["by_outcome"]) == (2, {"answered": 1})
    one = operator.run("report", batch=batch_id[:14])
    assert (one["batch_id"], one["jobs"]["total"], one["calls"]["minutes"]) == (batch_id, 1, 1.0)
    assert operator.run("report", format="markdown")["markdown"].startswith("# ")


# -- hold --------------------------------------------------------------------------------------------------


def test_hold_stops_this_host_at_once_and_the_others_through_the_database(operator: Operator) -> None:
    answer = operator.run("hold", reason="complaints")
    assert (answer["held"], operator.daemon.held) == (True, True)
    fleet_hold = operator.database.speechaid_holds.find_one({"_id": "fleet"})
    assert fleet_hold is not None
    assert (fleet_hold["on"], fleet_hold["reason"]) == (True, "complaints")
    answer = operator.run("unhold")
    assert (answer["was_held"], operator.daemon.held) == (True, False)
    assert operator.store.holds.find_hold() is None


def test_unhold_says_that_it_lifted_a_hold_of_this_host_alone(operator: Operator) -> None:
    operator.daemon.hold(True)  # as ``hold`` leaves it where the database does not answer
    answer = operator.run("unhold")
    assert (answer["was_held"], answer["was_held_here"], operator.daemon.held) == (False, True, False)
    answer = operator.run("unhold")
    assert (answer["was_held"], answer["was_held_here"]) == (False, False)


# -- the audit log -----------------------------------------------------------------------------------------


def test_every_write_is_recorded_with_actor_arguments_and_outcome(operator: Operator) -> None:
    operator.run("drain")
    operator.refusal("pause-worker", worker="worker-9")
    operator.run("create-batch", name="March")
    operator.refusal("pause-batch", batch="nothing")
    lines = operator.recorded(4)
    assert [(line["command"], line["outcome"]) for line in lines] == [
        ("drain", "done"),
        ("pause-worker", "not_found"),
        ("create-batch", "done"),
        ("pause-batch", "not_found"),
    ]
    assert all("uid" in line["actor"] for line in lines)
    assert lines[1]["args"] == {"worker": "worker-9"}


def test_reads_that_show_nobody_are_not_recorded(operator: Operator) -> None:
    operator.run("status")
    operator.run("jobs")
    operator.run("ids", kind="batch")
    operator.run("drain")
    assert [line["command"] for line in operator.recorded(1)] == ["drain"]


# -- the fleet ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "args", "seen"),
    [
        ("drain", {}, lambda daemon: daemon.draining),
        ("drain", {"stop": True}, lambda daemon: daemon.draining and daemon.stopping == "gracefully"),
        ("undrain", {}, lambda daemon: not daemon.draining),
        ("pause-worker", {"worker": "2"}, lambda daemon: daemon.paused == {"worker-2"}),
        ("resume-worker", {"worker": "worker-2"}, lambda daemon: daemon.paused == set()),
        ("scale", {"count": 9}, lambda daemon: daemon.wanted == 9),
        ("log-level", {"level": "DEBUG"}, lambda daemon: daemon.level == "DEBUG"),
        ("shutdown", {"now": True}, lambda daemon: daemon.stopping == "now"),
        ("reload", {}, lambda daemon: daemon.stopping is None),
        ("status", {}, lambda daemon: daemon.stopping is None),
        ("alerts", {"all": True}, lambda daemon: daemon.stopping is None),
    ],
)
def test_a_fleet_command_changes_the_fleet(
    operator: Operator, command: str, args: dict[str, Any], seen: Callable[[FakeDaemon], bool]
) -> None:
    assert operator.run(command, **args)
    assert seen(operator.daemon)


def test_a_reload_names_a_misspelt_setting(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECHAID_JOB_RETENTION_DAY", "3")
    (warning,) = operator.run("reload")["warnings"]
    assert "did you mean SPEECHAID_JOB_RETENTION_DAYS?" in warning


def test_a_reload_of_invalid_settings_is_refused_with_every_fault(operator: Operator) -> None:
    operator.daemon.faults = ["WORKER_COUNT: 'x' is no number", "MAX_ATTEMPTS: 0 is too small"]
    refused = operator.refusal("reload")
    assert (refused.code, "MAX_ATTEMPTS" in str(refused)) == ("refused", True)


def test_an_order_that_could_not_be_saved_is_done_and_reported(operator: Operator) -> None:
    operator.daemon.orders_not_kept = "standing.json cannot be written"
    assert operator.run("drain")["not_kept"] == operator.daemon.orders_not_kept
    assert operator.daemon.draining


# -- without a database ------------------------------------------------------------------------------------


@pytest.fixture
def cut_off(tmp_path: Path) -> Iterator[tuple[Client, FakeDaemon]]:
    """A daemon whose database is away."""
    settings = settings_for("mongodb://127.0.0.1:9", "nothing")
    client_of_nothing: MongoClient[Document] = MongoClient(
        "mongodb://127.0.0.1:9", serverSelectionTimeoutMS=200
    )
    database_thread = DatabaseThread(Store(client_of_nothing, settings.database), settings)
    path = tmp_path / "control.sock"
    with served(path, database_thread) as service, Client(path) as client:
        yield client, service.daemon
    database_thread.close()


def test_without_a_database_fleet_commands_work_and_others_are_refused(
    cut_off: tuple[Client, FakeDaemon],
) -> None:
    client, daemon = cut_off
    assert client.ask("drain", {}, timeout_seconds=PATIENCE_SECONDS)["draining"] is True
    with pytest.raises(Refused, match="the database is away") as caught:
        client.ask("pause-batch", {"batch": "b"}, timeout_seconds=PATIENCE_SECONDS)
    assert (caught.value.code, caught.value.exit_status) == ("unavailable", 1)
    with pytest.raises(Refused, match="this host is held, the others are not"):
        client.ask("hold", {}, timeout_seconds=PATIENCE_SECONDS)
    assert daemon.held is True


def test_a_hold_without_database_and_disk_space_reports_both(
    cut_off: tuple[Client, FakeDaemon],
) -> None:
    client, daemon = cut_off
    daemon.orders_not_kept = "standing.json cannot be written"
    with pytest.raises(Refused, match=r"this host is held, the others are not.*a restart will lose it"):
        client.ask("hold", {}, timeout_seconds=PATIENCE_SECONDS)
    assert daemon.held is True


# -- dials in flight, and ambiguous dials ------------------------------------------------------------------


def test_an_ambiguous_dial_between_two_searches_is_not_waited_for(operator: Operator) -> None:
    batch_id = operator.run("create-batch", name="unsettled")["batch_id"]
    rests_until = operator.store.now() + timedelta(minutes=5)
    dial = {"key": "k", "number": "+56912345671", "batch_id": batch_id, "intent_at": rests_until}
    lease = {"status": "in_progress", "claim_token": "t", "reserved_until": rests_until}
    operator.add_job("job-1", batch_id=batch_id, dial={**dial, "next_lookup_at": rests_until}, **lease)
    answer = operator.run("pause-batch", batch=batch_id)
    assert (answer["waited_for"], answer["ambiguous"]) == (0, 1)


def test_an_ambiguous_dial_that_a_worker_searches_is_waited_for(operator: Operator) -> None:
    batch_id = operator.run("create-batch", name="looked up")["batch_id"]
    now = operator.store.now()
    dial = {"key": "k", "number": "+56912345671", "batch_id": batch_id, "intent_at": now}
    lease = {"status": "in_progress", "claim_token": "t", "reserved_until": now + timedelta(minutes=5)}
    operator.add_job("job-1", batch_id=batch_id, dial={**dial, "next_lookup_at": now}, **lease)
    answer = operator.run_until_lapsed("pause-batch", batch=batch_id)
    assert (answer["waited_for"], answer["ambiguous"]) == (1, 1)


def test_hold_waits_for_dials_in_flight(operator: Operator) -> None:
    now = operator.store.now()
    dial = {"key": "k", "number": "+56912345671", "intent_at": now}
    lease = {"status": "in_progress", "claim_token": "t", "reserved_until": now + timedelta(minutes=5)}
    operator.add_job("job-1", dial=dial, **lease)
    assert operator.run_until_lapsed("hold")["waited_for"] == 1


# -- operator actions and requests -------------------------------------------------------------------------


def test_an_action_on_a_job_with_an_open_dial_becomes_its_request(operator: Operator) -> None:
    now = operator.store.now()
    dial = {"key": "k", "number": "+56912345671", "intent_at": now, "call_id": "call_1"}
    operator.add_job("job-1", status="in_progress", claim_token="t", dial=dial, reserved_until=now)
    assert operator.run("suspend-job", job="job-1", reason="wait")["how"] == "recorded"
    job = operator.database.jobs.find_one({"job_id": "job-1"})
    assert job is not None
    assert (job["status"], job["request"]["action"]) == ("in_progress", "suspend")
    assert operator.run("resume-job", job="job-1")["how"] == "taken back"
    assert operator.run("hang-up", job="job-1")["call_id"] == "call_1"


@pytest.mark.parametrize("dial", [{"key": "k", "number": "+56912345671"}, {}, "k", [1]], ids=str)
def test_a_job_whose_open_dial_cannot_be_read_takes_a_request_and_blocks_nobody(
    operator: Operator, dial: object
) -> None:
    """Its dial may be a call: the request waits, like that for any other open dial."""
    batch_id = operator.run("create-batch", name="March")["batch_id"]
    operator.add_job("job-1", status="in_progress", claim_token="t", dial=dial, batch_id=batch_id)
    assert operator.run("suspend-job", job="job-1")["how"] == "recorded"
    assert operator.run("cancel-batch", batch=batch_id)["when_their_calls_end"] == 1
    job = operator.database.jobs.find_one({"job_id": "job-1"}) or {}
    assert (job["status"], job["dial"], job["request"]["action"]) == ("in_progress", dial, "cancel")
    operator.run("hold")


def test_a_reset_leaves_jobs_with_an_open_dial_alone(operator: Operator) -> None:
    dial = {"key": "k", "number": "+56912345671", "intent_at": operator.store.now()}
    operator.add_job("job-1", status="failed", dial=dial, attempts=3)
    operator.add_job("job-2", status="failed", attempts=3)
    assert operator.run("reset-jobs", status="failed")["reset"] == 1
    again = operator.database.jobs.find_one({"job_id": "job-2"})
    assert again is not None
    assert (again["status"], again["attempts"], again["contact"]["next_phone_index"]) == ("pending", 0, 0)


def test_a_claim_in_between_is_not_overwritten(operator: Operator) -> None:
    operator.add_job("job-1", status="suspended", suspend_reason="operator", revision=3)
    job = operator.store.jobs.get("job-1")
    operator.database.jobs.update_one({"job_id": "job-1"}, {"$set": {"status": "in_progress", "revision": 4}})
    assert not operator.store.operator_actions.resume(job)
    assert not operator.store.operator_actions.release(job, {"status": "pending"})


def test_release_leaves_calls_and_other_programs_jobs_to_the_workers(operator: Operator) -> None:
    past = operator.store.now() - timedelta(hours=1)
    left = {"status": "in_progress", "reserved_until": past}
    dial = {"key": "k", "number": "+56912345671", "intent_at": past, "call_id": "call_1"}
    operator.add_job("in-a-call", claim_token="t", dial=dial, **left)
    operator.add_job("of-another-program", **left)
    operator.add_job("left-alone", claim_token="t", **left)
    answer = operator.run("release-stuck", older_than=300)
    assert (answer["released"], answer["left_to_workers"]) == (1, 2)
    assert [row["job_id"] for row in answer["jobs"] if row["then"] == "released"] == ["left-alone"]


def test_many_suspended_jobs_of_an_account_come_back_in_portions(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    portions: list[int] = []
    update_many = Table.update_many

    def counted(table: Table, query: Document, change: Any) -> int:
        portions.append(update_many(table, query, change))
        return portions[-1]

    jobs, reason = 2 * CHUNK_SIZE + 7, {"status": "suspended", "suspend_reason": "account_suspended"}
    operator.database.accounts.insert_one({"account_id": "acc-1", "status": "suspended"})
    operator.database.jobs.insert_many(
        [{"job_id": f"job-{number}", "account_id": "acc-1", **reason} for number in range(jobs)]
    )
    monkeypatch.setattr(Table, "update_many", counted)

    answer = operator.run("resume-account", account="acc-1")

    assert answer["jobs_resumed"] == jobs == operator.database.jobs.count_documents({"status": "pending"})
    assert max(portions) == CHUNK_SIZE
    assert (answer["was"], answer["status"]) == ("suspended", "active")


def final_jobs_are_dated(operator: Operator) -> dict[str, str]:
    """The statuses by job, once each job is seen to have the dates of its status."""
    jobs = list(operator.database.jobs.find({}))
    for job in jobs:
        assert [name for name in STATUS_DATES[job["status"]] if name not in job] == [], job["job_id"]
    return {job["job_id"]: job["status"] for job in jobs}


def test_every_way_of_an_operator_to_end_or_suspend_a_job_sets_the_dates_of_its_status(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.store.batches.create({"batch_id": "batch-20260101-0000000a"})
    for name in ("waiting", "straggler"):
        operator.add_job(name, batch_id="batch-20260101-0000000a")
    in_progress = {"status": "in_progress", "claim_token": "t", "worker_id": "w@h:1", "crashes": 2}
    operator.add_job("crashed", **in_progress)
    for name in ("cancelled", "suspended"):
        operator.add_job(name)

    # This one becomes pending only after the portions of the waiting jobs are done.
    operator.database.jobs.update_one({"job_id": "straggler"}, {"$set": {"status": "in_progress"}})
    find_in_hand = OperatorActions.in_progress

    def becomes_pending(actions: OperatorActions, batch_id: str) -> Any:
        found = find_in_hand(actions, batch_id)
        operator.database.jobs.update_one(
            {"job_id": "straggler", "status": "in_progress"}, {"$set": {"status": "pending"}}
        )
        return found

    monkeypatch.setattr(OperatorActions, "in_progress", becomes_pending)
    operator.run("cancel-batch", batch="batch-20260101-0000000a")
    operator.run("cancel-job", job="cancelled")
    operator.run("suspend-job", job="suspended")
    operator.store.jobs.worker_crashed("w@h:1", 3)

    assert final_jobs_are_dated(operator) == {
        "waiting": "cancelled",
        "straggler": "cancelled",
        "crashed": "failed",
        "cancelled": "cancelled",
        "suspended": "suspended",
    }


def test_release_asks_for_the_end_of_ghosts_only_when_told_to(operator: Operator) -> None:
    past = operator.store.now() - timedelta(hours=1)
    dial = {"key": "k", "number": "+56912345671", "intent_at": past, "call_id": "call_1", "parked_at": past}
    ahead = operator.store.now() + timedelta(hours=1)
    held = {"status": "in_progress", "claim_token": "t", "reserved_until": ahead}
    operator.add_job("ghost", dial={**dial, "unknown_at": past}, **held)
    operator.add_job("parked", dial={**dial, "key": "m", "number": "+56912345672"}, **held)
    assert operator.run("release-stuck")["given_up"] == 0
    assert operator.run("release-stuck", unknown_calls=True, dry_run=True)["given_up"] == 1
    assert operator.store.jobs.get("ghost").request is None

    answer = operator.run("release-stuck", unknown_calls=True)

    assert [(row["job_id"], row["then"]) for row in answer["jobs"]] == [("ghost", "given_up")]
    asked = operator.store.jobs.get("ghost").request
    assert asked is not None
    assert asked["give_up"] is True
    assert operator.store.jobs.get("parked").request is None


# -- the database away ---------------------------------------------------------------------------------------


def test_commands_that_need_a_database_known_to_be_away_are_refused_at_once(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator.dispatcher, "_database_away", lambda: "the database is away (test)")
    refused = operator.refusal("batches")
    assert refused.code == "unavailable"
    refused = operator.refusal("hold")
    assert "this host is held, the others are not" in str(refused)
    assert operator.daemon.held
    assert "findings" in operator.run("doctor")


def test_explain_says_why_a_job_has_ended(operator: Operator) -> None:
    operator.add_job("job-1")
    operator.run("cancel-job", job="job-1")
    cancelled = operator.run("explain", job="job-1")["sentence"]
    assert cancelled.startswith("The job is finished: cancelled since 20")
    assert cancelled.endswith(", no reason recorded")
    operator.add_job("job-2", status="cancelled", cancel_reason="do_not_call")
    assert operator.run("explain", job="job-2")["sentence"].endswith("cancelled, do not call")


def test_explain_says_how_a_suspended_job_comes_back(operator: Operator) -> None:
    def resumption() -> str:
        return str(operator.run("explain", job="job-1")["sentence"]).partition("; it ")[2]

    def set_job(**fields: object) -> None:
        operator.database.jobs.update_one({"job_id": "job-1"}, {"$set": fields})

    account = {"account_id": "acme", "status": "active", "plan_type": "minutes_based", "minutes_purchased": 0}
    operator.add_job("job-1", status="suspended", suspend_reason="account_unknown", account_id="acme")
    assert resumption() == "resumes automatically once account acme exists"
    operator.database.accounts.insert_one(account)
    assert resumption() == "resumes automatically once account acme has credit"
    set_job(suspend_reason="no_credit")
    assert resumption() == "resumes automatically once account acme has credit"
    operator.database.accounts.update_one({"account_id": "acme"}, {"$set": {"minutes_purchased": 60}})
    assert resumption() == "resumes automatically within a minute: account acme has credit"
    set_job(suspend_reason="operator")
    assert resumption() == "stays suspended until speechctl resume-job"


@pytest.mark.parametrize("account_id", [None, "acme"])
def test_a_forecast_postpones_jobs_whose_window_closes_and_skips_none(
    operator: Operator, account_id: str | None
) -> None:
    operator.database.accounts.insert_one(
        {"account_id": "acme", "status": "active", "plan_type": "unlimited", "timezone": "UTC"}
    )
    now = operator.store.now()
    opened, closes = now - timedelta(hours=2), now + timedelta(seconds=90)
    hours = {"start": f"{opened:%H:%M:%S}", "end": f"{closes:%H:%M:%S}"}
    batch_id = operator.run("create-batch", name="closing", timezone="UTC")["batch_id"]
    operator.database.batches.update_one(
        {"batch_id": batch_id}, {"$set": {"call_settings.allowed_hours": hours}}
    )
    for number in range(40):
        contact = {"name": "Ana", "phones": [f"+569123450{number:02}"]}
        operator.add_job(f"job-{number}", batch_id=batch_id, account_id=account_id, contact=contact)
    answer = operator.run("forecast", batch=batch_id, limit=40)
    assert (answer["skipped"], len(answer["dials"])) == ([], 40)
    starts = [datetime.fromisoformat(row["at"]) for row in answer["dials"]]
    opens_again = opened.replace(microsecond=0) + timedelta(days=1)
    assert all(moment < closes or moment >= opens_again for moment in starts)
    assert max(starts) >= opens_again


@pytest.mark.parametrize(
    ("hours", "warned"),
    [
        ("20:00-09:00", True),
        ("09:00-20:00", False),
        ("18:00-00:00", False),
        ("0:00-24:00", False),
        (None, False),
    ],
)
def test_hours_over_midnight_are_accepted_with_a_warning(
    operator: Operator, hours: str | None, warned: bool
) -> None:
    warning = (
        "people are called from 20:00 through midnight until 09:00 the next day; "
        "for calls by day write --hours 09:00-20:00"
    )
    created = operator.run("create-batch", name="night", hours=hours)
    without = "the batch has no calling hours: it cannot be resumed before it has some"
    assert created["warning"] == (warning if warned else without if hours is None else None)
    imported = operator.run("import", file=CSV, filename="a.csv", hours=hours, dry_run=True)
    assert imported["warning"] == (warning if warned else None)


def test_a_window_may_end_at_midnight(operator: Operator) -> None:
    batch_id = operator.run("create-batch", name="all day", hours="0:00-24:00")["batch_id"]
    assert operator.batch(batch_id)["call_settings"]["allowed_hours"] == {"start": "00:00", "end": "24:00"}
    operator.add_job("job-1", batch_id=batch_id)
    checks = {row["name"]: row["value"] for row in operator.run("explain", job="job-1")["checks"]}
    assert checks["window"] == "always open"
    assert operator.refusal("create-batch", name="odd", hours="24:00-09:00").code == "bad_argument"
    assert "00:00-24:00" in str(operator.refusal("create-batch", name="odd", hours="00:00-00:00"))


def test_a_limit_beyond_all_workers_costs_a_forecast_no_memory(operator: Operator) -> None:
    operator.database.accounts.insert_one(
        {"account_id": "acc-1", "plan_type": "unlimited", "max_concurrent_calls": 20_000_000}
    )
    operator.add_job("job-1", account_id="acc-1")
    tracemalloc.start()
    try:
        assert len(operator.run("forecast")["dials"]) == 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 2**20
