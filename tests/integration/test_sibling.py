"""The sibling keeps what it acknowledged, as the embedded database does: the tests on it rely on that."""

from __future__ import annotations

from pathlib import Path

from pymongo import MongoClient, WriteConcern

from speechaid.model.reading import Document
from tests.support.sibling import Sibling, sibling_program


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    program = sibling_program()
    assert program is not None, "scripts/sibling builds it"
    server = Sibling(program, tmp_path, sync_on_commit=True)
    try:
        with MongoClient[Document](server.start()) as client:
            durable = client.speechaid.get_collection("jobs", write_concern=WriteConcern("majority", j=True))
            for number in range(200):
                durable.insert_one({"_id": number})
            server.kill()
        with MongoClient[Document](server.start()) as client:
            assert [row["_id"] for row in client.speechaid.jobs.find().sort("_id", 1)] == list(range(200))
    finally:
        server.stop()
