"""A real Prometheus with a whole daemon: counts, the dashboard's queries, and alerts.

All tests share one campaign during which workers are killed. Then faults are caused one after the other; each
must raise its alert in the daemon and in Prometheus, and clear.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from speechaid.demo.contacts import IMPORT_OPTIONS, contacts
from speechaid.demo.daemon import DaemonProcess
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.demo.simulator.settings import TYPICAL_ODDS
from speechaid.embedded.database import EmbeddedDatabase
from speechaid.model.states import Outcome
from speechaid.rules.alerting import Thresholds
from speechaid.rules.alerts import ALERTS
from speechaid.settings import DatabaseSettings, get_settings
from speechaid.store.connection import Store, connect
from speechaid.telemetry.alert_rules import RULES_FILE, rules_file
from tests.support.prometheus import Prometheus, Wire, tool
from tools.grafana_dashboard import DASHBOARD_FILE

pytestmark = pytest.mark.timeout(600)

DEADLINE_SECONDS = 120.0
JOBS = 40
WORKERS = 6
KILLS = 8
#: Factor for all times of alerts: half an hour becomes 36 s.
PATIENCE = 0.02


def until(condition: Callable[[], object], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)


#: Numbers that are used once.
_numbers = itertools.count()


class WebhookReceiver:
    """Records the alerts that the webhook posts."""

    def __init__(self) -> None:
        #: Alert and state, in order.
        self.received: list[tuple[str, str]] = []
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                received.append((body["alert"], body["state"]))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/alerts"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass(kw_only=True)
class Scene:
    """Daemon, simulator, database and Prometheus of one run."""

    daemon: DaemonProcess
    simulator: SimulatorProcess
    store: Store
    wire: Wire
    prometheus: Prometheus
    webhook: WebhookReceiver
    log: Path
    batch_id: str = ""
    killed: set[int] = field(default_factory=set)
    hung: set[int] = field(default_factory=set)

    def workers(self) -> list[dict[str, Any]]:
        return list(self.daemon.ask("status")["workers"])

    def firing(self) -> set[str]:
        """Alerts that fire in the daemon."""
        return {row["alert"] for row in self.daemon.ask("alerts")["firing"]}

    def jobs(self) -> dict[str, int]:
        return self.store.jobs.counts()

    def insert(self, job_id: str, **fields: Any) -> None:
        contact = {"name": "Ana", "phones": ["+56911111111"], "next_phone_index": 0}
        later = self.store.now() + timedelta(hours=1)
        standard = {"status": "pending", "reserved_until": later, "created_at": self.store.now()}
        self.store.jobs.insert_many([{"job_id": job_id, "contact": contact, **standard, **fields}])

    def remove(self, job_id: str) -> None:
        self.store.jobs.table.delete({"job_id": job_id})

    def change_batch(self, batch_id: str, **fields: Any) -> None:
        assert self.store.batches.table.update({"batch_id": batch_id}, {"$set": fields})

    def kill_one(self, states: set[str]) -> None:
        """SIGKILL a worker in one of these states, once there is one."""
        until(lambda: self._killed_one(states), f"a worker that is {states}")
        until(lambda: self.daemon.ask("status")["supervisor"]["present"] == WORKERS, "its successor")

    def _killed_one(self, states: set[str]) -> bool:
        for row in self.workers():
            if row["state"] in states and row["pid"] not in self.killed:
                os.kill(row["pid"], signal.SIGKILL)
                self.killed.add(row["pid"])
                return True
        return False

    def freeze_one(self) -> None:
        """SIGSTOP a worker: it hangs, and the supervisor kills it after the deadline of its last beat.

        The deadline is about a second and a poll for a worker between two polls, and forty seconds for one in
        a database operation, so a test must wait for the end of the process.
        """
        until(self._froze_one, "a worker that follows a call or is idle")

    def _froze_one(self) -> bool:
        for row in self.workers():
            if row["state"] in {"following", "idle"} and row["pid"] not in self.killed | self.hung:
                os.kill(row["pid"], signal.SIGSTOP)
                self.hung.add(row["pid"])
                return True
        return False


def variables(place: Path, uri: str, simulator: SimulatorProcess, webhook: WebhookReceiver) -> dict[str, str]:
    return {
        "MONGO_URI": uri,
        "RETELL_API_KEY": simulator.api_key,
        "RETELL_BASE_URL": simulator.base_url,
        "RETELL_AGENT_ID": "agent_test",
        "RETELL_FROM_NUMBER": "+12125550100",
        "RETELL_TIMEOUT_SECONDS": "5",
        "WORKER_COUNT": str(WORKERS),
        "LEASE_SECONDS": "10",
        "MAX_ATTEMPTS": "2",
        "RETRY_DELAY_MINUTES": "0.02",
        "NO_ANSWER_RETRY_MINUTES": "0.03",
        "CALL_POLLING_INTERVAL": "0.2",
        "CALL_LIST_INTERVAL": "0.1",
        "POLL_TIMEOUT_SECONDS": "30",
        "SPEECHAID_TEMPORARY_RETRY_MIN_SECONDS": "1",
        "SPEECHAID_TEMPORARY_RETRY_MAX_SECONDS": "2",
        "SPEECHAID_BEAT_GRACE_SECONDS": "1",
        "SPEECHAID_RESPAWN_MAX_SECONDS": "5",
        "SPEECHAID_MAX_JOB_CRASHES": "50",
        "SPEECHAID_STATE_DIR": str(place / "state"),
        "SPEECHAID_ALERT_PATIENCE": str(PATIENCE),
        "SPEECHAID_ALERT_BACKLOG_JOBS": "3",
        "SPEECHAID_ALERT_STUCK_SECONDS": "2",
        "SPEECHAID_ALERT_SUCCESS_CALLS": "5",
        "SPEECHAID_ALERT_STALLED_MINUTES": "0.1",
        "SPEECHAID_ALERT_WEBHOOK_URL": webhook.url,
        "SPEECHAID_ANALYSIS_FIRST_SECONDS": "1",
        "SPEECHAID_LOG_FILE": str(place / "speechaid.log"),
        "SPEECHAID_LOG_FORMAT": "json",
    }


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """The daemon after a campaign with crashes, scraped by Prometheus from the start."""
    tool("prometheus")
    place = Path(f"/tmp/sa-{secrets.token_hex(4)}")
    place.mkdir(mode=0o700)
    odds = {reason: weight for reason, weight in TYPICAL_ODDS.items() if reason != "user_requested_dnc"}
    with ExitStack() as leaving:
        leaving.callback(shutil.rmtree, place)
        database = EmbeddedDatabase(place / "database")
        uri = database.start()
        leaving.callback(database.stop)
        port = int(re.findall(r":(\d+)", uri)[-1])
        wire = Wire(port)
        store = connect(DatabaseSettings(), uri=uri)
        leaving.callback(store.close)
        simulator = leaving.enter_context(SimulatorProcess(speed=60.0, seed=5, odds=odds))
        webhook = WebhookReceiver()
        leaving.callback(webhook.close)
        uri_of_wire = uri.replace(f":{port}", f":{wire.port}")
        settings = variables(place, uri_of_wire, simulator, webhook)
        daemon = DaemonProcess(place, settings)
        leaving.callback(daemon.stop)
        daemon.start()
        thresholds = Thresholds.read(get_settings(settings, env_file=None).alerts)
        target = daemon.ask("status")["metrics"]
        prometheus = Prometheus(place / "prometheus", target, rules_file(thresholds))
        prometheus.start()
        leaving.callback(prometheus.stop)
        until(lambda: prometheus.value("speechaid_workers_present") == WORKERS, "the first scrape")
        running = Scene(
            daemon=daemon,
            simulator=simulator,
            store=store,
            wire=wire,
            prometheus=prometheus,
            webhook=webhook,
            log=place / "speechaid.log",
        )
        campaign(running)
        yield running


def campaign(scene: Scene) -> None:
    """Run a campaign while workers are killed and one hangs."""
    account = {"account_id": "acc-1", "plan_type": "minutes_based", "minutes_purchased": 9000}
    scene.store.accounts.table.insert({**account, "status": "active"})
    sent = {"filename": "contacts.csv", "name": "campaign", "country": "CL", "account": "acc-1"}
    scene.batch_id = scene.daemon.ask("import", contacts(JOBS), **sent, **IMPORT_OPTIONS)["batch_id"]
    states = [{"following"}, {"dialling"}, {"settling"}, {"following"}]
    for number in range(KILLS):
        scene.kill_one(states[number % len(states)])
        # As logrotate does, without a signal to the daemon.
        with contextlib.suppress(FileNotFoundError):  # no line was written since the last rotation
            scene.log.rename(f"{scene.log}.{number}")
    scene.freeze_one()
    until(lambda: set(scene.jobs()) <= {"done", "failed"}, "the campaign's end")
    until(lambda: not scene.hung & {row["pid"] for row in scene.workers()}, "the end of the frozen worker")


# -- counts ------------------------------------------------------------------------------------------------


def test_counters_equal_the_simulators_calls_and_the_database_exactly(scene: Scene) -> None:
    placed_calls = scene.simulator.placed_calls()
    results = scene.store.results.aggregate([{"$match": {}}])
    connected = [row for row in results if row["connected"]]
    served = [row for row in results if row["outcome"] in {Outcome.ANSWERED, Outcome.CALLBACK_REQUESTED}]
    assert len(placed_calls) == len(results) > JOBS
    ask = scene.prometheus

    def counted() -> dict[str, object]:
        restarts = ask.by("cause", "speechaid_worker_restarts_total")
        return {
            "placed": ask.value("speechaid_calls_placed_total"),
            "outcomes": ask.by("outcome", "speechaid_calls_ended_total"),
            "succeeded": ask.value("speechaid_calls_succeeded_total"),
            "connected": ask.value("speechaid_call_duration_seconds_count"),
            "seconds": round(ask.value("speechaid_call_duration_seconds_sum") or 0, 3),
            "jobs": ask.by("status", "speechaid_jobs"),
            "killed": restarts.get("killed", 0) + restarts.get("never_ready", 0),
            "hung": restarts.get("hung"),
        }

    expected: dict[str, object] = {
        "placed": len(placed_calls),
        "outcomes": dict(Counter(row["outcome"] for row in results)),
        "succeeded": len(served),
        "connected": len(connected),
        "seconds": round(sum(row["duration_ms"] for row in connected) / 1000, 3),
        "jobs": scene.jobs(),
        "killed": len(scene.killed),
        "hung": len(scene.hung),
    }
    deadline = time.monotonic() + 30
    while (actual := counted()) != expected and time.monotonic() < deadline:
        time.sleep(0.5)  # the next scrape, and the next count
    assert actual == expected


def test_every_conversation_got_its_analysis(scene: Scene) -> None:
    def waiting() -> int:
        return scene.store.results.table.count({"analysis_wait": {"$exists": True}})

    until(lambda: not waiting(), "the last analysis")
    conversations = scene.store.results.aggregate([{"$match": {"connected": True}}])
    assert conversations
    assert all("call_analysis" in row["call_data"] for row in conversations)
    added = partial(scene.prometheus.by, "result", "speechaid_analyses_total")
    until(lambda: 0 < added().get("added", 0) <= len(conversations), "its count")
    report = scene.daemon.ask("report")["analyses"]
    assert (report["calls"], report["waiting"]) == (len(conversations), 0)
    shown = scene.daemon.ask("job", job=conversations[0]["job_id"])
    assert all("user_sentiment" in call["analysis"] for call in shown["calls"] if call["duration_ms"])


def test_the_rotated_log_of_all_processes_is_complete_and_has_no_phone_number(scene: Scene) -> None:
    files = sorted(scene.log.parent.glob("speechaid.log*"))
    assert len(files) > 2
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    lines = [json.loads(line) for line in text.splitlines()]
    assert {line.get("worker") for line in lines} >= {f"worker-{n}" for n in range(1, WORKERS + 1)}
    placed = {(line["job"], line["call"]) for line in lines if line["event"] == "call.placed"}
    results = {(row["job_id"], row["call_id"]) for row in scene.store.results.aggregate([{"$match": {}}])}
    # A worker that was killed right after Retell's answer could not log it.
    assert len(placed & results) >= len(results) - len(scene.killed) - 1
    for call in scene.simulator.placed_calls():
        assert call["to_number"] not in text
        assert call["to_number"].lstrip("+") not in text


def test_every_retry_and_rotation_is_one_step_of_a_recorded_call(scene: Scene) -> None:
    ask = scene.prometheus
    steps = ask.by("cause", "speechaid_next_steps_total")
    assert sum(ask.by("cause", "speechaid_rotations_total").values()) == steps["rotated"]
    retried = sum(ask.by("cause", "speechaid_retries_total").values())
    assert retried == steps.get("retry", 0) + steps.get("temporary", 0) + steps.get("blocked", 0)
    assert (ask.value("sum(speechaid_recoveries_total)") or 0) > 0


def test_promtool_accepts_metrics_rules_and_their_tests(scene: Scene) -> None:
    promtool = tool("promtool")
    target = scene.daemon.ask("status")["metrics"]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{target}/metrics", timeout=30) as response:
        page = response.read()
    for command, text in (
        (["check", "metrics"], page),
        (["check", "rules", str(RULES_FILE)], b""),
        (["test", "rules", "alerts_test.yml"], b""),
    ):
        ran = subprocess.run(
            [promtool, *command], input=text, capture_output=True, cwd=RULES_FILE.parent, check=False
        )
        assert (ran.returncode, ran.stderr.decode()) == (0, ""), ran.stdout.decode()


def test_every_alert_has_a_rule_test() -> None:
    text = (RULES_FILE.parent / "alerts_test.yml").read_text(encoding="utf-8")
    for name in ALERTS:
        assert f"'{name}: " in text, f"{name} has no test in alerts_test.yml"


# -- the dashboard -----------------------------------------------------------------------------------------


#: Panels without data as long as nothing is wrong.
EMPTY_WITHOUT_FAULTS = {"Database faults", "Alerts that fire", "Requeued undialled"}


def test_every_panel_of_the_dashboard_has_data(scene: Scene) -> None:
    until(lambda: scene.prometheus.query("speechaid_retell_concurrency_limit"), "Retell's limit")
    panels = [panel for panel in json.loads(DASHBOARD_FILE.read_text())["panels"] if panel["type"] != "row"]
    assert len(panels) > 20
    for panel in panels:
        for target in panel["targets"]:
            expression = replaced(target["expr"])
            ask = scene.prometheus
            rows = ask.query(expression) if target["instant"] else ask.range_query(expression, 300)
            assert rows or panel["title"] in EMPTY_WITHOUT_FAULTS, f"{panel['title']}: {expression}"


def replaced(expression: str) -> str:
    """The query as Grafana would send it."""
    for variable, value in {
        "$job": "speechaid",
        "$instance": ".*",
        "$__rate_interval": "60s",
        "$__range": "300s",
    }.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression
    return expression


# -- alerts ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault, the alerts that it must raise, and how it is undone."""

    alerts: tuple[str, ...]
    cause: Callable[[Scene], object]
    #: Repeated until the alerts fire, for a fault that would pass before Prometheus scrapes it.
    repeat: Callable[[Scene], object] = lambda _: None
    undo: Callable[[Scene], object] = lambda _: None
    #: Code of the doctor's finding.
    finding: str | None = None


def no_worker_and_a_lapsed_lease(scene: Scene) -> None:
    scene.daemon.ask("scale", count=0)
    until(lambda: not scene.workers(), "the end of all workers")
    past = scene.store.now() - timedelta(seconds=600)
    scene.insert("job-stuck", status="in_progress", reserved_until=past, claim_token="lost")


def workers_again(scene: Scene) -> None:
    scene.daemon.ask("scale", count=WORKERS)
    until(lambda: scene.daemon.ask("status")["supervisor"]["present"] == WORKERS, "the fleet")
    until(lambda: (job := scene.store.jobs.get("job-stuck")).status != "in_progress" and job, "its return")
    scene.remove("job-stuck")


def a_backlog_that_no_worker_can_claim(scene: Scene) -> None:
    """An index of another program allows one of these jobs in progress, and there is one."""
    jobs = scene.store.jobs.table
    only = {"twin": True, "status": "in_progress"}
    jobs.create_index([("twin", 1)], name="twins", unique=True, partialFilterExpression=only)
    scene.insert("job-backlog-0", status="in_progress", claim_token="t", twin=True)
    for number in range(1, 7):
        scene.insert(f"job-backlog-{number}", reserved_until=None, twin=True)


def held_while_a_job_waits(scene: Scene) -> None:
    scene.daemon.ask("hold", reason="a test")
    scene.insert("job-held", reserved_until=None)


def released(scene: Scene) -> None:
    scene.remove("job-held")
    scene.daemon.ask("unhold")


def numbers_that_retell_refuses(scene: Scene) -> None:
    """Three more dead numbers: more than the calls that ended meanwhile, in the end."""
    for _ in range(3):
        number = f"+5694444{next(_numbers):04d}"
        contact = {"name": "Ana", "phones": [number], "next_phone_index": 0}
        scene.insert(f"job-{number}", contact=contact, reserved_until=None)


def no_backlog(scene: Scene) -> None:
    for number in range(7):
        scene.remove(f"job-backlog-{number}")
    scene.store.jobs.table.drop_index("twins")


def nobody_answers(scene: Scene) -> None:
    scene.simulator.script({"*": ["dial_no_answer"]})
    sent = {"filename": "contacts.csv", "name": "unanswered", "country": "CL"}
    scene.daemon.ask("import", contacts(6), **sent, **IMPORT_OPTIONS)


def an_account_nearly_empty(scene: Scene) -> None:
    scene.store.accounts.table.update({"account_id": "acc-1"}, {"$set": {"minutes_purchased": 0}})
    scene.insert("job-poor", batch_id=scene.batch_id, account_id="acc-1")


def an_account_topped_up(scene: Scene) -> None:
    scene.store.accounts.table.update({"account_id": "acc-1"}, {"$set": {"minutes_purchased": 90_000}})


def polls_that_retell_refuses(scene: Scene) -> None:
    scene.simulator.fault("unauthorized", endpoints=["get"])
    scene.insert("job-unseen", reserved_until=None)


def polls_answered_again(scene: Scene) -> None:
    scene.simulator.clear_faults()
    until(lambda: scene.store.jobs.get("job-unseen").status != "in_progress", "the call's settlement")
    scene.remove("job-unseen")


def a_batch_that_takes_no_counters(scene: Scene) -> None:
    """An index of another program allows the number of its jobs only once."""
    batches, jobs = scene.store.batches.table, scene.store.jobs.table.count({"batch_id": scene.batch_id})
    scene.change_batch(scene.batch_id, twin=True, total_jobs=None)
    batches.insert({"batch_id": "twin", "twin": True, "total_jobs": jobs})
    only = {"twin": True}
    batches.create_index([("total_jobs", 1)], name="twins", unique=True, partialFilterExpression=only)


def counters_allowed_again(scene: Scene) -> None:
    scene.store.batches.table.drop_index("twins")
    scene.store.batches.table.delete({"batch_id": "twin"})


def a_call_while_the_list_fails(scene: Scene) -> None:
    scene.simulator.fault("outage", endpoints=["list"])
    scene.simulator.script({"*": [{"reason": "user_hangup", "endless": True}]})
    scene.insert("job-endless", reserved_until=None)


def the_list_answers_again(scene: Scene) -> None:
    scene.simulator.clear_faults()
    scene.simulator.clear_script()
    scene.daemon.ask("hang-up", job="job-endless", reason="a test")
    until(lambda: scene.store.jobs.get("job-endless").status != "in_progress", "the call's settlement")
    scene.remove("job-endless")


def a_parked_call(scene: Scene) -> None:
    later = scene.store.now() + timedelta(hours=1)
    now = scene.store.now()
    times = dict.fromkeys(("intent_at", "placed_at", "parked_at"), now)
    dial = {"key": "k", "number": "+56922222222", "call_id": "call_lost", "body": "{}", **times}
    scene.insert("job-parked", status="in_progress", reserved_until=later, claim_token="t", dial=dial)


def the_same_worker_dies_again(scene: Scene) -> None:
    row = next(row for row in scene.workers() if row["slot"] == "worker-6")
    if row["pid"] is not None and row["pid"] not in scene.killed and row["state"] != "booting":
        os.kill(row["pid"], signal.SIGKILL)
        scene.killed.add(row["pid"])


FAULTS = [
    Fault(
        alerts=("StuckJobs",), cause=no_worker_and_a_lapsed_lease, undo=workers_again, finding="stuck_jobs"
    ),
    Fault(alerts=("LowSuccessRate",), cause=nobody_answers),
    Fault(alerts=("WorkerHung",), cause=Scene.freeze_one),
    Fault(
        alerts=("WorkersCrashLooping", "WorkersMissing"),
        cause=the_same_worker_dies_again,
        repeat=the_same_worker_dies_again,
        finding="crash_loop",
    ),
    Fault(
        alerts=("PendingBacklog", "NoCallFinished"), cause=a_backlog_that_no_worker_can_claim, undo=no_backlog
    ),
    Fault(
        alerts=("DiallingHeld",),
        cause=held_while_a_job_waits,
        undo=released,
        finding="held",
    ),
    Fault(
        alerts=("DialsRefused",),
        cause=lambda scene: scene.simulator.fault("refusal", wording="number", endpoints=["create"]),
        repeat=numbers_that_retell_refuses,
        undo=lambda scene: scene.simulator.clear_faults(),
    ),
    Fault(
        alerts=("AccountNearlyOutOfCredit",),
        cause=an_account_nearly_empty,
        undo=an_account_topped_up,
        finding="balance_used_up",
    ),
    Fault(
        alerts=("BatchPausedUnexpectedly",),
        cause=lambda scene: scene.change_batch(scene.batch_id, is_active=False),
        undo=lambda scene: scene.change_batch(scene.batch_id, is_active=True),
        finding="batch_paused",
    ),
    Fault(
        alerts=("BatchNotUnderstood",),
        cause=lambda scene: scene.change_batch(
            scene.batch_id, **{"call_settings.allowed_hours": {"start": "9am", "end": "6pm"}}
        ),
        undo=lambda scene: scene.change_batch(scene.batch_id, **{"call_settings.allowed_hours": None}),
        finding="window_fault",
    ),
    Fault(alerts=("PollsRefused",), cause=polls_that_retell_refuses, undo=polls_answered_again),
    Fault(
        alerts=("UnreadableDocuments",),
        cause=lambda scene: scene.insert("job-unreadable", status="pending", reserved_until="soon"),
        undo=lambda scene: scene.remove("job-unreadable"),
        finding="unreadable_documents",
    ),
    Fault(
        alerts=("StepsFailing",),
        cause=a_batch_that_takes_no_counters,
        undo=counters_allowed_again,
        finding="failing_steps",
    ),
    Fault(
        alerts=("ParkedCalls",),
        cause=a_parked_call,
        undo=lambda scene: scene.remove("job-parked"),
        finding="parked_calls",
    ),
    Fault(alerts=("CallListUnusable",), cause=a_call_while_the_list_fails, undo=the_list_answers_again),
    Fault(
        alerts=("Overloaded",),
        cause=lambda scene: setattr(scene.wire, "delay_seconds", 1.2),
        undo=lambda scene: setattr(scene.wire, "delay_seconds", 0.0),
    ),
    Fault(
        alerts=("DatabaseAway",),
        cause=lambda scene: scene.wire.cut(),
        undo=lambda scene: scene.wire.mend(),
        finding="database_away",
    ),
]


def diagnosis(scene: Scene) -> set[str]:
    """The codes of the doctor's findings."""
    return {row["code"] for row in scene.daemon.ask("doctor")["findings"]}


def _all_fire(scene: Scene, fault: Fault, firing: Callable[[], set[str]]) -> bool:
    fault.repeat(scene)
    return set(fault.alerts) <= firing()


def test_every_alert_fires_in_the_daemon_and_in_prometheus_and_clears(scene: Scene) -> None:
    assert {name for fault in FAULTS for name in fault.alerts} == ALERTS.keys()
    until(lambda: not scene.firing() | scene.prometheus.firing(), "the end of earlier alerts")
    for fault in FAULTS:
        expected = set(fault.alerts)
        fault.cause(scene)
        until(partial(_all_fire, scene, fault, scene.firing), f"{expected} in the daemon")
        until(partial(_all_fire, scene, fault, scene.prometheus.firing), f"{expected} in Prometheus")
        exported = scene.prometheus.by("alert", "speechaid_alert_active")
        assert expected <= exported.keys() | scene.firing()
        assert fault.finding is None or fault.finding in diagnosis(scene)
        fault.undo(scene)
    until(lambda: not scene.firing(), f"the end of {scene.firing()} in the daemon")
    until(lambda: not scene.prometheus.firing(), f"the end of {scene.prometheus.firing()} in Prometheus")
    for name in ALERTS:
        # A thread of its own posts to the webhook, so the last message may come a little later.
        until(partial(_is_resolved, scene, name), f"the end of {name} in the webhook")
        states = _posted_states(scene, name)
        assert states == ["firing", "resolved"] * (len(states) // 2), (name, states)


def _posted_states(scene: Scene, name: str) -> list[str]:
    return [state for alert, state in scene.webhook.received if alert == name]


def _is_resolved(scene: Scene, name: str) -> bool:
    return _posted_states(scene, name)[-1:] == ["resolved"]
