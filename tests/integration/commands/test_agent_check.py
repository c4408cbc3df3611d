"""``check-agent``, ``agents``, ``numbers`` and the start of a batch, with a real Retell simulator."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from speechaid.commands import agent_check, retell_questions, start_check
from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.maintenance.database_thread import DatabaseThread
from speechaid.protocol.client import Client, Refused
from speechaid.store.connection import connect
from tests.integration.control.test_commands import Operator, settings_for
from tests.support.fakes import served
from tests.support.fleet_harness import until

Document = dict[str, Any]

CSV = """nombre,telefono,monto_total,fecha_limite,color
Ana Rojas,+56955550071,$ 856.579,2027-12-31,rojo
Eva Diaz,+56955550073,,2027-12-31,
"""
ALWAYS: Document = {"hours": "00:00-24:00"}
AGENT = "agent_test"


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatorProcess]:
    with SimulatorProcess() as started:
        yield started


@pytest.fixture
def simulator(running: SimulatorProcess) -> Iterator[SimulatorProcess]:
    yield running
    running.clear_faults()
    running.change(agents=None, numbers=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture
def operator(
    path: Path, database: Database[Document], database_uri: str, simulator: SimulatorProcess
) -> Iterator[Operator]:
    retell = {"RETELL_API_KEY": simulator.api_key, "RETELL_BASE_URL": simulator.base_url}
    settings = settings_for(database_uri, database.name, **retell)
    database_thread = DatabaseThread(connect(settings.database), settings)
    store = connect(settings.database)
    store.prepare()
    with served(path, database_thread) as service, Client(path) as client:
        yield Operator(client, service, store, database)
    database_thread.close()
    store.close()


def speaks(simulator: SimulatorProcess, prompt: str, **fields: Any) -> None:
    """Give the agent a prompt."""
    simulator.change(agents={AGENT: {"name": "Cobranza", "prompt": {"general_prompt": prompt, **fields}}})


def imported(operator: Operator, file: str = CSV, **args: Any) -> str:
    return str(operator.run("import", file=file, filename="march.csv", **ALWAYS, **args)["batch_id"])


def given(answer: Document) -> dict[str, str]:
    return {row["name"]: row["given_by"] for row in answer["variables"]}


# -- check-agent -------------------------------------------------------------------------------------------


def test_the_prompt_s_variables_are_compared_with_those_of_the_waiting_people(
    operator: Operator, simulator: SimulatorProcess
) -> None:
    speaks(
        simulator,
        "Hola {{nombre}}: debe {{monto_total_texto}} a {{empresa}}. {{Nombre}} {{lugar}} {{user_number}}",
        default_dynamic_variables={"lugar": "la sucursal"},
    )
    batch = imported(operator)
    answer = operator.run("check-agent", batch=batch)
    assert given(answer) == {
        "nombre": "jobs",
        "monto_total_texto": "some_jobs",
        "empresa": "nobody",
        "Nombre": "nobody",
        "lugar": "default",
        "user_number": "retell",
    }
    rows = {row["name"]: row for row in answer["variables"]}
    assert rows["monto_total_texto"]["jobs_without"] == 1
    assert rows["Nombre"]["similar"] == "nombre"
    assert answer["lacking"] == ["monto_total_texto", "empresa", "Nombre"]
    assert answer["unused"] == ["color", "due_date"]
    assert (answer["agent_name"], answer["jobs"], answer["all_jobs"]) == ("Cobranza", 2, True)


def test_without_a_batch_the_variables_are_listed(operator: Operator, simulator: SimulatorProcess) -> None:
    speaks(simulator, "Hola {{nombre}}")
    answer = operator.run("check-agent")
    assert (given(answer), answer["jobs"], answer["lacking"]) == ({"nombre": "unknown"}, 0, [])


def test_another_agent_can_be_compared_with_the_batch(operator: Operator) -> None:
    answer = operator.run("check-agent", batch=imported(operator), agent="agent_demo_flow")
    assert answer["engine"] == "conversation-flow"
    assert given(answer) == {"nombre": "jobs", "fecha_cita": "nobody", "lugar": "default"}


def test_a_prompt_that_retell_does_not_show_is_said_so(operator: Operator) -> None:
    answer = operator.run("check-agent", batch=imported(operator), agent="agent_demo_custom")
    assert answer["prompt_shown"] is False
    assert "custom LLM" in answer["not_shown"]
    assert (answer["variables"], answer["unused"]) == ([], [])


def test_more_people_than_the_sample_are_said_to_be_a_sample(
    operator: Operator, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_check, "SAMPLE", 5)
    monkeypatch.setattr(agent_check, "_PORTION", 2)
    speaks(simulator, "{{nombre}} {{edad}}")
    rows = "".join(f"Ana {n},+5695555{n:04}\n" for n in range(9))
    answer = operator.run("check-agent", batch=imported(operator, f"nombre,telefono\n{rows}"))
    assert (answer["jobs"], answer["all_jobs"]) == (5, False)
    assert {row["name"]: row["jobs_without"] for row in answer["variables"]} == {"nombre": 0, "edad": 5}
    monkeypatch.setattr(agent_check, "SAMPLE", 9)
    answer = operator.run("check-agent", batch=answer["batch_id"])
    assert (answer["jobs"], answer["all_jobs"]) == (9, True)


def test_an_agent_that_retell_does_not_have_is_not_found(
    operator: Operator, simulator: SimulatorProcess
) -> None:
    simulator.change(agents={})
    assert operator.refusal("check-agent").code == "not_found"


def test_a_prompt_that_is_gone_is_said_so(operator: Operator, simulator: SimulatorProcess) -> None:
    simulator.fault("status", endpoints=["llm"], status=404)
    answer = operator.run("check-agent", batch=imported(operator))
    assert answer["not_shown"] == "Retell does not have the retell-llm that the agent names"


def test_a_retell_that_is_away_or_refuses_the_key_is_said_so(
    operator: Operator, simulator: SimulatorProcess
) -> None:
    fault = simulator.fault("outage")
    assert operator.refusal("check-agent").code == "unavailable"
    simulator.clear_faults(fault)
    simulator.fault("unauthorized")
    assert operator.refusal("numbers").code == "refused"


# -- agents, numbers ---------------------------------------------------------------------------------------


def test_agents_are_listed_with_version_language_and_publication(operator: Operator) -> None:
    answer = operator.run("agents")
    rows = {row["agent_id"]: row for row in answer["agents"]}
    assert rows["agent_demo_flow"]["languages"] == ["es-419", "pt-BR"]
    assert rows["agent_demo_flow"]["published"] is False
    assert rows["agent_demo"]["version"] == 0
    assert (answer["in_use"], answer["has_more"]) == (AGENT, False)
    assert operator.run("agents", limit=1)["has_more"] is True


def test_an_agent_of_which_retell_tells_nothing_more_is_listed_all_the_same(
    operator: Operator, simulator: SimulatorProcess
) -> None:
    simulator.fault("outage", endpoints=["agent"], count=1)
    rows = operator.run("agents")["agents"]
    assert [row["details"] for row in rows] == [False, True, True]
    assert rows[0]["name"] == "Cobranza de muestra"


def test_numbers_are_listed_with_their_agents_and_countries(
    operator: Operator, simulator: SimulatorProcess
) -> None:
    simulator.change(numbers={"+15005550006": {"nickname": "Mine", "allowed_outbound_country_list": ["CL"]}})
    answer = operator.run("numbers")
    (row,) = answer["numbers"]
    assert (row["nickname"], row["outbound_countries"], row["in_use"]) == ("Mine", ["CL"], True)


# -- the start of a batch ----------------------------------------------------------------------------------


def test_a_start_warns_of_variables_without_a_value(operator: Operator, simulator: SimulatorProcess) -> None:
    speaks(simulator, "{{nombre}} {{empresa}} {{monto_total}}")
    batch = imported(operator)
    answer = operator.run("resume-batch", batch=batch)
    assert operator.batch(batch)["is_active"] is True
    assert "{{empresa}} (2 of 2 jobs), {{monto_total}} (1 of 2 jobs)" in answer["agent_warning"]
    speaks(simulator, "{{nombre}}")
    assert operator.run("resume-batch", batch=batch)["agent_warning"] is None


def test_an_import_that_starts_warns_as_well(operator: Operator, simulator: SimulatorProcess) -> None:
    speaks(simulator, "{{empresa}}")
    answer = operator.run("import", file=CSV, filename="march.csv", start=True, **ALWAYS)
    assert (answer["active"], answer["imported"]) == (True, 2)
    assert "{{empresa}} (2 of 2 jobs)" in answer["agent_warning"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"agents": {}}, "RETELL_AGENT_ID=agent_test"),
        ({"numbers": {}}, "RETELL_FROM_NUMBER"),
        (
            {"numbers": {"+15005550006": {"allowed_outbound_country_list": ["AR", "UY"]}}},
            "may call AR, UY alone, not CL",
        ),
    ],
    ids=["agent", "number", "country"],
)
def test_a_start_whose_calls_retell_would_refuse_is_refused(
    operator: Operator, simulator: SimulatorProcess, changes: Document, words: str
) -> None:
    batch = imported(operator, country="CL")
    simulator.change(**changes)
    assert words in str(operator.refusal("resume-batch", batch=batch))
    assert operator.batch(batch)["is_active"] is False
    before = operator.database.jobs.count_documents({})
    refusal = operator.refusal(
        "import", file=CSV, filename="x.csv", country="CL", start=True, duplicates="keep", **ALWAYS
    )
    assert words in str(refusal)
    assert operator.database.jobs.count_documents({}) == before


def test_a_retell_that_is_silent_forbids_no_start_and_the_answer_says_what_was_not_checked(
    operator: Operator, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_check, "RETELL_SECONDS", 0.5)
    simulator.fault("hang", seconds=60)
    batch = imported(operator)
    answer = operator.run("resume-batch", batch=batch)
    assert operator.batch(batch)["is_active"] is True
    assert "were not checked" in answer["agent_warning"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["check-agent", "doctor"])
def test_while_retell_is_silent_other_commands_are_answered(
    operator: Operator,
    simulator: SimulatorProcess,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    monkeypatch.setattr(agent_check, "RETELL_SECONDS", 5.0)
    simulator.fault("hang", seconds=60)

    def ask() -> None:
        with Client(path) as client, contextlib.suppress(Refused):
            client.ask(command, {}, timeout_seconds=60)

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        until(lambda: any(fault["matched"] for fault in simulator.faults()), "Retell is asked")
        for _ in range(3):
            operator.run("batches")
        assert not asking.done()
        asking.result()


def test_questions_wait_for_a_place_and_a_start_no_longer_than_for_retell(
    operator: Operator, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = threading.BoundedSemaphore(1)
    monkeypatch.setattr(retell_questions, "_places", places)
    monkeypatch.setattr(start_check, "RETELL_SECONDS", 0.3)
    batch = imported(operator)
    places.acquire()
    assert "were not checked" in operator.run("resume-batch", batch=batch)["agent_warning"]
    asked = threading.Event()

    def numbers() -> Document:
        with Client(path) as client:
            return client.ask("numbers", {"limit": 10}, timeout_seconds=60, on_progress=lambda _: asked.set())

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(numbers)
        assert asked.wait(60)
        places.release()
        assert waiting.result()["numbers"]


@pytest.mark.slow
def test_a_pause_that_comes_while_retell_is_asked_holds(
    operator: Operator, simulator: SimulatorProcess, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = imported(operator)
    monkeypatch.setattr(start_check, "RETELL_SECONDS", 5.0)
    simulator.fault("hang", endpoints=["agent"], seconds=60)

    def resume() -> None:
        with Client(path) as client:
            client.ask("resume-batch", {"batch": batch}, timeout_seconds=60)

    with ThreadPoolExecutor(1) as pool:
        resuming = pool.submit(resume)
        until(lambda: any(fault["hits"] for fault in simulator.faults()), "Retell is asked")
        operator.run("pause-batch", batch=batch, reason="wrong amounts")
        assert "paused or resumed meanwhile" in str(resuming.exception())
    assert operator.batch(batch)["is_active"] is False
    assert operator.batch(batch)["pause"]["reason"] == "wrong amounts"


# -- agent, version and number of a batch ------------------------------------------------------------------

TWO_AGENTS: Document = {
    "agents": {
        AGENT: {"name": "Cobranza", "version": 4},
        "agent_2": {"name": "Segundo", "version": 7, "is_published": False, "published_version": 5},
        "agent_draft": {"name": "Borrador", "version": 1, "is_published": False},
    },
    "numbers": {
        "+15005550006": {},
        "+56220000001": {"allowed_outbound_country_list": ["CL"]},
    },
}


def pin(operator: Operator, batch: str) -> tuple[object, object] | None:
    """Agent and version that are pinned."""
    found = operator.batch(batch).get("agent_pin")
    return None if found is None else (found["agent_id"], found["version"])


def test_a_start_pins_the_version_that_the_agent_has_then(
    operator: Operator, simulator: SimulatorProcess
) -> None:
    simulator.change(**TWO_AGENTS)
    batch = imported(operator)
    assert pin(operator, batch) is None
    answer = operator.run("resume-batch", batch=batch)
    assert pin(operator, batch) == (AGENT, 4)
    assert answer["agent"] == {
        "agent_id": AGENT,
        "agent_source": "settings",
        "version": 4,
        "version_source": "pinned",
        "from_number": "+15005550006",
        "number_source": "settings",
        "language": None,
    }
    assert operator.store.holds.table.find_one({"_id": "level"})["needs"] == 2  # type: ignore[index]


def test_an_import_that_starts_pins_the_version_too(operator: Operator, simulator: SimulatorProcess) -> None:
    simulator.change(**TWO_AGENTS)
    answer = operator.run("import", file=CSV, filename="m.csv", start=True, agent="agent_2", **ALWAYS)
    assert pin(operator, answer["batch_id"]) == ("agent_2", 5)
    assert (answer["agent"]["version"], answer["agent"]["agent_source"]) == (5, "batch")


def test_an_agent_without_a_published_version_is_called_with_its_draft_and_that_is_said(
    operator: Operator, simulator: SimulatorProcess
) -> None:
    simulator.change(**TWO_AGENTS)
    batch = imported(operator, agent="agent_draft")
    assert "its draft 1" in operator.run("resume-batch", batch=batch)["agent_warning"]
    assert pin(operator, batch) == ("agent_draft", 1)


@pytest.mark.parametrize("version", ["latest", "latest_published", "3"])
def test_a_version_that_is_chosen_is_not_pinned(
    operator: Operator, simulator: SimulatorProcess, version: str
) -> None:
    simulator.change(**TWO_AGENTS)
    batch = imported(operator, agent_version=version)
    answer = operator.run("resume-batch", batch=batch)
    assert pin(operator, batch) is None
    assert (str(answer["agent"]["version"]), answer["agent"]["version_source"]) == (version, "batch")


def test_a_pause_keeps_the_version_and_the_next_start_says_that_there_is_a_newer_one(
    operator: Operator, simulator: SimulatorProcess
) -> None:
    simulator.change(**TWO_AGENTS)
    batch = imported(operator)
    operator.run("resume-batch", batch=batch)
    operator.run("pause-batch", batch=batch)
    simulator.change(agents={AGENT: {"version": 6}})
    answer = operator.run("resume-batch", batch=batch)
    assert pin(operator, batch) == (AGENT, 4)
    assert "keeps version 4 of its agent; Retell has 6" in answer["agent_warning"]


@pytest.mark.parametrize(
    "edit", [{"agent": AGENT}, {"unset": ["agent-version"]}, {"unset": ["agent"]}], ids=str
)
def test_an_edit_of_the_agent_pins_the_version_of_that_moment(
    operator: Operator, simulator: SimulatorProcess, edit: Document
) -> None:
    simulator.change(**TWO_AGENTS)
    batch = imported(operator)
    operator.run("resume-batch", batch=batch)
    simulator.change(agents={AGENT: {"version": 6}})
    answer = operator.run("edit-batch", batch=batch, **edit)
    assert pin(operator, batch) == (AGENT, 6)
    assert {"option": "pinned_version", "old": f"4 of {AGENT}", "new": f"6 of {AGENT}"} in answer["changes"]


def test_another_agent_is_pinned_in_the_same_write_and_only_for_a_batch_that_was_started(
    operator: Operator, simulator: SimulatorProcess
) -> None:
    simulator.change(**TWO_AGENTS)
    batch = imported(operator)
    operator.run("edit-batch", batch=batch, agent="agent_2")
    assert pin(operator, batch) is None
    operator.run("resume-batch", batch=batch)
    assert pin(operator, batch) == ("agent_2", 5)
    operator.run("edit-batch", batch=batch, agent=AGENT)
    assert pin(operator, batch) == (AGENT, 4)


def test_what_retell_does_not_have_is_refused_when_a_batch_is_made_edited_or_started(
    operator: Operator, simulator: SimulatorProcess
) -> None:
    simulator.change(**TWO_AGENTS)
    batch = imported(operator)
    refused: dict[str, Document] = {
        "no agent agent_9": {"agent": "agent_9"},
        "has no version 5": {"agent_version": "5"},
        "does not have the batch's number": {"from_number": "+56220000009"},
        "may call CL alone, not MX": {"from_number": "+56220000001", "country": "MX"},
    }
    for words, options in refused.items():
        assert words in str(operator.refusal("create-batch", name="April", **options))
        assert words in str(operator.refusal("edit-batch", batch=batch, **options))
    assert "agent_id" not in operator.batch(batch)["call_settings"]
    operator.run("edit-batch", batch=batch, from_number="+56220000001")
    assert "may call CL alone, not MX" in str(operator.refusal("edit-batch", batch=batch, country="MX"))
    operator.run("edit-batch", batch=batch, unset=["from-number"])
    operator.run("edit-batch", batch=batch, agent="agent_2")
    simulator.change(agents={AGENT: {}})
    assert "no agent agent_2" in str(operator.refusal("resume-batch", batch=batch))
    assert operator.batch(batch)["is_active"] is False


def test_while_retell_is_away_an_edit_is_written_and_the_answer_says_what_was_not_checked(
    operator: Operator, simulator: SimulatorProcess
) -> None:
    simulator.change(**TWO_AGENTS)
    batch = imported(operator)
    operator.run("resume-batch", batch=batch)
    simulator.fault("outage")
    answer = operator.run("edit-batch", batch=batch, agent="agent_2")
    assert operator.batch(batch)["call_settings"]["agent_id"] == "agent_2"
    assert "were not checked" in answer["warning"]
    assert "version is not pinned" in answer["warning"]
    made = operator.run("create-batch", name="April", agent="agent_9")
    assert "were not checked" in made["warning"]


def test_a_start_without_retell_says_that_no_version_is_pinned(
    operator: Operator, simulator: SimulatorProcess
) -> None:
    simulator.fault("outage")
    batch = imported(operator)
    answer = operator.run("resume-batch", batch=batch)
    assert "version is not pinned" in answer["agent_warning"]
    assert pin(operator, batch) is None
    simulator.clear_faults()
    operator.run("resume-batch", batch=batch)
    assert pin(operator, batch) is not None


def test_a_batch_is_compared_with_its_own_agent(operator: Operator, simulator: SimulatorProcess) -> None:
    agents = {AGENT: {}, "agent_2": {"prompt": {"general_prompt": "Hola {{apodo}}"}}}
    simulator.change(agents=agents)
    batch = imported(operator, agent="agent_2")
    answer = operator.run("check-agent", batch=batch)
    assert (answer["agent_id"], answer["lacking"]) == ("agent_2", ["apodo"])
    assert "{{apodo}}" in operator.run("resume-batch", batch=batch)["agent_warning"]


def test_agent_and_number_are_copied_and_shown_as_they_are_typed(
    operator: Operator, simulator: SimulatorProcess
) -> None:
    simulator.change(**TWO_AGENTS)
    options: Document = {
        "agent": "agent_2",
        "agent_version": "latest",
        "from_number": "+56220000001",
        "language": "es-419",
        "voicemail_option": "leave Llame al 600.",
        "dnc_detection": "no",
        "country": "CL",
    }
    assert operator.store.holds.table.find_one({"_id": "level"}) is None
    operator.run("create-batch", name="March", **options)
    assert operator.store.holds.table.find_one({"_id": "level"})["needs"] == 2  # type: ignore[index]
    copy = operator.run("create-batch", name="April", copy_from="March")
    rows = {row["option"]: row["value"] for row in operator.run("batch", batch="April")["settings"]}
    assert {name: rows[name] for name in options} == options
    assert operator.batch(copy["batch_id"])["call_settings"]["dnc_detection"] is False
