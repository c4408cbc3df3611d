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
from speechaid.store.connection import connect
from speechctl.client import Client, Refused
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
