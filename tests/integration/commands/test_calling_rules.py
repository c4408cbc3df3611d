"""Commands about calling rules: a purpose puts them in force, ``set-pack`` changes them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from speechaid.compliance.pack_files import content_hash, shipped_packs
from speechaid.model.levels import Level
from speechaid.model.states import Purpose
from tests.integration.control.test_commands import Operator, operator

__all__ = ["operator"]
Document = dict[str, Any]
SANTIAGO = ZoneInfo("America/Santiago")
CHILE = shipped_packs()["CL", Purpose.COLLECTION]
#: It never allows a call, whenever the test runs.
CLOSED = """
kind = "overlay"
format = 1
country = "CL"
purpose = "collection"
closed_days = [1, 2, 3, 4, 5, 6, 7]
"""
LOOSER = """
kind = "overlay"
format = 1
country = "CL"
purpose = "collection"
hours = [{ days = [7], start = "10:00", end = "12:00" }]
"""
EXEMPTION = """
[[exemptions]]
name = "our_lawyer"
loosens = ["hours"]
said_by = "A. Soto, lawyer"
at = 2026-12-01
reason = "Her letter of this day."
"""
ANA: Document = {"name": "Ana", "dni": "12.345.678-5", "phones": ["+56912345671"], "next_phone_index": 0}


def a_batch(operator: Operator, **args: Any) -> str:
    made: str = operator.run("create-batch", name="March", hours="00:00-24:00", **args)["batch_id"]
    return made


def test_the_first_purpose_puts_the_shipped_packs_in_force_and_stops_older_daemons(
    operator: Operator,
) -> None:
    a_batch(operator)
    assert not operator.run("packs")["enforced"]
    assert operator.database.speechaid_packs.count_documents({}) == 0
    a_batch(operator, purpose="collection")
    answer = operator.run("packs")
    assert (answer["enforced"], answer["caps_ready"], answer["faults"]) == (True, True, [])
    assert len(answer["packs"]) == len(shipped_packs())
    level = operator.database.speechaid_holds.find_one({"_id": "level"})
    assert level is not None
    assert level["needs"] == Level.CALLING_RULES


def test_a_stricter_pack_holds_from_the_answer_on_and_waiting_jobs_are_looked_at_again(
    operator: Operator,
) -> None:
    batch = a_batch(operator, purpose="collection")
    ahead = operator.store.now() + timedelta(days=3)
    waits: Document = {"reason": "pack_hours", "rule": "x", "at": ahead}
    operator.add_job("job-1", batch_id=batch, reserved_until=ahead, waits_for=waits)
    answer = operator.run("set-pack", file=CLOSED, filename="mine.toml")
    assert answer["released"] == 1
    (changed,) = answer["packs"]
    assert changed["before"] == content_hash(CHILE) != changed["hash"]
    assert operator.run("pack", country="CL", purpose="collection")["pack"]["windows"] == "no calls"
    job = operator.database.jobs.find_one({"job_id": "job-1"})
    assert job is not None
    assert "waits_for" not in job
    explained = operator.run("explain", job="job-1")
    failed = {check["name"]: check["value"] for check in explained["checks"] if not check["passed"]}
    assert "CL collection: " in failed["hours by law"]
    assert "source: " in failed["hours by law"]
    back = operator.run("set-pack", shipped=True)
    assert {row["hash"] for row in back["packs"]} == {content_hash(one) for one in shipped_packs().values()}


def test_a_looser_pack_needs_an_exemption_which_stays_on_record(operator: Operator) -> None:
    refused = operator.refusal("set-pack", file=LOOSER, filename="mine.toml")
    assert "wider than in the pack" in str(refused)
    assert not operator.run("packs")["enforced"]
    answer = operator.run("set-pack", file=LOOSER + EXEMPTION, filename="mine.toml")
    assert answer["packs"][0]["exemptions"][0]["said_by"] == "A. Soto, lawyer"
    shown = operator.run("pack", country="CL", purpose="collection")["pack"]
    assert [one["name"] for one in shown["exemptions"]] == ["our_lawyer"]
    assert "either a file or --shipped" in str(operator.refusal("set-pack"))


def test_a_purpose_for_a_batch_that_has_called_asks_for_its_calls(operator: Operator) -> None:
    a_batch(operator, purpose="collection")
    other = operator.run("create-batch", name="April", hours="00:00-24:00")["batch_id"]
    assert operator.store.packs.in_force().is_ready
    changed = operator.run("edit-batch", batch=other, purpose="reminder")["changes"]
    assert [(row["option"], row["old"], row["new"]) for row in changed] == [("purpose", None, "reminder")]
    assert not operator.store.packs.in_force().is_ready
    copy = operator.run("create-batch", name="May", copy_from=other)["batch_id"]
    assert operator.batch(copy)["call_settings"]["purpose"] == "reminder"


def test_doctor_names_batches_whose_rules_cannot_be_read_and_those_without_a_purpose(
    operator: Operator,
) -> None:
    ruled = a_batch(operator, purpose="collection")
    plain = operator.run("create-batch", name="April", hours="00:00-24:00")["batch_id"]
    operator.add_job("job-1", batch_id=ruled)
    operator.add_job("job-2", batch_id=plain)
    codes = {row["code"]: row["evidence"] for row in operator.run("doctor")["findings"]}
    assert plain in codes["no_purpose"]
    assert ruled not in codes["no_purpose"]
    damaged = {"packs.CL-collection": "0" * 64}
    operator.database.speechaid_holds.update_one({"_id": "packs"}, {"$set": damaged})
    broken = {row["code"]: row["cause"] for row in operator.run("doctor")["findings"]}
    assert ruled in broken["calling_rules_fault"]


def test_evidence_lists_each_call_with_rule_and_the_hour_where_it_rang(operator: Operator) -> None:
    batch = a_batch(operator, purpose="collection")
    operator.add_job("job-1", batch_id=batch, contact=ANA)
    at = operator.store.now()
    operator.database.call_results.insert_one(
        {
            "call_id": "call-1",
            "job_id": "job-1",
            "batch_id": batch,
            "contact": {"dni": ANA["dni"], "phone_used": ANA["phones"][0]},
            "outcome": "no_answer",
            "connected": False,
            "placed_at": at,
            "created_at": at,
            "calling_rule": {
                "purpose": "collection",
                "rule": "CL collection",
                "pack": content_hash(CHILE),
                "zones": ["America/Santiago"],
            },
        }
    )
    (row,) = operator.run("evidence", person=ANA["dni"])["calls"]
    assert (row["rule"], row["counts_as"], row["outcome"]) == ("CL collection", "attempt", "no_answer")
    assert row["local_at"][0][-6:] in {"-03:00", "-04:00"}
    assert ANA["phones"][0] not in str(row)
    assert operator.recorded(1, "read")[0]["command"] == "evidence"


def test_a_forecast_says_what_the_law_keeps_back(operator: Operator) -> None:
    batch = a_batch(operator, purpose="collection")
    operator.run("set-pack", file=CLOSED, filename="mine.toml")
    operator.add_job("job-1", batch_id=batch)
    answer = operator.run("forecast", batch=batch)
    (kept,) = answer["kept_back"]
    assert (kept["rule"].startswith("CL collection: "), kept["jobs"]) == (True, 1)
    assert answer["dials"] == []


def test_a_report_counts_the_jobs_that_a_rule_keeps_back(operator: Operator) -> None:
    batch = a_batch(operator, purpose="collection")
    ahead = operator.store.now() + timedelta(days=3)
    waits: Document = {"reason": "pack_cap", "rule": "CL collection: weekly_contact", "at": ahead}
    operator.add_job("job-1", batch_id=batch, reserved_until=ahead, waits_for=waits)
    operator.add_job("job-2", batch_id=batch)
    kept_back = operator.run("report", batch=batch)["kept_back"]
    assert kept_back == [{"rule": "CL collection: weekly_contact", "jobs": 1}]


VARIANT = LOOSER + 'variant = "retail"\n' + EXEMPTION


def test_a_batch_names_a_pack_of_its_own_with_the_exemption_and_who_said_so(operator: Operator) -> None:
    plain = a_batch(operator, purpose="collection")
    put = operator.run("set-pack", file=VARIANT, filename="retail.toml")["packs"]
    assert [(row["variant"], row["exemptions"][0]["name"]) for row in put] == [("retail", "our_lawyer")]
    # The pack of all batches stays.
    shown = operator.run("pack", country="CL", purpose="collection")["pack"]
    assert shown["hash"] == content_hash(CHILE)
    own = operator.run("pack", country="CL", purpose="collection", variant="retail")["pack"]
    assert own["exemptions"][0]["said_by"] == "A. Soto, lawyer"
    ruled = operator.run(
        "create-batch", name="Retail", hours="00:00-24:00", purpose="collection", pack_variant="retail"
    )["batch_id"]
    assert operator.batch(ruled)["call_settings"]["pack_variant"] == "retail"
    copy = operator.run("create-batch", name="Copy", copy_from=ruled)["batch_id"]
    assert operator.batch(copy)["call_settings"]["pack_variant"] == "retail"
    changed = operator.run("edit-batch", batch=plain, pack_variant="retail")["changes"]
    assert [(row["option"], row["new"]) for row in changed] == [("pack_variant", "retail")]
    operator.add_job("job-1", batch_id=ruled, contact=ANA)
    checks = {check["name"]: str(check["value"]) for check in operator.run("explain", job="job-1")["checks"]}
    assert "CL collection (retail)" in checks["hours by law"]
    assert "exemption our_lawyer: A. Soto, lawyer, 2026-12-01" in checks["hours by law"]
    found = {row["code"]: row["evidence"] for row in operator.run("doctor")["findings"]}
    assert ruled in found["rule_exemptions"]
    assert "our_lawyer (A. Soto, lawyer, 2026-12-01)" in found["rule_exemptions"]


def test_a_pack_that_is_not_in_force_is_refused_and_one_that_was_damaged_calls_nobody(
    operator: Operator,
) -> None:
    refused = operator.refusal("create-batch", name="x", purpose="collection", pack_variant="retail")
    assert "no pack retail for collection is in force" in str(refused) or "set-pack" in str(refused)
    assert "give both" in str(operator.refusal("create-batch", name="x", pack_variant="retail"))
    assert "no name of a pack" in str(
        operator.refusal("create-batch", name="x", purpose="collection", pack_variant="../x")
    )
    ruled = a_batch(operator, purpose="collection")
    operator.database.batches.update_one(
        {"batch_id": ruled}, {"$set": {"call_settings.pack_variant": "retail"}}
    )
    operator.add_job("job-1", batch_id=ruled, contact=ANA)
    broken = {row["code"]: row["evidence"] for row in operator.run("doctor")["findings"]}
    assert "no pack retail for collection is in force" in broken["calling_rules_fault"]
    explained = operator.run("explain", job="job-1")
    failed = {check["name"]: str(check["value"]) for check in explained["checks"] if not check["passed"]}
    assert "no pack retail" in failed["hours by law"]


def test_a_pack_of_single_batches_is_no_looser_than_that_of_all(operator: Operator) -> None:
    operator.run("set-pack", file=CLOSED, filename="closed.toml")
    wider = """
kind = "overlay"
format = 1
country = "CL"
purpose = "collection"
variant = "retail"
"""
    refused = str(operator.refusal("set-pack", file=wider, filename="retail.toml"))
    assert "wider than in the pack" in refused
    operator.run("set-pack", shipped=True)
    operator.run("set-pack", file=wider, filename="retail.toml")
    warned = operator.run("set-pack", file=CLOSED, filename="closed.toml")["warnings"]
    assert [str(one) for one in warned] == ["CL collection (retail) allows more than this: set it anew"]


def in_santiago(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(SANTIAGO)


def test_of_two_jobs_of_one_person_a_forecast_places_the_second_when_the_cap_allows_it(
    operator: Operator,
) -> None:
    batch = a_batch(operator, purpose="collection")
    other = a_batch(operator, purpose="reminder")
    operator.add_job("job-1", batch_id=batch, contact=ANA)
    operator.add_job("job-2", batch_id=other, contact=ANA)
    answer = operator.run("forecast")
    first, second = sorted(in_santiago(row["at"]).date() for row in answer["dials"])
    # Chile: one contact a week, and the first call may be one.
    assert second >= first + timedelta(days=7 - first.weekday())
    assert any("weekly_contact" in row["rule"] for row in answer["kept_back"])


def test_the_first_call_of_a_batch_is_when_the_law_allows_it(operator: Operator) -> None:
    batch = a_batch(operator, purpose="collection", paused=True)
    operator.add_job("job-1", batch_id=batch, contact=ANA)
    operator.run("set-pack", file=CLOSED, filename="closed.toml")
    never = operator.run("resume-batch", batch=batch)["first_calls"]
    assert (never["at"], never["now"]) == (None, False)
    assert "no calls: " in never["text"]
    operator.run("pause-batch", batch=batch)
    sundays = LOOSER.replace("days = [7]", "days = [6]") + "closed_days = [1, 2, 3, 4, 5]\n"
    operator.run("set-pack", file=sundays, filename="saturdays.toml")
    first = operator.run("resume-batch", batch=batch)["first_calls"]
    local = in_santiago(first["at"])
    assert local.isoweekday() == 6
    assert first["now"] or "CL collection: " in first["text"]
    assert 10 <= local.hour < 12
