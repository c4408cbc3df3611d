"""The list of what servers cannot do names tests that exist."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.integration.contract.known_gaps import KNOWN_GAPS


def contract_tests() -> set[str]:
    """The names of all tests of this directory."""
    modules = [ast.parse(path.read_text()) for path in Path(__file__).parent.glob("test_*.py")]
    return {node.name for module in modules for node in module.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("server", KNOWN_GAPS)
def test_every_known_gap_is_a_test_of_the_contract_with_a_reason(server: str) -> None:
    assert set(KNOWN_GAPS[server]) <= contract_tests()
    assert all(KNOWN_GAPS[server].values())
