"""Files between two steps: for one user, for a bounded time, in bounded numbers."""

from __future__ import annotations

import asyncio
import io

import pytest
from starlette.datastructures import UploadFile

from speechaid.model.identity import Principal, PrincipalKind, Role
from speechaid.web.page import drafts as module
from speechaid.web.page.drafts import KEEP_SECONDS, PER_USER, Draft, Drafts
from speechaid.web.problems import Problem


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def user(name: str, account_id: str | None = None) -> Principal:
    return Principal(name=name, kind=PrincipalKind.SESSION, role=Role.MANAGER, account_id=account_id)


def keep(drafts: Drafts, who: Principal, content: bytes = b"nombre,telefono\n") -> Draft:
    upload = UploadFile(io.BytesIO(content), size=len(content), filename="a.csv")
    return asyncio.run(drafts.keep(who, upload, "a.csv"))


def test_a_file_is_read_as_often_as_it_is_needed() -> None:
    drafts = Drafts()
    draft = keep(drafts, user("ana"))
    assert asyncio.run(draft.read()) == asyncio.run(draft.read()) == b"nombre,telefono\n"


def test_a_file_is_its_users_alone() -> None:
    drafts = Drafts()
    key = keep(drafts, user("ana", "acc_1")).key
    assert drafts.find(user("ana", "acc_1"), key) is not None
    assert drafts.find(user("luis", "acc_1"), key) is None
    # The same user, bound to another account since.
    assert drafts.find(user("ana", "acc_2"), key) is None


def test_a_file_is_let_go_after_its_time() -> None:
    clock = Clock()
    drafts = Drafts(clock)
    draft = keep(drafts, user("ana"))
    clock.now += KEEP_SECONDS - 1
    assert drafts.find(user("ana"), draft.key) is draft
    clock.now += KEEP_SECONDS + 1
    assert drafts.find(user("ana"), draft.key) is None
    assert draft.file.closed


def test_the_file_that_was_not_used_for_longest_makes_room() -> None:
    clock = Clock()
    drafts = Drafts(clock)
    made = []
    for _ in range(PER_USER + 1):
        clock.now += 1
        made.append(keep(drafts, user("ana")))
    assert [drafts.find(user("ana"), one.key) is not None for one in made] == [False] + [True] * PER_USER


def test_beyond_the_room_of_all_users_a_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 20)
    drafts = Drafts()
    kept = keep(drafts, user("ana"))
    with pytest.raises(Problem, match="no room"):
        keep(drafts, user("luis"))
    assert drafts.find(user("ana"), kept.key) is kept
