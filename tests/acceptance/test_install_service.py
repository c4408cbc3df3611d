"""``speechaid install-service`` on a machine under systemd, from the manual's first command to the removal.

The tests follow one another: each leaves the service as the next one finds it. Skipped where no such machine
can be had (``tests.support.machine``).
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from speechaid import __version__
from speechaid.demo.contacts import contacts
from speechaid.errors import ExitStatus
from tests.acceptance.test_install import sections
from tests.support import fleet_harness
from tests.support.machine import CannotBoot, Machine, next_version, unpacked_sdist

NEXT_VERSION = "0.3.0"
KEY = "key_0123456789abcdef"
#: A Retell for the real calls of these tests: on the machine, and not the service's own simulator.
RETELL = "http://127.0.0.1:9500"
PROGRAM = "/opt/speechaid/bin/speechaid"
SETTINGS = "/etc/speechaid/speechaid.env"
CREDENTIAL = "/etc/credstore/speechaid.retell_api_key"
PRACTICE_LEDGER = "/var/lib/speechaid/simulator/calls.jsonl"
LEDGER = "/var/tmp/retell.jsonl"
DEADLINE_SECONDS = 300.0
IS_INSTALLED = ("dpkg-query", "--status", "python3-venv")

pytestmark = pytest.mark.timeout(600)


def until(look: Callable[[], bool], what: str) -> None:
    fleet_harness.until(look, what, within_seconds=DEADLINE_SECONDS)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    sources = tmp_path_factory.mktemp("sources")
    next_version(unpacked_sdist(sources), NEXT_VERSION)
    try:
        with Machine(tmp_path_factory.mktemp("machine"), sources, own_network=True) as machine:
            machine.say("useradd --create-home olga")
            yield machine
    except CannotBoot as exc:
        pytest.skip(str(exc))


def the_five_commands() -> list[str]:
    """As the manual has them; where Debian's package is missing here, the machine has venv all the same."""
    commands = sections("install.md")["In one command"][0].splitlines()
    has_dpkg = shutil.which("dpkg-query") is not None
    if has_dpkg and subprocess.run(IS_INSTALLED, capture_output=True, check=False).returncode == 0:
        return commands
    return [command.replace("apt-get install -y python3-venv", "true") for command in commands]


def ctl(machine: Machine, words: str) -> Any:
    return json.loads(machine.say(f"speechctl {words} --json"))


def jobs(machine: Machine) -> dict[str, int]:
    """Jobs of the newest batch by status, those that there are."""
    return {status: count for status, count in ctl(machine, "batches")["batches"][0]["jobs"].items() if count}


def main_pid(machine: Machine) -> str:
    return machine.say("systemctl show speechaid --property=MainPID --value")


def states(said: str) -> dict[str, list[str]]:
    """The steps of a report by what became of them."""
    found: dict[str, list[str]] = {}
    for line in said.splitlines():
        state, _, text = line.partition(" ")
        if state:
            found.setdefault(state, []).append(text.strip())
    return found


def calls_in(machine: Machine, ledger: str) -> int:
    return int(machine.say(f"if [ -e {ledger} ]; then wc -l < {ledger}; else echo 0; fi"))


# -- five commands -----------------------------------------------------------------------------------------


def test_five_commands_lead_from_a_bare_debian_to_a_service_and_a_finished_test_campaign(
    machine: Machine,
) -> None:
    commands = the_five_commands()
    assert len(commands) == 5
    said = [machine.say(command, at="/opt/sources/now") for command in commands]

    assert "Active: active (running)" in said[3]
    report = states(said[3])
    assert "failed" not in report
    assert "cannot" not in report
    assert "ok    retell" in said[3]
    assert "60 contacts imported" in said[4]

    until(lambda: jobs(machine).keys() <= {"done", "failed", "cancelled"}, "the end of the campaign")
    assert sum(jobs(machine).values()) == 60
    assert calls_in(machine, PRACTICE_LEDGER) >= 60
    looks = sections("install.md")["In one command"][1].splitlines()
    status, results = (machine.say(command) for command in looks)
    assert "Active: active (running)" in status
    assert "60 jobs" in results


def test_a_second_run_does_nothing_and_the_service_runs_on(machine: Machine) -> None:
    before = main_pid(machine)
    report = states(machine.say(f"{PROGRAM} install-service"))
    assert report["done"] == ["look at speechaid.service", "check as the service sees it"]
    assert "start speechaid.service" in report["already"]
    assert main_pid(machine) == before


def test_a_dry_run_changes_nothing_and_says_what_it_would_do(machine: Machine) -> None:
    before = main_pid(machine)
    said = machine.say(
        f"RETELL_API_KEY={KEY} RETELL_AGENT_ID=a RETELL_FROM_NUMBER=+15005550006"
        f" {PROGRAM} install-service --live --dry-run"
    )
    assert f"write {SETTINGS}: MONGO_URI, RETELL_AGENT_ID, RETELL_FROM_NUMBER" in states(said)["would"]
    assert KEY not in said
    assert machine.run(f"test -e {SETTINGS}").returncode != 0
    assert main_pid(machine) == before


# -- real calls --------------------------------------------------------------------------------------------


def test_real_calls_are_refused_as_long_as_a_setting_is_missing(machine: Machine) -> None:
    refused = machine.run(f"{PROGRAM} install-service --live")
    assert refused.returncode == ExitStatus.REFUSED
    assert "RETELL_API_KEY (in /etc/credstore/speechaid.retell_api_key)" in refused.stderr
    assert "the simulator stays until then" in refused.stderr
    assert machine.say("systemctl is-active speechaid speechaid-simulator").split() == ["active", "active"]


def test_what_is_missing_is_asked_for_and_the_key_is_not_shown(machine: Machine) -> None:
    machine.say(
        f"systemd-run --quiet --unit=retell --setenv=SIMULATOR_API_KEY={KEY} {PROGRAM} simulator --port 9500"
        f" --ledger {LEDGER} --odds '{{\"agent_hangup\": 1}}' --ring-seconds 0,1 --talk-seconds 600,700"
    )
    shown = machine.type(
        f"{PROGRAM} install-service --live --set RETELL_BASE_URL={RETELL} --set CALL_POLLING_INTERVAL=1"
        " --set LEASE_SECONDS=40 --operator olga",
        {
            "RETELL_API_KEY (not shown): ": KEY,
            "RETELL_AGENT_ID: ": "agent_1",
            "RETELL_FROM_NUMBER: ": "+15005550006",
        },
    )
    assert "Active: active (running)" in shown
    assert "ok    retell" in shown
    assert KEY not in shown
    assert machine.say(f"stat -c '%a %U:%G' {SETTINGS} {CREDENTIAL}").splitlines() == [
        "640 root:speechaid",
        "600 root:root",
    ]
    assert machine.run(f"grep -r {KEY} /etc/speechaid").returncode == 1
    assert machine.say("systemctl is-enabled speechaid speechaid-backup.timer").split() == ["enabled"] * 2
    assert machine.run("systemctl is-active speechaid-simulator").stdout.strip() == "inactive"
    assert machine.say("runuser -u olga -- speechctl status")


def test_real_calls_have_a_database_without_the_test_campaign(machine: Machine) -> None:
    assert ctl(machine, "batches")["batches"] == []
    machine.say(f"cat > /tmp/contacts.csv <<'END'\n{contacts(2).decode()}\nEND")
    machine.say(
        "speechctl import /tmp/contacts.csv --name trial --accept unassigned --hours 00:00-24:00 --start"
    )
    until(lambda: calls_in(machine, LEDGER) == 2, "two calls")
    assert jobs(machine) == {"in_progress": 2}


def test_a_service_for_real_calls_is_not_turned_to_the_simulator(machine: Machine) -> None:
    before = main_pid(machine)
    refused = machine.run(f"{PROGRAM} install-service --simulator")
    assert (refused.returncode, refused.stdout) == (ExitStatus.REFUSED, "")
    assert main_pid(machine) == before


def test_an_installation_that_the_service_could_not_read_is_refused(machine: Machine) -> None:
    machine.say(f"chmod 700 /opt/speechaid-{__version__}")
    refused = machine.run(f"{PROGRAM} install-service")
    machine.say(f"chmod 755 /opt/speechaid-{__version__}")
    assert refused.returncode == ExitStatus.REFUSED
    assert f"since /opt/speechaid-{__version__} is closed to others" in refused.stderr


# -- upgrades ----------------------------------------------------------------------------------------------


def test_an_upgrade_whose_check_fails_leaves_the_running_version_alone(machine: Machine) -> None:
    following = f"/opt/speechaid-{NEXT_VERSION}"
    machine.say(f"python3 -m venv {following}; {following}/bin/pip install '.[demo]'", at="/opt/sources/next")
    before = main_pid(machine)
    machine.say(f"sed -i 's/^RETELL_AGENT_ID=/#&/' {SETTINGS}")
    stopped = machine.run(f"{following}/bin/speechaid install-service")
    machine.say(f"sed -i 's/^#RETELL_AGENT_ID=agent/RETELL_AGENT_ID=agent/' {SETTINGS}")
    assert stopped.returncode == ExitStatus.CANTCREAT
    report = states(stopped.stdout)
    assert report["failed"][0].startswith("check this version before it replaces the one that runs")
    assert "fail  settings" in stopped.stdout
    assert f"point /opt/speechaid to speechaid-{NEXT_VERSION}" in report["missing"]
    assert main_pid(machine) == before
    assert machine.say("readlink /opt/speechaid") == f"speechaid-{__version__}"


def test_an_upgrade_takes_one_command_and_live_calls_outlive_it(machine: Machine) -> None:
    before = main_pid(machine)
    report = states(machine.say(f"/opt/speechaid-{NEXT_VERSION}/bin/speechaid install-service"))
    assert "restart speechaid.service; live calls are handed over" in report["done"]
    assert main_pid(machine) != before
    assert ctl(machine, "status")["supervisor"]["version"] == NEXT_VERSION
    until(lambda: len([w for w in ctl(machine, "status")["workers"] if w["call"]]) == 2, "the same two calls")
    assert calls_in(machine, LEDGER) == 2


# -- wrong and missing answers -----------------------------------------------------------------------------


def test_a_wrong_key_is_replaced_by_the_same_command(machine: Machine) -> None:
    before = main_pid(machine)
    renew = f"{PROGRAM} install-service --replace --api-key-file -"
    wrong = machine.run(f"echo key_wrong | {renew}")
    assert wrong.returncode == ExitStatus.CANTCREAT
    assert "fail  retell" in wrong.stdout
    assert main_pid(machine) == before
    # As if it were killed between the secret and the restart.
    machine.say(f"echo {KEY} | {renew} --no-start")
    assert main_pid(machine) == before
    said = machine.say(f"{PROGRAM} install-service")
    assert "ok    retell" in said
    assert KEY not in said
    assert main_pid(machine) != before
    assert machine.say(f"cat {CREDENTIAL}") == KEY


def test_a_blank_setting_is_filled_by_set_and_what_the_service_cannot_read_is_opened(
    machine: Machine,
) -> None:
    machine.say("systemctl stop speechaid")
    machine.say(f"sed -i 's/^RETELL_AGENT_ID=.*/RETELL_AGENT_ID=/' {SETTINGS}; chown root:root {SETTINGS}")
    machine.say(f"chmod 600 {SETTINGS}")
    blank = machine.run(f"{PROGRAM} install-service")
    assert blank.returncode == ExitStatus.CONFIG
    assert "--set NAME=VALUE" in blank.stdout
    machine.say(f"{PROGRAM} install-service --set RETELL_AGENT_ID=agent_1")
    assert machine.say(f"stat -c '%a %U:%G' {SETTINGS}") == "640 root:speechaid"
    assert machine.say("systemctl is-active speechaid") == "active"


def test_settings_that_the_service_may_not_read_are_one_line_of_the_check(machine: Machine) -> None:
    machine.say(f"chmod 600 {SETTINGS}")
    machine.run("systemctl start speechaid-check@speechaid")
    shown = machine.say("journalctl --unit=speechaid-check@speechaid --output=cat --no-pager --lines=20")
    machine.say(f"{PROGRAM} install-service")
    assert f"chgrp speechaid {SETTINGS} && chmod 640 {SETTINGS}" in shown
    assert "RETELL_AGENT_ID is not set" not in shown
    assert machine.say(f"stat -c '%a %U:%G' {SETTINGS}") == "640 root:speechaid"


def test_settings_that_everybody_may_write_are_refused(machine: Machine) -> None:
    machine.say(f"chmod 666 {SETTINGS}")
    refused = machine.run(f"{PROGRAM} install-service")
    machine.say(f"chmod 640 {SETTINGS}")
    assert refused.returncode == ExitStatus.REFUSED
    assert f"{SETTINGS} can be changed by every user of this host" in refused.stderr


def test_an_edited_unit_is_kept(machine: Machine) -> None:
    unit = "/etc/systemd/system/speechaid.service"
    machine.say(f"sed -i 's/^TimeoutStopSec=.*/TimeoutStopSec=91/' {unit}")
    said = machine.say(f"{PROGRAM} install-service")
    assert f"write {unit}; it was edited: the old one is kept as speechaid.service.orig" in said
    machine.say(f"grep TimeoutStopSec=91 {unit}.orig; grep TimeoutStopSec=90 {unit}")
    machine.say(f"rm {unit}.orig")


def test_where_the_service_is_stopped_speechctl_names_the_units_command(machine: Machine) -> None:
    machine.say("systemctl stop speechaid")
    assert "systemctl start speechaid" in machine.run("speechctl status").stderr
    machine.say("systemctl start speechaid")


# -- without systemd, and away -----------------------------------------------------------------------------


def test_where_systemd_does_not_run_start_and_check_are_named_and_the_rest_is_done(machine: Machine) -> None:
    machine.say("systemctl disable speechaid")
    mounted = "mount -t tmpfs -o mode=755 tmpfs /run"
    done = machine.run(f"unshare --mount sh -c '{mounted}; {PROGRAM} install-service'")
    assert done.returncode == ExitStatus.UNAVAILABLE
    report = states(done.stdout)
    assert "start speechaid.service at every boot" in report["done"]
    assert [text.partition(":")[0] for text in report["cannot"]] == ["start speechaid.service", "check"]
    assert machine.say("systemctl is-enabled speechaid") == "enabled"


def test_removing_leaves_data_and_settings_and_installing_again_finds_them(machine: Machine) -> None:
    said = machine.say(f"{PROGRAM} uninstall-service")
    assert machine.run("systemctl cat speechaid").returncode != 0
    assert machine.run("ls /etc/systemd/system | grep speechaid").stdout == ""
    assert machine.run("pgrep --euid speechaid").stdout == ""
    assert "rm -r /var/lib/speechaid /var/backups/speechaid" in said
    machine.say(f"test -d /var/lib/speechaid/db; test -s {SETTINGS}; test -s {CREDENTIAL}")
    assert states(machine.say(f"{PROGRAM} uninstall-service"))["already"] == ["remove the service"]

    machine.say(f"{PROGRAM} install-service")
    assert jobs(machine) == {"in_progress": 2}
    until(lambda: len([w for w in ctl(machine, "status")["workers"] if w["call"]]) == 2, "the same two calls")
    assert calls_in(machine, LEDGER) == 2


def test_killed_in_the_middle_and_run_again_it_switches_the_backup_on(machine: Machine) -> None:
    machine.say(f"{PROGRAM} uninstall-service")
    machine.say(
        f"{PROGRAM} install-service > /tmp/report & pid=$!;"
        " until grep -q 'start speechaid.service at every boot' /tmp/report; do sleep 0.02; done;"
        " kill -9 $pid"
    )
    assert machine.run("systemctl is-enabled speechaid-backup.timer").stdout.strip() != "enabled"
    report = states(machine.say(f"{PROGRAM} install-service"))
    assert any("speechaid-backup.timer" in text for text in report["done"])
    assert machine.say("systemctl is-enabled speechaid speechaid-backup.timer").split() == ["enabled"] * 2
    assert machine.say("systemctl is-active speechaid speechaid-backup.timer").split() == ["active"] * 2
    machine.say("systemctl disable --now speechaid-backup.timer")
    assert "the nightly backup is off" in machine.say(f"{PROGRAM} install-service")
