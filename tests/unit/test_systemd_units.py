"""The shipped systemd units: systemd's tools accept them, and they agree with the daemon."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest

from speechaid.embedded.files import CREDENTIALS, WEB_CREDENTIALS
from speechaid.errors import ExitStatus
from speechaid.fleet.processes import SOFT_DESCRIPTOR_LIMIT
from speechaid.service.steps import REPORTS
from speechaid.settings import Settings, get_settings, profile
from speechaid.settings.secrets import SECRETS
from speechaid.supervisor import HAND_OVER_GRACE_SECONDS
from speechctl.parser import build_parser

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "systemd"
SERVICES = (
    "speechaid.service",
    "speechaid-check@.service",
    "speechaid-backup.service",
    "speechaid-report.service",
    "speechaid-simulator.service",
    "speechaid-web.service",
)
#: Highest accepted exposure; ``systemd-analyze security`` calls far higher ones OK.
MAX_EXPOSURE = 2.0

has_tools = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
is_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can create files of other users")


def directives(name: str) -> dict[str, list[str]]:
    """All values of each directive, in order."""
    values: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text(encoding="utf-8").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith(("#", ";")):
            values.setdefault(key, []).append(value)
    return values


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


@has_tools
def test_systemd_analyze_verify_accepts_every_unit(tmp_path: Path) -> None:
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for name in ("speechaid", "speechctl"):
        (binaries / name).write_text("#!/bin/sh\n")
        (binaries / name).chmod(0o755)
    copies = []
    for unit in (*UNITS.glob("*.service"), *UNITS.glob("*.timer")):
        text = unit.read_text(encoding="utf-8")
        copies.append(tmp_path / unit.name)
        text = re.sub(r"/opt/(speechaid|%i)/bin/", f"{binaries}/", text)
        copies[-1].write_text(text, encoding="utf-8")
    done = run("systemd-analyze", "verify", "--man=no", *copies)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)  # unknown keys are only printed


def verified(directory: Path, drop_in: str) -> str:
    """What systemd says of the service with this drop-in."""
    binaries = directory / "bin"
    (directory / "speechaid.service.d").mkdir(parents=True)
    binaries.mkdir()
    for name in ("speechaid", "speechctl"):
        (binaries / name).write_text("#!/bin/sh\n")
        (binaries / name).chmod(0o755)
    unit = directory / "speechaid.service"
    text = (UNITS / unit.name).read_text(encoding="utf-8")
    unit.write_text(text.replace("/opt/speechaid/bin/", f"{binaries}/"), encoding="utf-8")
    (directory / "speechaid.service.d" / "example.conf").write_text(drop_in, encoding="utf-8")
    done = run("systemd-analyze", "verify", "--man=no", unit)
    return done.stdout + done.stderr


@has_tools
@pytest.mark.parametrize("example", sorted((UNITS / "examples").glob("*.conf")), ids=lambda path: path.name)
def test_systemd_analyze_verify_accepts_every_example_of_a_drop_in(tmp_path: Path, example: Path) -> None:
    assert verified(tmp_path / "good", example.read_text(encoding="utf-8")) == ""
    # A drop-in that is not read at all would be accepted, too.
    assert "Unknown key" in verified(tmp_path / "bad", "[Service]\nIPAddressesDeny=169.254.169.254\n")


def test_the_addresses_of_cloud_credentials_can_be_closed() -> None:
    text = (UNITS / "examples" / "no-metadata.conf").read_text(encoding="utf-8")
    lines = [line.partition("=")[2] for line in text.splitlines() if line.startswith("IPAddressDeny=")]
    denied = " ".join(lines).split()
    assert [address for address in denied if ip_address(address).is_global] == []
    assert "169.254.169.254" in denied


def test_the_service_is_bounded_and_listens_by_tcp_alone() -> None:
    unit = directives("speechaid.service")
    assert (unit["MemoryMax"], unit["LimitCORE"]) == (["80%"], ["0"])
    assert (unit["SocketBindAllow"], unit["SocketBindDeny"]) == (["tcp"], ["any"])
    assert unit["LimitNOFILE"] == [str(SOFT_DESCRIPTOR_LIMIT)]


def test_the_http_api_sees_neither_the_daemons_settings_nor_its_secrets() -> None:
    unit = directives("speechaid-web.service")
    assert unit["LoadCredential"] == ["mongo_uri:speechaid.mongo_uri"]
    hidden = unit["InaccessiblePaths"][0].split()
    assert {"-/etc/speechaid/speechaid.env", "-/etc/credstore"} <= set(hidden)
    # It runs as the daemon's user: what systemd hands to the daemon is readable for both.
    assert "-/run/credentials/speechaid.service" in hidden
    database = Path("/var/lib") / directives("speechaid.service")["StateDirectory"][0] / "db"
    assert {f"-{database / CREDENTIALS}", f"-{database / 'data'}"} <= set(hidden)
    assert not any(
        f"-{path}" in hidden for path in (database, database / WEB_CREDENTIALS, database / "address")
    )
    assert not any("RETELL" in value for values in unit.values() for value in values)


@has_tools
@pytest.mark.parametrize("service", SERVICES)
def test_the_sandbox_has_a_low_exposure(service: str) -> None:
    done = run("systemd-analyze", "security", "--offline=yes", "--no-pager", UNITS / service)
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposure is not None, done.stderr
    assert float(exposure[1]) < MAX_EXPOSURE, done.stdout


@has_tools
@pytest.mark.parametrize("timer", ["speechaid-backup.timer", "speechaid-report.timer"])
def test_the_schedule_of_a_timer_is_valid(timer: str) -> None:
    (schedule,) = directives(timer)["OnCalendar"]
    assert run("systemd-analyze", "calendar", schedule).returncode == 0


def test_the_daily_reports_are_the_command_of_the_manual_in_a_directory_of_the_unit() -> None:
    unit = directives("speechaid-report.service")
    program, *words = unit["ExecStart"][0].split()
    assert program == "/opt/speechaid/bin/speechctl"
    options = build_parser(words).parse_args(words)
    assert (options.command, options.day, options.format) == ("report", "yesterday", "xlsx")
    assert Path(options.directory) == REPORTS == Path("/var/lib") / unit["StateDirectory"][0].split()[1]
    manual = (ROOT / "docs" / "daily.md").read_text(encoding="utf-8")
    assert f"speechctl {' '.join(words)}" in manual


@is_root
@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="no systemd-sysusers here")
def test_user_and_directories_are_created_as_the_service_needs_them(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    done = run("systemd-sysusers", f"--root={tmp_path}", UNITS / "sysusers.d" / "speechaid.conf")
    assert done.returncode == 0, done.stderr
    entry = (tmp_path / "etc" / "passwd").read_text(encoding="utf-8").split(":")
    uid, gid, home, shell = int(entry[2]), int(entry[3]), entry[5], entry[6].strip()
    assert (home, shell) == ("/var/lib/speechaid", "/usr/sbin/nologin")

    done = run("systemd-tmpfiles", f"--root={tmp_path}", "--create", UNITS / "tmpfiles.d" / "speechaid.conf")
    assert done.returncode == 0, done.stderr
    settings = (tmp_path / "etc" / "speechaid").stat()
    assert (settings.st_uid, settings.st_gid, stat.S_IMODE(settings.st_mode)) == (0, gid, 0o750)
    for closed in ("etc/credstore", "var/backups/speechaid"):
        assert (tmp_path / closed).stat().st_uid == 0 != uid
        assert stat.S_IMODE((tmp_path / closed).stat().st_mode) == 0o700


@pytest.mark.parametrize("service", SERVICES)
def test_only_list_directives_are_repeated(service: str) -> None:
    lists = {"After", "Environment", "ExecStart", "LoadCredential", "SystemCallFilter"}
    repeated = {key for key, values in directives(service).items() if len(values) > 1}
    assert repeated <= lists


def test_the_unit_agrees_with_the_daemon(settings: Settings) -> None:
    unit = directives("speechaid.service")
    assert unit["RestartPreventExitStatus"] == [str(int(ExitStatus.CONFIG))]
    assert set(map(str.lower, SECRETS)) <= {value.partition(":")[0] for value in unit["LoadCredential"]}
    hand_over = settings.retell.timeout_seconds + HAND_OVER_GRACE_SECONDS
    assert int(unit["TimeoutStopSec"][0]) > hand_over
    assert unit["Type"] == ["notify"]
    assert (unit["KillMode"], unit["KillSignal"]) == (["mixed"], ["SIGQUIT"])


def test_the_check_runs_in_the_environment_of_the_service() -> None:
    service, check = directives("speechaid.service"), directives("speechaid-check@.service")
    alike = {"User", "Group", "Environment", "LoadCredential", "RuntimeDirectory", "RuntimeDirectoryMode"}
    alike |= {"StateDirectory", "StateDirectoryMode", "UMask", "LimitNOFILE", "LimitCORE", "SystemCallFilter"}
    assert {key: service[key] for key in alike} == {key: check[key] for key in alike}
    assert check["RuntimeDirectoryPreserve"] == ["yes"]  # else it would remove a running daemon's socket


def test_the_unit_starts_programs_that_the_package_installs() -> None:
    scripts = set(
        re.findall(r"^(\w+) = \"\w+\.cli:main\"$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    )
    unit = directives("speechaid.service")
    commands = [unit[key][0].lstrip("-") for key in ("ExecStartPre", "ExecStart", "ExecReload")]
    for command in commands:
        program = Path(command.split()[0])
        assert program.parent == Path("/opt/speechaid/bin")
        assert program.name in scripts


def test_the_simulators_profile_is_complete_and_leads_to_the_simulators_unit() -> None:
    settings = get_settings({"STATE_DIRECTORY": "/var/lib/speechaid"}, profile("simulator"))
    unit = directives("speechaid-simulator.service")
    (command,) = unit["ExecStart"]
    assert settings.retell.base_url == f"http://127.0.0.1:{command.split('--port ')[1].split()[0]}"
    assert unit["Environment"] == [f"SIMULATOR_API_KEY={settings.retell.api_key.get_secret_value()}"]
    # Nothing of it may meet the data of real calls.
    directory = settings.database.embedded_directory
    assert directory is not None
    assert directory.parent == settings.control.state_dir == Path(command.split("--ledger ")[1]).parent
    assert settings.control.state_dir == Path("/var/lib/speechaid/simulator")


def test_the_files_of_the_unit_are_in_directories_that_tmpfiles_creates() -> None:
    made = (UNITS / "tmpfiles.d" / "speechaid.conf").read_text(encoding="utf-8")
    (variable,) = directives("speechaid.service")["Environment"]
    assert f"d {Path(variable.partition('=')[2]).parent} " in made
    for credential in directives("speechaid.service")["LoadCredential"]:
        name, _, file = credential.partition(":")
        assert file == f"speechaid.{name.removeprefix('speechaid_')}"
    assert "/etc/credstore/speechaid.*" in made
