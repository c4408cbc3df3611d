"""The settings of ``speechaid web``: what the daemon alone may know is not read."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechaid.errors import ConfigError
from speechaid.settings import get_web_settings

KEY = "key_of_the_daemon_0123"
FILE = f"""
MONGO_URI=mongodb://db.example/
RETELL_API_KEY={KEY}
RETELL_TIMEOUT_SECONDS=5
LEASE_SECONDS=30
SPEECHAID_ALERT_WEBHOOK_SECRET=also-a-secret
SPEECHAID_WEB_ADDRESS=127.0.0.1:8001
SPEECHAID_WEB_PROXIES=127.0.0.1, ::1
"""


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    path = tmp_path / "web.env"
    path.write_text(FILE)
    path.chmod(0o600)
    return path


def test_no_setting_holds_a_secret_that_stands_in_the_file(env_file: Path) -> None:
    settings = get_web_settings({"HOME": "/nonexistent"}, env_file)
    assert settings.web.address == "127.0.0.1:8001"
    assert settings.web.proxies == ("127.0.0.1", "::1")
    assert settings.database.shown_uri == "mongodb://db.example/"
    held = str(settings.to_wire())
    assert KEY not in held
    assert "also-a-secret" not in held


def test_nothing_of_retells_has_to_be_set() -> None:
    assert get_web_settings({"HOME": "/nonexistent"}, None).web.upload_mb == 64


@pytest.mark.parametrize("name", ["RETELL_API_KEY", "RETELL_API_KEY_FILE"])
def test_a_key_in_the_environment_is_refused_and_not_quoted(name: str) -> None:
    with pytest.raises(ConfigError, match="must not have Retell's key") as refused:
        get_web_settings({"HOME": "/nonexistent", name: KEY}, None)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    "line", ["SPEECHAID_WEB_ADDRESS=off", "SPEECHAID_WEB_ADDRESS=8000", "SPEECHAID_WEB_PROXIES=proxy"]
)
def test_what_cannot_be_used_is_a_fault_that_names_the_variable(line: str) -> None:
    name, _, value = line.partition("=")
    with pytest.raises(ConfigError, match=name):
        get_web_settings({"HOME": "/nonexistent", name: value}, None)
