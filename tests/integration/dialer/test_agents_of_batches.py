"""Agent, version, number and language of a batch: in request and result, changed while it runs."""

from __future__ import annotations

from typing import Any

import pytest

from speechaid.dialer import dial
from speechaid.dialer.claim import JobClaimer
from speechaid.dialer.preflight import read_preflight
from speechaid.rules.phones import Choice
from tests.support.stage import Document, QuietLink, Stage
from tests.support.stories import (
    BATCH,
    STORIES,
    Steps,
    Story,
    instrumented,
    run_to_end,
    set_up_story,
    steps_of,
    uncounted,
)

A, B = "+12025550101", "+12025550102"
OWN: Document = {
    "agent_id": "agent_2",
    "agent_version": 3,
    "from_number": "+12025550199",
    "language": "es-419",
    "voicemail_option": "hangup",
    "dnc_detection": False,
    "timezone": "Etc/GMT+3",
}


def request_of(stage: Stage) -> Document:
    """The body of the only create."""
    (create,) = stage.simulator.requests()["creates"]
    body: Document = create["body"]
    return body


def test_a_call_has_the_agent_and_the_number_of_its_batch(stage: Stage) -> None:
    stage.add_job(A, batch_id=stage.add_batch(call_settings=OWN))
    stage.simulator.script({A: ["user_hangup"]})
    stage.dial_next(stage.context())
    body, (result,) = request_of(stage), stage.results()
    assert (body["from_number"], body["override_agent_id"]) == ("+12025550199", "agent_2")
    assert body["override_agent_version"] == 3
    agent = body["agent_override"]["agent"]
    assert (agent["timezone"], agent["language"]) == ("Etc/GMT+3", "es-419")
    assert agent["voicemail_option"] == {"action": {"type": "hangup"}}
    assert agent["enable_dnc_detection"] is False
    recorded = {name: result[name] for name in ("agent_id", "agent_version", "from_number", "language")}
    wanted = {"agent_id": "agent_2", "agent_version": 3, "from_number": "+12025550199", "language": "es-419"}
    assert recorded == wanted


def test_a_job_without_a_batch_has_the_agent_and_the_number_of_the_settings(stage: Stage) -> None:
    stage.add_job(A)
    stage.simulator.script({A: ["user_hangup"]})
    context = stage.context(SPEECHAID_DEFAULT_TIMEZONE="America/Lima")
    stage.dial_next(context)
    body, retell = request_of(stage), context.settings.retell
    assert (body["from_number"], body["override_agent_id"]) == (retell.from_number, retell.agent_id)
    assert "override_agent_version" not in body
    agent = body["agent_override"]["agent"]
    assert (agent["timezone"], agent["enable_dnc_detection"]) == ("America/Lima", True)
    assert "language" not in agent
    assert "voicemail_option" not in agent


def test_the_agent_tells_the_time_in_the_zone_of_the_account(stage: Stage) -> None:
    stage.add_account(plan_type="unlimited", timezone="America/Bogota")
    stage.add_job(A, batch_id=stage.add_batch(account_id="acc-1"), account_id="acc-1")
    stage.dial_next(stage.context())
    assert request_of(stage)["agent_override"]["agent"]["timezone"] == "America/Bogota"


@pytest.mark.parametrize(
    ("pin", "version"),
    [
        ({"agent_id": "agent_2", "version": 7}, 7),
        ({"agent_id": "another", "version": 7}, None),
        ({"agent_id": "agent_2"}, None),
    ],
)
def test_the_version_of_the_start_holds_for_its_agent_alone(
    stage: Stage, pin: Document, version: int | None
) -> None:
    batch = stage.add_batch(call_settings={"agent_id": "agent_2"}, agent_pin=pin)
    stage.add_job(A, batch_id=batch)
    stage.dial_next(stage.context())
    assert request_of(stage).get("override_agent_version") == version


CHANGES = {
    "the agent": {"call_settings.agent_id": "agent_3"},
    "the version": {"call_settings.agent_version": "latest"},
    "the version of the start": {"agent_pin": {"agent_id": "agent_stage", "version": 9}},
    "the number": {"call_settings.from_number": "+12025550198"},
    "the language": {"call_settings.language": "pt-BR"},
    "the voicemail option": {"call_settings.voicemail_option": "leave Llame al 600."},
    "the detection": {"call_settings.dnc_detection": False},
    "the zone": {"call_settings.timezone": "Etc/GMT+4"},
    "the longest call": {"call_settings.max_call_duration": 77},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changes_between_intent_and_create_is_in_force_for_this_very_call(
    stage: Stage, change: Document
) -> None:
    """The dial is withdrawn with nothing spent, and placed as the batch says now."""
    batch = stage.add_batch()
    stage.add_job(A, batch_id=batch)
    context = stage.context()
    assert isinstance(context.link, QuietLink)
    changed: list[bool] = []

    def change_once() -> None:
        if not changed and "dial" in stage.job():
            stage.database.batches.update_one({"batch_id": batch}, {"$set": change})
            changed.append(True)

    context.link.read_orders = change_once
    stage.dial_next(context)
    assert changed
    assert stage.placed_calls() == []
    assert (stage.job()["status"], stage.job()["attempts"]) == ("pending", 0)
    assert stage.batch()["open_dials"] == []
    stage.make_due()
    stage.dial_next(context)
    job = stage.store.jobs.get("job-1")
    planned = _body_now(stage, context, job)
    sent = request_of(stage)
    for name in ("from_number", "override_agent_id", "override_agent_version", "agent_override"):
        assert sent.get(name) == planned.get(name)


def _body_now(stage: Stage, context: Any, job: Any) -> Document:
    """What a request written now would be."""
    preflight = read_preflight(context, job)
    return dict(dial.new_dial(context, job, Choice(index=0, raw=A, number=A), preflight).request)


def test_a_replay_repeats_the_stored_request_although_the_agent_was_changed(stage: Stage) -> None:
    """Retell may have the call of the first one: another request under its key would be refused."""
    batch = stage.add_batch(call_settings=OWN)
    stage.add_job(A, batch_id=batch)
    context = stage.context()
    claimed = JobClaimer(context).claim()
    assert claimed is not None
    choice = Choice(index=0, raw=A, number=A)
    planned = dial.new_dial(context, claimed.job, choice, claimed.preflight)
    context.store.jobs.record_intent(claimed.job, planned)
    fields = {"call_settings.agent_id": "agent_9", "call_settings.from_number": "+12025550190"}
    stage.database.batches.update_one({"batch_id": batch}, {"$set": fields})
    stage.lapse()
    stage.recover_one(stage.context("worker-2@host-a:2"))
    assert request_of(stage) == dict(planned.request)


EDITED = [story for story in STORIES if story.name in {"answered", "not_answered", "concurrency_limit_once"}]


@pytest.mark.slow
@pytest.mark.parametrize("story", EDITED, ids=lambda story: story.name)
def test_an_edit_at_any_step_is_in_force_for_every_call_that_is_placed_after_it(
    stage: Stage, story: Story
) -> None:
    """But for the create that is on its way: it has what the last preflight read."""
    names = steps_of(story, stage)
    fields = {"call_settings.agent_id": "agent_new", "call_settings.from_number": "+12025550188"}
    new_calls = 0
    for edited in range(len(names)):
        stage.clear()
        set_up_story(stage, story)
        placed: list[int] = []

        def edit(
            number: int, _name: str, done: bool, edited: int = edited, placed: list[int] = placed
        ) -> None:
            if (number, done) == (edited, False):
                with uncounted():
                    placed.append(len(stage.placed_calls()))
                    stage.database.batches.update_one({"batch_id": BATCH}, {"$set": fields})

        with instrumented(Steps(edit)):
            run_to_end(stage, stage.context())
        assert stage.job()["status"] == story.status
        on_its_way = 1 if names[edited] == "POST create-phone-call" else 0
        after = stage.placed_calls()[placed[0] + on_its_way :]
        when = f"edited before step {edited} ({names[edited]})"
        assert {(call["agent_id"], call["from_number"]) for call in after} <= {
            ("agent_new", "+12025550188")
        }, when
        new_calls += len(after)
    assert new_calls


UNREADABLE = {
    "an agent that is a list": {"agent_id": ["agent_2"]},
    "a version in words": {"agent_version": "the newest"},
    "a number of nobody": {"from_number": "anonymous"},
    "an unknown language": {"language": "klingon"},
    "an unknown voicemail option": {"voicemail_option": "sing"},
    "an unreadable switch": {"dnc_detection": "a veces"},
}


@pytest.mark.parametrize("settings", UNREADABLE.values(), ids=UNREADABLE)
def test_a_batch_whose_agent_or_number_cannot_be_read_is_not_called(stage: Stage, settings: Document) -> None:
    stage.add_job(A, batch_id=stage.add_batch(call_settings=settings))
    assert not stage.dial_next(stage.context())
    assert stage.placed_calls() == []


def test_the_result_says_which_version_retell_chose(stage: Stage) -> None:
    """Asked for was the latest one; the call object says which that was."""
    stage.add_job(A, batch_id=stage.add_batch(call_settings={"agent_version": "latest"}))
    stage.simulator.script({A: ["user_hangup"]})
    stage.simulator.fault("rewritten", endpoints=["get"], fields={"agent_version": 12})
    stage.dial_next(stage.context())
    (result,) = stage.results()
    assert result["agent_version"] == 12


# -- what Retell refuses ---------------------------------------------------------------------------------

ONE_AGENT: Document = {"agents": {"agent_stage": {"version": 4}}, "numbers": {"+15005550006": {}}}
REFUSED = {
    "an unknown agent": ({"agent_id": "agent_gone"}, ONE_AGENT),
    "an unknown version": ({"agent_version": 5}, ONE_AGENT),
    "an unknown number": ({"from_number": "+12025550199"}, ONE_AGENT),
    "a number that may not call the country": (
        {"from_number": "+12025550199"},
        {"numbers": {"+15005550006": {}, "+12025550199": {"allowed_outbound_country_list": ["CL"]}}},
    ),
}


@pytest.mark.parametrize(("settings", "at_retell"), REFUSED.values(), ids=REFUSED)
def test_a_batch_whose_agent_or_number_retell_refuses_is_paused_and_the_others_are_called(
    stage: Stage, settings: Document, at_retell: Document
) -> None:
    stage.simulator.change(**at_retell)
    stage.add_job(A, batch_id=stage.add_batch("batch-1", call_settings=settings), job_id="job-1")
    stage.add_job(B, batch_id=stage.add_batch("batch-2"), job_id="job-2")
    stage.simulator.script({"*": ["user_hangup"]})
    context = stage.context()
    assert stage.dial_next(context)
    assert stage.dial_next(context)
    assert not stage.dial_next(context)
    assert [call["to_number"] for call in stage.placed_calls()] == [B]
    job = stage.job("job-1")
    assert (job["status"], job["attempts"]) == ("pending", 0)
    refused, other = stage.store.batches.get("batch-1"), stage.store.batches.get("batch-2")
    assert (refused.is_active, other.is_active) == (False, True)
    assert refused.pause is not None
    assert refused.pause["by"] == "speechaid"
    assert "edit-batch" in refused.pause["reason"]
    assert [row for row in stage.store.holds.breakers() if row["state"] != "closed"] == []


def test_the_settings_agent_that_retell_refuses_holds_every_batch(stage: Stage) -> None:
    stage.simulator.change(agents={"another": {}})
    stage.add_job(A, batch_id=stage.add_batch())
    stage.dial_next(stage.context())
    assert stage.store.batches.get("batch-20260101-00000001").is_active
    assert [row["state"] for row in stage.store.holds.breakers()] == ["open"]


def test_a_batch_that_was_given_another_agent_meanwhile_is_not_paused(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.simulator.change(agents={"agent_stage": {}})
    batch = stage.add_batch(call_settings={"agent_id": "agent_gone"})
    stage.add_job(A, batch_id=batch)
    context = stage.context()
    create = context.retell.create_call

    def corrected(body: Document) -> object:
        fields = {"call_settings.agent_id": "agent_stage"}
        stage.database.batches.update_one({"batch_id": batch}, {"$set": fields})
        return create(body)

    monkeypatch.setattr(context.retell, "create_call", corrected)
    stage.dial_next(context)
    assert stage.store.batches.get(batch).is_active


@pytest.mark.parametrize(
    "fields", [{"agent_id": "another"}, {"agent_version": 99}, {"from_number": "+12025550111"}], ids=str
)
def test_a_call_that_retell_reports_with_another_agent_or_number_is_followed_all_the_same(
    stage: Stage, fields: Document
) -> None:
    """A person is on the phone: the call is recorded with what Retell says, and reported."""
    stage.add_job(A, batch_id=stage.add_batch(call_settings=OWN))
    stage.simulator.script({A: ["user_hangup"]})
    stage.simulator.fault("rewritten", endpoints=["create", "get"], fields=fields)
    context = stage.context()
    stage.dial_next(context)
    (result,) = stage.results()
    assert stage.job()["status"] == "done"
    assert {name: result[name] for name in fields} == fields
    assert isinstance(context.link, QuietLink)
    assert context.link.counts["event call.other_than_asked"] == 1
