"""Frames between daemon and reader process, and what the daemon believes of a child."""

from __future__ import annotations

from dataclasses import replace

import pytest

from speechaid.campaign.rows import Row
from speechaid.importing.contacts import check_row
from speechaid.importing.frames import FrameDecoder, FrameError, Kind, encode
from speechaid.importing.process import SENTENCES, Cause
from speechaid.importing.tasks import REFUSALS, FileTask

ROW = Row(
    line=2,
    name="Ana",
    dni="1-9",
    phones=("+56955550001",),
    lines=("+56955550001",),
    company_name=None,
    debt_amount=10,
    currency="CLP",
    due_date="2026-12-31",
    reference_number=None,
    additional_info={"color": "blue"},
)


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_frames_are_found_however_their_bytes_arrive(step: int) -> None:
    data = encode(Kind.PART, b"one") + encode(Kind.PROGRESS, b"2") + encode(Kind.END)
    decoder = FrameDecoder()
    found = [
        frame
        for begin in range(0, len(data), step)
        for frame in decoder.add_bytes(data[begin : begin + step])
    ]
    assert found == [(Kind.PART, b"one"), (Kind.PROGRESS, b"2"), (Kind.END, b"")]


def test_a_frame_that_is_too_large_is_refused_by_its_header() -> None:
    decoder = FrameDecoder(most_bytes=10)
    with pytest.raises(FrameError):
        decoder.add_bytes(encode(Kind.PART, b"x" * 11)[:5])


def test_bytes_that_are_no_frame_are_refused() -> None:
    with pytest.raises(FrameError):
        FrameDecoder().add_bytes(b"Traceback (most recent call last)")


def test_a_row_as_the_reader_makes_it_is_believed() -> None:
    check_row(ROW)


@pytest.mark.parametrize(
    "row",
    [
        replace(ROW, phones=()),
        replace(ROW, phones=("955550001",)),
        replace(ROW, phones=("+56955550001", "+56955550002")),
        replace(ROW, phones=("+56955550001;+56955550002",)),
        replace(ROW, line=0),
        replace(ROW, currency="$"),
        replace(ROW, due_date="tomorrow"),
        replace(ROW, additional_info={"color": {"$where": "1"}}),
        replace(ROW, additional_info={str(number): "x" for number in range(300)}),
    ],
)
def test_a_row_that_no_reader_makes_is_refused(row: Row) -> None:
    with pytest.raises(ValueError, match="no row"):
        check_row(row)


def test_every_cause_has_a_sentence_and_every_task_a_module() -> None:
    assert set(SENTENCES) == set(Cause)
    for task in FileTask:
        module = __import__(f"speechaid.importing.{task.value}", fromlist=["run"])
        assert callable(module.run)
    assert list(REFUSALS) == ["file", "not_found", "database_away", "database", "other"]
