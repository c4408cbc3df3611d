"""The embedded database keeps no copies of what was written: no oplog, nor an earlier version's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from speechaid.embedded import oplog
from speechaid.embedded.oplog import delete_old_rows, turn_off_oplog

secantus = pytest.importorskip("secantus")


def rows_of(storage: Any) -> int:
    return int(storage._count_oplog_rows())


def test_writes_leave_no_rows_and_those_of_an_earlier_version_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oplog, "DELETED_AT_ONCE", 4)
    storage = secantus.SecantusDBServer(host="127.0.0.1", port=0, storage_path=str(tmp_path)).storage
    try:
        storage.insert("db", "jobs", [{"_id": number} for number in range(10)])
        before = rows_of(storage)
        assert before >= 10
        assert turn_off_oplog(storage)
        storage.insert("db", "jobs", [{"_id": number} for number in range(10, 20)])
        assert rows_of(storage) == before
        assert delete_old_rows(storage) == 4
        while delete_old_rows(storage):
            pass
        assert rows_of(storage) == 0
        assert len(storage.find_matching("db", "jobs")) == 20
    finally:
        storage.close()
    storage = secantus.SecantusDBServer(host="127.0.0.1", port=0, storage_path=str(tmp_path)).storage
    try:
        turn_off_oplog(storage)
        storage.insert("db", "jobs", [{"_id": 20}])
        assert [row["_id"] for row in storage.find_matching("db", "jobs")] == list(range(21))
    finally:
        storage.close()


def test_another_version_of_the_storage_is_left_unchanged() -> None:
    assert not turn_off_oplog(object())
    assert delete_old_rows(object()) == 0
