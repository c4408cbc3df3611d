"""When a call's analysis is asked for: some time after the end, ever more seldom, and not for ever. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from speechaid.settings.groups import CallSettings

#: While Retell tells nothing at all, so many seconds pass before the same call is asked for again.
OUTAGE_REST_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class AnalysisPolicy:
    """How long Retell is given for its analysis of a call.

    Attributes:
        first_seconds: from the record of the call to the first question; doubled before each further one.
        tries: questions that Retell answers without an analysis; 0: it is never asked.
        longest_seconds: from the record of the call to the last question, whatever was answered.
    """

    first_seconds: float
    tries: int
    longest_seconds: float

    @classmethod
    def read(cls, call: CallSettings) -> AnalysisPolicy:
        """The policy that the settings give."""
        return cls(
            first_seconds=call.analysis_first_seconds,
            tries=call.analysis_tries,
            longest_seconds=call.analysis_longest_minutes * 60,
        )


def first_question(policy: AnalysisPolicy) -> float | None:
    """Seconds from the record of a call to the first question; None where there is none."""
    return min(policy.first_seconds, policy.longest_seconds) if policy.tries else None


def next_question(tries: int, age_seconds: float, policy: AnalysisPolicy, *, told: bool) -> float | None:
    """Seconds until a call without an analysis is asked for again; None: it is given up.

    Args:
        tries: questions that Retell had answered before this one.
        age_seconds: of the call's record.
        policy: as in force.
        told: whether Retell answered this one. An outage of Retell's costs no try, only time.
    """
    if age_seconds >= policy.longest_seconds or (told and tries + 1 >= policy.tries):
        return None
    rest = policy.first_seconds * 2 ** (tries + 1) if told else OUTAGE_REST_SECONDS
    return min(rest, max(0.0, policy.longest_seconds - age_seconds))
