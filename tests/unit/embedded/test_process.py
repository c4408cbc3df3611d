"""The environment of the embedded database's process."""

from __future__ import annotations

import pytest

from speechaid.embedded.process import server_environment


def test_the_server_gets_no_setting_and_no_secret_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ("RETELL_API_KEY", "MONGO_URI", "ALERT_WEBHOOK_URL", "AWS_SECRET_ACCESS_KEY", "A_NEW_SECRET")
    for name in secrets:
        monkeypatch.setenv(name, "a-secret-of-ours")
    monkeypatch.setenv("PATH", "/usr/bin")
    environment = server_environment("/checkout")
    assert "a-secret-of-ours" not in environment.values()
    assert environment["PATH"] == "/usr/bin"
    assert environment["PYTHONPATH"] == "/checkout"
