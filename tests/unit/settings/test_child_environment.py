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


def test_only_what_connects_to_the_database_gets_what_its_driver_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/our-ca.pem")
    monkeypatch.setenv("MONGO_URI", "a-secret-of-ours")
    assert "SSL_CERT_FILE" not in child_environment()
    environment = child_environment(connects_to_database=True)
    assert environment["SSL_CERT_FILE"] == "/etc/our-ca.pem"
    assert "MONGO_URI" not in environment
