"""Agents, prompts and numbers, against the simulator and against a server that answers oddly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from speechaid.demo.simulator.process import SimulatorProcess
from speechaid.model.agent import Engine
from speechaid.retell import directory as directory_module
from speechaid.retell.client import RetellClient
from speechaid.retell.directory import RetellDirectory
from speechaid.retell.faults import Blocked, ItemUnknown, RetellUnavailable
from tests.support.retell_requests import KEY, choice_of, client_of


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(api_key=KEY) as started:
        yield started


@pytest.fixture
def simulator(running: SimulatorProcess) -> Iterator[SimulatorProcess]:
    yield running
    running.clear_faults()
    running.change(agents=None, numbers=None)


@pytest.fixture
def client(simulator: SimulatorProcess) -> Iterator[RetellClient]:
    with client_of(simulator.base_url) as made:
        yield made


def test_an_agent_leads_to_its_prompt(client: RetellClient) -> None:
    directory = RetellDirectory(client, 20)
    agent = directory.get_agent("agent_demo")
    assert (agent.name, agent.languages, agent.is_published) == ("Cobranza de muestra", ("es-419",), True)
    assert agent.engine == Engine.RETELL_LLM
    prompt = directory.get_prompt(agent)
    assert prompt is not None
    assert "{{monto_total_texto}}" in prompt["general_prompt"]
    flow = directory.get_agent("agent_demo_flow")
    assert flow.languages == ("es-419", "pt-BR")
    assert (directory.get_prompt(flow) or {})["nodes"]


def test_a_custom_llm_shows_no_prompt(client: RetellClient) -> None:
    directory = RetellDirectory(client, 20)
    assert directory.get_prompt(directory.get_agent("agent_demo_custom")) is None


def test_the_prompt_is_read_in_the_version_that_the_agent_uses(
    simulator: SimulatorProcess, client: RetellClient
) -> None:
    simulator.change(agents={"a": {"version": 7}})
    directory = RetellDirectory(client, 20)
    agent = directory.get_agent("a")
    assert (agent.version, agent.engine_version) == (7, 7)
    assert (directory.get_prompt(agent) or {})["version"] == 7


@pytest.mark.parametrize(
    ("asked", "version", "published"),
    [
        (None, 7, False),
        ("latest", 7, False),
        ("latest_published", 5, True),
        (2, 2, False),
        ("prod", 4, False),
    ],
)
def test_an_agent_is_read_in_the_version_that_is_asked_for(
    simulator: SimulatorProcess, client: RetellClient, asked: int | str | None, version: int, published: bool
) -> None:
    simulator.change(
        agents={"a": {"version": 7, "is_published": False, "published_version": 5, "tags": {"prod": 4}}}
    )
    agent = RetellDirectory(client, 20).get_agent("a", asked)
    assert (agent.version, agent.is_published) == (version, published)


@pytest.mark.parametrize(
    ("setup", "version"),
    [
        ({"version": 7}, 7),
        ({"version": 7, "is_published": False, "published_version": 5}, 5),
        ({"version": 7, "is_published": False}, 7),
    ],
)
def test_the_current_version_is_the_published_one_and_else_the_draft(
    simulator: SimulatorProcess, client: RetellClient, setup: dict[str, Any], version: int
) -> None:
    simulator.change(agents={"a": setup})
    assert RetellDirectory(client, 20).get_current_agent("a").version == version


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, (True, True, True)),
        ({"agent_id": "b"}, (False, False, True)),
        ({"version": 8}, (True, False, True)),
        ({"version": "latest"}, (True, True, True)),
        ({"version": "latest_published"}, (True, False, True)),
        ({"from_number": "+56220000009"}, (True, True, False)),
    ],
)
def test_a_choice_is_looked_up_agent_version_and_number(
    simulator: SimulatorProcess,
    client: RetellClient,
    changes: dict[str, Any],
    found: tuple[bool, bool, bool],
) -> None:
    simulator.change(agents={"a": {"version": 7, "is_published": False}}, numbers={"+56220000001": {}})
    choice = replace(choice_of("a", "+56220000001"), version=3)
    answer = RetellDirectory(client, 20).find_choice(replace(choice, **changes))
    assert (answer.has_agent, answer.has_version, answer.number is not None) == found


def test_what_retell_does_not_have_is_unknown_and_not_unavailable(
    simulator: SimulatorProcess, client: RetellClient
) -> None:
    simulator.change(agents={}, numbers={})
    directory = RetellDirectory(client, 20)
    for ask in (
        lambda: directory.get_agent("agent_1"),
        lambda: directory.get_number("+56221234567"),
        lambda: directory.get_agent(".."),
        lambda: directory.get_agent(""),
    ):
        with pytest.raises(ItemUnknown):
            ask()


def test_lists_are_read_page_by_page_up_to_the_limit(
    simulator: SimulatorProcess, client: RetellClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_module, "PAGE_SIZE", 2)
    simulator.change(
        agents={f"agent_{n}": {} for n in range(5)},
        numbers={f"+5622000000{n}": {"allowed_outbound_country_list": ["cl"]} for n in range(5)},
    )
    directory = RetellDirectory(client, 20)
    agents, more = directory.list_agents(100)
    assert ([agent.agent_id for agent in agents], more) == ([f"agent_{n}" for n in range(5)], False)
    numbers, more = directory.list_numbers(3)
    assert ([number.number[-1] for number in numbers], more) == (["0", "1", "2"], True)
    assert (numbers[0].may_call("CL"), numbers[0].may_call("ar")) == (True, False)


def test_a_number_without_countries_may_call_all(client: RetellClient) -> None:
    number = RetellDirectory(client, 20).get_number("+12125550100")
    assert (number.nickname, number.may_call("CL")) == ("Demo", True)
    assert [bound.agent_id for bound in number.outbound_agents] == ["agent_demo"]


def test_a_wrong_key_is_refused(simulator: SimulatorProcess) -> None:
    with (
        RetellClient(
            base_url=simulator.base_url, api_key="key_other", timeout_seconds=20, user_agent="test"
        ) as client,
        pytest.raises(Blocked),
    ):
        RetellDirectory(client, 20).list_agents(10)


def test_all_requests_together_keep_to_one_time(simulator: SimulatorProcess, client: RetellClient) -> None:
    simulator.fault("latency", endpoints=["agent", "llm"], seconds=0.6)
    directory = RetellDirectory(client, 1.0)
    agent = directory.get_agent("agent_demo")
    with pytest.raises(RetellUnavailable):
        directory.get_prompt(agent)


def test_the_query_of_a_request_is_no_part_of_its_label(simulator: SimulatorProcess) -> None:
    labels: list[str] = []
    with client_of(
        simulator.base_url, observe=lambda endpoint, _code, _seconds: labels.append(endpoint)
    ) as client:
        directory = RetellDirectory(client, 20)
        directory.list_numbers(10)
        directory.get_prompt(directory.get_agent("agent_demo"))
    assert labels == ["list-phone-numbers", "get-agent", "get-retell-llm"]


@contextmanager
def answering(answer: Callable[[str], Any]) -> Iterator[str]:
    """A server that answers each request with the JSON of ``answer(path)``; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answer(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"agent_id": ["agent_1"]},
        {"agent_id": ""},
        {"agent_id": "agent_2"},
    ],
    ids=str,
)
def test_an_answer_that_does_not_name_this_agent_is_not_believed(document: dict[str, Any]) -> None:
    with (
        answering(lambda _path: document) as url,
        client_of(url) as client,
        pytest.raises(RetellUnavailable),
    ):
        RetellDirectory(client, 20).get_agent("agent_1")


def test_wild_types_and_unknown_fields_harm_nothing() -> None:
    wild: dict[str, Any] = {
        "agent_id": "agent_1",
        "agent_name": ["x"],
        "version": "three",
        "language": [None, {}, "es-419"],
        "is_published": "perhaps",
        "response_engine": {"type": "engine-of-tomorrow", "llm_id": "llm_1", "version": float("inf")},
        "a_field_of_tomorrow": {"a": [1]},
    }
    with answering(lambda _path: wild) as url, client_of(url) as client:
        directory = RetellDirectory(client, 20)
        agent = directory.get_agent("agent_1")
        assert (agent.name, agent.version, agent.languages, agent.is_published) == (
            None,
            None,
            ("es-419",),
            None,
        )
        assert directory.get_prompt(agent) is None


def test_an_item_that_cannot_be_read_is_left_out_of_the_list() -> None:
    page = {
        "items": [{"nickname": "no number"}, 7, {"phone_number": "+56221234567", "outbound_agents": [3]}],
        "has_more": False,
    }
    with answering(lambda _path: page) as url, client_of(url) as client:
        numbers, more = RetellDirectory(client, 20).list_numbers(10)
    assert ([number.number for number in numbers], more) == (["+56221234567"], False)


@pytest.mark.parametrize(
    "page",
    [
        {"items": 7, "has_more": False},
        {"items": [], "has_more": True},
        {"items": [], "has_more": True, "pagination_key": "the same"},
    ],
    ids=["no list", "no key", "a circle"],
)
def test_a_list_that_does_not_end_is_unavailable(page: dict[str, Any]) -> None:
    with (
        answering(lambda _path: page) as url,
        client_of(url) as client,
        pytest.raises(RetellUnavailable),
    ):
        RetellDirectory(client, 20).list_numbers(10)
