"""Settings: SPEC's names and defaults, one line a fault, nothing secret shown."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from speechaid.errors import ConfigError
from speechaid.settings import (
    Settings,
    after_reload,
    get_settings,
    profile,
    reload_changes,
    settings_table,
    settings_warnings,
)
from speechaid.settings.sources import VariableSource
from speechaid.settings.table import BY_VARIABLE, DECLARATIONS, TABLE_BEGINS

ROOT = Path(__file__).parents[3]
Environ = dict[str, str]

FIXED: dict[str, tuple[str, object]] = {
    "MONGO_URI": ("database.uri", "mongodb://localhost:27017"),
    "MONGO_DB": ("database.name", "speechai_db"),
    "MONGO_COLL_JOBS": ("database.jobs_collection", "jobs"),
    "MONGO_COLL_RESULTS": ("database.results_collection", "call_results"),
    "MONGO_COLL_LOGS": ("database.logs_collection", "call_logs"),
    "MONGO_COLL_ACCOUNTS": ("database.accounts_collection", "accounts"),
    "MONGO_COLL_BATCHES": ("database.batches_collection", "batches"),
    "MONGO_MAX_POOL_SIZE": ("database.max_pool_size", 50),
    "RETELL_BASE_URL": ("retell.base_url", "https://api.retellai.com"),
    "RETELL_TIMEOUT_SECONDS": ("retell.timeout_seconds", 30),
    "WORKER_COUNT": ("worker.count", 6),
    "LEASE_SECONDS": ("worker.lease_seconds", 120),
    "MAX_ATTEMPTS": ("worker.max_attempts", 3),
    "RETRY_DELAY_MINUTES": ("worker.retry_delay_minutes", 30),
    "CALL_POLLING_INTERVAL": ("call.polling_interval_seconds", 10),
    "CALL_LIST_INTERVAL": ("call.list_interval_seconds", 2),
    "POLL_TIMEOUT_SECONDS": ("call.poll_timeout_seconds", 300),
    "CALL_MAX_DURATION_MINUTES": ("call.max_duration_minutes", 10),
    "NO_ANSWER_RETRY_MINUTES": ("call.no_answer_retry_minutes", 60),
    "LOG_LEVEL": ("logging.level", "INFO"),
    "SPEECHAID_TEMPORARY_RETRY_MIN_SECONDS": ("call.temporary_retry_min_seconds", 60),
    "SPEECHAID_TEMPORARY_RETRY_MAX_SECONDS": ("call.temporary_retry_max_seconds", 120),
    "SPEECHAID_VOICEMAIL_COUNTS": ("call.voicemail_counts", False),
    "SPEECHAID_DEFAULT_TIMEZONE": ("dialling.default_timezone", "America/Santiago"),
    "SPEECHAID_DEFAULT_COUNTRY": ("dialling.default_country", "CL"),
    "SPEECHAID_DEFAULT_ALLOWED_HOURS": ("dialling.default_allowed_hours", None),
    "SPEECHAID_ESTIMATE_MINUTES": ("dialling.estimate_minutes", 3),
    "SPEECHAID_BREAKER_FAULTS": ("breaker.faults", 5),
    "SPEECHAID_LOG_RETENTION_DAYS": ("telemetry.log_retention_days", 90),
    "SPEECHAID_JOB_RETENTION_DAYS": ("retention.job_days", 0),
    "SPEECHAID_TRANSCRIPT_RETENTION_DAYS": ("retention.transcript_days", 0),
    "SPEECHAID_UPLOAD_RETENTION_DAYS": ("retention.upload_days", 0),
}


def value_at(settings: Settings, path: str) -> Any:
    group, _, field = path.partition(".")
    value = getattr(getattr(settings, group), field)
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value


def faults_of(environ: Mapping[str, str], env_file: Path | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        get_settings(environ, env_file)
    return caught.value.faults


@pytest.mark.parametrize(
    ("variable", "path", "default"), [(v, *rest) for v, rest in FIXED.items()], ids=FIXED
)
def test_name_default_and_place_of_a_setting_are_fixed(
    settings: Settings, variable: str, path: str, default: object
) -> None:
    assert value_at(settings, path) == default
    assert path == f"{BY_VARIABLE[variable].group}.{BY_VARIABLE[variable].field}"


@pytest.mark.parametrize("variable", ["RETELL_API_KEY", "RETELL_AGENT_ID", "RETELL_FROM_NUMBER"])
def test_what_only_the_operator_can_know_is_required(environ: Environ, variable: str) -> None:
    del environ[variable]
    (line,) = faults_of(environ)
    assert line.startswith(f"{variable} is not set: must be ")


READ: list[tuple[str, str, str, object]] = [
    ("WORKER_COUNT", "10", "worker.count", 10),
    ("WORKER_COUNT", " 10 ", "worker.count", 10),
    ("RETRY_DELAY_MINUTES", "0.5", "worker.retry_delay_minutes", 0.5),
    ("LOG_LEVEL", "debug", "logging.level", "DEBUG"),
    ("SPEECHAID_VOICEMAIL_COUNTS", "yes", "call.voicemail_counts", True),
    ("SPEECHAID_DEFAULT_COUNTRY", "gb", "dialling.default_country", "GB"),
    ("SPEECHAID_DEFAULT_DAYS", "1-5", "dialling.default_days", (1, 2, 3, 4, 5)),
    ("SPEECHAID_DEFAULT_DAYS", "0, 3,1-2", "dialling.default_days", (1, 2, 3, 7)),
    ("SPEECHAID_SOCKET", "/run/x.sock", "control.socket", Path("/run/x.sock")),
    ("RETELL_API_KEY", "key_a\n", "retell.api_key", "key_a"),
    ("MONGO_URI", "embedded:/var/lib/x", "database.embedded_directory", Path("/var/lib/x")),
    ("MONGO_URI", "mongodb://h/x", "database.embedded_directory", None),
    ("MAX_ATTEMPTS", "", "worker.max_attempts", 3),
    ("MAX_ATTEMPTS", "  ", "worker.max_attempts", 3),
]


@pytest.mark.parametrize(("variable", "text", "path", "value"), READ)
def test_a_value_is_read_as_people_write_it(
    environ: Environ, variable: str, text: str, path: str, value: object
) -> None:
    assert value_at(get_settings(environ | {variable: text}, None), path) == value


def test_default_hours_have_the_form_of_a_batch(environ: Environ) -> None:
    hours = get_settings(environ | {"SPEECHAID_DEFAULT_ALLOWED_HOURS": "22:00-06:30"}, None).dialling
    assert hours.default_allowed_hours is not None
    assert hours.default_allowed_hours.document() == {"start": "22:00", "end": "06:30"}


def test_default_hours_may_end_with_the_day(environ: Environ) -> None:
    hours = get_settings(environ | {"SPEECHAID_DEFAULT_ALLOWED_HOURS": "00:00-24:00"}, None).dialling
    assert hours.default_allowed_hours is not None
    assert hours.default_allowed_hours.document() == {"start": "00:00", "end": "24:00"}


BAD = [
    ("WORKER_COUNT", "abc", "a whole number from 1 to 2000"),
    ("WORKER_COUNT", "0", "a whole number from 1 to 2000"),
    ("WORKER_COUNT", "2.5", "a whole number from 1 to 2000"),
    ("LEASE_SECONDS", "-1", "a number of seconds, more than 0 and at most 86400"),
    ("RETRY_DELAY_MINUTES", "nan", "a number of minutes, more than 0 and at most 43200"),
    ("CALL_MAX_DURATION_MINUTES", "inf", "a number of minutes, more than 0 and at most 120"),
    ("NO_ANSWER_RETRY_MINUTES", "0", "a number of minutes, more than 0 and at most 43200"),
    ("CALL_LIST_INTERVAL", "-0.1", "a number of seconds, from 0 to 5"),
    ("CALL_LIST_INTERVAL", "5.1", "a number of seconds, from 0 to 5"),
    ("RETELL_FROM_NUMBER", "56912345678", "E.164: + and 7 to 15 digits, for example +15005550006"),
    ("RETELL_BASE_URL", "api.retellai.com", "http:// or https:// with a host, without credentials"),
    ("MONGO_URI", "localhost:27017", "mongodb://HOST..., mongodb+srv://HOST... or embedded:DIR"),
    ("MONGO_URI", "embedded:", "mongodb://HOST..., mongodb+srv://HOST... or embedded:DIR"),
    ("MONGO_DB", "a.b", "1 to 63 characters"),
    ("MONGO_COLL_JOBS", "$jobs", "a collection's name"),
    ("LOG_LEVEL", "LOUD", "DEBUG, INFO, WARNING, ERROR or CRITICAL"),
    ("SPEECHAID_LOG_FORMAT", "xml", "text or json"),
    ("SPEECHAID_VOICEMAIL_COUNTS", "perhaps", "true or false"),
    ("SPEECHAID_DEFAULT_TIMEZONE", "Chile/Santiago", "an IANA zone"),
    ("SPEECHAID_DEFAULT_TIMEZONE", "../etc/passwd", "an IANA zone"),
    ("SPEECHAID_DEFAULT_TIMEZONE", "America", "an IANA zone"),
    ("SPEECHAID_DEFAULT_COUNTRY", "UK", "two letters of ISO 3166, for example CL or GB"),
    ("SPEECHAID_DEFAULT_ALLOWED_HOURS", "9am-8pm", "HH:MM-HH:MM, for example 09:00-20:00"),
    ("SPEECHAID_DEFAULT_ALLOWED_HOURS", "09:00-09:00", "HH:MM-HH:MM, for example 09:00-20:00"),
    ("SPEECHAID_DEFAULT_ALLOWED_HOURS", "09:00", "HH:MM-HH:MM, for example 09:00-20:00"),
    ("SPEECHAID_DEFAULT_DAYS", "5-1", "days from 1 to 7, for example 1-5 or 1,2,3"),
    ("SPEECHAID_DEFAULT_DAYS", "8", "days from 1 to 7, for example 1-5 or 1,2,3"),
    ("SPEECHAID_DEFAULT_DAYS", "1,,2", "days from 1 to 7, for example 1-5 or 1,2,3"),
    ("SPEECHAID_SOCKET", "/" + "x" * 107, "an absolute path of at most 107 bytes"),
]


@pytest.mark.parametrize(("variable", "text", "allowed"), BAD)
def test_a_fault_names_variable_value_and_what_is_allowed(
    environ: Environ, variable: str, text: str, allowed: str
) -> None:
    (line,) = faults_of(environ | {variable: text})
    assert line.startswith(f"{variable}={text[:80]}")
    assert f": must be {allowed}" in line


@pytest.mark.parametrize(
    ("listing", "polling", "expected"),
    [("2", "10", 2.0), ("0.5", "1", 0.5), ("0", "10", 0.0), ("2", "2", 0.0), ("2", "0.2", 0.0)],
)
def test_the_list_is_asked_only_where_polls_would_be_slower(
    environ: Environ, listing: str, polling: str, expected: float
) -> None:
    changed = {"CALL_LIST_INTERVAL": listing, "CALL_POLLING_INTERVAL": polling}
    assert get_settings(environ | changed, None).list_interval == expected


CONTRADICTIONS = [
    ({"LEASE_SECONDS": "50"}, "LEASE_SECONDS=50: must be more than 50"),
    ({"RETELL_TIMEOUT_SECONDS": "100"}, "LEASE_SECONDS=120: must be more than 120"),
    ({"CALL_POLLING_INTERVAL": "45"}, "LEASE_SECONDS=120: must be more than 120"),
    (
        {"POLL_TIMEOUT_SECONDS": "5"},
        "CALL_POLLING_INTERVAL=10: must not be more than POLL_TIMEOUT_SECONDS=5",
    ),
    (
        {"SPEECHAID_TEMPORARY_RETRY_MIN_SECONDS": "121"},
        "SPEECHAID_TEMPORARY_RETRY_MIN_SECONDS=121: must not be more than SPEECHAID_TEMPORARY_RETRY_MAX",
    ),
    ({"SPEECHAID_RESPAWN_MAX_SECONDS": "0.25"}, "SPEECHAID_RESPAWN_MIN_SECONDS=0.5: must not be more"),
    ({"SPEECHAID_PROBE_MAX_SECONDS": "1"}, "SPEECHAID_PROBE_MIN_SECONDS=15: must not be more"),
    ({"MONGO_COLL_LOGS": "jobs"}, "MONGO_COLL_LOGS=jobs: must differ from MONGO_COLL_JOBS"),
]


@pytest.mark.parametrize(("changes", "begins"), CONTRADICTIONS)
def test_settings_at_odds_are_one_fault(environ: Environ, changes: Environ, begins: str) -> None:
    (line,) = faults_of(environ | changes)
    assert line.startswith(begins)


def test_all_faults_come_at_once_single_ones_and_contradictions() -> None:
    lines = faults_of({"WORKER_COUNT": "x", "LEASE_SECONDS": "1", "RETELL_FROM_NUMBER": "+1"})
    assert [line.partition(":")[0] for line in lines] == [
        "RETELL_API_KEY is not set",
        "RETELL_AGENT_ID is not set",
        "RETELL_FROM_NUMBER=+1",
        "WORKER_COUNT=x",
        "LEASE_SECONDS=1",
    ]


def test_a_contradiction_with_a_value_that_is_wrong_anyway_is_not_told(environ: Environ) -> None:
    (line,) = faults_of(environ | {"LEASE_SECONDS": "40", "CALL_POLLING_INTERVAL": "often"})
    assert line.startswith("CALL_POLLING_INTERVAL=often")


def test_a_fault_stays_on_its_line_whatever_the_value(environ: Environ) -> None:
    (line,) = faults_of(environ | {"WORKER_COUNT": "1\n2\x1b[31m"})
    assert line.isprintable()


SECRETS = [
    ("RETELL_API_KEY", "key geheim"),
    ("MONGO_URI", "mongdb://user:geheim@host"),
    ("MONGO_URI", "user:geheim@host"),
    ("MONGO_URI", "mongo://host?password=geheim"),
    ("RETELL_BASE_URL", "https://user:geheim@host"),
]


@pytest.mark.parametrize(("variable", "text"), SECRETS)
def test_a_fault_never_shows_a_secret(environ: Environ, variable: str, text: str) -> None:
    (line,) = faults_of(environ | {variable: text})
    assert line.startswith(f"{variable}=")
    assert "geheim" not in line


def test_no_form_of_the_settings_shows_a_secret_but_the_wire(environ: Environ) -> None:
    settings = get_settings(
        environ | {"RETELL_API_KEY": "geheim", "MONGO_URI": "mongodb://ana:geheim%40@h/db?x=y"}, None
    )
    shown = f"{settings!r} {settings} {settings.model_dump_json()} {settings.database.shown_uri}"
    assert "geheim" not in shown
    assert settings.database.shown_uri == "mongodb://ana:***@h/db?x=y"
    assert settings.secrets() == ("geheim", "geheim%40")


def test_settings_survive_the_way_through_a_pipe(environ: Environ) -> None:
    settings = get_settings(
        environ
        | {
            "MONGO_URI": "mongodb://a:b@h",
            "SPEECHAID_DEFAULT_ALLOWED_HOURS": "09:00-20:00",
            "SPEECHAID_DEFAULT_DAYS": "1-5",
        },
        None,
    )
    arrived = Settings.from_wire(json.loads(json.dumps(settings.to_wire())))
    assert arrived == settings
    assert arrived.retell.api_key.get_secret_value() == environ["RETELL_API_KEY"]


def test_nobody_changes_settings_that_were_read(settings: Settings) -> None:
    with pytest.raises(ValidationError):
        settings.worker.count = 7  # type: ignore[misc]


PLACES = [
    ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, "/var/lib/a"),
    ({"STATE_DIRECTORY": "/var/lib/a", "SPEECHAID_STATE_DIR": "/srv/s"}, "/srv/s"),
]


@pytest.mark.parametrize(("changes", "directory"), PLACES)
def test_systemd_names_the_state_directory_unless_the_operator_does(
    environ: Environ, changes: Environ, directory: str
) -> None:
    assert get_settings(environ | changes, None).control.state_dir == Path(directory)


def test_the_socket_is_where_systemd_says(environ: Environ) -> None:
    settings = get_settings(environ | {"RUNTIME_DIRECTORY": "/run/sp"}, None)
    assert settings.control.socket == Path("/run/sp/control.sock")


@pytest.mark.parametrize("variable", ["SPEECHAID_SOCKET", "SPEECHAID_STATE_DIR"])
def test_a_place_in_the_home_of_a_user_that_does_not_exist_is_a_fault(
    environ: Environ, variable: str
) -> None:
    (line,) = faults_of(environ | {variable: "~no-such-user/place"})
    assert line.startswith(f"{variable}=~no-such-user/place: must be an absolute path")


def test_a_relative_place_is_taken_from_the_working_directory(
    environ: Environ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"SPEECHAID_SOCKET": "control.sock", "SPEECHAID_STATE_DIR": "state"}
    control = get_settings(environ | places, None).control
    assert (control.socket, control.state_dir) == (tmp_path / "control.sock", tmp_path / "state")


def test_what_a_source_hands_over_shows_no_secret(environ: Environ) -> None:
    # pydantic-settings logs it where PYDANTIC_SETTINGS_DEBUG is set.
    shown = repr(VariableSource(environ | {"WORKER_COUNT": "77"}, "here")())
    assert "77" in shown
    assert environ["RETELL_API_KEY"] not in shown


# -- the environment file ----------------------------------------------------------------------------------


def test_the_environment_wins_over_the_file(environ: Environ, tmp_path: Path) -> None:
    file = tmp_path / "my.env"
    file.write_text("# note\nexport WORKER_COUNT=20\nMAX_ATTEMPTS='5'\nRETELL_AGENT_ID=from$HOME\n")
    del environ["RETELL_AGENT_ID"]
    settings = get_settings(environ | {"WORKER_COUNT": "10", "MAX_ATTEMPTS": ""}, file)
    assert (settings.worker.count, settings.worker.max_attempts) == (10, 5)
    assert settings.retell.agent_id == "from$HOME"


def test_a_variable_that_is_empty_is_told_with_its_place_and_who_wins(
    environ: Environ, tmp_path: Path
) -> None:
    file = tmp_path / "env"
    key = environ.pop("RETELL_API_KEY")
    file.write_text(f"RETELL_API_KEY={key}\n")
    file.chmod(0o600)
    environ["RETELL_API_KEY"] = " "
    assert get_settings(environ, file).retell.api_key.get_secret_value() == key
    (line,) = settings_warnings(environ, file)
    assert line == (
        f"RETELL_API_KEY is empty in the environment, which counts as not set: that of {file} is used"
    )
    file.write_text("RETELL_API_KEY=\n")
    (line,) = faults_of(environ, file)
    assert line.startswith("RETELL_API_KEY is not set (it is empty in the environment): must be ")
    del environ["RETELL_API_KEY"]
    (line,) = faults_of(environ, file)
    assert line.startswith(f"RETELL_API_KEY is not set (it is empty in {file}): must be ")


@pytest.mark.parametrize(
    ("line", "mode", "told"),
    [
        ("RETELL_API_KEY=key_x", 0o644, True),
        ("MONGO_URI=mongodb://u:p@localhost/x", 0o604, True),
        ("MONGO_URI=mongodb://localhost/x", 0o644, False),
        ("WORKER_COUNT=3", 0o644, False),
        ("RETELL_API_KEY=key_x", 0o640, False),
        ("RETELL_API_KEY=key_x", 0o600, False),
    ],
)
def test_a_file_with_a_secret_that_everybody_may_read_is_told(
    tmp_path: Path, line: str, mode: int, told: bool
) -> None:
    file = tmp_path / "env"
    file.write_text(f"{line}\n")
    file.chmod(mode)
    found = settings_warnings({}, file)
    assert len(found) == told
    assert all("every user of this host may read it" in text and "key_x" not in text for text in found)


def test_the_file_is_found_in_the_working_directory_or_by_its_variable(
    environ: Environ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert get_settings(environ).worker.count == 6
    (tmp_path / ".env").write_text("WORKER_COUNT=7\n")
    assert get_settings(environ).worker.count == 7
    (tmp_path / "other.env").write_text("WORKER_COUNT=8\n")
    assert get_settings(environ | {"SPEECHAID_ENV_FILE": "other.env"}).worker.count == 8
    assert get_settings(environ, env_file=None).worker.count == 6


def test_a_file_that_was_named_must_be_there(environ: Environ, tmp_path: Path) -> None:
    (line,) = faults_of(environ, tmp_path / "gone.env")
    assert line.endswith("gone.env: the environment file cannot be read: No such file or directory")


def test_a_file_of_a_user_who_does_not_exist_is_one_fault(environ: Environ) -> None:
    named = environ | {"SPEECHAID_ENV_FILE": "~nosuchuser/x"}
    with pytest.raises(ConfigError) as caught:
        get_settings(named)
    (line,) = caught.value.faults
    assert line.startswith("SPEECHAID_ENV_FILE=~nosuchuser/x: ")
    assert settings_warnings(named) == []


def test_a_file_that_cannot_be_read_is_the_one_fault(tmp_path: Path) -> None:
    assert faults_of({}, tmp_path) == [f"{tmp_path}: the environment file cannot be read: Is a directory"]


@pytest.mark.parametrize("open_to_all", ["file", "directory"])
def test_settings_that_everybody_may_change_get_a_warning(
    environ: Environ, tmp_path: Path, open_to_all: str
) -> None:
    file = tmp_path / "etc" / "speechaid.env"
    file.parent.mkdir(mode=0o755)
    file.write_text("WORKER_COUNT=7\n")
    file.chmod(0o644)
    assert settings_warnings(environ, file) == []
    place = file if open_to_all == "file" else file.parent
    place.chmod(0o777)
    (line,) = settings_warnings(environ, file)
    assert line.startswith(f"{place}: every user of this host may change it")
    file.chmod(0o644)
    file.parent.chmod(0o1777)  # only the owner may replace it there
    assert settings_warnings(environ, file) == []


def test_a_line_that_is_none_is_a_fault_and_is_not_shown(environ: Environ, tmp_path: Path) -> None:
    file = tmp_path / "bad.env"
    file.write_text("WORKER_COUNT=2\nRETELL_API_KEY geheim\nGEHEIM\n")
    assert faults_of(environ, file) == [
        f"{file}: line 2 cannot be read: must be NAME=value",
        f"{file}: line 3 cannot be read: must be NAME=value",
    ]


def test_a_wrong_value_of_the_file_is_named_with_its_line(environ: Environ, tmp_path: Path) -> None:
    file = tmp_path / "my.env"
    file.write_text("# first\n\nMAX_ATTEMPTS=3\n\n\nWORKER_COUNT=many\n")
    assert faults_of(environ, file) == [
        f"WORKER_COUNT=many: must be a whole number from 1 to 2000 ({file}, line 6)"
    ]
    assert faults_of(environ | {"WORKER_COUNT": "few"}, file) == [
        "WORKER_COUNT=few: must be a whole number from 1 to 2000"
    ]


def test_blank_lines_do_not_change_the_number_of_a_line_that_cannot_be_read(
    environ: Environ, tmp_path: Path
) -> None:
    file = tmp_path / "bad.env"
    file.write_text("WORKER_COUNT=2\n\n\nRETELL_API_KEY secret\n")
    assert faults_of(environ, file) == [f"{file}: line 4 cannot be read: must be NAME=value"]


def test_of_two_lines_of_one_variable_the_last_counts_also_an_empty_one(
    environ: Environ, tmp_path: Path
) -> None:
    file = tmp_path / "my.env"
    file.write_text("WORKER_COUNT=2\nWORKER_COUNT=4\nMAX_ATTEMPTS=9\nMAX_ATTEMPTS=\n")
    settings = get_settings(environ, file)
    assert (settings.worker.count, settings.worker.max_attempts) == (4, 3)


PROFILES = {
    "production": {
        "worker.count": 20,
        "worker.lease_seconds": 300,
        "worker.retry_delay_minutes": 60,
        "call.polling_interval_seconds": 5,
    },
    "development": {
        "worker.count": 3,
        "worker.lease_seconds": 120,
        "worker.retry_delay_minutes": 5,
        "call.polling_interval_seconds": 10,
    },
}


@pytest.mark.parametrize(("name", "values"), PROFILES.items(), ids=PROFILES)
def test_a_profile_is_ready_to_use(environ: Environ, name: str, values: dict[str, object]) -> None:
    settings = get_settings(environ, profile(name))
    assert {path: value_at(settings, path) for path in values} == values


# -- warnings ----------------------------------------------------------------------------------------------

SLIPS = [
    ("WORKER_COUTN", "WORKER_COUNT"),
    ("worker_count", "WORKER_COUNT"),
    ("WORKERS_COUNT", "WORKER_COUNT"),
    ("MAX_ATEMPTS", "MAX_ATTEMPTS"),
    ("MONGODB_URI", "MONGO_URI"),
    ("MONGO_DB_NAME", "MONGO_DB"),
    ("RETELL_TIMEOUT", "RETELL_TIMEOUT_SECONDS"),
    ("CALL_POLLING_INTERVAL_SECONDS", "CALL_POLLING_INTERVAL"),
    ("SPEECHAID_SOKCET", "SPEECHAID_SOCKET"),
    ("SPEECHAID_ENVFILE", "SPEECHAID_ENV_FILE"),
]


@pytest.mark.parametrize(("slip", "meant"), SLIPS)
def test_a_slip_of_the_pen_is_told_without_its_value(slip: str, meant: str) -> None:
    assert settings_warnings({slip: "geheim"}, None) == [
        f"{slip} is not a setting of speechaid: did you mean {meant}?"
    ]


def test_an_unknown_name_of_ours_is_told() -> None:
    assert settings_warnings({"SPEECHAID_COLOUR": "blue"}, None) == [
        "SPEECHAID_COLOUR is not a setting of speechaid, and has no effect"
    ]


def test_other_programs_variables_are_none_of_our_business(environ: Environ) -> None:
    others = dict.fromkeys(
        ("PATH", "HOME", "LOGNAME", "LANG", "PYTHONPATH", "XDG_RUNTIME_DIR", "MAIL", "SSH_CLIENT"), "x"
    )
    known = dict.fromkeys(BY_VARIABLE, "x") | {"SPEECHAID_ENV_FILE": "x"}
    assert settings_warnings(environ | others | known, None) == []


def test_a_slip_in_the_file_is_told_too(tmp_path: Path) -> None:
    file = tmp_path / "x.env"
    file.write_text("LEASE_SECOND=3\n")
    assert settings_warnings({}, file) == [
        "LEASE_SECOND is not a setting of speechaid: did you mean LEASE_SECONDS?"
    ]


@pytest.mark.parametrize(
    ("address", "warned"),
    [
        ("http://retell.example", True),
        ("http://127.0.0.1:8900", False),
        ("http://localhost:8900", False),
        ("https://retell.example", False),
    ],
)
def test_a_key_in_the_clear_is_told(address: str, warned: bool) -> None:
    assert bool(settings_warnings({"RETELL_BASE_URL": address}, None)) is warned


# -- reload ------------------------------------------------------------------------------------------------


def test_a_reload_tells_what_applies_and_what_needs_a_restart(environ: Environ) -> None:
    old = get_settings(environ, None)
    changes = {
        "WORKER_COUNT": "20",
        "LOG_LEVEL": "DEBUG",
        "RETELL_API_KEY": "key_new",
        "MONGO_DB": "other",
        "SPEECHAID_DEFAULT_DAYS": "1-5",
        "SPEECHAID_DEFAULT_ALLOWED_HOURS": "09:00-20:00",
    }
    new = get_settings(environ | changes, None)
    applies, needs_restart = reload_changes(old, new)
    assert applies == [
        "WORKER_COUNT: 6 -> 20",
        "SPEECHAID_DEFAULT_ALLOWED_HOURS: (not set) -> 09:00-20:00",
        "SPEECHAID_DEFAULT_DAYS: (not set) -> 1,2,3,4,5",
        "LOG_LEVEL: INFO -> DEBUG",
    ]
    assert needs_restart == ["MONGO_DB: speechai_db -> other", "RETELL_API_KEY: (hidden) -> (hidden)"]


def test_after_a_reload_what_needs_a_restart_is_as_before(environ: Environ) -> None:
    old = get_settings(environ, None)
    new = get_settings(environ | {"WORKER_COUNT": "20", "RETELL_API_KEY": "key_new"}, None)
    merged = after_reload(old, new)
    assert merged.worker.count == 20
    assert merged.retell.api_key == old.retell.api_key
    assert reload_changes(old, old) == ([], [])


LIVE_GROUPS = {"worker", "call", "dialling", "breaker"}
RESTART_GROUPS = {"database", "control"}


def test_limits_delays_and_windows_are_live_and_places_are_not() -> None:
    for declared in DECLARATIONS:
        if declared.group in LIVE_GROUPS:
            assert declared.live, declared.variable
        if declared.group in RESTART_GROUPS or declared.secret:
            assert not declared.live, declared.variable


# -- the page ----------------------------------------------------------------------------------------------


def test_the_page_in_the_docs_is_what_the_declarations_say() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    _, _, table = page.partition(TABLE_BEGINS)
    assert table == settings_table(), "run: python -m speechaid.settings docs/settings.md"


def test_the_example_shows_every_setting_with_its_default() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    shown = {line.lstrip("# ").partition("=")[0]: line for line in lines if re.match(r"#? ?[A-Z_]+=", line)}
    assert set(shown) == set(BY_VARIABLE)
    for declared in DECLARATIONS:
        line = shown[declared.variable]
        assert line.startswith("#") is not (declared.required and not declared.default_shown)
        if declared.default is not None:
            assert line == f"#{declared.variable}={declared.default}"


def test_where_something_is_missing_the_file_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        get_settings(environ={"HOME": str(tmp_path)})
    assert caught.value.faults[-1].startswith(f"{tmp_path / '.env'} is not there")
    (tmp_path / ".env").write_text("RETELL_AGENT_ID=agent\n")
    with pytest.raises(ConfigError) as caught:
        get_settings(environ={"HOME": str(tmp_path)})
    assert not any("is not there" in fault for fault in caught.value.faults)


@pytest.mark.parametrize("variable", ["MONGO_URI", "SPEECHAID_SOCKET"])
def test_a_place_that_cannot_be_used_unless_it_is_utf_8_is_refused_at_the_start(variable: str) -> None:
    place = os.fsdecode(b"/data/campa\xf1a")
    value = f"embedded:{place}" if variable == "MONGO_URI" else place
    assert [line for line in faults_of({variable: value}) if line.startswith(variable) and "UTF-8" in line]
