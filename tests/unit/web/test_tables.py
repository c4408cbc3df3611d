"""The tables of the API are complete, and agree with the command table."""

from __future__ import annotations

import re

import pytest

from speechaid.model.identity import Role
from speechaid.protocol.commands import COMMANDS
from speechaid.protocol.messages import ErrorCode
from speechaid.rules.roles import NOBODY, may
from speechaid.web.app import build_api
from speechaid.web.call_settings import OPTION_OF, CallSettingsBody
from speechaid.web.command_table import ROUTES, WITHOUT_ROUTE, CommandRoute
from speechaid.web.daemon import SCANS
from speechaid.web.problems import STATUS_OF
from speechaid.web.routes.commands import arguments_of


def test_every_command_has_a_route_or_is_named_as_one_without() -> None:
    assert {route.command for route in ROUTES} | WITHOUT_ROUTE == COMMANDS.keys()
    assert not {route.command for route in ROUTES} & WITHOUT_ROUTE


def test_no_route_gives_a_command_that_is_for_nobody_here() -> None:
    assert not {route.command for route in ROUTES} & NOBODY


def test_every_code_of_a_refusal_has_a_status_which_is_not_the_one_of_a_programming_error() -> None:
    assert STATUS_OF.keys() == set(ErrorCode)
    assert 500 not in STATUS_OF.values()


def test_no_route_is_hidden_by_one_before_it() -> None:
    """The first one that matches is taken: ``/calls/{call_id}`` before ``/calls/history`` would take both."""
    for place, route in enumerate(ROUTES):
        for earlier in ROUTES[:place]:
            pattern = re.sub(r"\{\w+\}", "[^/]+", earlier.path)
            is_hidden = set(earlier.methods) & set(route.methods) and re.fullmatch(pattern, route.path)
            assert not is_hidden, f"{earlier.path} hides {route.path}"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_a_route_names_arguments_that_its_command_has(route: CommandRoute) -> None:
    known = {argument.name for argument in COMMANDS[route.command].wire_arguments}
    named = {argument for argument, _ in route.in_path.values()} | route.fixed.keys() | route.renamed.keys()
    assert named <= known
    assert all("{" + name + "}" in route.path for name in route.in_path)
    assert route.path.count("{") == len(route.in_path)
    shown = {route.renamed.get(argument.name, argument.name) for argument in arguments_of(route)}
    assert route.example.keys() <= shown


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_some_role_may_use_each_route(route: CommandRoute) -> None:
    assert any(may(role, route.command) for role in Role)


def test_what_reads_whole_collections_is_a_command_that_stops_nothing() -> None:
    assert COMMANDS.keys() >= SCANS
    assert not any(COMMANDS[name].urgent for name in SCANS)


def test_every_call_setting_is_an_option_of_the_commands_about_batches() -> None:
    assert OPTION_OF.keys() == CallSettingsBody.model_fields.keys()
    options = {argument.name for argument in COMMANDS["edit-batch"].arguments}
    assert set(OPTION_OF.values()) <= options


def test_every_path_stands_once_in_the_document_and_answers_errors_as_problems() -> None:
    document = build_api().openapi()
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            statuses = {status for status in operation["responses"] if int(status) >= 400}
            assert statuses >= {"401", "404", "422", "503"}, (method, path)
            for status in statuses:
                assert list(operation["responses"][status]["content"]) == ["application/problem+json"]
