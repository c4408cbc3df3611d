"""Steps of the installation as they are done, on the test's own files; command lines that are refused."""

from __future__ import annotations

import grp
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from speechaid.cli import main
from speechaid.errors import ExitStatus
from speechaid.service.command import carry_out
from speechaid.service.host import StepFailed, perform
from speechaid.service.steps import Action, Directory, Link, Permit, Plan, Remove, Run, State, Step, Write

GROUP = grp.getgrgid(os.getegid()).gr_name
SECRET = "key_0123456789abcdef"

is_root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone makes directories of other groups")


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_a_file_is_written_whole_with_its_mode_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "made" / "speechaid.env"
    perform(Write(path, "WORKER_COUNT=1\n", 0o640, GROUP))
    perform(Write(path, "WORKER_COUNT=2\n", 0o640, GROUP))
    assert path.read_text() == "WORKER_COUNT=2\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert names(path.parent) == {"speechaid.env"}


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "speechaid.env"
    path.write_text("old\n")
    with pytest.raises(StepFailed, match="there is no group nosuchgroup"):
        perform(Write(path, "new\n", 0o640, "nosuchgroup"))
    assert path.read_text() == "old\n"
    assert names(tmp_path) == {"speechaid.env"}


def test_the_first_file_that_is_replaced_is_kept_whatever_comes_after(tmp_path: Path) -> None:
    path = tmp_path / "speechaid.service"
    path.write_text("by hand\n")
    for text in ("first\n", "second\n"):
        perform(Write(path, text, group=GROUP, keep=True))
    assert path.read_text() == "second\n"
    assert (tmp_path / "speechaid.service.orig").read_text() == "by hand\n"


def test_a_link_is_pointed_elsewhere_and_removed(tmp_path: Path) -> None:
    link = tmp_path / "speechaid"
    for target in ("speechaid-0.1.0", "speechaid-0.2.0"):
        perform(Link(link, target))
        assert str(link.readlink()) == target
    perform(Remove(link))
    perform(Remove(link))
    assert names(tmp_path) == set()


@is_root
def test_a_directory_gets_its_mode_also_when_it_is_there(tmp_path: Path) -> None:
    made = tmp_path / "etc" / "credstore"
    made.mkdir(mode=0o755, parents=True)
    perform(Directory(made, 0o700, GROUP))
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (Run(("sh", "-c", "echo first >&2; echo second >&2; exit 3")), "first$"),
        (Run(("false",)), "false: status 1$"),
        (Run(("/no/such/program",)), "/no/such/program: No such file"),
    ],
    ids=["its own words", "its status", "not there"],
)
def test_a_program_that_fails_is_named_with_its_reason(action: Action, reason: str) -> None:
    with pytest.raises(StepFailed, match=reason):
        perform(action)


def test_every_edited_file_is_kept_under_a_name_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "speechaid.service"
    for text in ("first edit\n", "second edit\n"):
        path.write_text(text)
        perform(Write(path, "ours\n", group=GROUP, keep=True))
    assert (tmp_path / "speechaid.service.orig").read_text() == "first edit\n"
    assert (tmp_path / "speechaid.service.2.orig").read_text() == "second edit\n"


def test_a_files_mode_is_restored(tmp_path: Path) -> None:
    path = tmp_path / "speechaid.env"
    path.write_text("WORKER_COUNT=1\n")
    path.chmod(0o600)
    perform(Permit(path, 0o640, GROUP))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_the_mode_of_what_a_link_points_to_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "shadow"
    other.write_text("secret\n")
    other.chmod(0o600)
    (tmp_path / "speechaid.env").symlink_to(other)
    (tmp_path / "second.env").hardlink_to(other)
    for name in ("speechaid.env", "second.env"):
        with pytest.raises(StepFailed):
            perform(Permit(tmp_path / name, 0o644, GROUP))
    assert stat.S_IMODE(other.stat().st_mode) == 0o600


# -- the report --------------------------------------------------------------------------------------------


def three_steps(directory: Path, middle: Step) -> Plan:
    first, last = (Step(text=f"write {n}", action=Write(directory / n, "x", group=GROUP)) for n in ("a", "c"))
    return Plan(steps=(Step(text="make b", state=State.ALREADY), first, middle, last))


def test_a_failure_in_the_middle_names_what_was_done_and_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = carry_out(three_steps(tmp_path, Step(text="fall", action=Run(("false",)))), dry_run=False)
    assert status == ExitStatus.CANTCREAT
    assert capsys.readouterr().out.splitlines() == [
        "already  make b",
        "done     write a",
        "failed   fall: false: status 1",
        "missing  write c",
    ]
    assert names(tmp_path) == {"a"}


def test_after_a_failure_that_stops_nothing_the_rest_is_done_and_the_status_tells(tmp_path: Path) -> None:
    plan = three_steps(tmp_path, Step(text="fall", action=Run(("false",)), optional=True))
    assert carry_out(plan, dry_run=False) == ExitStatus.UNAVAILABLE
    assert names(tmp_path) == {"a", "c"}


def test_after_a_failure_nothing_is_said_that_needs_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Step(text="the first campaign", state=State.NOTE, only_after_success=True)
    plan = three_steps(tmp_path, Step(text="fall", action=Run(("false",)), optional=True))
    carry_out(replace(plan, steps=(*plan.steps, first)), dry_run=False)
    assert "the first campaign" not in capsys.readouterr().out
    carry_out(Plan(steps=(first,)), dry_run=False)
    assert "the first campaign" in capsys.readouterr().out


def test_what_cannot_be_done_here_is_named_and_told_by_the_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = three_steps(tmp_path, Step(text="start: no systemd", state=State.CANNOT))
    assert carry_out(plan, dry_run=False) == ExitStatus.UNAVAILABLE
    assert "cannot   start: no systemd" in capsys.readouterr().out


def test_a_dry_run_prints_the_same_lines_and_does_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = three_steps(tmp_path, Step(text="fall", action=Run(("false",))))
    assert carry_out(plan, dry_run=True) == ExitStatus.OK
    assert capsys.readouterr().out.splitlines() == [
        "already  make b",
        "would    write a",
        "would    fall",
        "would    write c",
    ]
    assert names(tmp_path) == set()


def test_settings_that_are_missing_have_a_status_of_their_own(tmp_path: Path) -> None:
    plan = Plan(steps=(), unset=("RETELL_API_KEY",))
    assert carry_out(plan, dry_run=False) == ExitStatus.CONFIG


def test_a_secret_from_a_file_that_everybody_may_write_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    key.write_text(f"{SECRET}\n")
    key.chmod(0o666)
    assert main(["install-service", "--api-key-file", str(key)]) == ExitStatus.USAGE
    assert "every user of this host may write it" in capsys.readouterr().err
    key.chmod(0o644)
    main(["install-service", "--dry-run", "--live", "--api-key-file", str(key)])
    said = capsys.readouterr()
    assert "every user of this host may read it" in said.err
    assert SECRET not in said.out + said.err


# -- command lines that are refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--set", f"RETELL_API_KEY={SECRET}"], "can see the command line"),
        (["--mongo", f"mongodb://speechaid:{SECRET}@db1/"], "can see a password on the command line"),
        (["--mongo"], "a terminal to ask for it at"),
        (
            ["--set", "WORKER_COUTN=20"],
            "--set WORKER_COUTN: there is no such setting: did you mean WORKER_COUNT?",
        ),
        (["--set", "=x"], "must be NAME=VALUE"),
        (["--replace"], "--replace: no value is given: --api-key-file FILE"),
        (["--set", "RETELL_AGENT_ID="], "--set RETELL_AGENT_ID: it has no value"),
        (["--mongo-file", "-", "--api-key-file", "-"], "only one of them can read standard input"),
        (["--set", "WORKER_COUNT"], "must be NAME=VALUE"),
        (["--set", "WORKER_COUNT=many"], "WORKER_COUNT=many: must be"),
        (["--set", "RETELL_AGENT_ID=a'b"], "must not hold a line break, a quote or a backslash"),
        (["--api-key-file", "/no/such/file"], "/no/such/file: No such file"),
    ],
    ids=[
        "key",
        "password",
        "nobody to ask",
        "misspelt",
        "no name",
        "nothing to replace",
        "empty",
        "standard input twice",
        "no value",
        "not allowed",
        "quote",
        "no file",
    ],
)
def test_a_command_line_that_cannot_be_used_is_refused_without_showing_a_secret(
    words: list[str], reason: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RETELL_API_KEY", "RETELL_AGENT_ID", "RETELL_FROM_NUMBER", "MONGO_URI"):
        monkeypatch.delenv(name, raising=False)
    assert main(["install-service", *words]) == ExitStatus.USAGE
    said = capsys.readouterr()
    assert said.out == ""
    assert reason in said.err
    assert SECRET not in said.err
