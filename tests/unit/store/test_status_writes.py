"""Every status that the store writes to an existing job is checked against the allowed changes."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import speechaid.store
from speechaid.model.states import ALLOWED_TRANSITIONS, FINISHED, STATUS_DATES, JobStatus, status_dates
from speechaid.store.jobs import clear_claim

NOW = datetime(2026, 1, 1, tzinfo=UTC)
#: Modules of the store that write jobs; an account's status is another thing.
MODULES = [
    module
    for module in sorted(Path(speechaid.store.__file__).parent.glob("*.py"))
    if module.stem != "accounts"
]


def test_an_update_that_clears_the_claim_refuses_a_forbidden_change_of_status() -> None:
    with pytest.raises(ValueError, match="cannot change from in_progress to scheduled"):
        clear_claim({"status": JobStatus.SCHEDULED}, NOW, JobStatus.IN_PROGRESS)
    with pytest.raises(ValueError, match="cannot change from done to failed"):
        clear_claim({"status": "failed"}, NOW, JobStatus.FAILED, JobStatus.DONE)


def test_an_update_that_clears_the_claim_sets_an_allowed_status_or_none() -> None:
    assert clear_claim({"status": "done"}, NOW, JobStatus.IN_PROGRESS)["$set"]["status"] == "done"
    assert "status" not in clear_claim({"attempts": 1}, NOW)["$set"]


@pytest.mark.parametrize("status", JobStatus)
def test_an_update_that_clears_the_claim_sets_the_dates_of_the_status(status: JobStatus) -> None:
    origins = [origin for origin, allowed in ALLOWED_TRANSITIONS.items() if status in allowed]
    written = clear_claim({"status": status}, NOW, *origins[:1] or [status])["$set"]
    assert {name: written.get(name) for name in STATUS_DATES[status]} == status_dates(status, NOW)
    assert set(STATUS_DATES) == set(JobStatus)
    if status in FINISHED:
        assert "finished_at" in written


def test_a_date_that_was_decided_before_stays() -> None:
    before = datetime(2025, 1, 1, tzinfo=UTC)
    update = clear_claim({"status": "done", "completed_at": before}, NOW, JobStatus.IN_PROGRESS)
    assert (update["$set"]["completed_at"], update["$set"]["finished_at"]) == (before, NOW)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_no_update_sets_a_status_past_the_check(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        for key, value in _items(node):
            if key != "$set":
                continue
            for name, written in _items(value):
                if name == "status":
                    assert ast.unparse(written).startswith("transition("), ast.unparse(value)


def _statuses(written: str) -> list[str]:
    """The names of the status that ``transition`` returns, its first argument."""
    return re.findall(r"^transition\(JobStatus\.(\w+)", written)


def _items(node: ast.AST) -> list[tuple[object, ast.expr]]:
    """The items of a dictionary's display that have a constant key."""
    if not isinstance(node, ast.Dict):
        return []
    pairs = zip(node.keys, node.values, strict=True)
    return [(key.value, value) for key, value in pairs if isinstance(key, ast.Constant)]
