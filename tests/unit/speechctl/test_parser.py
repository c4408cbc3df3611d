"""The command line: built from the command table, and checked before the daemon is asked."""

from __future__ import annotations

import contextlib
import io
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from speechaid.protocol import messages
from speechaid.protocol.commands import GROUPS
from speechaid.protocol.keys import allowed_clients
from speechaid.protocol.messages import COMMANDS, Argument, CommandSpec, Kind, Request, Runs, validate
from speechctl.cli import CommandFailed, ask_to_confirm, main
from speechctl.parser import build_parser, wire_arguments

ROOT = Path(__file__).parents[3]
SAMPLES = {Kind.TEXT: "x", Kind.FILE: "a.csv", Kind.INTEGER: "1", Kind.NUMBER: "1", Kind.DURATION: "90s"}


def parsed(*argv: str) -> dict[str, Any]:
    options = build_parser(argv).parse_args(argv)
    return wire_arguments(COMMANDS[options.command], options)


def sample(argument: Argument) -> list[str]:
    if argument.kind is Kind.FLAG:
        return [argument.flag]
    value = argument.choices[0] if argument.choices else SAMPLES[argument.kind]
    return [value] if argument.positional else [argument.flag, value]


@pytest.mark.parametrize("spec", COMMANDS.values(), ids=lambda spec: spec.name)
def test_a_command_with_all_its_arguments_makes_a_valid_request(
    spec: CommandSpec,
) -> None:
    argv = [spec.name, *(word for argument in spec.arguments for word in sample(argument))]
    args = parsed(*argv)
    args |= dict.fromkeys((secret.name for secret in spec.secrets), "asked for")
    assert set(args) == {argument.name for argument in spec.wire_arguments}
    if spec.runs is Runs.CLIENT:
        return  # not sent to a daemon
    header = {"v": 1, "id": "q", "command": spec.name, "args": args}
    request = validate(header, b"x" if spec.takes_file else None)
    # Some samples are out of range; this test is about their type.
    assert isinstance(request, Request) or "out of range" in request.message


@pytest.mark.parametrize("spec", COMMANDS.values(), ids=lambda spec: spec.name)
def test_an_argument_that_is_not_given_is_not_sent(spec: CommandSpec) -> None:
    required = [argument for argument in spec.arguments if argument.required]
    argv = [spec.name, *(word for argument in required for word in sample(argument))]
    assert set(parsed(*argv)) == {argument.name for argument in required if not argument.local}


def test_an_upper_case_choice_may_be_typed_in_lower_case() -> None:
    assert parsed("log-level", "debug")["level"] == "DEBUG"


def test_a_duration_is_sent_in_seconds() -> None:
    assert parsed("create-batch", "March", "--ring-timeout", "1m")["ring_timeout"] == 60


def test_of_a_path_only_the_name_is_sent() -> None:
    assert parsed("import", "/secret/place/march.csv") == {"filename": "march.csv"}


@pytest.mark.parametrize("argv", [("--json", "status"), ("status", "--json")])
def test_common_options_may_be_given_before_or_after_the_command(argv: tuple[str, ...]) -> None:
    assert build_parser(argv).parse_args(argv).json is True


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


def test_help_has_each_command_once_below_what_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(COMMANDS)
    main([])
    shown = capsys.readouterr().out
    assert [group for group in GROUPS if f"\n{group}:\n" in shown] == list(GROUPS)
    assert shown.index("\nbatches:") < shown.index("  edit-batch ") < shown.index("\ncontacts:")


@pytest.mark.parametrize(
    "argv",
    [
        ("top", "--interval", "2"),
        ("status", "--timeout", "5"),
        ("release-stuck", "--older-than", "0"),
        ("create-batch", "March", "--ring-timeout", "30"),
        ("edit-batch", "March", "--max-call-duration", "10"),
    ],
)
def test_a_duration_without_its_unit_is_refused(
    argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    assert "write 90s, 5m, 1.5h or 2d" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "is_yes"),
    [
        ("y", True),
        ("yes", True),
        ("s", True),
        ("Si", True),
        ("sí", True),
        ("SÍ", True),
        ("n", False),
        ("", False),
    ],
)
def test_a_question_is_confirmed_in_english_or_spanish(
    monkeypatch: pytest.MonkeyPatch, answer: str, is_yes: bool
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{answer}\n"))
    with contextlib.nullcontext() if is_yes else pytest.raises(CommandFailed, match="nothing was sent"):
        ask_to_confirm("Cancel it?")


def test_version_prints_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("speechctl ")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["stats"], "did you mean status"),
        (["zzz"], "there is no command"),
        (["pause-batch"], "required"),
        (["scale", "many"], "is not a whole number"),
        (["create-batch", "x", "--ring-timeout", "soon"], "write 90s, 5m"),
        (["create-batch", "x", "--priority", "top"], "invalid choice"),
        (["paid", "1-9", "--amount", "nan"], "'nan' is not a number"),
        (["top-up", "acme", "--credit", "many"], "'many' is not a number"),
    ],
)
def test_wrong_usage_is_exit_2(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert words in capsys.readouterr().err
    assert main(["--json", *argv]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert words in answer["error"]["message"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["scale", "2001"], "out of range"),
        (["pause-batch", " "], "empty"),
        (["import", "/nothing/there.csv"], "No such file"),
        (["import", "/"], "directory"),
        (["import", "/dev/zero"], "is a device"),
        (["import", str(ROOT / "docs/README.md"), "--bad-rows", "bad.xml"], ".csv or .xlsx"),
        (["export", "calls.xml"], ".csv or .xlsx"),
    ],
)
def test_what_the_daemon_would_refuse_is_refused_without_asking_it(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*argv, "--socket", "/nothing/here.sock"]) == 2
    assert words in capsys.readouterr().err


def test_a_pipe_is_read_up_to_the_limit_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "ATTACHMENT_LIMIT", 1000)
    pipe = tmp_path / "contacts.csv"
    os.mkfifo(pipe)

    def fill() -> None:
        with contextlib.suppress(BrokenPipeError), pipe.open("wb", buffering=0) as file:
            while True:
                file.write(b"Ana,+56912345678\n" * 1000)

    writer = threading.Thread(target=fill)
    writer.start()
    assert main(["import", str(pipe), "--socket", "/nothing/here.sock"]) == 2
    writer.join()
    assert "split it" in capsys.readouterr().err


def test_control_characters_in_a_failure_are_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "/nothing/\x1b[2Jthere.csv", "--socket", "/nothing/here.sock"]) == 2
    printed = capsys.readouterr().err
    assert "there.csv" in printed
    assert "\x1b" not in printed


def test_a_timeout_of_zero_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--timeout", "0s"]) == 2
    assert "above zero" in capsys.readouterr().err


def test_a_dangerous_command_needs_yes_where_stdin_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["shutdown", "--socket", "/nothing/here.sock"]) == 2
    assert "use --yes" in capsys.readouterr().err


def test_with_json_a_failure_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--json", "--socket", "/nothing/here.sock"]) == 3
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["error"]["code"]) == (False, "unreachable")


def test_the_name_of_a_file_is_sent_in_printable_characters() -> None:
    path = os.fsdecode(b"lists/campa\xf1a\n.csv")
    assert parsed("dnc-import", path)["filename"] == r"campa\xf1a\n.csv"


@pytest.mark.parametrize("command", ["import", "dnc-import"])
def test_a_missing_file_whose_name_is_not_utf_8_is_refused_in_strict_json(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing = tmp_path / os.fsdecode(b"campa\xf1a.csv")
    assert main([command, str(missing), "--json"]) == 2
    message = json.loads(capsys.readouterr().out)["error"]["message"]
    assert message == rf"{tmp_path}/campa\xf1a.csv: No such file or directory"


def test_a_key_without_a_stated_access_may_read(tmp_path: Path) -> None:
    assert main(["keys", "server", "--dir", str(tmp_path)]) == 0
    assert main(["keys", "add", "maria", "--dir", str(tmp_path), "--out", str(tmp_path / "m.key")]) == 0
    assert [client.access for client in allowed_clients(tmp_path).values()] == ["read"]
