"""What every test stands on: settings of its own, and nothing of the machine's."""

from __future__ import annotations

import os
import signal

import hypothesis
import pytest

from speechaid.protocol.translation import use_language
from speechaid.settings import Settings, get_settings
from speechaid.settings.secrets import CREDENTIALS_DIRECTORY, FILE_VARIABLES
from speechaid.settings.table import BY_VARIABLE

#: A noisy machine is no failure: no deadline.
hypothesis.settings.register_profile("speechaid", deadline=None)
hypothesis.settings.load_profile("speechaid")


def pytest_configure() -> None:
    """A run started in the background ignores Ctrl-C, and would hand that down to all that tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI nothing is skipped: what is missing there is a fault of the set-up, not a reason to look away."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("tests were skipped, and this is CI: that is a failure", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (*BY_VARIABLE, *FILE_VARIABLES, "SPEECHAID_ENV_FILE", CREDENTIALS_DIRECTORY):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SPEECHAID_LANG", "en")
    use_language("en")


@pytest.fixture
def environ() -> dict[str, str]:
    """The least that makes settings."""
    return {
        "RETELL_API_KEY": "key_0123456789abcdef",
        "RETELL_AGENT_ID": "agent_test",
        "RETELL_FROM_NUMBER": "+15005550006",
    }


@pytest.fixture
def settings(environ: dict[str, str]) -> Settings:
    """All defaults."""
    return get_settings(environ, env_file=None)
