"""The manual's installation, command by command, on a machine under systemd; then what its unit promises.

Skipped where no such machine can be had (``tests.machine``).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from speechaid import __version__
from speechaid.demo.contacts import contacts
from speechaid.demo.simulator.process import SimulatorProcess
from tests import fleet_support
from tests.fleet_support import ROOT
from tests.machine import CannotBoot, Machine, system_python

CALLS = 8
DEADLINE_SECONDS = 120.0
ENVIRONMENT = "/etc/speechaid/speechaid.env"

pytestmark = pytest.mark.timeout(600)


def until(look: Callable[[], bool], what: str) -> None:
    fleet_support.until(look, what, between=lambda: time.sleep(0.2), within_seconds=DEADLINE_SECONDS)


def commands_of(page: str, section: str) -> list[str]:
    """The shell's blocks of a section, with what must differ here: no network, another Retell."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    body = re.split(r"^## ", text, flags=re.MULTILINE)
    (chosen,) = [part for part in body if part.startswith(section)]
    blocks = re.findall(r"^( *)```sh\n(.*?)^\1```", chosen, flags=re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in blocks]


def adapted(script: str) -> str:
    """As it is written, but that nothing is fetched."""
    python = system_python()
    pip = f"PYTHONPATH=/opt/packages {python} -m pip --python \\1/bin/python install"
    pip += " --quiet --root-user-action=ignore --no-index --no-deps /opt/wheels/*.whl"
    packages = "echo /opt/packages > $(echo \\1/lib/python3*/site-packages)/packages.pth"
    replacements = {
        r"^python3 -m venv": f"{python} -m venv --without-pip",
        r"^(/opt/speechaid-\S+)/bin/pip install \S+$": f"{pip}\n{packages}",
    }
    for pattern, replacement in replacements.items():
        script = re.sub(pattern, replacement, script, flags=re.MULTILINE)
    return script


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    """Everybody answers, and talks until a test turns the clock."""
    with SimulatorProcess(
        api_key="key_0123456789abcdef",
        odds={"agent_hangup": 1},
        talk_seconds=(600, 700),
        ring_seconds=(0, 1),
    ) as process:
        yield process


@pytest.fixture(scope="module")
def machine(simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The manual's steps carried out on a machine of its own."""
    wheels = tmp_path_factory.mktemp("wheels")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    directory = tmp_path_factory.mktemp("machine")
    try:
        steps = [adapted(step) for step in commands_of("install.md", "Steps")]
        with Machine(directory, wheels) as machine:
            install(machine, steps, simulator)
            yield machine
    except CannotBoot as exc:
        pytest.skip(str(exc))


def install(machine: Machine, steps: list[str], simulator: SimulatorProcess) -> None:
    for step in steps:
        machine.say(step)
        if f">> {ENVIRONMENT}" in step:  # the settings have just been written
            machine.say(
                f"cat >> {ENVIRONMENT} <<END\nRETELL_BASE_URL={simulator.base_url}\nWORKER_COUNT={CALLS}\n"
                "CALL_POLLING_INTERVAL=1\nRETELL_TIMEOUT_SECONDS=5\nSPEECHAID_METRICS_ADDRESS=127.0.0.1:0\nEND"
            )


def shown(machine: Machine, name: str = "ActiveState") -> str:
    return machine.say(f"systemctl show speechaid --property={name} --value")


def ctl(machine: Machine, words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(machine.say(f"speechctl {words} --json"))
    return found


def calls_in_hand(machine: Machine) -> set[str]:
    return {row["call"] for row in ctl(machine, "status")["workers"] if row["call"]}


def set_workers(machine: Machine, count: object) -> None:
    machine.say(f"sed -i 's/^WORKER_COUNT=.*/WORKER_COUNT={count}/' {ENVIRONMENT}")


@pytest.fixture
def running(machine: Machine) -> Machine:
    """The service, up and in good order."""
    set_workers(machine, CALLS)
    machine.say("systemctl reset-failed speechaid; systemctl start speechaid")
    until(lambda: shown(machine) == "active", "the service")
    machine.say("systemctl reload speechaid")
    return machine


def test_the_steps_of_the_manual_end_with_a_service_that_runs(running: Machine) -> None:
    assert f"speechaid {__version__}" in running.say("/opt/speechaid/bin/speechaid --version")
    until(lambda: shown(running, "StatusText").startswith(f"running, {CALLS} workers"), "its status")
    assert ctl(running, "status")["supervisor"]["state"] == "running"
    assert running.say("stat -c '%U %G %a' /run/speechaid /var/lib/speechaid").splitlines() == (
        ["speechaid speechaid 750"] * 2
    )
    told = running.say("journalctl --unit=speechaid --output=cat")
    assert "ok    retell" in told  # the check before the start
    assert "key_0123456789abcdef" not in told


def test_whoever_is_in_the_group_may_use_it_and_others_are_told_which_group(running: Machine) -> None:
    running.say("useradd --groups speechaid olga; useradd otto")
    assert running.run("runuser -u olga -- speechctl status").returncode == 0
    refused = running.run("runuser -u otto -- speechctl status")
    assert refused.returncode == 3
    assert "join the group that owns it (speechaid)" in refused.stderr


def test_a_reload_applies_and_a_bad_one_fails_and_leaves_all_as_it_was(running: Machine) -> None:
    set_workers(running, 2)
    running.say("systemctl reload speechaid")
    until(lambda: ctl(running, "status")["supervisor"]["wanted"] == 2, "two workers")
    set_workers(running, "many")
    assert running.run("systemctl reload speechaid").returncode != 0
    assert "WORKER_COUNT=many" in running.say("journalctl --unit=speechaid --lines=5 --output=cat")
    assert (shown(running), ctl(running, "status")["supervisor"]["wanted"]) == ("active", 2)


def test_live_calls_outlive_a_restart_and_a_backup_and_end_once_each(
    running: Machine, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    running.say(f"cat > /tmp/contacts.csv <<'END'\n{contacts(CALLS).decode()}\nEND")
    running.say("speechctl import /tmp/contacts.csv --name trial --yes")
    until(lambda: len(calls_in_hand(running)) == CALLS, "live calls")
    live = calls_in_hand(running)
    running.say("systemctl restart speechaid")
    until(lambda: calls_in_hand(running) == live, "the same calls after a restart")
    running.say("systemctl start speechaid-backup.service")
    until(lambda: calls_in_hand(running) == live, "the same calls after a backup")
    assert running.say("tar -tzf /var/backups/speechaid/db-*.tar.gz | grep -c credentials") == "1"
    simulator.advance(3600)
    until(lambda: not calls_in_hand(running), "their end")
    (batch,) = ctl(running, "batches")["batches"]
    until(lambda: ctl(running, "batches")["batches"][0]["jobs"].get("done") == CALLS, f"all done: {batch}")
    assert {call["call_id"] for call in simulator.ledger()} == live
    assert len(simulator.ledger()) == CALLS


def test_a_killed_supervisor_and_a_frozen_one_are_started_anew(running: Machine) -> None:
    before = shown(running, "MainPID")
    running.say(f"kill -KILL {before}")
    until(lambda: shown(running) == "active" and shown(running, "MainPID") not in {"0", before}, "a new one")
    running.say(
        "mkdir -p /run/systemd/system/speechaid.service.d;"
        " printf '[Service]\\nWatchdogSec=3\\n' > /run/systemd/system/speechaid.service.d/test.conf;"
        " systemctl daemon-reload; systemctl restart speechaid"
    )
    frozen = shown(running, "MainPID")
    running.say(f"kill -STOP {frozen}")
    until(lambda: shown(running) == "active" and shown(running, "MainPID") not in {"0", frozen}, "a new one")
    assert shown(running, "NRestarts") == "1"
    running.say("rm -r /run/systemd/system/speechaid.service.d; systemctl daemon-reload")


def test_a_stop_leaves_nothing_behind(running: Machine) -> None:
    running.say("systemctl stop speechaid")
    assert (shown(running), shown(running, "Result")) == ("inactive", "success")
    assert running.run("pgrep --euid speechaid").stdout == ""
    assert running.run("test -e /run/speechaid").returncode != 0


def test_settings_that_cannot_be_used_fail_once_and_are_not_tried_again(running: Machine) -> None:
    running.say("systemctl stop speechaid")
    set_workers(running, "many")
    assert running.run("systemctl start speechaid").returncode != 0
    assert (shown(running), shown(running, "ExecMainStatus")) == ("failed", "78")
    assert shown(running, "NRestarts") == "0"
