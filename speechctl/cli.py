"""``speechctl``: parse, ask, show, exit. Heavy imports wait until they are needed."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from speechaid.protocol import messages, stdio
from speechaid.protocol.messages import COMMANDS, CommandSpec, Kind, Runs
from speechctl.parser import WrongUsage, build_parser, wire_arguments

if TYPE_CHECKING:
    from speechctl.client import Client, Remote

#: What a shell expects of a command that was interrupted.
_INTERRUPTED: Final = 130


class Trouble(Exception):  # noqa: N818 - carries the way out
    """The command line ends here: an exit status, a code for programs and a sentence for people."""

    def __init__(self, exit_status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.exit_status = exit_status
        self.code = code


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    closed = stdio.make_ready()
    parser = build_parser(argv)
    try:
        options = parser.parse_args(argv)
    except WrongUsage as wrong:
        if "--json" in argv:
            _tell_trouble(Trouble(2, wrong.code, str(wrong)), as_json=True)
        else:
            print(wrong.text, end="", file=sys.stderr)
        return 2
    as_json = getattr(options, "json", False) or getattr(options, "format", None) == "json"
    try:
        status = _answered(parser, options, as_json=as_json)
        if closed:
            raise stdio.CLOSED
    except Trouble as trouble:
        return _ended(trouble, as_json=as_json)
    except KeyboardInterrupt:
        print("speechctl: interrupted; a request that was sent is carried out all the same", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        stdio.give_up_output()  # its reader left (head, less): nothing is wrong
        return 0
    except OSError as exc:
        stdio.give_up_output()
        done = "; an order is carried out all the same" if options.command and not exc.filename else ""
        return _ended(Trouble(1, "refused", stdio.unwritten(exc) + done), as_json=False)
    return status


def _answered(parser: argparse.ArgumentParser, options: argparse.Namespace, *, as_json: bool) -> int:
    """Run the command; its answer has left when this returns."""
    if options.version or options.command is None:
        status = _about(parser, version=options.version)
    else:
        status = _run(COMMANDS[options.command], options, as_json=as_json)
    sys.stdout.flush()
    return status


def _ended(trouble: Trouble, *, as_json: bool) -> int:
    """Tell why it ended; where even that cannot be written, the exit status alone says it."""
    try:
        _tell_trouble(trouble, as_json=as_json)
        sys.stdout.flush()
    except OSError:
        stdio.give_up_output()
    return trouble.exit_status


def _about(parser: argparse.ArgumentParser, *, version: bool) -> int:
    if not version:
        parser.print_help()
        return 2
    from speechaid import __version__

    print(f"speechctl {__version__}")
    return 0


def _run(spec: CommandSpec, options: argparse.Namespace, *, as_json: bool) -> int:
    if spec.runs is Runs.CLIENT:
        return _own(spec, options, as_json=as_json)
    args = wire_arguments(spec, options)
    attachment = _attachment(spec, options)
    _check(spec, args, attachment)
    question = _question(spec, args, options)
    timeout_seconds = getattr(options, "timeout", spec.timeout_seconds)
    if spec.name == "import" and options.bad_rows:
        args["return_bad_rows"] = True
    _check_output(spec, options)
    with _connection(options) as client:
        if question is not None:
            _look_up(client, spec, args)
            _confirm(question)
        if spec.name == "export" and not as_json:
            return _export(client, options.output, args, timeout_seconds)
        if spec.runs is Runs.STREAM:
            from speechctl.live import follow_events

            return follow_events(client, args, as_json=as_json)
        result = client.ask(
            spec.name,
            args,
            attachment=attachment,
            timeout_seconds=timeout_seconds,
            on_progress=None if as_json else _show_progress,
        )
        if getattr(options, "wait", False):
            result = _wait_for_drain(client, result, as_json=as_json, stop=bool(args.get("stop")))
        if (spec.name == "import" and options.bad_rows) or (spec.name == "report" and options.output):
            result = _filed(spec, result, options)
        if spec.name == "report" and options.output:
            print(f"the report is written to {options.output}")
            return 0
        _show(spec, result, as_json=as_json)
        if getattr(options, "follow", False):
            from speechctl.live import follow_logs

            return follow_logs(client, args, result, as_json=as_json)
    return 0


def _check_output(spec: CommandSpec, options: argparse.Namespace) -> None:
    """What would be refused only after the work is refused before it."""
    table = {"export": "output", "import": "bad_rows"}.get(spec.name)
    if table is not None and getattr(options, table):
        from speechctl import sheets

        try:
            sheets.check_name(getattr(options, table))
        except sheets.SheetError as exc:
            raise Trouble(2, "bad_argument", str(exc)) from exc
    if spec.name == "report" and (options.format == "xlsx") != str(options.output or "").endswith(".xlsx"):
        if options.format == "xlsx":
            raise Trouble(2, "bad_argument", "--format xlsx needs --output FILE.xlsx")
        raise Trouble(2, "bad_argument", f"{options.output} is a spreadsheet by its name: say --format xlsx")


def _export(client: Client, path: str, args: Mapping[str, Any], timeout_seconds: float) -> int:
    from speechctl.exporting import run
    from speechctl.sheets import SheetError

    try:
        told = run(client, path, args, timeout_seconds=timeout_seconds, tell=_show_progress)
    except SheetError as exc:
        raise Trouble(1, "refused", str(exc)) from exc
    _clear_progress()
    if path != "-":
        from speechctl.words import plural

        print(f"{plural(told['rows'], 'row')} written to {path}")
    return 0


def _filed(spec: CommandSpec, result: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """The answer, after what belongs into a file has been written there."""
    from speechctl import sheets

    try:
        if spec.name == "import":
            sheets.write(options.bad_rows, [sheets.bad_rows_sheet(result.pop("returned_rows", []))])
            return {**result, "bad_rows_file": options.bad_rows}
        if options.format == "xlsx":
            sheets.write(options.output, sheets.report_sheets(result))
        else:
            Path(options.output).write_text(_as_text(spec, result, options.format), encoding="utf-8")
    except sheets.SheetError as exc:
        raise Trouble(1, "refused", str(exc)) from exc
    except OSError as exc:
        raise Trouble(1, "refused", f"{options.output}: {exc.strerror}") from exc
    return {"output": options.output}


def _as_text(spec: CommandSpec, result: Mapping[str, Any], form: str) -> str:
    if form == "json":
        import json

        return json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    if "markdown" in result:
        return str(result["markdown"]) + "\n"
    from speechctl import render

    return render.as_text(render.render(spec.name, result)) + "\n"


def _own(spec: CommandSpec, options: argparse.Namespace, *, as_json: bool) -> int:
    """What speechctl does by itself."""
    from speechctl import keys

    if spec.name == "completion":
        from speechctl.completion import script

        print(script(options.shell))
        return 0
    if spec.name == "keys":
        try:
            result = keys.run(options)
        except keys.KeyringError as exc:
            raise Trouble(1, "refused", str(exc)) from exc
        _show(spec, result, as_json=as_json)
        return 0
    from speechctl.top import run as top

    with _connection(options) as client:
        return top(
            client, interval_seconds=options.interval or 1.0, once=options.once or as_json, as_json=as_json
        )


@contextlib.contextmanager
def _connection(options: argparse.Namespace) -> Iterator[Client]:
    """A client, with what may go wrong turned into a way out."""
    from speechctl.client import Client, Refused, Unanswered, Unreachable

    try:
        with Client(_target(options)) as client:
            yield client
    except Refused as refused:
        raise Trouble(refused.exit_status, refused.code, str(refused)) from refused
    except Unanswered as silent:
        goes_on = options.command == "import"
        hint = "; speechctl imports tells how far it is, and what came of it" if goes_on else ""
        raise Trouble(3, "unreachable", f"{silent}{hint}") from silent
    except Unreachable as unreachable:
        raise Trouble(3, "unreachable", str(unreachable)) from unreachable
    finally:
        _clear_progress()


def _target(options: argparse.Namespace) -> Path | Remote:
    """The unix socket, or the daemon on the network and the keys for it."""
    where = getattr(options, "socket", None) or os.environ.get("SPEECHAID_SOCKET") or ""
    if not where.startswith("tcp://"):
        return Path(where).expanduser().absolute() if where else messages.client_socket()
    key = getattr(options, "key", None) or os.environ.get("SPEECHCTL_KEY")
    if not key:
        raise Trouble(2, "bad_argument", f"{where}: the network is open to key holders alone: say --key FILE")
    from speechaid.protocol.keys import KeyringError, credentials
    from speechctl.client import Remote

    try:
        return Remote(address=where, credentials=credentials(Path(key).expanduser()))
    except KeyringError as exc:
        raise Trouble(2, "bad_argument", str(exc)) from exc


def _attachment(spec: CommandSpec, options: argparse.Namespace) -> bytes | None:
    """The file's bytes where the command takes one."""
    names = [getattr(options, argument.name) for argument in spec.arguments if argument.kind is Kind.FILE]
    if not names:
        return None
    path, limit = Path(names[0]), messages.ATTACHMENT_LIMIT
    try:
        if path.is_char_device() or path.is_block_device():
            raise Trouble(2, "bad_argument", f"{path} is a device: name a file, or a pipe")
        with path.open("rb") as file:
            # What a pipe holds is known only when it has been read.
            content = file.read(limit + 1)
    except OSError as exc:
        raise Trouble(2, "bad_argument", f"{path}: {exc.strerror}") from exc
    if len(content) > limit:
        raise Trouble(2, "too_large", f"{path} has more than {limit // 2**20} MiB: split it")
    return content


def _check(spec: CommandSpec, args: Mapping[str, Any], attachment: bytes | None) -> None:
    """What the daemon would refuse is told without it."""
    header = {"v": messages.PROTOCOL_VERSION, "id": "check", "command": spec.name, "args": args}
    checked = messages.validate(header, attachment)
    if isinstance(checked, messages.Refusal):
        raise Trouble(messages.EXIT_STATUS[checked.code], checked.code, checked.message)


def _question(spec: CommandSpec, args: Mapping[str, Any], options: argparse.Namespace) -> str | None:
    """What is to be confirmed first, if anything."""
    if spec.question is None or getattr(options, "yes", False) or args.get("dry_run"):
        return None
    question = spec.question.format_map(args)
    if not sys.stdin.isatty():
        raise Trouble(2, "unconfirmed", f"{question} Nobody can be asked here: say --yes")
    return question


#: Commands that look up an id of a kind, and harm nothing.
_LOOKS_UP: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "job": ("job", {}),
    "batch": ("jobs", {"limit": 1}),
}


def _look_up(client: Client, spec: CommandSpec, args: Mapping[str, Any]) -> None:
    """A question about what is not there is none: the daemon refuses the look as it would the command."""
    for argument in spec.arguments:
        look = _LOOKS_UP.get(argument.completes or "")
        if look is not None and args.get(argument.name) is not None:
            name, more = look
            asked = {argument.name: args[argument.name], **more}
            client.ask(name, asked, timeout_seconds=COMMANDS[name].timeout_seconds)


def _confirm(question: str) -> None:
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Trouble(1, "unconfirmed", "nothing was done")


def _wait_for_drain(
    client: Client, result: Mapping[str, Any], *, as_json: bool, stop: bool
) -> dict[str, Any]:
    from speechctl.live import wait_for_drain

    return wait_for_drain(client, result, stop=stop, tell=None if as_json else _show_progress)


def _show(spec: CommandSpec, result: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps(result, indent=2, ensure_ascii=False))
        return
    if "markdown" in result:
        print(result["markdown"])
        return
    from speechctl import render

    blocks = render.render(spec.name, result)
    if sys.stdout.isatty():
        from speechctl.screen import show

        show(blocks)
    else:
        print(render.as_text(blocks))


def _show_progress(progress: Mapping[str, Any]) -> None:
    """One line on the terminal, overwritten by the next; nothing where nobody watches."""
    if not sys.stderr.isatty():
        return
    from speechctl.render import progress_line

    line = progress_line(progress)
    if line:
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def _clear_progress() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _tell_trouble(trouble: Trouble, *, as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps({"ok": False, "error": {"code": trouble.code, "message": str(trouble)}}))
    else:
        # What the daemon quotes may come from anybody's file: a terminal must not obey it.
        from speechctl.blocks import harmless

        lines = [harmless(line) for line in str(trouble).splitlines()]
        print("speechctl:", "\n".join(lines), file=sys.stderr)


def run() -> NoReturn:
    """For ``python -m speechctl``."""
    sys.exit(main())
