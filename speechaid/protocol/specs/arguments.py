"""Arguments and values that commands of several groups take."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.specs.specification import Argument, Kind

OF_BATCH: Final = Argument(
    name="batch", help="of this batch only (id, name, or unique beginning of the id)", completes="batch"
)

#: Every outcome of a call; a test compares them with ``model.states.Outcome``.
OUTCOMES: Final = (
    *("answered", "voicemail", "no_answer", "busy", "failed", "invalid_number", "do_not_call"),
    *("callback_requested", "stopped", "temporary", "no_credit", "blocked", "rejected"),
)

DATES: Final = (
    Argument(name="from", is_id=True, help="from this day on, in the default zone: 2026-11-30"),
    Argument(name="to", is_id=True, help="up to this day, which counts too: 2026-11-30"),
)

FILTERS: Final = (
    OF_BATCH,
    Argument(name="account", help="of this account only (id, or its unique beginning)", completes="account"),
    Argument(name="outcome", choices=OUTCOMES, help="only where the last call, or the call, ended so"),
    Argument(name="number", help="only of this phone number: +56912345678, or national"),
    Argument(name="agent", is_id=True, help="only where the last call, or the call, had this agent (its id)"),
    Argument(name="from_number", help="only where the last call, or the call, came from this number"),
    *DATES,
)

REASON: Final = Argument(name="reason", help="the reason; recorded with author and time, numbers masked")

COUNTRY: Final = Argument(name="country", help="country of numbers without a country code: CL")

NUMBER: Final = Argument(
    name="number", positional=True, required=True, help="the phone number: +56912345678, or national"
)

DRY_RUN: Final = Argument(name="dry_run", kind=Kind.FLAG, help="show what would happen, and change nothing")

HOURS: Final = Argument(
    name="hours", help="when people may be called: 09:00-18:00; 24:00 is the end of the day"
)

DAYS: Final = Argument(name="days", help="on which weekdays, Monday is 1: 1-5 or 1,3,5")

TIMEZONE: Final = Argument(name="timezone", help="IANA name of the zone of hours and days: America/Santiago")

START_AT: Final = Argument(
    name="start_at",
    is_id=True,
    help="call nobody before this time, by the clock of the hours: 2026-12-01T09:00",
)

#: What a call is for, as ``model.states.Purpose``; a test compares them.
PURPOSES: Final = ("collection", "marketing", "survey", "reminder")

BATCH_OPTIONS: Final = (
    Argument(name="description", help="what the campaign is about"),
    Argument(name="account", is_id=True, help="the account that pays (account_id)", completes="account"),
    Argument(name="country", help="country of phones without a country code: CL (default: the account's)"),
    Argument(
        name="priority",
        help="which batch goes first: urgent before high before normal (the default)",
        choices=("normal", "high", "urgent"),
    ),
    HOURS,
    DAYS,
    TIMEZONE,
    START_AT,
    Argument(
        name="max_attempts",
        kind=Kind.INTEGER,
        minimum=1,
        maximum=100,
        help="attempts, each a pass through a contact's phones",
    ),
    Argument(
        name="retry_delay_hours",
        kind=Kind.NUMBER,
        minimum=0,
        maximum=8760,
        help="delay between two attempts, instead of both delays of the settings",
    ),
    Argument(
        name="ring_timeout",
        kind=Kind.DURATION,
        minimum=5,
        maximum=300,
        help="how long a phone may ring: 45s",
    ),
    Argument(
        name="max_call_duration",
        kind=Kind.DURATION,
        minimum=60,
        maximum=7200,
        help="how long a call may last: 10m",
    ),
    Argument(
        name="max_concurrent_calls",
        kind=Kind.INTEGER,
        minimum=1,
        maximum=100_000,
        help="calls at a time; for none use pause-batch",
    ),
    Argument(
        name="voicemail_counts", kind=Kind.FLAG, help="a call that reaches a voicemail completes the job"
    ),
    Argument(
        name="no_voicemail_counts",
        kind=Kind.FLAG,
        help="a call that reaches a voicemail does not complete the job, whatever the settings say",
    ),
    Argument(
        name="agent",
        is_id=True,
        help="Retell's id of the agent that speaks, as speechctl agents lists it (default: RETELL_AGENT_ID)",
    ),
    Argument(
        name="agent_version",
        is_id=True,
        help="the agent's version: a number, a tag, latest or latest_published (default: the start's)",
    ),
    Argument(
        name="from_number",
        help="the number that calls, as speechctl numbers lists it (default: RETELL_FROM_NUMBER)",
    ),
    Argument(name="language", is_id=True, help="the agent's language: es-419 (default: the agent's own)"),
    Argument(
        name="voicemail_option",
        help="at a voicemail: hangup, 'leave TEXT', or agent for the agent's own setting (the default)",
    ),
    Argument(
        name="dnc_detection",
        choices=("yes", "no"),
        help="whether the agent listens for a wish not to be called again (default: yes)",
    ),
    Argument(
        name="purpose",
        choices=PURPOSES,
        help="what the calls are for: the law of each number's country for it holds (default: none does)",
    ),
    Argument(
        name="pack_variant",
        is_id=True,
        help="the pack of this name, as set-pack put it in force, in the place of a country's (see packs)",
    ),
)

COPY_FROM: Final = Argument(
    name="copy_from",
    help="take the settings of this batch; options that are given win",
    completes="batch",
)

BATCH_SETTINGS: Final = (
    *BATCH_OPTIONS,
    COPY_FROM,
    Argument(name="paused", kind=Kind.FLAG, help="do not start calling before resume-batch"),
)


def at_most(default: int) -> Argument:
    """How many rows a list shows at most."""
    return Argument(
        name="limit",
        kind=Kind.INTEGER,
        minimum=1,
        maximum=1000,
        default=default,
        help="show at most this many",
    )
