"""Files between two steps: for one user, for a bounded time, in bounded numbers."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator

import pytest
from starlette.datastructures import UploadFile

from speechaid.model.identity import Principal, PrincipalKind, Role
from speechaid.web.page import drafts as module
from speechaid.web.page.drafts import KEEP_SECONDS, PER_USER, Draft, Drafts
from speechaid.web.problems import Problem


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def drafts(clock: Clock) -> Iterator[Drafts]:
    made = Drafts(clock)
    yield made
    made.close()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def user(name: str, account_id: str | None = None) -> Principal:
    return Principal(name=name, kind=PrincipalKind.SESSION, role=Role.MANAGER, account_id=account_id)


def keep(drafts: Drafts, who: Principal, content: bytes = b"nombre,telefono\n") -> Draft:
    upload = UploadFile(io.BytesIO(content), size=len(content), filename="a.csv")
    return asyncio.run(drafts.keep(who, upload, "a.csv"))


def test_a_file_is_read_as_often_as_it_is_needed(drafts: Drafts) -> None:
    draft = keep(drafts, user("ana"))
    assert asyncio.run(draft.read()) == asyncio.run(draft.read()) == b"nombre,telefono\n"


def test_a_file_is_its_users_alone(drafts: Drafts) -> None:
    key = keep(drafts, user("ana", "acc_1")).key
    assert drafts.find(user("ana", "acc_1"), key) is not None
    assert drafts.find(user("luis", "acc_1"), key) is None
    # The same user, bound to another account since.
    assert drafts.find(user("ana", "acc_2"), key) is None


def test_a_file_is_let_go_after_its_time(drafts: Drafts, clock: Clock) -> None:
    draft = keep(drafts, user("ana"))
    clock.now += KEEP_SECONDS - 1
    assert drafts.find(user("ana"), draft.key) is draft
    clock.now += KEEP_SECONDS + 1
    assert drafts.find(user("ana"), draft.key) is None
    assert draft.file.closed


def test_the_file_that_was_not_used_for_longest_makes_room(drafts: Drafts, clock: Clock) -> None:
    made = []
    for _ in range(PER_USER + 1):
        clock.now += 1
        made.append(keep(drafts, user("ana")))
    assert [drafts.find(user("ana"), one.key) is not None for one in made] == [False] + [True] * PER_USER


def test_beyond_the_room_of_all_users_a_file_is_refused(
    drafts: Drafts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 20)
    kept = keep(drafts, user("ana"))
    with pytest.raises(Problem, match="no room"):
        keep(drafts, user("luis"))
    assert drafts.find(user("ana"), kept.key) is kept
