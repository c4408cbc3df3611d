"""Every create is sent from one place, behind one clearance."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[3] / "speechaid"


def callers(name: str) -> set[str]:
    """The functions, as ``module.function``, in which something of this name is called."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and any(
                _calls(node, name) for node in ast.walk(function)
            ):
                found.add(f"{path.relative_to(PACKAGE).with_suffix('')}.{function.name}")
    return found


def _calls(node: ast.AST, name: str) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    return name == (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None))


def test_a_create_is_sent_by_post_alone() -> None:
    assert callers("create_call") == {"dialer/dial.post"}


def test_post_is_called_by_first_dials_and_replays_and_both_clear_the_dial_before() -> None:
    assert callers("post") == {"dialer/dial.place_or_withdraw", "dialer/recovery.replay"}
    assert callers("clear_to_dial") == callers("post")
