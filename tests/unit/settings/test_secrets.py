"""Secrets from files and credentials: which source wins, and what is said of a file that is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from speechaid.errors import ConfigError
from speechaid.settings import get_settings, settings_warnings
from speechaid.settings.secrets import FILE_VARIABLES, SECRETS

Environ = dict[str, str]
KEY = "key_from_a_file_42"


def secret_file(path: Path, text: str | bytes = f"{KEY}\n", mode: int = 0o600) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


@pytest.fixture
def keyless(environ: Environ) -> Environ:
    """All that is required but the key."""
    del environ["RETELL_API_KEY"]
    return environ


def key_of(environ: Environ, env_file: Path | None = None) -> str:
    return get_settings(environ, env_file=env_file).retell.api_key.get_secret_value()


def faults_of(environ: Environ) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        get_settings(environ, env_file=None)
    return caught.value.faults


def test_every_secret_has_a_file_variant() -> None:
    assert {"RETELL_API_KEY", "MONGO_URI"} <= set(SECRETS)
    assert {"RETELL_API_KEY_FILE", "MONGO_URI_FILE"} <= FILE_VARIABLES


def test_secrets_come_from_the_files_named(keyless: Environ, tmp_path: Path) -> None:
    keyless["RETELL_API_KEY_FILE"] = str(secret_file(tmp_path / "key"))
    address = secret_file(tmp_path / "address", "mongodb://u:secret@db.example/?tls=true\n")
    keyless["MONGO_URI_FILE"] = str(address)
    settings = get_settings(keyless, env_file=None)
    assert settings.retell.api_key.get_secret_value() == KEY
    assert settings.database.shown_uri == "mongodb://u:***@db.example/?tls=true"
    assert settings.secrets() == (KEY, "secret")
    assert settings_warnings(keyless, env_file=None) == []


def test_secrets_come_from_systemds_credentials(keyless: Environ, tmp_path: Path) -> None:
    secret_file(tmp_path / "retell_api_key", mode=0o440)  # systemd adds an access list, which shows as group
    secret_file(tmp_path / "mongo_uri", "mongodb://u:secret@db.example/?tls=true")
    keyless["CREDENTIALS_DIRECTORY"] = str(tmp_path)
    settings = get_settings(keyless, env_file=None)
    assert settings.retell.api_key.get_secret_value() == KEY
    assert "db.example" in settings.database.shown_uri
    assert settings_warnings(keyless, env_file=None) == []


def test_a_credential_that_is_not_there_leaves_the_default(environ: Environ, tmp_path: Path) -> None:
    environ["CREDENTIALS_DIRECTORY"] = str(tmp_path)
    assert get_settings(environ, env_file=None).database.shown_uri == "mongodb://localhost:27017"


@pytest.mark.parametrize("named", ["RETELL_API_KEY", "RETELL_API_KEY_FILE"])
def test_what_an_operator_names_wins_over_a_credential_and_that_is_told(
    keyless: Environ, tmp_path: Path, named: str
) -> None:
    secret_file(tmp_path / "retell_api_key", "key_of_yesterday")
    keyless["CREDENTIALS_DIRECTORY"] = str(tmp_path)
    keyless[named] = str(secret_file(tmp_path / "key")) if named.endswith("_FILE") else KEY
    assert key_of(keyless) == KEY
    assert settings_warnings(keyless, env_file=None) == [
        f"{named} is set: the credential retell_api_key is not used"
    ]


@pytest.mark.parametrize("in_environment", ["RETELL_API_KEY", "RETELL_API_KEY_FILE"])
@pytest.mark.parametrize("in_file", ["RETELL_API_KEY", "RETELL_API_KEY_FILE"])
def test_either_way_in_the_environment_wins_over_either_way_in_the_file(
    keyless: Environ, tmp_path: Path, in_environment: str, in_file: str
) -> None:
    old = secret_file(tmp_path / "old", "key_of_yesterday")
    fresh = secret_file(tmp_path / "fresh")
    keyless[in_environment] = str(fresh) if in_environment.endswith("_FILE") else KEY
    env_file = tmp_path / "env"
    env_file.write_text(f"{in_file}={old if in_file.endswith('_FILE') else 'key_of_yesterday'}\n")
    assert key_of(keyless, env_file) == KEY


def test_value_and_file_in_one_place_are_a_fault(environ: Environ, tmp_path: Path) -> None:
    environ["RETELL_API_KEY_FILE"] = str(secret_file(tmp_path / "key"))
    assert faults_of(environ) == ["RETELL_API_KEY and RETELL_API_KEY_FILE are both set: set one of them"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b" \n\n", "is empty", id="blank"),
        pytest.param(b"one\ntwo\n", "must hold one line", id="two lines"),
        pytest.param(b"\xff\xfe\x00", "is not text in UTF-8", id="binary"),
        pytest.param(b"x" * 70_000, "is too large for a secret", id="large"),
    ],
)
def test_a_file_that_holds_no_secret_is_one_fault_that_shows_nothing_of_it(
    keyless: Environ, tmp_path: Path, content: bytes, fault: str
) -> None:
    path = secret_file(tmp_path / "key", content)
    keyless["RETELL_API_KEY_FILE"] = str(path)
    assert faults_of(keyless) == [f"RETELL_API_KEY_FILE={path}: {fault}"]


def test_a_file_that_is_not_there_is_one_fault(keyless: Environ, tmp_path: Path) -> None:
    keyless["RETELL_API_KEY_FILE"] = str(tmp_path / "key")
    assert faults_of(keyless) == [
        f"RETELL_API_KEY_FILE={tmp_path / 'key'}: cannot be read: No such file or directory"
    ]


def test_a_file_in_the_home_of_a_user_that_does_not_exist_is_one_fault(keyless: Environ) -> None:
    keyless["RETELL_API_KEY_FILE"] = "~no-such-user/key"
    (line,) = faults_of(keyless)
    assert line.startswith("RETELL_API_KEY_FILE=~no-such-user/key: ")
    assert settings_warnings(keyless, env_file=None) == []


def test_a_file_that_the_environment_replaces_is_not_read(keyless: Environ, tmp_path: Path) -> None:
    env_file = tmp_path / "env"
    env_file.write_text(f"RETELL_API_KEY_FILE={tmp_path / 'missing'}\n")
    keyless["RETELL_API_KEY"] = KEY
    assert key_of(keyless, env_file) == KEY


def test_a_secret_that_cannot_be_read_is_reported_beside_the_other_faults(
    keyless: Environ, tmp_path: Path
) -> None:
    keyless |= {"RETELL_API_KEY_FILE": str(tmp_path / "key"), "WORKER_COUNT": "many", "LEASE_SECONDS": "1"}
    assert [line.split(":")[0] for line in faults_of(keyless)] == [
        f"RETELL_API_KEY_FILE={tmp_path / 'key'}",
        "WORKER_COUNT=many",
        "LEASE_SECONDS=1",
    ]


def test_a_secret_that_is_wrong_is_reported_with_the_line_that_names_its_file(
    keyless: Environ, tmp_path: Path
) -> None:
    env_file = tmp_path / "env"
    path = secret_file(tmp_path / "key", "two words")
    env_file.write_text(f"WORKER_COUNT=3\nRETELL_API_KEY_FILE={path}\n")
    with pytest.raises(ConfigError) as caught:
        get_settings(keyless, env_file)
    (line,) = caught.value.faults
    assert line.startswith("RETELL_API_KEY=(hidden): must be the key")
    assert line.endswith(f"({env_file}, line 2)")


def test_a_pipe_nobody_writes_to_is_a_fault_and_no_wait(keyless: Environ, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key")
    keyless["RETELL_API_KEY_FILE"] = str(tmp_path / "key")
    assert faults_of(keyless) == [f"RETELL_API_KEY_FILE={tmp_path / 'key'}: must be a regular file"]


def test_a_credential_that_cannot_be_looked_at_is_a_fault(keyless: Environ, tmp_path: Path) -> None:
    keyless["CREDENTIALS_DIRECTORY"] = str(tmp_path / ("x" * 300))  # a name that no system looks up
    assert "the credential retell_api_key: cannot be read: File name too long" in faults_of(keyless)


def test_an_empty_credential_is_a_fault(keyless: Environ, tmp_path: Path) -> None:
    secret_file(tmp_path / "retell_api_key", "")
    keyless["CREDENTIALS_DIRECTORY"] = str(tmp_path)
    assert faults_of(keyless) == ["the credential retell_api_key: is empty"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_open_to_others_is_told(keyless: Environ, tmp_path: Path, mode: int) -> None:
    path = secret_file(tmp_path / "key", mode=mode)
    keyless["RETELL_API_KEY_FILE"] = str(path)
    assert key_of(keyless) == KEY
    assert settings_warnings(keyless, env_file=None) == [
        f"RETELL_API_KEY_FILE={path}: others than its owner may read it: chmod 600 it"
    ]


def test_a_misspelt_file_variable_is_told(environ: Environ) -> None:
    environ["RETELL_API_KEY_FIEL"] = "/etc/key"
    assert settings_warnings(environ, env_file=None) == [
        "RETELL_API_KEY_FIEL is not a setting of speechaid: did you mean RETELL_API_KEY_FILE?"
    ]


def test_a_file_variable_of_what_is_no_secret_is_told(environ: Environ) -> None:
    environ["RETELL_AGENT_ID_FILE"] = "/etc/agent"
    assert settings_warnings(environ, env_file=None) == [
        "RETELL_AGENT_ID_FILE is not a setting of speechaid: did you mean RETELL_AGENT_ID?"
    ]
