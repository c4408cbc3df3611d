"""A step that fails again and again is named, with whose it is and the error."""

from __future__ import annotations

from speechaid.rules.repeated_failures import REPEATED, RepeatedFailures, failing_sentences


def failing(times: int, error: str = "refused") -> RepeatedFailures:
    failures = RepeatedFailures()
    for _ in range(times):
        failures.note_failure("claim", error)
    return failures


def test_a_step_counts_as_failing_from_the_third_failure_in_a_row() -> None:
    assert failing(REPEATED - 1).repeated_errors() == {}
    assert failing(REPEATED).repeated_errors() == {"claim": "refused"}


def test_a_success_ends_it_and_a_success_of_another_step_does_not() -> None:
    failures = failing(REPEATED)
    failures.note_success("recovery")
    assert failures.repeated_errors() == {"claim": "refused"}
    failures.note_success("claim")
    assert failures.repeated_errors() == {}
    failures.note_failure("claim", "refused")
    assert failures.repeated_errors() == {}


def test_a_failure_is_news_the_first_time_and_where_the_error_is_another() -> None:
    failures = RepeatedFailures()
    assert [failures.note_failure("claim", error) for error in ("a", "a", "b", "b")] == [
        True,
        False,
        True,
        False,
    ]


def test_an_error_is_printable_and_short() -> None:
    (error,) = failing(REPEATED, "a\0" + "x" * 10_000).repeated_errors().values()
    assert error.startswith("a?x")
    assert len(error) == 200


def test_workers_with_one_error_share_a_sentence() -> None:
    refused = {"claim": "refused"}
    workers = [{"slot": f"worker-{number}", "failing": refused} for number in (1, 2, 3)]
    odd = {"slot": "worker-4", "failing": {"claim": "another", "recovery": "refused"}}
    assert failing_sentences([*workers, odd, {"slot": "worker-5"}], {"counts": "no"}) == (
        "claim of worker-1 and 2 more: refused",
        "claim of worker-4: another",
        "recovery of worker-4: refused",
        "housekeeping (counts): no",
    )
