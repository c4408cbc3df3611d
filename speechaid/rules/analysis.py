"""When to query Retell for a call's analysis: after the call, with growing delays, up to a limit.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from speechaid.settings.groups import CallSettings

#: Seconds until the same call is queried again while Retell does not answer.
OUTAGE_RETRY_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class AnalysisPolicy:
    """How often and how long Retell is queried for the analysis of a call.

    Attributes:
        first_seconds: from the recording of the call to the first query; doubled before each further one.
        tries: queries that Retell may answer without an analysis; 0: it is never queried.
        longest_seconds: from the recording of the call to the last query, whatever was answered.
    """

    first_seconds: float
    tries: int
    longest_seconds: float

    @classmethod
    def read(cls, call: CallSettings) -> AnalysisPolicy:
        """Read the policy from the settings."""
        return cls(
            first_seconds=call.analysis_first_seconds,
            tries=call.analysis_tries,
            longest_seconds=call.analysis_longest_minutes * 60,
        )


def first_query_delay(policy: AnalysisPolicy) -> float | None:
    """Seconds from the recording of a call to the first query; None: it is never queried."""
    return min(policy.first_seconds, policy.longest_seconds) if policy.tries else None


def next_query_delay(
    tries: int, age_seconds: float, policy: AnalysisPolicy, *, answered: bool
) -> float | None:
    """Seconds until a call without an analysis is queried again; None: no more queries.

    Args:
        tries: queries that Retell answered before this one.
        age_seconds: since the call was recorded.
        policy: the current policy.
        answered: whether Retell answered this query. An outage uses up time, but no try.
    """
    if age_seconds >= policy.longest_seconds or (answered and tries + 1 >= policy.tries):
        return None
    delay = policy.first_seconds * 2 ** (tries + 1) if answered else OUTAGE_RETRY_SECONDS
    return min(delay, max(0.0, policy.longest_seconds - age_seconds))
