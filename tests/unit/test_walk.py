"""Output matches what a page shows by shape: times, ids and numbers may differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.walk import blocks, looks_like

SHOWN = """job-4827957ae27fcfdd: done

completed at: 2026-11-22 19:34:31
5 calls, +569******01
...
the last line"""


@pytest.mark.parametrize(
    ("printed", "fits"),
    [
        (
            "job-aaaaaaaaaaaaaaaa: done\ncompleted at: 2027-01-01 00:00\n1 call, +447****02\nthe last line",
            True,
        ),
        (SHOWN.replace("...", "one more\nand another"), True),
        (SHOWN.replace("done", "failed"), False),
        (SHOWN.replace("the last line", ""), False),
        (SHOWN + "\nand one more", False),
        ("", False),
    ],
)
def test_times_ids_and_numbers_may_differ_but_words_may_not(printed: str, fits: bool) -> None:
    assert looks_like(SHOWN, printed) is fits


def test_three_dots_in_a_line_match_its_rest() -> None:
    assert looks_like("jobs: ...", "jobs: pending 3")
    assert not looks_like("jobs: ...", "batches: 3")


def test_blocks_are_in_order_and_say_which_are_typed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```sh status=3\none\n```\n```text\ntwo\n```\n<!-- practice\nthree\n-->\n- a\n  ```\n  four\n  ```\n"
    )
    found = blocks(page)
    assert [(block.text, block.is_typed, block.status) for block in found] == [
        ("one", True, 3),
        ("two", False, 0),
        ("three", True, 0),
        ("four", False, 0),
    ]
    assert str(found[0]) == "page.md:1"
