"""Every declared setting is read by the program: one that nothing reads would be set in vain."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechaid.settings import Settings
from speechaid.settings.table import DECLARATIONS, Declaration

PACKAGE = Path(__file__).parents[3] / "speechaid"
#: Handles all settings alike, whether or not anything needs them; the groups' own properties do read.
GENERIC = frozenset({"fields", "loading", "reload", "secrets", "sources", "table", "env_file", "__main__"})
#: Class of a group to the group's name.
CLASSES = {
    field.annotation.__name__: name for name, field in Settings.model_fields.items() if field.annotation
}
Reads = set[tuple[str, str]]


def reads_of(tree: ast.AST) -> Reads:
    """Group and field of each setting that a module reads.

    Followed are ``….worker.count``, names that a group was assigned to (``call = settings.call``), parameters
    annotated with a group's class, and ``self`` within such a class.
    """
    found = {
        (node.value.attr, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute)
    }
    for scope in ast.walk(tree):
        if isinstance(scope, ast.FunctionDef):
            found |= reads_through(scope, {**groups_in_parameters(scope), **dict(groups_assigned(scope))})
        elif isinstance(scope, ast.ClassDef) and scope.name in CLASSES:
            found |= reads_through(scope, {"self": CLASSES[scope.name]})
    return found


def reads_through(scope: ast.AST, groups: dict[str, str]) -> Reads:
    """Reads of fields by names that stand for groups."""
    return {
        (groups[node.value.id], node.attr)
        for node in ast.walk(scope)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in groups
    }


def groups_in_parameters(function: ast.FunctionDef) -> dict[str, str]:
    parameters = [*function.args.args, *function.args.kwonlyargs]
    annotated = {parameter.arg: parameter.annotation for parameter in parameters}
    return {
        name: CLASSES[annotation.id]
        for name, annotation in annotated.items()
        if isinstance(annotation, ast.Name) and annotation.id in CLASSES
    }


def groups_assigned(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """Local names and the groups they stand for: ``call = x.call``, ``worker, call = x.worker, x.call``."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Assign):
            continue
        values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        for target in node.targets:
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            for name, value in zip(names, values, strict=False):
                if isinstance(name, ast.Name) and isinstance(value, ast.Attribute):
                    yield name.id, value.attr


@pytest.fixture(scope="module")
def reads() -> Reads:
    return {
        read
        for path in PACKAGE.rglob("*.py")
        if not (path.parent.name == "settings" and path.stem in GENERIC)
        for read in reads_of(ast.parse(path.read_text(encoding="utf-8")))
    }


@pytest.mark.parametrize("declared", DECLARATIONS, ids=lambda declared: declared.variable)
def test_a_declared_setting_is_read(declared: Declaration, reads: Reads) -> None:
    assert (declared.group, declared.field) in reads, f"nothing reads {declared.variable}"


SOURCES = [
    ("settings.worker.count", {("worker", "count")}),
    ("def f(self):\n  call = self.settings.call\n  return call.analysis_tries", {("call", "analysis_tries")}),
    ("def f(s):\n  w, c = s.worker, s.call\n  return w.count", {("worker", "count")}),
    ("def f(x: AlertSettings):\n  return x.patience", {("alerts", "patience")}),
    ("class DatabaseSettings:\n  def f(self):\n    return self.uri", {("database", "uri")}),
]
NOT_READ = [
    "report.count",
    "count = 1",
    "def f(x: Other):\n  return x.count",
    "def f(worker):\n  return worker.count",
    "'settings.worker.count'",
    "SPEECHAID_LOG_RETENTION_DAYS = 1",
    "class Other:\n  def f(self):\n    return self.uri",
]


@pytest.mark.parametrize(("source", "expected"), SOURCES)
def test_a_read_is_found_in_each_form(source: str, expected: Reads) -> None:
    assert expected <= reads_of(ast.parse(source))


@pytest.mark.parametrize("source", NOT_READ)
def test_what_is_no_read_of_a_setting_is_not_taken_for_one(source: str) -> None:
    declared = {(declaration.group, declaration.field) for declaration in DECLARATIONS}
    assert not declared & reads_of(ast.parse(source))
