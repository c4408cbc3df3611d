"""Which variables an agent's texts name, and who gives them a value."""

from __future__ import annotations

from typing import Any

import pytest

from speechaid.retell.variables import DERIVED
from speechaid.rules.prompt_variables import (
    BUILT_IN,
    OF_CONTACTS,
    Given,
    JobVariables,
    PromptReading,
    compare_variables,
    read_prompt,
)


def jobs(*rows: str) -> JobVariables:
    """Each row has a job's own variables."""
    found = JobVariables()
    for row in rows:
        found.add(row.split(), row.split())
    return found


def given(reading: PromptReading, variables: JobVariables) -> dict[str, Given]:
    return {each.name: each.given for each in compare_variables(reading, variables, DERIVED).variables}


def test_every_text_of_an_llm_is_read_and_its_place_named() -> None:
    prompt = {
        "general_prompt": "Hola {{ nombre }}, {{empresa}}",
        "begin_message": "¿{{nombre}}?",
        "states": [{"name": "pago", "state_prompt": "Debe {{monto_total}}"}, {"state_prompt": "{{otro}}"}],
        "general_tools": [{"type": "transfer_call", "transfer_destination": {"number": "{{agente}}"}}],
    }
    agent = {"voicemail_option": {"action": {"type": "static_text", "text": "Llame a {{empresa}}"}}}
    assert read_prompt(agent, prompt).named == {
        "nombre": ("prompt", "first sentence"),
        "empresa": ("prompt", "voicemail"),
        "monto_total": ("state pago",),
        "otro": ("state ?",),
        "agente": ("tools",),
    }


def test_every_node_of_a_flow_is_read() -> None:
    flow = {
        "global_prompt": "{{a}}",
        "nodes": [
            {"id": "n1", "name": "saludo", "instruction": {"type": "prompt", "text": "{{b}}"}},
            {"id": "n2", "edges": [{"transition_condition": {"type": "prompt", "prompt": "si {{c}}"}}]},
        ],
        "components": [{"nodes": [{"instruction": {"text": "{{d}}"}}]}],
        "notes": [{"content": "{{not said}}"}],
    }
    assert read_prompt({}, flow).named == {
        "a": ("prompt",),
        "b": ("node saludo",),
        "c": ("node n2",),
        "d": ("components",),
    }


def test_a_question_whether_a_variable_is_there_needs_no_value() -> None:
    equations = [
        {"left": "{{vip}}", "operator": "exists"},
        {"left": "{{deuda}}", "operator": ">", "right": "{{limite}}"},
    ]
    node = {"name": "n", "edges": [{"transition_condition": {"type": "equation", "equations": equations}}]}
    assert list(read_prompt({}, {"nodes": [node]}).named) == ["deuda", "limite"]


def test_what_the_call_sets_is_not_missing() -> None:
    prompt = {
        "general_prompt": "{{saldo}} {{fecha}} {{motivo}} {{previo}}",
        "general_tools": [
            {"type": "custom", "response_variables": {"saldo": "$.balance"}},
            {"type": "extract_dynamic_variable", "variables": [{"name": "fecha", "type": "string"}]},
        ],
        "states": [
            {
                "name": "s",
                "edges": [
                    {
                        "destination_state_name": "t",
                        "parameters": {"properties": {"motivo": {"type": "string"}}},
                    }
                ],
            }
        ],
    }
    agent = {"pre_session_tools": [{"type": "custom", "response_variables": {"previo": "$.x"}}]}
    assert set(given(read_prompt(agent, prompt), jobs("nombre")).values()) == {Given.CALL}


def test_agents_that_may_take_over_are_named() -> None:
    tools = [{"type": "agent_swap", "agent_id": "agent_2"}, {"type": "agent_swap", "agent_id": "agent_2"}]
    assert read_prompt({}, {"general_tools": tools}).other_agents == ("agent_2",)


def test_who_gives_each_variable_its_value() -> None:
    names = "nombre fecha lugar current_time current_time_America/Santiago first_name monto"
    prompt = {
        "general_prompt": " ".join(f"{{{{{name}}}}}" for name in names.split()),
        "default_dynamic_variables": {"lugar": "la sucursal"},
    }
    assert given(read_prompt({}, prompt), jobs("nombre fecha", "nombre")) == {
        "nombre": Given.JOBS,
        "fecha": Given.SOME_JOBS,
        "lugar": Given.DEFAULT,
        "current_time": Given.RETELL,
        "current_time_America/Santiago": Given.RETELL,
        "first_name": Given.CONTACTS,
        "monto": Given.NOBODY,
    }


def test_without_jobs_nothing_is_said_to_be_missing() -> None:
    found = compare_variables(read_prompt({}, {"general_prompt": "{{nombre}}"}), jobs(), DERIVED)
    assert [each.given for each in found.variables] == [Given.UNKNOWN]
    assert found.lacking == ()


def test_jobs_without_a_value_are_counted() -> None:
    reading = read_prompt({}, {"general_prompt": "{{a}} {{b}} {{c}}"})
    found = compare_variables(reading, jobs("a b", "a", "a"), DERIVED)
    assert {each.name: each.jobs_without for each in found.variables} == {"a": 0, "b": 2, "c": 3}
    assert [each.name for each in found.lacking] == ["b", "c"]


@pytest.mark.parametrize(
    ("named", "similar"), [("Nombre", "nombre"), ("monto_totales", "monto_total"), ("edad", None)]
)
def test_a_missing_variable_is_compared_with_those_that_there_are(named: str, similar: str | None) -> None:
    reading = read_prompt({}, {"general_prompt": f"{{{{{named}}}}}"})
    found = compare_variables(reading, jobs("nombre monto_total"), DERIVED)
    assert found.variables[0].similar == similar


def test_a_variable_is_used_where_something_made_of_it_is_named() -> None:
    reading = read_prompt({}, {"general_prompt": "{{nombre}} debe {{monto_total_texto}}"})
    variables = jobs("name debt_amount due_date color")
    assert compare_variables(reading, variables, DERIVED).unused == ("color", "due_date")


def test_nothing_is_called_unused_where_the_prompt_is_not_shown() -> None:
    reading = read_prompt({"voicemail_option": {"action": {"text": "{{nombre}}"}}}, None)
    assert (reading.is_shown, list(reading.named)) == (False, ["nombre"])
    assert compare_variables(reading, jobs("color"), DERIVED).unused == ()


@pytest.mark.parametrize(
    "prompt",
    [
        {"general_prompt": 7, "states": {"name": 3}, "default_dynamic_variables": ["x"]},
        {"states": [None, 7, {"name": {"a": 1}, "edges": "no"}], "nodes": "no"},
        {"general_tools": [{"type": 7, "variables": 3, "response_variables": []}]},
        {"general_tools": [{"type": "extract_dynamic_variable", "variables": [None, {"name": 3}, "x"]}]},
        {"general_prompt": "{{}} {{ }} {{{x}}} {{a{b}} }}{{"},
    ],
    ids=range(5),
)
def test_wild_documents_harm_nothing(prompt: dict[str, Any]) -> None:
    assert set(read_prompt({"response_engine": 7}, prompt).named) <= {"x"}


def test_an_agent_with_endlessly_many_names_is_read_up_to_a_bound() -> None:
    prompt = {"general_prompt": " ".join(f"{{{{name_{n}}}}}" for n in range(5000))}
    assert len(read_prompt({}, prompt).named) == 1000


def test_retell_s_own_variables_and_those_of_its_contacts_do_not_overlap() -> None:
    assert not OF_CONTACTS & BUILT_IN.keys()
