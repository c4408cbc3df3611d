"""One way to log: events by name, through ``telemetry.logs.get_logger``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("speechaid/**/*.py"))

#: What may call ``logging.getLogger``, and for which logger; None: for any.
MAY_GET_A_LOGGER: dict[str, str | None] = {
    "speechaid/telemetry/logs.py": None,
    "speechaid/embedded/server.py": "secantus",  # a library's records, to find storage faults in them
}
LEVELS = {"debug", "info", "warning", "error", "critical", "exception", "log"}
EVENT_NAME = re.compile(r"[a-z_]+(\.[a-z_]+)?")


def calls_in(file: str) -> Iterator[ast.Call]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def is_call_of(call: ast.Call, owner: str, names: set[str]) -> bool:
    match call.func:
        case ast.Attribute(value=ast.Name(id=name), attr=attribute):
            return name == owner and attribute in names
    return False


@pytest.mark.parametrize("file", FILES)
def test_the_standard_logging_functions_are_called_in_telemetry_alone(file: str) -> None:
    for call in calls_in(file):
        if is_call_of(call, "logging", {"getLogger", *LEVELS}):
            assert file in MAY_GET_A_LOGGER, f"{file}:{call.lineno}: use telemetry.logs.get_logger"
            allowed = MAY_GET_A_LOGGER[file]
            assert allowed is None or ast.unparse(call) == f"logging.getLogger({allowed!r})"


@pytest.mark.parametrize("file", FILES)
def test_functions_of_logging_are_not_imported_by_name(file: str) -> None:
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "logging":
            names = {alias.name for alias in node.names}
            assert not names & {"getLogger", *LEVELS}, f"{file}:{node.lineno}: {names}"


@pytest.mark.parametrize("file", [file for file in FILES if file != "speechaid/telemetry/logs.py"])
def test_a_log_line_is_an_event_name_and_fields(file: str) -> None:
    for call in calls_in(file):
        if not is_call_of(call, "log", {*LEVELS, "event"}):
            continue
        where = f"{file}:{call.lineno}: {ast.unparse(call)[:60]}"
        name = call.args[1] if is_call_of(call, "log", {"event"}) else call.args[0]
        if isinstance(name, ast.Constant):
            assert EVENT_NAME.fullmatch(str(name.value)), where
        assert not any(keyword.arg == "extra" for keyword in call.keywords), where
