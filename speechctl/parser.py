"""The parser, built from the command table; only the command on this command line gets its arguments."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from speechaid.protocol.commands import GROUPS
from speechaid.protocol.messages import COMMANDS, Argument, CommandSpec, ErrorCode, Kind, parse_duration
from speechaid.protocol.text import printable_name
from speechaid.protocol.translation import N_, say

_COMMANDS_STAND_HERE: Final = "(commands)"
#: What stands below the commands in the help.
_EPILOG: Final = N_(
    "exit status: 0 done, 1 refused, 2 wrong usage, 3 the daemon cannot be reached.\n"
    "Ids may be shortened to a unique prefix; a batch may be named by its name where only one has it.\n"
)
#: argparse's message for an unknown command, in every language: it names the argument, then quotes the value.
_NO_COMMAND: Final = re.compile(r"COMMAND: .*?'([^']*)'")


def _read_number(text: str) -> float:
    """A number of an argument; ``nan`` is none, and JSON has no word for it."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise argparse.ArgumentTypeError(say("{text!r} is not a number", text=text))
    return number


def _read_integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(say("{text!r} is not a whole number", text=text)) from None


#: Converts an argument's text.
_TYPES: Final[dict[Kind, Callable[[str], Any]]] = {
    Kind.TEXT: str,
    Kind.FILE: str,
    Kind.INTEGER: _read_integer,
    Kind.NUMBER: _read_number,
}


class UsageError(Exception):
    """A command line that cannot be parsed.

    Attributes:
        code: an ``ErrorCode``, for programs.
        text: everything that a person is shown; the message alone is for programs.
    """

    def __init__(self, code: str, message: str, text: str) -> None:
        super().__init__(message)
        self.code = code
        self.text = text


class Parser(argparse.ArgumentParser):
    """Suggests the closest command where one is misspelt."""

    def format_help(self) -> str:
        """The help, of speechctl itself with its commands by what they are about."""
        text = super().format_help()
        return text.replace(_COMMANDS_STAND_HERE, _commands_help()) if _COMMANDS_STAND_HERE in text else text

    def error(self, message: str) -> NoReturn:
        """Raise ``UsageError`` with one or two lines, instead of a list of all commands and an exit."""
        match = _NO_COMMAND.search(message)
        if match is None:
            text = f"{self.format_usage()}{self.prog}: {say('error: {message}', message=message)}\n"
            raise UsageError(ErrorCode.BAD_ARGUMENT, message, text)
        from difflib import get_close_matches

        close = get_close_matches(match[1], COMMANDS, n=2, cutoff=0.5)
        suggestion = say("; did you mean {close}?", close=say(" or ").join(close)) if close else ""
        sentence = say(
            "there is no command {match!r}{suggestion} (speechctl --help lists them)",
            match=match[1],
            suggestion=suggestion,
        )
        raise UsageError(ErrorCode.UNKNOWN_COMMAND, sentence, f"speechctl: {sentence}\n")


def _commands_help() -> str:
    """Each group with its commands, their help in one column."""
    import shutil
    import textwrap

    left = max(map(len, COMMANDS)) + 4
    width = max(60, min(shutil.get_terminal_size().columns, 110)) - 2
    lines: list[str] = []
    for group, names in GROUPS.items():
        lines.append(f"{say(group)}:")
        for name in names:
            indent = f"  {name}".ljust(left)
            lines += textwrap.wrap(
                say(COMMANDS[name].help),
                width,
                initial_indent=indent,
                subsequent_indent=" " * left,
                break_on_hyphens=False,
            )
        lines.append("")
    return "\n".join(lines)


def build_parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser for this command line."""
    common = _common()
    parser: argparse.ArgumentParser = Parser(
        prog="speechctl",
        description=say("Command a running speechaid."),
        epilog=f"{_COMMANDS_STAND_HERE}\n{say(_EPILOG)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    parser.add_argument("--version", action="store_true", help=say("print the version and exit"))
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", help=argparse.SUPPRESS)
    # Parsers of all commands would take longer than asking the daemon; ``--help`` and the message about an
    # unknown command name the others without them.
    for spec in COMMANDS.values():
        if spec.name in argv:
            child = commands.add_parser(spec.name, description=_sentence(spec), parents=[common])
            for argument in spec.arguments:
                _add(child, argument)
    return parser


def wire_arguments(spec: CommandSpec, options: argparse.Namespace) -> dict[str, Any]:
    """The arguments to send: only those given, the daemon has the defaults; of a path only the name."""
    given = {argument.name: getattr(options, argument.name, None) for argument in spec.wire_arguments}
    for argument in spec.wire_arguments:
        if argument.kind is Kind.FILE and (path := given[argument.name]) is not None:
            given[argument.name] = printable_name(path.rstrip("/").rpartition("/")[2])
    return {name: value for name, value in given.items() if value is not None and value is not False}


def _common() -> argparse.ArgumentParser:
    """Options that may be given before or after the command."""
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = common.add_argument_group(say("for every command"))
    group.add_argument("--json", action="store_true", help=say("print the answer as JSON"))
    group.add_argument(
        "--socket", metavar="PATH", help=say("the daemon's control socket, or tcp://HOST:PORT with --key")
    )
    group.add_argument("--key", metavar="FILE", help=say("this client's keys, for tcp:// (SPEECHCTL_KEY)"))
    group.add_argument(
        "--timeout", type=_timeout, metavar="TIME", help=say("longest wait for the answer: 5s, 2m")
    )
    group.add_argument("--yes", action="store_true", help=say("do not ask for confirmation"))
    return common


def _add(parser: argparse.ArgumentParser, argument: Argument) -> None:
    if argument.kind is Kind.FLAG:
        short = [f"-{argument.short}"] if argument.short else []
        parser.add_argument(
            *short, argument.flag, dest=argument.name, action="store_true", help=say(argument.help)
        )
        return
    options: dict[str, Any] = {
        "type": _duration if argument.kind is Kind.DURATION else _TYPES[argument.kind],
        "help": _help(argument),
        "choices": argument.choices or None,
    }
    if argument.choices and all(choice.isupper() for choice in argument.choices):
        options["type"] = str.upper
    if argument.repeatable:
        options["action"] = "append"
    if not argument.choices:
        options["metavar"] = _metavar(argument)
    if argument.positional:
        if not argument.required:
            options["nargs"] = "?"
        parser.add_argument(argument.name, **options)
    else:
        parser.add_argument(argument.flag, dest=argument.name, required=argument.required, **options)


def _metavar(argument: Argument) -> str:
    if argument.positional:
        return argument.name.upper()
    names = {Kind.INTEGER: "N", Kind.NUMBER: "N", Kind.DURATION: "TIME", Kind.FILE: "FILE"}
    return names.get(argument.kind, "ID" if argument.completes else "TEXT")


def _help(argument: Argument) -> str:
    if argument.default is None or argument.local:
        return say(argument.help)
    return say("{help} (default: {default})", help=say(argument.help), default=argument.default)


def _sentence(spec: CommandSpec) -> str:
    text = say(spec.help)
    return text[:1].upper() + text[1:] + "."


def _timeout(text: str) -> float:
    seconds = _duration(text)
    if seconds <= 0:
        raise argparse.ArgumentTypeError(say("{text!r}: must be above zero, as in 5s", text=text))
    return seconds


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc
