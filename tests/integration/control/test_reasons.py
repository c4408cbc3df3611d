"""A reason that quotes a phone number: masked wherever it is stored, shown or recorded."""

from __future__ import annotations

from typing import Any

from bson import json_util
from pymongo.database import Database

from tests.integration.control.test_commands import Operator, operator

__all__ = ["operator"]

Document = dict[str, Any]
REASON = "complaint of 9 1234 5671, +56912345671 and 912345671"
#: Any of its numbers, in full.
IN_FULL = ("12345671", "1234 5671")


def everything(database: Database[Document]) -> str:
    return "\n".join(
        json_util.dumps(document)
        for name in database.list_collection_names()
        if name != "jobs"  # the contacts' own numbers
        for document in database[name].find()
    )


def test_no_command_stores_the_number_that_a_reason_quotes(operator: Operator) -> None:
    batch = operator.run("create-batch", name="March")["batch_id"]
    operator.database.accounts.insert_one({"account_id": "acme", "status": "active"})
    for number in range(3):
        operator.add_job(f"job-{number}", batch_id=batch)
    operator.run("suspend-job", job="job-0", reason=REASON)
    operator.run("cancel-job", job="job-1", reason=REASON)
    operator.run("suspend-account", account="acme", reason=REASON)
    operator.run("hold", reason=REASON)
    operator.run("pause-batch", batch=batch, reason=REASON)
    operator.run("pause-all", reason=REASON)
    operator.run("cancel-batch", batch=batch, reason=REASON)
    operator.run("dnc-add", number="+56955550071", reason=REASON)
    operator.recorded(9)
    stored = everything(operator.database)
    assert "complaint of" in stored
    assert [number for number in IN_FULL if number in stored] == []
    jobs = json_util.dumps(list(operator.database.jobs.find({}, {"contact": 0})))
    assert [number for number in IN_FULL if number in jobs] == []


def test_reasons_that_an_earlier_version_stored_are_shown_masked(operator: Operator) -> None:
    batch = operator.run("create-batch", name="March")["batch_id"]
    pause = {"by": "maria", "reason": REASON}
    operator.database.batches.update_one({"batch_id": batch}, {"$set": {"is_active": False, "pause": pause}})
    operator.database.speechaid_holds.insert_one(
        {"_id": "fleet", "on": True, "by": "maria", "reason": REASON}
    )
    operator.database.call_logs.insert_one(
        {
            "event": "command",
            "actor": "maria",
            "command": "hold",
            "args": {"reason": REASON},
            "outcome": "done",
            "at": operator.store.now(),
        }
    )
    operator.add_job("job-1", batch_id=batch)
    shown = json_util.dumps([operator.run(name) for name in ("batches", "logs", "doctor")])
    assert shown.count("complaint of") >= 3
    assert [number for number in IN_FULL if number in shown] == []
