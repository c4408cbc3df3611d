"""Reading ``logs`` page by page: each line once, none missed, whatever arrives late and however fast."""

from __future__ import annotations

from typing import Any

from speechaid.protocol.log_pages import LogPages

OVERLAP = 15


def line_id(second: int, number: int = 0) -> str:
    return f"{second:08x}{number:016x}"


class Log:
    """Answers as the daemon does."""

    def __init__(self) -> None:
        self.ids: set[str] = set()

    def page(self, after: str, limit: int, now: int) -> dict[str, Any]:
        found = sorted(one for one in self.ids if one > after)[:limit]
        place = line_id(now - OVERLAP)
        is_full = len(found) == limit
        return {
            "lines": [{"id": one} for one in found],
            "place": min(place, found[-1]) if is_full else place,
            "next": found[-1] if is_full else None,
        }


def read(log: Log, pages: LogPages, limit: int, now: int) -> list[str]:
    return [line["id"] for line in pages.take(log.page(pages.after, limit, now))]


def test_many_old_lines_come_once_each_and_the_oldest_first() -> None:
    log = Log()
    log.ids = {line_id(100, number) for number in range(599)}
    pages, got = LogPages(line_id(99)), list[str]()
    for _ in range(7):
        got += read(log, pages, 100, 1000)
    assert got == sorted(log.ids)


def test_more_new_lines_than_a_page_holds_are_all_read_within_the_overlap() -> None:
    log = Log()
    log.ids = {line_id(1000, number) for number in range(250)}
    pages, got = LogPages(line_id(980)), list[str]()
    for _ in range(3):
        got += read(log, pages, 100, 1001)
    assert sorted(got) == sorted(log.ids)
    assert len(got) == 250


def test_a_line_that_arrives_behind_a_page_that_was_read_is_not_missed() -> None:
    log = Log()
    log.ids = {line_id(1000, number) for number in range(1, 250)}
    pages = LogPages(line_id(980))
    got = [*read(log, pages, 100, 1001), *read(log, pages, 100, 1002)]
    log.ids.add(late := line_id(995))
    for now in range(1003, 1012):
        got += read(log, pages, 100, now)
    assert late in got
    assert sorted(got) == sorted(log.ids)


def test_an_answer_of_an_older_daemon_names_no_next_line() -> None:
    pages = LogPages(line_id(1))
    page = {"lines": [{"id": line_id(5)}], "place": line_id(3)}
    assert [line["id"] for line in pages.take(page)] == [line_id(5)]
    assert pages.after == line_id(3)
    assert pages.take(page) == []
