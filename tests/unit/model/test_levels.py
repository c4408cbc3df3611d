"""The level that the database requires of a daemon."""

from __future__ import annotations

import pytest

from speechaid.model.levels import ADDED, OWN, Level, reason_too_old


@pytest.mark.parametrize(
    ("needed", "own", "may_dial"), [(1, 1, True), (1, 2, True), (2, 2, True), (2, 1, False), (None, 9, False)]
)
def test_a_daemon_dials_if_it_has_reached_the_level(needed: int | None, own: int, may_dial: bool) -> None:
    assert (reason_too_old(needed, own=own) is None) is may_dial


def test_each_level_says_what_it_added() -> None:
    assert set(ADDED) == set(Level)
    assert max(Level) == OWN
