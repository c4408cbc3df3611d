"""How fast a command goes on, from its progress messages."""

from __future__ import annotations

from speechctl.live import Pace


def test_pace_and_time_left_follow_from_two_messages() -> None:
    clock = iter([100.0, 102.0])
    pace = Pace(now=lambda: next(clock))
    first = {"state": "importing", "done": 1000, "of": 5000}
    assert pace.add_to(first) == first
    second = pace.add_to({"state": "importing", "done": 3000, "of": 5000})
    assert second["per_second"] == 1000.0
    assert second["seconds_left"] == 2.0


def test_each_state_has_its_own_pace() -> None:
    clock = iter([0.0, 1.0, 5.0, 6.0])
    pace = Pace(now=lambda: next(clock))
    pace.add_to({"state": "reading", "done": 500})
    read = pace.add_to({"state": "reading", "done": 4500})
    assert read == {"state": "reading", "done": 4500, "per_second": 4000.0}
    written = {"state": "importing", "done": 1000, "of": 9000}
    assert pace.add_to(written) == written
    assert pace.add_to({**written, "done": 2000})["per_second"] == 1000.0


def test_a_message_without_a_count_stays_as_it_is() -> None:
    assert Pace(now=lambda: 0.0).add_to({"state": "accepted"}) == {"state": "accepted"}
