"""Every setting, declared once: variable, default, what is allowed, its meaning, whether a reload applies it.

Faults, the typo warning, reload, the table in the docs and the shape of the settings object all come from
these declarations; ``loading`` reads their values.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import SecretStr

from speechaid.protocol.text import split_at_password
from speechaid.settings.fields import (
    LONGEST_CALL_MINUTES,
    LONGEST_RETENTION_DAYS,
    MONTH_MINUTES,
    ApiKey,
    Country,
    DailyHours,
    Group,
    HostNames,
    IpAddresses,
    LevelName,
    Listener,
    MongoAddress,
    OptionalPath,
    SocketPath,
    StateDirectory,
    WebAddress,
    WebListener,
    WeekDays,
    Zone,
    collection,
    hide_credentials,
    minutes,
    seconds,
    setting,
    whole,
)


def identity_database(campaigns: str) -> str:
    """The name of the database of users, tokens and sessions beside a campaigns' database."""
    return f"{campaigns[:59]}_web"  # MongoDB allows 63 characters


class DatabaseSettings(Group):
    """Where jobs and their history live."""

    uri: MongoAddress = setting(
        "MONGO_URI",
        SecretStr("mongodb://localhost:27017"),
        "the database; `embedded:DIR` starts the embedded one in DIR",
        allowed="mongodb://HOST..., mongodb+srv://HOST... or embedded:DIR, DIR in UTF-8",
        live=False,
    )
    name: str = setting(
        "MONGO_DB",
        "speechai_db",
        "the database's name",
        allowed='1 to 63 characters, none of /\\. "$*<>:|?',
        live=False,
        pattern=r'^[^/\\. "$*<>:|?\x00]{1,63}$',
    )
    jobs_collection: str = collection("MONGO_COLL_JOBS", "jobs", "one document a job")
    results_collection: str = collection("MONGO_COLL_RESULTS", "call_results", "one document a call")
    logs_collection: str = collection("MONGO_COLL_LOGS", "call_logs", "events of jobs, operators' commands")
    accounts_collection: str = collection("MONGO_COLL_ACCOUNTS", "accounts", "plans and balances")
    batches_collection: str = collection("MONGO_COLL_BATCHES", "batches", "campaigns")
    max_pool_size: int = whole(
        "MONGO_MAX_POOL_SIZE", 50, "most connections of one process", low=1, high=1000, live=False
    )

    @property
    def identity_name(self) -> str:
        """The name of the database with users, tokens and sessions of the HTTP API."""
        return identity_database(self.name)

    @property
    def embedded_directory(self) -> Path | None:
        """Where the embedded database keeps its files; None where the database is a server's."""
        scheme, _, directory = self.uri.get_secret_value().partition(":")
        return Path(directory).expanduser().absolute() if scheme == "embedded" else None

    @property
    def shown_uri(self) -> str:
        """The address without its password, fit for a log."""
        return hide_credentials(self.uri.get_secret_value())


class RetellSettings(Group):
    """The account with Retell, and what is told to it."""

    api_key: ApiKey = setting(
        "RETELL_API_KEY",
        ...,
        "the key; never shown",
        allowed="the key as Retell shows it: ASCII without blanks",
        live=False,
    )
    base_url: str = setting(
        "RETELL_BASE_URL",
        "https://api.retellai.com",
        "where Retell's API is",
        allowed="http:// or https:// with a host, without credentials, query or fragment",
        live=False,
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#@]*)?$",
    )
    agent_id: str = setting(
        "RETELL_AGENT_ID", ..., "the agent that talks", allowed="an agent's id, no blanks", pattern=r"^\S+$"
    )
    from_number: str = setting(
        "RETELL_FROM_NUMBER",
        ...,
        "the number that calls",
        allowed="E.164: + and 7 to 15 digits, for example +15005550006",
        pattern=r"^\+[1-9][0-9]{6,14}$",
    )
    timeout_seconds: float = seconds("RETELL_TIMEOUT_SECONDS", 30, "one HTTP request", up_to=600)


class WorkerSettings(Group):
    """The fleet of this host, and how jobs are held and tried again."""

    count: int = whole("WORKER_COUNT", 6, "workers of this host: calls at once", low=1, high=2000)
    lease_seconds: float = seconds(
        "LEASE_SECONDS",
        120,
        "a claim lasts so long unless renewed; longer than one request and two polls",
        up_to=86_400,
    )
    max_attempts: int = whole("MAX_ATTEMPTS", 3, "attempts a job: passes through its phones", low=1, high=100)
    retry_delay_minutes: float = minutes(
        "RETRY_DELAY_MINUTES", 30, "between two attempts", up_to=MONTH_MINUTES
    )
    recycle_calls: int | None = whole(
        "SPEECHAID_RECYCLE_CALLS", None, "a worker is replaced after so many calls", low=1, high=1_000_000
    )
    recycle_memory_mb: int | None = whole(
        "SPEECHAID_RECYCLE_MEMORY_MB", None, "a worker is replaced above so many MiB", low=16, high=65_536
    )
    beat_grace_seconds: float = seconds(
        "SPEECHAID_BEAT_GRACE_SECONDS",
        15,
        "a worker this late with its report is taken for hung, unless machine or database are overloaded",
        up_to=600,
    )
    respawn_min_seconds: float = seconds(
        "SPEECHAID_RESPAWN_MIN_SECONDS", 0.5, "first wait before a replacement", up_to=3600
    )
    respawn_max_seconds: float = seconds(
        "SPEECHAID_RESPAWN_MAX_SECONDS", 30, "longest wait before a replacement", up_to=3600
    )
    max_job_crashes: int = whole(
        "SPEECHAID_MAX_JOB_CRASHES", 3, "crashes running before a job is set aside", low=1, high=100
    )


class CallSettings(Group):
    """How one call is followed, and when the next may come."""

    polling_interval_seconds: float = seconds(
        "CALL_POLLING_INTERVAL", 10, "between two looks at one call", up_to=600
    )
    list_interval_seconds: float = seconds(
        "CALL_LIST_INTERVAL",
        2,
        "between two questions to Retell's call list for ended calls of this host, which spare the workers"
        " most polls; 0, or not less than CALL_POLLING_INTERVAL: every worker polls",
        up_to=5,
        zero=True,
    )
    poll_timeout_seconds: float = seconds(
        "POLL_TIMEOUT_SECONDS",
        300,
        "longest wait for a call that does not connect, or of which Retell tells nothing",
        up_to=7200,
    )
    max_duration_minutes: float = minutes(
        "CALL_MAX_DURATION_MINUTES",
        10,
        "longest that a connected call lasts",
        up_to=LONGEST_CALL_MINUTES,
    )
    no_answer_retry_minutes: float = minutes(
        "NO_ANSWER_RETRY_MINUTES",
        60,
        "between two attempts when nobody answered",
        up_to=MONTH_MINUTES,
    )
    temporary_retry_min_seconds: float = seconds(
        "SPEECHAID_TEMPORARY_RETRY_MIN_SECONDS",
        60,
        "shortest wait after a temporary fault",
        up_to=3600,
    )
    temporary_retry_max_seconds: float = seconds(
        "SPEECHAID_TEMPORARY_RETRY_MAX_SECONDS",
        120,
        "longest wait after a temporary fault",
        up_to=3600,
    )
    voicemail_counts: bool = setting(
        "SPEECHAID_VOICEMAIL_COUNTS",
        False,
        "whether reaching a voicemail finishes the job; a batch's own setting wins",
        allowed="true or false",
    )
    ambiguous_lookups: int = whole(
        "SPEECHAID_AMBIGUOUS_LOOKUPS",
        3,
        "spaced look-ups that must find nothing before a lost dial counts as not placed",
        low=1,
        high=100,
    )
    analysis_first_seconds: float = seconds(
        "SPEECHAID_ANALYSIS_FIRST_SECONDS",
        15,
        "after a call's end until Retell is asked for its analysis; twice as long before each further time",
        up_to=3600,
    )
    analysis_tries: int = whole(
        "SPEECHAID_ANALYSIS_TRIES",
        8,
        "times that Retell is asked before a call stays without its analysis; 0: it is never asked",
        low=0,
        high=20,
    )
    analysis_longest_minutes: float = minutes(
        "SPEECHAID_ANALYSIS_LONGEST_MINUTES",
        1440,
        "longest that an analysis is waited for, also while Retell is away",
        up_to=MONTH_MINUTES,
    )


class DiallingSettings(Group):
    """What holds where neither batch nor account says otherwise."""

    default_timezone: Zone = setting(
        "SPEECHAID_DEFAULT_TIMEZONE", "America/Santiago", "time zone of calling hours", allowed="an IANA zone"
    )
    default_country: Country = setting(
        "SPEECHAID_DEFAULT_COUNTRY",
        "CL",
        "country of numbers written without their country code",
        allowed="two letters of ISO 3166, for example CL or GB",
    )
    default_allowed_hours: DailyHours = setting(
        "SPEECHAID_DEFAULT_ALLOWED_HOURS",
        None,
        "calling hours of batches without any; not set: always",
        allowed="HH:MM-HH:MM, for example 09:00-20:00",
    )
    default_days: WeekDays = setting(
        "SPEECHAID_DEFAULT_DAYS",
        None,
        "calling days of batches without any; 1 is Monday, 7 Sunday; not set: all",
        allowed="days from 1 to 7, for example 1-5 or 1,2,3",
    )
    repeat_days: int = whole(
        "SPEECHAID_REPEAT_DAYS",
        7,
        "an import leaves out people of the account who were called in so many days; 0: only those who wait",
        low=0,
        high=3650,
    )
    estimate_minutes: float = minutes(
        "SPEECHAID_ESTIMATE_MINUTES",
        3,
        "reserved on the account before a dial",
        up_to=LONGEST_CALL_MINUTES,
    )


class BreakerSettings(Group):
    """When Retell's faults hold all dialling, and how it is tried again."""

    faults: int = whole("SPEECHAID_BREAKER_FAULTS", 5, "faults running that hold dialling", low=1, high=1000)
    carrier_faults: int = whole(
        "SPEECHAID_CARRIER_FAULTS",
        5,
        "different numbers in a row, whose calls end by a fault of the carrier, that hold dialling",
        low=1,
        high=100,
    )
    probe_min_seconds: float = seconds(
        "SPEECHAID_PROBE_MIN_SECONDS", 15, "before the first probe", up_to=86_400
    )
    probe_max_seconds: float = seconds(
        "SPEECHAID_PROBE_MAX_SECONDS", 300, "longest between two probes", up_to=86_400
    )


class ControlSettings(Group):
    """Where speechctl meets the daemon, and what the daemon remembers between two runs."""

    socket: SocketPath = setting(
        "SPEECHAID_SOCKET",
        ...,
        "the control socket",
        default_shown="by user: see Places",
        allowed="an absolute path of at most 107 bytes, in UTF-8",
        live=False,
    )
    state_dir: StateDirectory = setting(
        "SPEECHAID_STATE_DIR",
        ...,
        "pauses and a drain that outlive a crash are kept here",
        default_shown="by user: see Places",
        allowed="an absolute path",
        live=False,
    )

    tcp: str | None = setting(
        "SPEECHAID_CONTROL_TCP",
        None,
        "control over the network too, with CURVE keys alone (`speechctl keys`)",
        allowed="tcp://ADDRESS:PORT, for example tcp://10.0.0.5:7410",
        live=False,
        pattern=r"^tcp://(\*|[0-9A-Za-z.-]+|\[[0-9A-Fa-f:.]+\]):[1-9][0-9]{0,4}$",
    )
    keys_dir: OptionalPath = setting(
        "SPEECHAID_CONTROL_KEYS",
        None,
        "the keys for it",
        default_shown="`keys` in SPEECHAID_STATE_DIR",
        allowed="an absolute path",
        live=False,
    )

    web_user: str | None = setting(
        "SPEECHAID_WEB_USER",
        None,
        "the user whose process, `speechaid web`, is believed on whose behalf it asks; without such a user's"
        " name it may do nothing but ask for the status",
        default_shown="the daemon's own user",
        allowed="the name of a user of this machine",
        live=False,
        pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?$",
    )


class LoggingSettings(Group):
    """What the log tells, and how."""

    level: LevelName = setting(
        "LOG_LEVEL", "INFO", "the least that is logged", allowed="DEBUG, INFO, WARNING, ERROR or CRITICAL"
    )
    format: Literal["text", "json"] = setting(
        "SPEECHAID_LOG_FORMAT", "text", "one event a line, in this form", allowed="text or json", live=False
    )
    file: OptionalPath = setting(
        "SPEECHAID_LOG_FILE",
        None,
        "the log goes there and not to standard error; logrotate may move it away or cut it short",
        allowed="an absolute path",
        live=False,
    )


class TelemetrySettings(Group):
    """What is shown to those who watch, and kept for those who look back."""

    metrics_address: Listener = setting(
        "SPEECHAID_METRICS_ADDRESS",
        "127.0.0.1:9478",
        "where `/metrics`, `/healthz` and `/readyz` are served; each daemon of a host needs its own; port 0"
        " takes a free one, which `status` tells",
        allowed="HOST:PORT, [IPv6]:PORT or off",
        live=False,
    )

    metrics_hosts: HostNames = setting(
        "SPEECHAID_METRICS_HOSTS",
        None,
        "names by which others ask for them, besides localhost, IP addresses and the name in"
        " SPEECHAID_METRICS_ADDRESS; a request for another name, which a web page can have a browser send, is"
        " refused",
        allowed="names with commas between, without ports",
        live=False,
    )

    log_retention_days: int = whole(
        "SPEECHAID_LOG_RETENTION_DAYS",
        90,
        "events older than that leave `call_logs`; hosts that share a database share the last one set",
        low=1,
        high=LONGEST_RETENTION_DAYS,
    )


class RetentionSettings(Group):
    """How long people's data are kept; docs/personal-data.md says what goes and what stays."""

    job_days: int = whole(
        "SPEECHAID_JOB_RETENTION_DAYS",
        0,
        "days after a job's end until its person is erased, with all that its calls have left; 0: never. Of"
        " hosts that share a database the shortest span counts, here and below",
        low=0,
        high=LONGEST_RETENTION_DAYS,
    )
    transcript_days: int = whole(
        "SPEECHAID_TRANSCRIPT_RETENTION_DAYS",
        0,
        "days after a job's end until transcripts, addresses of recordings and Retell's answers about its"
        " calls are erased; 0: with its person",
        low=0,
        high=LONGEST_RETENTION_DAYS,
    )
    upload_days: int = whole(
        "SPEECHAID_UPLOAD_RETENTION_DAYS",
        0,
        "days after an import until the name and the fingerprint of its file are erased; 0: never",
        low=0,
        high=LONGEST_RETENTION_DAYS,
    )


class AlertSettings(Group):
    """When an alert fires, and who is told besides the log; docs/alerts.md has them all."""

    backlog_jobs: int = whole(
        "SPEECHAID_ALERT_BACKLOG_JOBS",
        100,
        "PendingBacklog: more callable jobs than this while workers are idle",
        low=0,
        high=10_000_000,
    )
    stuck_seconds: float = seconds(
        "SPEECHAID_ALERT_STUCK_SECONDS",
        300,
        "StuckJobs: a lease that ran out longer ago than this",
        up_to=86_400,
    )
    success_rate: float = setting(
        "SPEECHAID_ALERT_SUCCESS_RATE",
        0.2,
        "LowSuccessRate: a smaller share of the calls that ended served their purpose",
        allowed="a number from 0 to 1",
        ge=0,
        le=1,
        allow_inf_nan=False,
    )
    success_calls: int = whole(
        "SPEECHAID_ALERT_SUCCESS_CALLS",
        20,
        "LowSuccessRate: of at least so many calls that ended in the last half hour",
        low=1,
        high=1_000_000,
    )
    stalled_minutes: float = minutes(
        "SPEECHAID_ALERT_STALLED_MINUTES",
        30,
        "NoCallFinished: jobs were callable so long and no call here ended; more than a call may last",
        up_to=MONTH_MINUTES,
    )
    calls_left: int = whole(
        "SPEECHAID_ALERT_CALLS_LEFT",
        20,
        "AccountNearlyOutOfCredit: an account's balance pays for fewer calls of usual length",
        low=0,
        high=1_000_000,
    )
    patience: float = setting(
        "SPEECHAID_ALERT_PATIENCE",
        1.0,
        "all times of the alerts, how long a fault must last and how far they look back, times this",
        allowed="a number, more than 0 and at most 100",
        gt=0,
        le=100,
        allow_inf_nan=False,
    )
    webhook_url: WebAddress = setting(
        "SPEECHAID_ALERT_WEBHOOK_URL",
        None,
        "each alert that fires or is over is posted here as JSON; never shown, since it may hold a token",
        allowed="http:// or https:// with a host, without credentials",
        live=False,
    )
    webhook_secret: SecretStr | None = setting(
        "SPEECHAID_ALERT_WEBHOOK_SECRET",
        None,
        "what is posted is signed with it; never shown",
        allowed="at least 8 characters",
        live=False,
        min_length=8,
    )


class WebSettings(Group):
    """`speechaid web`, the HTTP API: a process of its own."""

    address: WebListener = setting(
        "SPEECHAID_WEB_ADDRESS",
        "127.0.0.1:8000",
        "where `speechaid web` serves, without TLS: a reverse proxy in front of it has that",
        allowed="HOST:PORT or [IPv6]:PORT; port 0 takes a free one, which the log tells",
        live=False,
    )
    proxies: IpAddresses = setting(
        "SPEECHAID_WEB_PROXIES",
        None,
        "reverse proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed",
        allowed="IP addresses with commas between",
        live=False,
    )
    upload_mb: int = whole(
        "SPEECHAID_WEB_UPLOAD_MB", 64, "longest file that is taken, in MiB", low=1, high=64, live=False
    )
    requests: int = whole(
        "SPEECHAID_WEB_REQUESTS",
        128,
        "requests under way at once, of all clients",
        low=4,
        high=1000,
        live=False,
    )
    requests_per_client: int = whole(
        "SPEECHAID_WEB_REQUESTS_PER_CLIENT",
        16,
        "requests under way at once of one token, or of one address without a token",
        low=1,
        high=1000,
        live=False,
    )
    request_seconds: float = setting(
        "SPEECHAID_WEB_REQUEST_SECONDS",
        300.0,
        "time that a client has to send a whole request; a pause of 20 seconds ends it sooner",
        allowed="a number of seconds, more than 0 and at most 3600",
        live=False,
        gt=0,
        le=3600,
        allow_inf_nan=False,
    )


class Settings(Group):
    """All settings, checked; one process hands them to another with ``to_wire`` and ``from_wire``."""

    database: DatabaseSettings
    retell: RetellSettings
    worker: WorkerSettings
    call: CallSettings
    dialling: DiallingSettings
    breaker: BreakerSettings
    control: ControlSettings
    logging: LoggingSettings
    telemetry: TelemetrySettings
    retention: RetentionSettings
    alerts: AlertSettings
    web: WebSettings

    @property
    def list_interval(self) -> float:
        """Seconds between two questions to Retell's list; 0: none is asked, as polls are no slower."""
        interval = self.call.list_interval_seconds
        return interval if interval < self.call.polling_interval_seconds else 0.0

    def to_wire(self) -> dict[str, dict[str, Any]]:
        """As JSON types, secrets in clear: for a private pipe, never for a file or a log."""
        wire: dict[str, dict[str, Any]] = self.model_dump(mode="json")
        for group, fields in wire.items():
            for name in fields:
                value = getattr(getattr(self, group), name)
                if isinstance(value, SecretStr):
                    fields[name] = value.get_secret_value()
        return wire

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Settings that came over a private pipe."""
        return cls.model_validate(wire)

    def of_database_reader(self) -> Self:
        """Those of a process that reads the database: without the secrets that it does not need."""
        withheld = {"api_key": SecretStr("withheld")}
        without = {"webhook_url": None, "webhook_secret": None}
        return self.model_copy(
            update={
                "retell": self.retell.model_copy(update=withheld),
                "alerts": self.alerts.model_copy(update=without),
            }
        )

    def secrets(self) -> tuple[str, ...]:
        """What no log may ever show."""
        parts = split_at_password(self.database.uri.get_secret_value())
        webhook = [
            value for value in (self.alerts.webhook_url, self.alerts.webhook_secret) if value is not None
        ]
        return (
            self.retell.api_key.get_secret_value(),
            *((parts[1],) if parts else ()),
            *(value.get_secret_value() for value in webhook),
        )
