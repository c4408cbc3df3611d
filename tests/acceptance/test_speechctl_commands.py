"""Every command, with a real client, socket, daemon, workers and database. One daemon serves all tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from speechaid.protocol.messages import COMMANDS
from tests.fuzz.control import fuzz
from tests.support.terminal import TALK_SECONDS, Terminal, open_terminal

Document = dict[str, Any]


@pytest.fixture(scope="module")
def shared() -> Iterator[Terminal]:
    with open_terminal() as terminal:
        yield terminal


@pytest.fixture
def terminal(shared: Terminal) -> Iterator[Terminal]:
    """The daemon, left without a drain, a hold and active batches after each test."""
    yield shared
    shared.type("undrain")
    shared.type("unhold")
    for batch in shared.ask("batches", "--limit", "1000")["batches"]:
        if batch["active"]:
            shared.type("cancel-batch", batch["batch_id"], "--yes")


def worker_pid(terminal: Terminal, slot: str) -> int:
    """The pid of a worker; waits while the slot has none yet."""

    def pid() -> int | None:
        rows = terminal.ask("status")["workers"]
        return next((row["pid"] for row in rows if row["slot"] == slot), None)

    return int(terminal.until(pid))


def not_today() -> list[str]:
    """Options for a calling window on another day, in any time zone."""
    day = (datetime.now(UTC) + timedelta(days=3)).isoweekday()
    return ["--hours", "00:00-00:01", "--days", str(day)]


# -- the fleet -----------------------------------------------------------------------------------------------


def test_status_and_top_show_workers_and_queue(terminal: Terminal) -> None:
    batch = terminal.import_contacts(5, "shown")
    terminal.a_live_call(batch)
    terminal.until(lambda: batch in terminal.type("status"))
    shown = terminal.type("top", "--once")
    assert "worker-1" in shown
    assert batch in shown


def test_drain_reports_how_long_it_may_take_and_undrain_ends_it(terminal: Terminal) -> None:
    batch = terminal.import_contacts(30, "drained")  # more than can be called before the drain
    terminal.a_live_call(batch)
    answer = terminal.ask("drain")
    assert answer["draining"]
    assert answer["calls_in_hand"] >= 1
    assert answer["at_most_seconds"] > 0
    assert terminal.ask("drain", "--wait")["drained"]
    waiting = len(terminal.jobs(batch, "pending"))
    assert not terminal.ask("undrain")["draining"]
    terminal.until(lambda: len(terminal.jobs(batch, "pending")) < waiting)


def test_a_paused_worker_stays_paused_when_it_is_killed(terminal: Terminal) -> None:
    terminal.type("pause-worker", "worker-2")
    pid = worker_pid(terminal, "worker-2")
    os.kill(pid, signal.SIGKILL)

    def successor() -> bool:
        rows = terminal.ask("status")["workers"]
        row = next(row for row in rows if row["slot"] == "worker-2")
        return row["pid"] not in {None, pid} and bool(row["paused"])

    terminal.until(successor)
    assert "takes jobs again" in terminal.type("resume-worker", "2")
    assert "there is no worker" in terminal.refused("pause-worker", "worker-99")


def test_scale_reload_and_log_level_take_effect_at_once(terminal: Terminal) -> None:
    assert terminal.ask("scale", "5")["wanted"] == 5
    terminal.until(lambda: terminal.ask("status")["supervisor"]["present"] == 5)
    terminal.type("log-level", "DEBUG")
    assert terminal.ask("reload")["needs_restart"] == []
    terminal.until(lambda: terminal.ask("status")["supervisor"]["present"] == 3)


# -- batches -------------------------------------------------------------------------------------------------


def test_a_paused_batch_places_no_call_and_a_resumed_one_does(terminal: Terminal) -> None:
    batch = terminal.import_contacts(40, "paused")
    terminal.a_live_call(batch)
    answer = terminal.ask("pause-batch", batch, "--reason", "wrong amounts")
    assert answer["was_active"]
    calls = len(terminal.simulator.placed_calls())
    assert "wrong amounts" in terminal.type("batches")
    shown = terminal.ask("explain", terminal.jobs(batch, "pending")[0]["job_id"])
    assert "paused" in shown["sentence"]
    assert shown["next_chance"] is None
    terminal.type("drain", "--wait")
    assert len(terminal.simulator.placed_calls()) == calls
    terminal.type("undrain")
    terminal.type("resume-batch", batch)
    terminal.until(lambda: len(terminal.simulator.placed_calls()) > calls)


def test_a_batch_is_edited_by_its_name_and_those_not_reached_get_a_new_one(terminal: Terminal) -> None:
    batch = terminal.import_contacts(3, "edited", *not_today())
    (change,) = terminal.ask("edit-batch", "edited", "--max-attempts", "7")["changes"]
    assert (change["option"], change["new"]) == ("max_attempts", 7)
    terminal.until(lambda: "edit-batch" in terminal.type("batch", "edited"))
    ended = {"status": "failed", "last_outcome": "busy"}
    terminal.database.jobs.update_many({"batch_id": batch}, {"$set": ended})
    again = terminal.ask("redial-batch", "edited", "--outcomes", "busy")
    assert again["added"] == 3
    assert "cancel-batch" in terminal.refused("delete-batch", batch, "--yes")
    assert terminal.ask("delete-batch", again["batch_id"], "--yes")["deleted"] == 3
    terminal.type("cancel-batch", "edited", "--yes")
    assert "for good" in terminal.refused("resume-batch", batch)


def test_resume_all_resumes_only_what_pause_all_paused(terminal: Terminal) -> None:
    mine = terminal.ask("create-batch", "mine")["batch_id"]
    other = terminal.ask("create-batch", "other")["batch_id"]
    terminal.type("pause-batch", mine)
    assert terminal.ask("pause-all", "--reason", "lunch")["paused"] == 1
    assert terminal.ask("resume-all")["resumed"] == 1
    active = {row["batch_id"]: row["active"] for row in terminal.ask("batches")["batches"]}
    assert (active[mine], active[other]) == (False, True)


def test_cancel_batch_ends_waiting_jobs_at_once_and_others_when_their_calls_end(terminal: Terminal) -> None:
    batch = terminal.import_contacts(30, "off")
    terminal.a_live_call(batch)
    assert terminal.ask("cancel-batch", batch, "--dry-run")["dry_run"]
    answer = terminal.ask("cancel-batch", batch, "--yes", "--reason", "wrong list")
    assert answer["when_their_calls_end"] >= 1
    assert terminal.jobs(batch, "pending") == []
    terminal.until(lambda: terminal.jobs(batch, "in_progress") == [])
    # A call that reached its goal makes the job done, in spite of the cancellation.
    assert {job["status"] for job in terminal.jobs(batch)} <= {"cancelled", "done"}


# -- jobs ----------------------------------------------------------------------------------------------------


def test_a_job_is_suspended_resumed_and_cancelled(terminal: Terminal) -> None:
    batch = terminal.import_contacts(1, "single", *not_today())
    job = terminal.jobs(batch)[0]["job_id"]
    assert terminal.ask("suspend-job", job, "--reason", "asked to wait")["status"] == "suspended"
    assert "stays suspended until speechctl resume-job" in terminal.ask("explain", job)["sentence"]
    assert terminal.ask("resume-job", job)["status"] == "pending"
    assert "is not suspended" in terminal.refused("resume-job", job)
    assert terminal.ask("cancel-job", job, "--yes")["status"] == "cancelled"
    assert "already" in terminal.refused("cancel-job", job, "--yes")
    assert terminal.ask("job", job)["status"] == "cancelled"


def test_a_reset_leaves_out_people_who_asked_not_to_be_called(terminal: Terminal) -> None:
    batch = terminal.import_contacts(3, "reset", *not_today())
    for job in terminal.jobs(batch):
        terminal.type("cancel-job", job["job_id"], "--yes")
    asked = terminal.jobs(batch)[0]["job_id"]
    terminal.database.jobs.update_one({"job_id": asked}, {"$set": {"cancel_reason": "do_not_call"}})
    argv = ["reset-jobs", "--status", "cancelled", "--max-age-hours", "1", "--batch", batch]
    assert terminal.ask(*argv, "--dry-run")["would_reset"] == 2
    assert terminal.ask(*argv, "--yes")["reset"] == 2
    assert [job["job_id"] for job in terminal.jobs(batch, "cancelled")] == [asked]


def test_hang_up_ends_the_call_in_retell(terminal: Terminal) -> None:
    terminal.simulator.change(talk_seconds=(600, 600))  # it must not end by itself before the hang-up
    batch = terminal.import_contacts(1, "hung-up")
    job = terminal.a_live_call(batch)
    terminal.simulator.change(talk_seconds=TALK_SECONDS)
    answer = terminal.ask("hang-up", job["job_id"], "--yes")
    assert answer["call_id"] == job["dial"]["call_id"]
    terminal.until(lambda: terminal.ask("job", job["job_id"])["status"] == "cancelled")
    assert "has no call" in terminal.refused("hang-up", job["job_id"], "--yes")


def test_release_stuck_releases_the_job_of_a_worker_that_is_gone(terminal: Terminal) -> None:
    terminal.type("hold")  # the released job must not be dialled
    batch = terminal.import_contacts(1, "stuck", "--paused")
    job = terminal.jobs(batch)[0]["job_id"]
    past = datetime.now(UTC) - timedelta(hours=1)
    left = {"status": "in_progress", "reserved_until": past, "claim_token": "gone", "worker_id": "w@x:1"}
    assert terminal.ask("release-stuck", "--older-than", "5m", "--dry-run")["released"] == 0
    terminal.database.jobs.update_one({"job_id": job}, {"$set": left})
    # A worker may recover the job before the command does; either way it becomes pending once.
    answer = terminal.ask("release-stuck", "--older-than", "5m")
    assert answer["released"] + answer["moved_meanwhile"] <= 1
    terminal.until(lambda: terminal.ask("job", job)["status"] == "pending")


# -- accounts ------------------------------------------------------------------------------------------------


def test_no_call_is_placed_for_a_suspended_account(terminal: Terminal) -> None:
    terminal.database.accounts.insert_one(
        {"account_id": "acc-blue", "status": "active", "plan_type": "unlimited"}
    )
    terminal.type("suspend-account", "acc-blue", "--reason", "unpaid")
    batch = terminal.import_contacts(1, "unpaid", "--account", "acc-blue")
    shown = terminal.ask("explain", terminal.jobs(batch)[0]["job_id"])
    assert not next(check for check in shown["checks"] if check["name"] == "account")["passed"]
    assert "acc-blue" in terminal.type("doctor")
    assert terminal.ask("ids", "account", "acc-b")["ids"] == ["acc-blue"]
    assert terminal.ask("resume-account", "acc-bl")["status"] == "active"
    terminal.a_live_call(batch)


# -- forecast, diagnosis, history ----------------------------------------------------------------------------


def jobs_of_paused_batches(terminal: Terminal) -> int:
    """Their number in the forecast, with those of other tests' batches."""
    skipped = terminal.ask("forecast")["skipped"]
    return sum(int(row["jobs"]) for row in skipped if row["reason"] == "batch_paused")


def test_a_forecast_names_who_would_be_called_when_and_who_not(terminal: Terminal) -> None:
    terminal.type("drain")
    # The window has closed an hour ago, and opens again tomorrow.
    now = datetime.now(UTC)
    closed = f"{now - timedelta(hours=2):%H:%M}-{now - timedelta(hours=1):%H:%M}"
    batch = terminal.import_contacts(4, "later", "--hours", closed, "--timezone", "UTC")
    answer = terminal.ask("forecast", "--batch", batch, "--limit", "3")
    assert len(answer["dials"]) == 3
    assert answer["beyond"] == 1
    assert all(datetime.fromisoformat(row["at"]) > now + timedelta(hours=20) for row in answer["dials"])
    paused_before = jobs_of_paused_batches(terminal)
    terminal.type("pause-batch", batch)
    assert jobs_of_paused_batches(terminal) == paused_before + 4
    # For a paused batch that is named, the forecast shows what resuming it would do.
    assert len(terminal.ask("forecast", "--batch", batch)["dials"]) == 4
    assert f"after speechctl resume-batch {batch}" in terminal.type("forecast", "--batch", batch)
    assert "(nothing is dialled)" in terminal.type("forecast")


def test_doctor_finds_causes_and_their_remedies(terminal: Terminal) -> None:
    terminal.type("drain")
    batch = terminal.import_contacts(2, "orphans", "--paused")
    terminal.type("hold", "--reason", "fire drill")
    terminal.database.jobs.update_many(
        {"batch_id": batch}, {"$set": {"batch_id": "batch-that-does-not-exist"}}
    )
    found = {row["code"]: row for row in terminal.ask("doctor")["findings"]}
    assert {"draining", "held", "orphaned_jobs"} <= set(found)
    assert "fire drill" in found["held"]["evidence"]
    assert "speechctl unhold" in terminal.type("doctor")
    terminal.database.jobs.delete_many({"batch_id": "batch-that-does-not-exist"})
    workers = [row["slot"] for row in terminal.ask("status")["workers"]]
    for name in workers:
        terminal.type("pause-worker", name)
    assert "all_workers_paused" in {row["code"] for row in terminal.ask("doctor")["findings"]}
    for name in workers:
        terminal.type("resume-worker", name)
    terminal.type("scale", "0", "--yes")
    assert "no_workers" in {row["code"] for row in terminal.ask("doctor")["findings"]}
    terminal.type("scale", str(len(workers)))


def test_hold_stops_every_job_and_explain_says_so(terminal: Terminal) -> None:
    batch = terminal.import_contacts(20, "held")
    terminal.a_live_call(batch)
    answer = terminal.ask("hold", "--reason", "fire")
    assert answer["held"]
    calls = len(terminal.simulator.placed_calls())
    terminal.until(lambda: terminal.jobs(batch, "in_progress") == [])
    assert len(terminal.simulator.placed_calls()) == calls
    shown = terminal.ask("explain", terminal.jobs(batch, "pending")[0]["job_id"])
    assert "fire" in shown["sentence"]
    # Under a hold, the forecast shows what unhold would do.
    assert len(terminal.ask("forecast", "--batch", batch)["dials"]) == len(terminal.jobs(batch, "pending"))
    assert "after speechctl unhold" in terminal.type("forecast", "--batch", batch)
    assert terminal.ask("unhold")["was_held"]


def test_events_show_a_call_from_its_dial_to_its_settlement(terminal: Terminal) -> None:
    command = [sys.executable, "-m", "speechctl", "events", "--json", "--socket", str(terminal.daemon.socket)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stream:
        watchdog = threading.Timer(100, stream.kill)
        watchdog.start()
        # Events before the stream begins are not sent; that it has begun is counted like any command.
        begun = 'speechaid_commands_total{command="events",result="done"} 1.0'
        terminal.until(lambda: begun in metrics(terminal))
        batch = terminal.import_contacts(1, "streamed")
        seen = []
        assert stream.stdout is not None
        for line in stream.stdout:
            item = json.loads(line)
            if item.get("batch") == batch:
                seen.append(item["event"])
            if item["event"] == "call.settled" and item.get("batch") == batch:
                break
        watchdog.cancel()
        stream.terminate()
    assert seen[0] == "call.placed"
    assert seen[-1] == "call.settled"


def metrics(terminal: Terminal) -> str:
    """The metrics page of the daemon."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{terminal.ask('status')['metrics']}/metrics", timeout=30) as response:
        return str(response.read().decode())


def test_logs_show_commands_and_a_jobs_history(terminal: Terminal) -> None:
    batch = terminal.import_contacts(1, "logged")
    job = terminal.a_live_call(batch)["job_id"]
    terminal.until(lambda: "call.placed" in terminal.type("logs", "--job", job))
    terminal.until(lambda: "import" in terminal.type("logs", "--commands"))
    first = terminal.ask("logs", "--limit", "2")
    assert len(first["lines"]) == 2
    assert "not a position" in terminal.refused("logs", "--after", "yesterday", status=2)


def test_logs_follow_shows_new_entries(terminal: Terminal) -> None:
    command = [sys.executable, "-m", "speechctl", "logs", "-f", "--commands"]
    command += ["--socket", str(terminal.daemon.socket)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stream:
        watchdog = threading.Timer(100, stream.kill)
        watchdog.start()
        seen = threading.Event()

        def keep_writing() -> None:
            """Entries before the stream begins are not shown: write until one is."""
            while not seen.is_set():
                terminal.type("create-batch", "seen-in-the-log")
                seen.wait(1)

        writer = threading.Thread(target=keep_writing, daemon=True)
        writer.start()
        assert stream.stdout is not None
        followed = any("seen-in-the-log" in line for line in iter(stream.stdout.readline, ""))
        seen.set()
        writer.join(60)
        assert followed
        watchdog.cancel()
        stream.terminate()


def test_a_report_counts_the_calls(terminal: Terminal) -> None:
    batch = terminal.import_contacts(1, "reported")
    terminal.until(lambda: terminal.jobs(batch, "done"))
    assert terminal.ask("report", "--batch", batch)["calls"]["successful"] == 1
    assert "# " in terminal.type("report", "--format", "markdown")
    imports = {row["batch_id"]: row["state"] for row in terminal.ask("imports")["imports"]}
    assert imports[batch] == "done"


def test_a_person_is_forgotten_and_what_is_counted_stays(terminal: Terminal) -> None:
    file = terminal.place / "forgotten.csv"
    file.write_text("nombre,rut,telefono,contrato\nRosa Quilapan,9.876.543-3,+12125550168,ZX-4711\n")
    at_once = ("--name", "forgotten", "--hours", "00:00-24:00", "--start")
    batch = terminal.ask("import", str(file), *at_once)["batch_id"]
    (job,) = terminal.until(lambda: terminal.jobs(batch, "done"))
    before = terminal.ask("report", "--batch", batch)["calls"]

    assert "erased in 1 job and 1 call" in terminal.type("forget", "9876543-3", "--yes")

    shown = terminal.type("job", job["job_id"])
    assert "not stored any more (erased" in shown
    assert "not stored any more" in terminal.ask("explain", job["job_id"])["sentence"]
    assert terminal.ask("report", "--batch", batch)["calls"] == before
    exported = terminal.place / "forgotten-calls.csv"
    terminal.type("export", str(exported), "--batch", batch)
    assert "not stored any more" in exported.read_text(encoding="utf-8-sig")
    names = terminal.database.list_collection_names()
    stored = [repr(document) for name in names for document in terminal.database[name].find({})]
    assert not [text for text in stored if "Quilapan" in text or "2125550168" in text or "ZX-4711" in text]
    assert not [text for text in stored if "9876543" in text or "9.876.543" in text]
    assert "nothing was erased" in terminal.refused("forget", "9876543-3", "--yes")


def test_an_import_waits_is_previewed_and_can_be_taken_back(terminal: Terminal) -> None:
    file = terminal.place / "taken-back.csv"
    file.write_text("nombre,celular,Fono Casa\nAna,+12125550179,+12125550180\n")
    seen = terminal.ask("import", str(file), "--dry-run", "--row", "2", "--map", "Fono Casa=variable")
    assert seen["preview"]["variables"]["Fono Casa"] == "+12125550180"
    answer = terminal.ask("import", str(file), "--hours", "00:00-24:00")
    assert answer["first_calls"]["text"] == "first calls now, 1 person, 2 phones"
    assert [row["status"] for row in terminal.jobs(answer["batch_id"])] == ["pending"]
    assert "1 contact deleted" in terminal.type("undo-import", answer["batch_id"], "--yes")
    assert answer["batch_id"] not in {row["batch_id"] for row in terminal.ask("batches")["batches"]}
    assert not [call for call in terminal.simulator.placed_calls() if "+1212555018" in str(call)]


def test_a_number_on_the_do_not_call_list_is_not_dialled(terminal: Terminal) -> None:
    terminal.type("dnc-add", "+12125550177", "--reason", "asked")
    listed = terminal.place / "listed.csv"
    listed.write_text("telefono\n+12125550178\n")
    terminal.type("dnc-import", str(listed))
    assert "is on the list" in terminal.type("dnc", "+12125550178")
    people = terminal.place / "people.csv"
    people.write_text("nombre,telefono\nUna Persona,+12125550177\nOtra Persona,+12125550178\n")
    at_once = ("--hours", "00:00-24:00", "--start")
    batch = terminal.ask("import", str(people), "--name", "listed", *at_once)["batch_id"]
    terminal.until(lambda: len(terminal.jobs(batch, "cancelled")) == 2)
    assert not [call for call in terminal.simulator.placed_calls() if "+1212555017" in str(call["to_number"])]
    terminal.type("dnc-remove", "+12125550177", "--yes")
    assert "is not on the list" in terminal.type("dnc", "+12125550177")


def test_a_debtor_rings_in_is_found_and_opted_out_of_every_campaign(terminal: Terminal) -> None:
    people = terminal.place / "debtors.csv"
    people.write_text("rut,nombre,telefono\n12.345.678-5,Ana Rojas,+12125550171\n")
    first = terminal.ask("import", str(people), "--name", "march debtors", *not_today())["batch_id"]
    people.write_text("rut,nombre,telefono\n12345678-5,Ana Rojas,+12125550172\n")
    again = ("--name", "april debtors", "--duplicates", "keep", *not_today())
    second = terminal.ask("import", str(people), *again)["batch_id"]
    for typed in ("123456785", "+1 212 555 0172", "ana rojas"):
        shown = terminal.type("person", typed)
        assert "march debtors" in shown
        assert "april debtors" in shown
        assert "next dial:" in shown
        assert "5550171" not in shown
    answer = terminal.type("opt-out", "12.345.678-5", "--reason", "asked on the phone", "--yes")
    assert "2 jobs cancelled of 2" in answer
    assert "opted out: the person" in terminal.type("person", "12.345.678-5")

    # A later file has another number of the same person.
    people.write_text(
        "rut,nombre,telefono\n12.345.678-5,Ana Rojas,+12125550173\n11.111.112-K,Luis Soto,+12125550174\n"
    )
    at_once = ("--name", "may debtors", "--hours", "00:00-24:00", "--start", "--json")
    third = json.loads(terminal.type("import", str(people), *at_once))
    assert third["known"]["counts"] == {"opted_out": 1}
    terminal.until(lambda: terminal.jobs(third["batch_id"], "done"))
    called = {str(call["to_number"]) for call in terminal.simulator.placed_calls()}
    assert "+12125550174" in called
    assert not called & {"+12125550171", "+12125550172", "+12125550173"}
    for batch in (first, second):
        assert len(terminal.jobs(batch, "cancelled")) == 1
    assert "may be called again" in terminal.type("dnc-remove", "12.345.678-5", "--yes")


def test_who_has_paid_is_not_called_and_the_payment_is_recorded(terminal: Terminal) -> None:
    people = terminal.place / "payers.csv"
    people.write_text(
        "rut,nombre,telefono\n1.111.111-4,Eva Luna,+12125550181\n2.222.222-8,Juan Paz,+12125550182\n"
    )
    batch = terminal.ask("import", str(people), "--name", "paying", *not_today())["batch_id"]
    assert "1 waiting job cancelled" in terminal.type(
        "paid", "1.111.111-4", "--amount", "25000", "--note", "web"
    )
    payers = terminal.place / "paid.csv"
    payers.write_text("1.111.111-4\n22222228\n9.999.999-3\n")
    dry = terminal.type("paid", "--file", str(payers), "--dry-run")
    assert "1 waiting job would be cancelled" in dry
    shown = terminal.type("paid", "--file", str(payers))
    assert "paid.csv: 2 people recorded as paid" in shown
    assert "line 3: 9.999.999-3" in shown
    assert len(terminal.jobs(batch, "cancelled")) == 2
    assert "cancelled: paid; paid 25,000" in terminal.type("person", "1.111.111-4")
    assert "was recorded as paid before" in terminal.type("paid", "--file", str(payers))


def test_results_are_exported_to_a_file_and_promises_listed(terminal: Terminal) -> None:
    batch = terminal.import_contacts(1, "exported")
    terminal.until(lambda: terminal.jobs(batch, "done"))
    file = terminal.place / "calls.csv"
    terminal.type("export", str(file), "--batch", batch)
    assert len(file.read_text(encoding="utf-8-sig").splitlines()) == 2
    assert terminal.ask("promises", "--batch", batch)["limit"]


def test_what_retell_has_is_listed_and_compared_with_a_batch(terminal: Terminal) -> None:
    batch = terminal.import_contacts(1, "compared", "--paused")
    agents, numbers = terminal.ask("agents"), terminal.ask("numbers")
    assert agents["agents"]
    assert numbers["numbers"]
    assert terminal.ask("check-agent", "--batch", batch)["jobs"] == 1
    terminal.type("cancel-batch", batch, "--yes")


def test_calling_rules_are_shown_and_a_file_of_ones_own_is_checked(
    terminal: Terminal, tmp_path: Path
) -> None:
    packs = terminal.ask("packs")
    assert not packs["enforced"]
    chile = next(row for row in packs["packs"] if (row["country"], row["purpose"]) == ("CL", "collection"))
    assert terminal.ask("pack", "cl", "collection")["pack"]["hash"] == chile["hash"]
    assert "refuse no call" in terminal.type("pack", "CL", "collection")
    assert "countries with a pack: AR, CL" in terminal.refused("pack", "UY", "collection")
    file = tmp_path / "mine.toml"
    mine = 'kind = "overlay"\nformat = 1\ncountry = "CL"\npurpose = "collection"\n'
    file.write_text(mine + "closed_days = [6]\n")
    checked = terminal.ask("check-pack", str(file))
    assert checked["valid"]
    assert checked["pack"]["windows"] == "Mon-Fri 08:00-20:00"
    file.write_text(mine + "closed_days = [8]\n")
    assert "closed_days: 8; allowed" in terminal.type("check-pack", str(file))
    file.write_text(mine + "closed_days = [6]\n")
    assert "in force on every host" in terminal.type("set-pack", str(file), "--yes")
    assert terminal.ask("pack", "CL", "collection")["pack"]["windows"] == "Mon-Fri 08:00-20:00"
    terminal.type("set-pack", "--shipped", "--yes")
    assert "no job is of that person" in terminal.type("evidence", "11.111.111-1")


def test_a_test_call_is_followed_to_its_end_and_stands_in_no_campaign(terminal: Terminal) -> None:
    number = "+12125550188"
    batch = terminal.import_contacts(2, "heard", "--paused")
    assert "not registered" in terminal.refused("test-call", "--to", number, "--batch", batch)
    terminal.type("test-number-add", number, "--note", "my telephone")
    assert "my telephone" in terminal.type("test-numbers")
    shown = terminal.type("test-call", "--to", number, "--batch", batch, "--row", "2")
    assert "variables" in shown
    begun = terminal.ask("test-call", "--to", number, "--batch", batch, "--no-wait")
    terminal.until(lambda: terminal.ask("test-result", begun["test"])["state"] == "over")
    result = terminal.ask("test-result", begun["test"])
    assert result["call"]["agent_id"] == begun["agent_id"]
    calls = [call for call in terminal.simulator.placed_calls() if call["to_number"] == number]
    assert [call["metadata"]["test"] for call in calls] == ["true", "true"]
    assert terminal.ask("report", "--batch", batch)["calls"]["total"] == 0
    assert len(terminal.jobs(batch, "pending")) == 2
    terminal.type("test-number-remove", number)
    terminal.type("cancel-batch", batch, "--yes")


def test_a_call_shows_what_was_said_and_its_recording_is_asked_of_retell(terminal: Terminal) -> None:
    batch = terminal.import_contacts(1, "said")
    (job,) = terminal.until(lambda: terminal.jobs(batch, "done"))
    (call,) = terminal.ask("job", job["job_id"])["calls"]
    assert "variables" in terminal.type("call", call["call_id"])
    assert terminal.ask("call", call["call_id"])["job_id"] == job["job_id"]
    assert terminal.type("recording", call["call_id"]).startswith("https://")
    terminal.simulator.fault("outage", endpoints=["get"])
    assert "Retell cannot be asked" in terminal.refused("recording", call["call_id"])
    terminal.simulator.clear_faults()


def test_a_worker_killed_in_a_test_call_leaves_one_call_and_one_result(terminal: Terminal) -> None:
    number = "+12125550189"
    batch = terminal.import_contacts(1, "killed", "--paused")
    terminal.type("test-number-add", number)
    begun = terminal.ask("test-call", "--to", number, "--batch", batch, "--no-wait")

    def slot() -> str | None:
        rows = terminal.ask("status")["workers"]
        return next((row["slot"] for row in rows if row["job"] == begun["test"]), None)

    os.kill(worker_pid(terminal, str(terminal.until(slot))), signal.SIGKILL)
    terminal.until(lambda: terminal.ask("test-result", begun["test"])["state"] == "over")
    calls = [call for call in terminal.simulator.placed_calls() if call["to_number"] == number]
    assert len(calls) <= 1
    assert len(terminal.ask("job", begun["test"])["calls"]) == len(calls)
    terminal.type("test-number-remove", number)
    terminal.type("cancel-batch", batch, "--yes")


def test_firing_alerts_are_listed(terminal: Terminal) -> None:
    terminal.type("hold", "--reason", "drill")
    terminal.import_contacts(1, "held")
    terminal.until(lambda: "DiallingHeld" in terminal.type("alerts"))


# -- completion, usage, nonsense -----------------------------------------------------------------------------


def test_ids_are_completed_from_a_prefix(terminal: Terminal) -> None:
    batch = terminal.ask("create-batch", "completed")["batch_id"]
    assert batch in terminal.ask("ids", "batch", batch[:-2])["ids"]
    assert terminal.ask("ids", "job", "no-such")["ids"] == []


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("sta", "status"),
        ("report --format ", "markdown"),
        ("pause-worker ", "worker-2"),
        ("pause-batch --re", "--reason"),
        ("pause-batch batch-", "batch-"),
    ],
)
def test_bash_completes_commands_options_and_ids(terminal: Terminal, line: str, offered: str) -> None:
    terminal.type("create-batch", "offered")
    script = terminal.type("completion", "bash")
    words = f"speechctl {line}".split(" ")
    array = " ".join(f"'{word}'" for word in words)
    probe = (
        f"COMP_WORDS=({array}); COMP_CWORD={len(words) - 1}; _speechctl; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    environment = {**os.environ, "SPEECHAID_SOCKET": str(terminal.daemon.socket)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"

    def offers() -> bool:
        """After a second without an answer completion offers nothing: it is tried again."""
        done = subprocess.run(
            ["bash", "-c", f"{script}\n{probe}"], env=environment, capture_output=True, text=True, check=True
        )
        return any(word.startswith(offered) for word in done.stdout.splitlines())

    terminal.until(offers)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_for_zsh_and_fish_has_every_command(terminal: Terminal, shell: str) -> None:
    script = terminal.type("completion", shell)
    assert all(name in script for name in COMMANDS)


def test_for_a_misspelt_command_the_right_one_is_suggested(terminal: Terminal) -> None:
    assert "did you mean pause-batch" in terminal.refused("puase-batch", status=2)


# -- users of the HTTP API -----------------------------------------------------------------------------------


def test_users_are_created_changed_and_disabled_and_no_password_is_kept(
    terminal: Terminal, tmp_path: Path
) -> None:
    file, password = tmp_path / "password", "correct horse battery"
    file.write_text(f"{password}\n", encoding="utf-8")
    by_file = ("--password-file", str(file))
    created = terminal.ask("user-add", "Maria", "--role", "viewer", *by_file)
    assert (created["name"], created["role"], created["account_id"]) == ("maria", "viewer", None)
    assert "already" in terminal.refused("user-add", "maria", "--role", "admin", *by_file)
    changes = terminal.ask("user-edit", "maria", "--role", "manager")["changes"]
    assert changes == [{"option": "role", "old": "viewer", "new": "manager"}]
    assert not terminal.ask("user-password", "maria", *by_file)["disabled"]
    assert terminal.ask("user-disable", "maria")["disabled"]
    assert "disabled" in terminal.type("users")
    assert not terminal.ask("user-enable", "maria")["disabled"]
    assert "not logged in" in terminal.type("user-sessions", "maria")
    assert terminal.ask("user-logout", "maria") == {"user": "maria", "ended": 0}
    assert "no user 'nobody'" in terminal.refused("user-disable", "nobody")
    terminal.until(
        lambda: len([line for line in recorded_commands(terminal) if line["command"] == "user-add"]) == 2
    )
    assert password not in json.dumps(terminal.ask("logs", "--limit", "1000"))
    assert password not in terminal.daemon.log.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("too short", "at least 12"),
        ("some.long.name", "the user's name"),
        ("two\nlines", "one line"),
        ("", "one line"),
    ],
)
def test_a_password_that_will_not_do_is_refused_and_not_quoted(
    terminal: Terminal, tmp_path: Path, password: str, why: str
) -> None:
    file = tmp_path / "password"
    file.write_text(password, encoding="utf-8")
    shown = terminal.refused(
        "user-add", "some.long.name", "--role", "viewer", "--password-file", str(file), status=2
    )
    assert why in shown
    assert "some.long.name" not in [user["name"] for user in terminal.ask("users")["users"]]
    assert "too short" not in shown


def test_without_a_terminal_a_password_must_come_from_a_file(terminal: Terminal) -> None:
    assert "--password-file" in terminal.refused("user-add", "luis", "--role", "admin", status=2)


def test_a_token_is_shown_once_and_revoked_for_good(terminal: Terminal) -> None:
    created = terminal.ask("token-add", "crm", "--role", "viewer", "--expires", "90d")
    assert created["token"].startswith("spt_")
    assert "valid" in terminal.type("tokens")
    assert created["token"] not in json.dumps(
        [terminal.ask("tokens"), terminal.ask("logs", "--limit", "1000")]
    )
    assert created["token"] not in terminal.daemon.log.read_text(encoding="utf-8")
    assert terminal.ask("token-revoke", "crm") == {"name": "crm", "was_valid": True}
    assert "take another name" in terminal.refused("token-add", "crm", "--role", "viewer")
    assert "revoked" in terminal.type("tokens")


def recorded_commands(terminal: Terminal) -> list[Document]:
    lines: list[Document] = terminal.ask("logs", "--commands", "--limit", "1000")["lines"]
    return lines


def test_malformed_messages_get_an_error_each_and_the_daemon_goes_on_calling(terminal: Terminal) -> None:
    # python -m tests.fuzz.control --messages 100000 does this with more messages.
    batch = terminal.import_contacts(20, "meanwhile")
    findings = fuzz(terminal.daemon.socket, 3_000, seed=7, warm_up=2_000)
    assert findings.wrong == []
    assert findings.grown_kb < 16 * 1024
    assert len(findings.answers) >= 6
    terminal.until(lambda: terminal.jobs(batch, "done"))


def test_every_command_of_the_table_occurs_in_the_acceptance_tests() -> None:
    here = Path(__file__).parent
    typed = "".join(path.read_text(encoding="utf-8") for path in sorted(here.glob("test_*.py")))
    assert [name for name in COMMANDS if f'"{name}"' not in typed] == []
