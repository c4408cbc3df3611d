"""The operator's pages, command by command, on a machine under systemd; and what the unit promises.

What is replaced in the commands is named in ``HERE``; packages come from this Python's own and not from an
index. The tests follow one another: each leaves the service as the next one finds it in ``running``.

Skipped where no such machine can be had (``tests.support.machine``).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from speechaid import __version__
from speechaid.demo.contacts import contacts
from speechaid.demo.simulator.process import SimulatorProcess
from tests.support import fleet_harness
from tests.support.fleet_harness import ROOT
from tests.support.machine import CannotBoot, Machine, next_version, unpacked_sdist

CALLS = 8
NEXT_VERSION = "0.3.0"
KEY = "key_0123456789abcdef"
DEADLINE_SECONDS = 120.0
ENVIRONMENT = "/etc/speechaid/speechaid.env"
OTHER_DATABASE = "/var/lib/speechaid/other"
TUNED = "/etc/systemd/system/speechaid.service.d/test.conf"

ONE_COMMAND = ("install.md", "In one command")
INSTALL = ("install.md", "By hand")
ENCRYPT = ("install.md", "Secrets that lie encrypted on disk")
UPGRADE = ("upgrade.md", "Steps")
EMBEDDED = ("databases.md", "The embedded database")

#: What a page cannot know: words of its commands, and what stands for them here.
HERE = {"'mongodb://speechaid:PASSWORD@db1/?replicaSet=rs0'": '"$(cat /run/other)"'}

pytestmark = pytest.mark.timeout(600)


def until(look: Callable[[], bool], what: str) -> None:
    fleet_harness.until(look, what, between=lambda: time.sleep(0.2), within_seconds=DEADLINE_SECONDS)


def sections(page: str) -> dict[str, list[str]]:
    """The shell's blocks of a page, by the heading that they stand under."""
    found = {}
    for part in re.split(r"^## ", (ROOT / "docs" / page).read_text(encoding="utf-8"), flags=re.MULTILINE):
        blocks = re.findall(r"^( *)```sh\n(.*?)^\1```", part, flags=re.MULTILINE | re.DOTALL)
        if blocks:
            found[part.partition("\n")[0]] = [
                re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in blocks
            ]
    return found


def commands_of(place: tuple[str, str]) -> list[str]:
    page, heading = place
    blocks = sections(page)[heading]
    for word, here in HERE.items():
        blocks = [block.replace(word, here) for block in blocks]
    return blocks


def test_no_block_of_commands_on_these_pages_is_left_out() -> None:
    told = {
        (page, heading) for page in ("install.md", "upgrade.md", "databases.md") for heading in sections(page)
    }
    assert told == {ONE_COMMAND, INSTALL, ENCRYPT, UPGRADE, EMBEDDED}
    assert len(commands_of(EMBEDDED)) == 3  # backup, restore, moving


# -- the machine -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    """Everybody answers, and talks until a test turns the clock."""
    with SimulatorProcess(
        api_key=KEY, odds={"agent_hangup": 1}, talk_seconds=(600, 700), ring_seconds=(0, 1)
    ) as process:
        yield process


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two unpacked sdists: this version, and one that calls itself the next."""
    directory = tmp_path_factory.mktemp("sources")
    next_version(unpacked_sdist(directory), NEXT_VERSION)
    return directory


@pytest.fixture(scope="module")
def machine(
    simulator: SimulatorProcess, sources: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """The manual's steps carried out on a machine of its own."""
    try:
        with Machine(tmp_path_factory.mktemp("machine"), sources) as machine:
            machine.say("useradd olga; useradd otto")
            for step in commands_of(INSTALL):
                machine.say(step, at="/opt/sources/now")
                if f">> {ENVIRONMENT}" in step:  # the settings have just been written
                    machine.say(
                        f"cat >> {ENVIRONMENT} <<END\nRETELL_BASE_URL={simulator.base_url}\n"
                        f"WORKER_COUNT={CALLS}\nLEASE_SECONDS=10\nCALL_POLLING_INTERVAL=1\n"
                        "RETELL_TIMEOUT_SECONDS=5\nSPEECHAID_METRICS_ADDRESS=127.0.0.1:0\nEND"
                    )
            yield machine
    except CannotBoot as exc:
        pytest.skip(str(exc))


@pytest.fixture
def running(machine: Machine) -> Machine:
    """The service, up and in good order."""
    set_workers(machine, CALLS)
    machine.say("systemctl reset-failed speechaid; systemctl start speechaid; systemctl reload speechaid")
    return machine


def shown(machine: Machine, name: str = "ActiveState") -> str:
    return machine.say(f"systemctl show speechaid --property={name} --value")


def ctl(machine: Machine, words: str) -> dict[str, Any]:
    """An answer of speechctl's; nothing where there is none, as during a restart."""
    done = machine.run(f"speechctl {words} --json")
    found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return found


def calls_in_hand(machine: Machine) -> set[str]:
    return {row["call"] for row in ctl(machine, "status").get("workers", ()) if row["call"]}


def set_workers(machine: Machine, count: object) -> None:
    machine.say(f"sed -i 's/^WORKER_COUNT=.*/WORKER_COUNT={count}/' {ENVIRONMENT}")


def tune(machine: Machine, *lines: str) -> None:
    """Put lines into a drop-in, in the place of those before."""
    machine.say(
        f"install -D /dev/null {TUNED}; printf '%s\\n' '[Service]' {' '.join(lines)} > {TUNED};"
        " systemctl daemon-reload"
    )


def import_contacts(machine: Machine, count: int) -> None:
    machine.say(f"cat > /tmp/contacts.csv <<'END'\n{contacts(count).decode()}\nEND")
    machine.say(
        "speechctl import /tmp/contacts.csv --name trial --accept unassigned --duplicates keep"
        " --hours 00:00-24:00 --start"
    )
    until(lambda: len(calls_in_hand(machine)) == count, "live calls")


def start_anew(machine: Machine, signal: str) -> None:
    """Signal the supervisor, and wait for systemd to bring up another one."""
    before = shown(machine, "MainPID")
    machine.say(f"kill -{signal} {before}")
    until(lambda: shown(machine) == "active" and shown(machine, "MainPID") not in {"0", before}, "a new one")


# -- as it is installed ------------------------------------------------------------------------------------


def test_the_steps_of_the_manual_end_with_a_service_that_runs(running: Machine) -> None:
    assert f"speechaid {__version__}" in running.say("/opt/speechaid/bin/speechaid --version")
    until(lambda: shown(running, "StatusText").startswith(f"running, {CALLS} workers"), "its status")
    assert running.say("stat -c '%U %G %a' /run/speechaid /var/lib/speechaid").splitlines() == (
        ["speechaid speechaid 750"] * 2
    )
    told = running.say("journalctl --unit=speechaid --output=cat")
    assert "ok    retell" in told  # the check before the start
    assert KEY not in told


def test_the_demo_runs_from_what_was_installed(running: Machine) -> None:
    books = json.loads(running.say("/opt/speechaid/bin/speechaid demo --jobs 2 --json", at="/"))
    assert (books["jobs"], books["faults"], books["unjustified_dials"]) == (2, [], 0)


def test_whoever_is_in_the_group_may_use_it_and_others_are_told_which_group(running: Machine) -> None:
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
    # The journal is written when it has time, and workers that leave write into it as well.
    journal = "journalctl --unit=speechaid --output=cat"
    until(lambda: "WORKER_COUNT=many" in running.say(journal), "the reason in the journal")
    assert (shown(running), ctl(running, "status")["supervisor"]["wanted"]) == ("active", 2)


# -- under live calls --------------------------------------------------------------------------------------


def test_live_calls_outlive_all_that_systemd_does_to_the_service_and_end_once_each(
    running: Machine, simulator: SimulatorProcess
) -> None:
    import_contacts(running, CALLS)
    live = calls_in_hand(running)

    def all_are_in_hand_after(what: str) -> None:
        until(lambda: calls_in_hand(running) == live, f"the same calls after {what}")

    tune(running, "WatchdogSec=5", "RestartSec=1")
    (encrypting,) = commands_of(ENCRYPT)  # ends with a restart
    running.say(encrypting)
    assert running.run(f"grep -r {KEY} /etc/credstore /etc/credstore.encrypted").returncode == 1
    all_are_in_hand_after("a restart with an encrypted key")

    start_anew(running, "KILL")
    all_are_in_hand_after("the supervisor's death")
    start_anew(running, "STOP")
    assert "Watchdog timeout" in running.say("journalctl --unit=speechaid --output=cat")
    all_are_in_hand_after("the supervisor's freezing")

    for step in commands_of(UPGRADE):
        running.say(step, at="/opt/sources/next")
    assert NEXT_VERSION in running.say("/opt/speechaid/bin/speechaid --version")
    all_are_in_hand_after("an upgrade")

    backup, restore, _ = commands_of(EMBEDDED)
    running.say(backup)
    all_are_in_hand_after("a backup")
    simulator.advance(3600)
    until(lambda: jobs(running) == {"done": CALLS}, "the end of all calls")
    running.say(restore)
    until(lambda: jobs(running) == {"done": CALLS}, "the end of the calls that the backup knows as live")
    assert ctl(running, "status")["supervisor"]["held"]
    running.say("speechctl unhold")
    assert {call["call_id"] for call in simulator.placed_calls()} == live
    assert len(simulator.placed_calls()) == CALLS


def jobs(machine: Machine) -> dict[str, int]:
    """Jobs of the newest batch by status, those that there are."""
    batches = ctl(machine, "batches").get("batches", ())
    return {status: count for status, count in batches[0]["jobs"].items() if count} if batches else {}


def test_a_worker_is_what_the_kernel_kills_when_memory_runs_out(running: Machine) -> None:
    if running.run(
        "ls -d /sys/fs/cgroup/memory || grep -w memory /sys/fs/cgroup/cgroup.controllers"
    ).returncode:
        pytest.skip("no memory controller for a machine of its own here")
    spared = [shown(running, "MainPID"), running.say("pgrep --full 'speechaid: [e]mbedded'")]
    used = int(shown(running, "MemoryCurrent"))
    running.say(f"systemctl set-property --runtime speechaid MemoryMax={used + 32 * 2**20}")
    running.say("speechctl scale 60")
    killed = "journalctl --unit=speechaid --output=cat --grep='worker.*SIGKILL' | wc -l"
    until(lambda: int(running.run(killed).stdout or 0) >= 3, "workers that were killed and replaced")
    running.say("systemctl set-property --runtime speechaid MemoryMax=infinity; speechctl scale 4")
    until(lambda: shown(running, "StatusText").startswith("running, 4 workers"), "four workers")
    assert [shown(running, "MainPID"), running.say("pgrep --full 'speechaid: [e]mbedded'")] == spared
    assert shown(running) == "active"


def test_a_stop_can_be_told_to_wait_for_the_calls_and_leaves_nothing_behind(
    running: Machine, simulator: SimulatorProcess
) -> None:
    tune(running, "KillSignal=SIGTERM", "TimeoutStopSec=5")
    import_contacts(running, 1)
    running.say("systemctl stop --no-block speechaid")
    until(lambda: shown(running, "StatusText").startswith("stopping"), "its stopping")
    time.sleep(6)  # longer than it has, had it not asked for more
    assert shown(running) == "deactivating"
    simulator.advance(3600)
    until(lambda: shown(running) == "inactive", "its end")
    assert shown(running, "Result") == "success"
    assert running.run("pgrep --euid speechaid").stdout == ""
    assert running.run("test -e /run/speechaid").returncode != 0
    tune(running)


def test_every_document_is_moved_to_another_database(running: Machine) -> None:
    python = "/opt/speechaid/bin/python"
    # In the place of MongoDB: held as by a supervisor, it stays though nobody asks it anything yet.
    running.say(
        f"mkdir -m 700 {OTHER_DATABASE};"
        f" flock {OTHER_DATABASE}/supervisor.lock sleep 600 > /dev/null 2>&1 &"
        f" {python} -m speechaid.embedded.server {OTHER_DATABASE} > /dev/null 2>&1 &"
        f" until [ -e {OTHER_DATABASE}/address ]; do sleep 0.2; done;"
        " echo 'from speechaid.embedded.database import published_uri;"
        f' print(published_uri("{OTHER_DATABASE}"))\' | {python} > /run/other'
    )
    jobs = sum(sum(batch["jobs"].values()) for batch in ctl(running, "batches")["batches"])
    said = running.say(commands_of(EMBEDDED)[2])
    found = re.findall(r"^(\w+) (\d+) (\d+)$", said, flags=re.MULTILINE)
    copied = {name: (int(old), int(new)) for name, old, new in found}
    assert copied["jobs"] == (jobs, jobs)
    assert all(old == new for old, new in copied.values()), copied
    running.say(f"pkill --full [{OTHER_DATABASE[0]}]{OTHER_DATABASE[1:]}")


def test_a_service_installed_by_hand_is_taken_over_with_its_settings_and_drop_ins(running: Machine) -> None:
    program = "/opt/speechaid/bin/speechaid"
    kept = f"cat {ENVIRONMENT} /etc/systemd/system/speechaid.service.d/*.conf; readlink /opt/speechaid"
    before = running.say(kept)
    said = running.say(f"{program} install-service")
    assert "a service that was installed by hand is here" in said
    assert "restart speechaid.service; live calls are handed over" in said
    assert running.say(kept) == before
    assert "# speechaid as a systemd service" in running.say(
        "head -1 /etc/systemd/system/speechaid.service.orig"
    )

    pid = shown(running, "MainPID")
    assert "installed by hand" not in running.say(f"{program} install-service")
    assert (shown(running), shown(running, "MainPID")) == ("active", pid)


def test_settings_that_cannot_be_used_fail_once_and_are_not_tried_again(machine: Machine) -> None:
    machine.say("systemctl stop speechaid")
    set_workers(machine, "many")
    assert machine.run("systemctl start speechaid").returncode != 0
    assert (shown(machine), shown(machine, "ExecMainStatus")) == ("failed", "78")
    assert shown(machine, "NRestarts") == "0"
