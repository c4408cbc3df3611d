"""One job as every contender runs it: create, get, and the durable writes.

Needs pymongo and requests alone: it runs in the peers' environment too. What is written is a choice:

``same``    the durable writes that speechaid makes, one for one, of the same shape
``least``   those that no careful program could do without
``plain``   what a program writes that leaves durability to its queue: the job's end and the result

``same`` and ``least`` are written with majority and journal, ``plain`` as the driver does by itself.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import random
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.write_concern import WriteConcern

Document = dict[str, Any]

AUTHORIZATION = "Bearer key_of_the_benchmark"
#: The writes of each variant. ``benchmarks.commands_per_job`` shows what speechaid writes.
STEPS = {
    "same": frozenset({"claim", "intent", "account_entry", "call_id", "result", "account", "job"}),
    "least": frozenset({"claim", "intent", "call_id", "result", "account", "job"}),
    "plain": frozenset({"result", "job"}),
}
SUMMARY = (
    *("call_status", "disconnection_reason", "duration_ms", "start_timestamp", "end_timestamp", "call_cost"),
    *("call_analysis", "recording_url", "public_log_url", "transcript", "collected_dynamic_variables"),
)


class HttpClient(Protocol):
    """Retell through one HTTP library."""

    def ask(self, verb: str, path: str, body: Document | None) -> Document:
        """Send one request; returns the answer's document."""


class RequestsClient:
    """With ``requests``, as nearly every program does."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._session = requests.Session()
        self._session.headers["Authorization"] = AUTHORIZATION

    def ask(self, verb: str, path: str, body: Document | None) -> Document:
        answer = self._session.request(verb, self._base_url + path, json=body, timeout=10)
        answer.raise_for_status()
        document: Document = answer.json()
        return document


class BareClient:
    """With the standard library only, without handling faults."""

    def __init__(self, base_url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=10)

    def ask(self, verb: str, path: str, body: Document | None) -> Document:
        headers = {"Authorization": AUTHORIZATION, "Content-Type": "application/json"}
        self._connection.request(verb, path, None if body is None else json.dumps(body), headers)
        answer = self._connection.getresponse()
        document: Document = json.loads(answer.read())
        assert answer.status < 300
        return document


class WriteMissed(Exception):  # noqa: N818 - a condition of the data
    """A write matched nothing: another process was quicker."""


class JobRunner:
    """One worker's connections, and what it does with a job."""

    def __init__(
        self, *, uri: str, database: str, base_url: str, writes: str, http: str, poll_seconds: float
    ) -> None:
        self._client: MongoClient[Document] = MongoClient(uri, tz_aware=True, serverMonitoringMode="poll")
        durable = WriteConcern("majority", j=True, wtimeout=20_000)
        concern = None if writes == "plain" else durable
        self._database = self._client.get_database(database, write_concern=concern)
        self._retell: HttpClient = BareClient(base_url) if http == "bare" else RequestsClient(base_url)
        self._steps = STEPS[writes]
        self._poll_seconds = poll_seconds
        self.name = f"worker@bench:{os.getpid()}"

    def connect(self) -> None:
        """Open the connection now, and report it by a file."""
        self._client.admin.command("ping")
        if place := os.environ.get("BENCH_PIDS"):
            Path(place, str(os.getpid())).touch()

    def run_any(self) -> bool:
        """Run one of the pending jobs, if there is one; for processes without a queue."""
        found = list(self._table("jobs").find({"status": "pending"}, limit=16))
        for job in random.sample(found, len(found)):
            with contextlib.suppress(WriteMissed):
                self.carry_out(job)
                return True
        return False

    def run(self, job_id: str) -> None:
        """Find the job and run it."""
        job = self._table("jobs").find_one({"job_id": job_id})
        assert job is not None
        self.carry_out(job)

    def carry_out(self, job: Document) -> None:
        """Run one job from claim to settlement."""
        began = time.clock_gettime(time.CLOCK_BOOTTIME)
        token, key = uuid.uuid4().hex, uuid.uuid4().hex
        own = {"_id": job["_id"], "claim_token": token} if "claim" in self._steps else {"_id": job["_id"]}
        body = self._body(job, key, began)
        self._before(job, own, token=token, key=key, body=body)
        call_id = str(self._retell.ask("POST", "/v2/create-phone-call", body)["call_id"])
        now = datetime.now(UTC)
        placed = {"dial.call_id": call_id, "dial.placed_at": now, "call_id": call_id, "call_started_at": now}
        self._write("call_id", "jobs", own, {"$set": {**placed, "crashes": 0, "updated_at": now}})
        call = self._follow(call_id)
        self._after(job, own, key=key, call=call)

    # -- Retell ------------------------------------------------------------------------------------------

    def _body(self, job: Document, key: str, began: float) -> Document:
        payload, pids = job["payload"], [os.getpid(), os.getppid()]
        return {
            "from_number": "+12125550100",
            "to_number": job["contact"]["phones"][0],
            "override_agent_id": "agent_bench",
            "retell_llm_dynamic_variables": {
                **{name: str(value) for name, value in payload.items()},
                "nombre": job["contact"]["name"],
                "RUT": job["contact"]["dni"],
                "empresa": payload["company_name"],
                "monto_total": str(payload["debt_amount"]),
                "fecha_limite": payload["due_date"],
                "tipo_llamada": "cobranza",
            },
            "metadata": {"job_id": job["job_id"], "dial_key": key, "began": began, "pids": pids},
            "idempotency_key": key,
        }

    def _follow(self, call_id: str) -> Document:
        while True:
            time.sleep(self._poll_seconds)
            call = self._retell.ask("GET", f"/v2/get-call/{call_id}", None)
            if call["call_status"] in {"ended", "not_connected", "error"}:
                return call

    # -- writes ------------------------------------------------------------------------------------------

    def _before(self, job: Document, own: Document, *, token: str, key: str, body: Document) -> None:
        """The writes before the call may be placed."""
        now = datetime.now(UTC)
        lease = now + timedelta(seconds=120)
        held = {"status": "in_progress", "worker_id": self.name, "claim_token": token}
        claim = {**held, "reserved_until": lease, "started_at": now, "updated_at": now, "revision": 1}
        self._write("claim", "jobs", {"_id": job["_id"], "status": "pending"}, {"$set": claim})
        dial = {
            "key": key,
            "number": body["to_number"],
            "phone_index": 0,
            "attempt": 0,
            "intent_at": now,
            "body": json.dumps(body, separators=(",", ":")),
            "api_key_fingerprint": "0123456789ab",
            "account_id": job["account_id"],
            "batch_id": job["batch_id"],
        }
        intent = {"$set": {"dial": dial, "updated_at": now}, "$inc": {"revision": 1}}
        self._write("intent", "jobs", {**own, "dial": None}, intent)
        account = {"account_id": job["account_id"]}
        held_back = {"key": key, "job_id": job["job_id"], "minutes": 3.0, "credit": 0.0, "at": now}
        reserved = {"minutes_reserved": 3.0, "ledger_revision": 1}
        change = {"$push": {"open_dials": held_back}, "$inc": reserved}
        self._write("account_entry", "accounts", {**account, "open_dials.key": {"$ne": key}}, change)

    def _after(self, job: Document, own: Document, *, key: str, call: Document) -> None:
        """The writes after the call has ended."""
        now = datetime.now(UTC)
        minutes, cost = call["duration_ms"] / 60_000, call["call_cost"]["combined_cost"] / 100
        result, changes = self._result(job, key, call, now), self._changes(call, now)
        sums = {"total_cost": cost, "total_minutes": minutes}
        decided = {"outcome": "answered", "status": "done", "charge": {"minutes": minutes}}
        result |= {"decision": decided, "batch_due": {"batch_id": job["batch_id"], **sums}}
        if "result" in self._steps:
            self._table("call_results").insert_one(dict(result))
        used = {"minutes_used": minutes, "calls_today": 1, "ledger_revision": 1}
        account = {"account_id": job["account_id"]}
        settled: Document = {"$set": {"updated_at": now}}
        if "account_entry" in self._steps:
            account["open_dials.key"] = key
            settled["$pull"] = {"open_dials": {"key": key}}
            used["minutes_reserved"] = -3.0
        self._write("account", "accounts", account, settled | {"$inc": used})
        done = {"$set": changes, "$unset": {"claim_token": "", "dial": ""}, "$inc": {"revision": 1}}
        self._write("job", "jobs", own, done)

    def _result(self, job: Document, key: str, call: Document, now: datetime) -> Document:
        contact = {"name": job["contact"]["name"], "dni": job["contact"]["dni"]}
        return {
            "call_id": call["call_id"],
            "job_id": job["job_id"],
            "contact": {**contact, "phone_used": call["to_number"]},
            "call_data": call,
            "call_status": call["call_status"],
            "duration_ms": call["duration_ms"],
            "is_successful": True,
            "created_at": now,
            "dial_key": key,
            "batch_id": job["batch_id"],
            "account_id": job["account_id"],
            "attempt": 0,
            "outcome": "answered",
            "worker": self.name,
        }

    @staticmethod
    def _changes(call: Document, now: datetime) -> Document:
        summary = {name: call[name] for name in SUMMARY if name in call}
        return {
            "status": "done",
            "attempts": 0,
            "completed_at": now,
            "finished_at": now,
            "updated_at": now,
            "call_id": call["call_id"],
            "call_ended_at": now,
            "call_duration_seconds": call["duration_ms"] / 1000,
            "call_result": {"success": True, "status": "answered", "summary": summary, "timestamp": now},
            "last_outcome": "answered",
        }

    def _write(self, step: str, collection: str, query: Document, change: Document) -> None:
        """Make a durable write, if the variant has it; matching nothing is an error."""
        if step not in self._steps:
            return
        if self._table(collection).update_one(query, change).matched_count != 1:
            raise WriteMissed(f"{step}: {query}")

    def _table(self, name: str) -> Collection[Document]:
        return self._database[name]


@functools.cache
def _caller(_pid: int) -> JobRunner:
    return JobRunner(
        uri=os.environ["BENCH_URI"],
        database=os.environ["BENCH_DATABASE"],
        base_url=os.environ["BENCH_RETELL"],
        writes=os.environ["BENCH_WRITES"],
        http=os.environ.get("BENCH_HTTP", "requests"),
        poll_seconds=float(os.environ["BENCH_POLL_SECONDS"]),
    )


def caller() -> JobRunner:
    """The worker of this process, from its environment; a forked child creates a new one."""
    return _caller(os.getpid())


def read_jobs(path: str) -> list[str]:
    """The names of jobs in a file, one a line."""
    return Path(path).read_text(encoding="ascii").split()
