"""State that survives a supervisor, on a real disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from speechaid.errors import FleetError
from speechaid.fleet.state_file import PersistedState, StateDirectory


def test_the_state_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    saved = PersistedState(
        draining=True,
        held=True,
        paused=frozenset({"worker-2", "worker-1"}),
        paused_batches=frozenset({"", "batch-1"}),
    )
    first = StateDirectory(tmp_path / "deep" / "state")
    assert first.load() == PersistedState()
    first.save(saved)
    first.close()
    second = StateDirectory(tmp_path / "deep" / "state")
    assert second.load() == saved
    second.close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"paused": 7}', "\x00"])
def test_a_file_that_cannot_be_read_counts_as_a_drain(tmp_path: Path, text: str) -> None:
    (tmp_path / "standing.json").write_text(text)
    state = StateDirectory(tmp_path)
    assert state.load() == PersistedState(draining=True)
    state.close()


def test_a_second_supervisor_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    first = StateDirectory(tmp_path)
    with pytest.raises(FleetError, match=rf"pid {os.getpid()}\b"):
        StateDirectory(tmp_path)
    first.close()
    StateDirectory(tmp_path).close()


def test_a_state_that_cannot_be_written_raises_and_the_old_one_stays(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.save(PersistedState(draining=True))
    (tmp_path / "standing.new").mkdir()  # in the way of the fresh file, also for root
    with pytest.raises(FleetError, match=r"standing\.json cannot be written"):
        state.save(PersistedState())
    assert state.load() == PersistedState(draining=True)
    state.close()
