"""The environment of child processes: the embedded database's, the relay's and the readers'."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechaid.settings.child_environment import child_environment

ROOT = Path(__file__).parents[3]


def test_a_child_gets_no_setting_and_no_secret_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ("RETELL_API_KEY", "MONGO_URI", "ALERT_WEBHOOK_URL", "AWS_SECRET_ACCESS_KEY", "A_NEW_SECRET")
    for name in secrets:
        monkeypatch.setenv(name, "a-secret-of-ours")
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    environment = child_environment()
    assert "a-secret-of-ours" not in environment.values()
    assert environment["PATH"] == "/usr/bin"
    assert environment["PYTHONPATH"] == str(ROOT)
