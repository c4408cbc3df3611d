"""The script that speechaid replaces, rebuilt from what is known: threads that claim, call and poll.

Claims by find-and-modify in the order of creation, checks batch and account, calls, polls, writes the result,
the job, the account and the batch, each as the driver writes by itself. Its database keeps its jobs; a call
in hand is lost with the process.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from pymongo import ASCENDING, MongoClient, ReturnDocument
from pymongo.database import Database

Document = dict[str, Any]


class CallWorker(threading.Thread):
    """One thread: claim, call, poll, write."""

    def __init__(self, number: int, database: Database[Document]) -> None:
        super().__init__(name=f"bot-{number}", daemon=True)
        self._database = database
        self._session = requests.Session()
        self._session.headers["Authorization"] = "Bearer key_of_the_benchmark"
        self._base_url = os.environ["BENCH_RETELL"]
        self._poll_seconds = float(os.environ["BENCH_POLL_SECONDS"])

    def run(self) -> None:
        while True:
            job = self._claim()
            if job is None:
                time.sleep(1.0)
                continue
            if self._may_call(job):
                self._finish(job, self._call(job))

    def _claim(self) -> Document | None:
        now = datetime.now(UTC)
        active = [batch["batch_id"] for batch in self._database["batches"].find({"is_active": True})]
        due = [{"reserved_until": None}, {"reserved_until": {"$lte": now}}]
        lease = {"worker_id": self.name, "reserved_until": now + timedelta(seconds=120), "started_at": now}
        return self._database["jobs"].find_one_and_update(
            {"status": "pending", "batch_id": {"$in": active}, "$or": due},
            {"$set": {"status": "in_progress", **lease, "updated_at": now}},
            sort=[("created_at", ASCENDING)],
            return_document=ReturnDocument.AFTER,
        )

    def _may_call(self, job: Document) -> bool:
        account = self._database["accounts"].find_one({"account_id": job["account_id"]})
        left = 0.0 if account is None else account["minutes_purchased"] - account["minutes_used"]
        if left > 0:
            return True
        self._database["jobs"].update_one({"_id": job["_id"]}, {"$set": {"status": "suspended"}})
        return False

    def _call(self, job: Document) -> Document:
        variables = {name: str(value) for name, value in job["payload"].items()}
        body = {
            "from_number": "+12125550100",
            "to_number": job["contact"]["phones"][0],
            "agent_id": "agent_bench",
            "retell_llm_dynamic_variables": {**variables, "nombre": job["contact"]["name"]},
            "metadata": {"job_id": job["job_id"]},
        }
        created = self._session.post(f"{self._base_url}/v2/create-phone-call", json=body, timeout=10).json()
        now = datetime.now(UTC)
        placed = {"call_id": created["call_id"], "call_started_at": now}
        self._database["jobs"].update_one({"_id": job["_id"]}, {"$set": placed})
        while True:
            time.sleep(self._poll_seconds)
            url = f"{self._base_url}/v2/get-call/{created['call_id']}"
            call: Document = self._session.get(url, timeout=10).json()
            if call["call_status"] in {"ended", "error"}:
                return call
            lease = datetime.now(UTC) + timedelta(seconds=120)
            self._database["jobs"].update_one({"_id": job["_id"]}, {"$set": {"reserved_until": lease}})

    def _finish(self, job: Document, call: Document) -> None:
        now = datetime.now(UTC)
        minutes, cost = call["duration_ms"] / 60_000, call["call_cost"]["combined_cost"] / 100
        facts = {"call_id": call["call_id"], "job_id": job["job_id"], "call_data": call, "created_at": now}
        summary = {
            "call_status": call["call_status"],
            "duration_ms": call["duration_ms"],
            "is_successful": True,
        }
        self._database["call_results"].insert_one({**facts, **summary})
        result = {"success": True, "status": "done", "summary": call, "timestamp": now}
        done = {"status": "done", "call_result": result, "finished_at": now, "updated_at": now}
        self._database["jobs"].update_one({"_id": job["_id"]}, {"$set": done})
        used = {"minutes_used": minutes, "calls_today": 1}
        self._database["accounts"].update_one({"account_id": job["account_id"]}, {"$inc": used})
        sums = {"total_cost": cost, "total_minutes": minutes, "completed_jobs": 1, "pending_jobs": -1}
        self._database["batches"].update_one({"batch_id": job["batch_id"]}, {"$inc": sums})


def main(count: int) -> None:
    client: MongoClient[Document] = MongoClient(os.environ["BENCH_URI"], tz_aware=True)
    threads = [CallWorker(number, client[os.environ["BENCH_DATABASE"]]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(int(sys.argv[1]))
