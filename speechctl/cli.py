"""``speechctl``: parse, send, print, exit. Heavy modules are imported where they are needed."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

from speechaid.protocol import messages, stdio
from speechaid.protocol.messages import COMMANDS, CommandSpec, Kind, Runs
from speechaid.protocol.text import encodable_text, printable_name
from speechaid.protocol.translation import (
    ENGLISH,
    N_,
    argparse_texts,
    reader_language,
    say,
    say_n,
    system_fault,
    use_language,
)
from speechctl.parser import UsageError, build_parser, wire_arguments

if TYPE_CHECKING:
    from pathlib import Path

    from speechaid.protocol.client import Client, Remote

#: Codes of refusals that do not tell whether the command was carried out.
_UNDECIDED: Final = frozenset({"unavailable", "internal"})
#: What zones without an offset are called.
_NAMES_OF_UTC: Final = ("UTC", "GMT", "UCT", "WET", "+00", "-00")
#: The exit status that shells use for Ctrl-C (128 + SIGINT).
_INTERRUPTED: Final = 130


class CommandFailed(Exception):  # noqa: N818 - carries an exit status, not only a fault
    """The command ends here: an exit status, a code for programs and a sentence for people."""

    def __init__(self, exit_status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.exit_status = exit_status
        self.code = code


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    output_is_closed = stdio.make_ready()
    use_language(ENGLISH if "--json" in argv else reader_language(os.environ))
    _correct_time_zone()
    try:
        with argparse_texts():
            parser = build_parser(argv)
            options = parser.parse_args(argv)
    except UsageError as exc:
        if "--json" in argv:
            _print_failure(CommandFailed(2, exc.code, str(exc)), as_json=True)
        else:
            print(encodable_text(exc.text), end="", file=sys.stderr)
        return 2
    as_json = getattr(options, "json", False) or getattr(options, "format", None) == "json"
    if as_json:
        use_language(ENGLISH)  # it is for programs
    try:
        status = _run_and_flush(parser, options, as_json=as_json)
        if output_is_closed:
            raise stdio.CLOSED
    except CommandFailed as failed:
        return _fail(failed, as_json=as_json)
    except KeyboardInterrupt:
        print(say("speechctl: interrupted; a command already sent will still run"), file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        stdio.give_up_output()  # the reader has closed the pipe (head, less): no fault
        return 0
    except OSError as exc:
        stdio.give_up_output()
        carried_out = (
            say("; the command is still carried out") if options.command and not exc.filename else ""
        )
        return _fail(CommandFailed(1, "refused", stdio.unwritten(exc) + carried_out), as_json=False)
    return status


def _correct_time_zone() -> None:
    """Say UTC where ``TZ`` names no zone: the C library shows UTC then, under the name that stands there."""
    name = os.environ.get("TZ", "")
    is_utc = time.timezone == time.altzone == 0
    is_named = time.tzname[0] in _NAMES_OF_UTC or any(character.isdigit() for character in name)
    if name and is_utc and not is_named:
        with contextlib.suppress(OSError):
            print(
                say("speechctl: TZ={name} names no time zone: times are in UTC", name=printable_name(name)),
                file=sys.stderr,
            )
        os.environ["TZ"] = "UTC"
        time.tzset()


def _run_and_flush(parser: argparse.ArgumentParser, options: argparse.Namespace, *, as_json: bool) -> int:
    """Run the command; its output is written when this returns."""
    if options.version or options.command is None:
        status = _version_or_help(parser, version=options.version)
    else:
        status = _run(COMMANDS[options.command], options, as_json=as_json)
    sys.stdout.flush()
    return status


def _fail(failed: CommandFailed, *, as_json: bool) -> int:
    """Print the failure; if stderr is closed, only the exit status is left."""
    try:
        _print_failure(failed, as_json=as_json)
        sys.stdout.flush()
    except OSError:
        stdio.give_up_output()
    return failed.exit_status


def _version_or_help(parser: argparse.ArgumentParser, *, version: bool) -> int:
    if not version:
        with argparse_texts():
            parser.print_help()
        return 2
    from speechaid import __version__

    print(f"speechctl {__version__}")
    return 0


def _run(spec: CommandSpec, options: argparse.Namespace, *, as_json: bool) -> int:
    if spec.runs is Runs.CLIENT:
        return _run_locally(spec, options, as_json=as_json)
    _make_key(options)
    _take_password(spec, options)
    args = wire_arguments(spec, options)
    attachment = _attachment(spec, options)
    _validate(spec, args, attachment)
    question = _question(spec, args, options)
    timeout_seconds = getattr(options, "timeout", spec.timeout_seconds)
    if spec.name == "import" and options.bad_rows:
        args["return_bad_rows"] = True
    _check_output(spec, options)
    with _connection(options) as client:
        if question is not None:
            _check_ids(client, spec, args)
            ask_to_confirm(_about_import(client, args) if spec.name == "undo-import" else question)
        if spec.name == "report" and options.directory:
            return _write_reports(client, spec, options, args, timeout_seconds, as_json=as_json)
        if spec.name == "export" and not as_json:
            return _export(client, options.output, args, timeout_seconds)
        if spec.runs is Runs.STREAM:
            from speechctl.live import follow_events

            return follow_events(client, args, as_json=as_json, timeout_seconds=timeout_seconds)
        result = client.ask(
            spec.name,
            args,
            attachment=attachment,
            timeout_seconds=timeout_seconds,
            on_progress=None if as_json else _show_with_pace(),
        )
        return _show_answer(client, spec, options, args, result, as_json=as_json)


def _show_answer(
    client: Client,
    spec: CommandSpec,
    options: argparse.Namespace,
    args: Mapping[str, Any],
    result: dict[str, Any],
    *,
    as_json: bool,
) -> int:
    """Print the answer, or write it into a file; follow what goes on, where that is asked for."""
    if getattr(options, "wait", False):
        result = _wait_for_drain(client, result, as_json=as_json, stop=bool(args.get("stop")))
    if (spec.name == "import" and options.bad_rows) or (spec.name == "report" and options.output):
        result = _write_files(spec, result, options)
    if spec.name == "report" and options.output:
        print(say("the report is written to {output}", output=printable_name(options.output)))
        return 0
    if spec.name == "test-call" and not options.no_wait:
        return _follow_test(client, spec, result, as_json=as_json)
    _print_result(spec, result, as_json=as_json)
    if getattr(options, "follow", False):
        from speechctl.live import follow_logs

        return follow_logs(client, args, result, as_json=as_json)
    return 0


def _make_key(options: argparse.Namespace) -> None:
    """Make the key of a top-up before anything is sent: whatever happens, it can be repeated under it."""
    if getattr(options, "idempotency_key", "given") is None:
        options.idempotency_key = os.urandom(8).hex()


def _take_password(spec: CommandSpec, options: argparse.Namespace) -> None:
    """Ask for the password of a user, where the command sends one."""
    if not spec.secrets:
        return
    from speechctl.passwords import PasswordError, read_password

    try:
        options.password = read_password(options.password_file)
    except PasswordError as exc:
        raise CommandFailed(2, "bad_argument", str(exc)) from exc


def _follow_test(client: Client, spec: CommandSpec, begun: Mapping[str, Any], *, as_json: bool) -> int:
    """Show a test call until it is over; 1 where there was none."""
    from speechctl.live import follow_test
    from speechctl.render.test_calls import state_line

    shown: list[str] = []

    def show(state: Mapping[str, Any]) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{state_line(state)} ...", end="", file=sys.stderr, flush=True)
        elif not shown or shown[-1] != state["state"]:
            shown.append(state["state"])
            print(state_line(state), flush=True)

    if not as_json:
        _print_result(spec, begun, as_json=False)
        sys.stdout.flush()
    try:
        result = follow_test(client, begun, on_state=(lambda _state: None) if as_json else show)
    except KeyboardInterrupt:
        _clear_progress()
        print(
            say("speechctl: the call goes on; speechctl test-result {test} shows it", test=begun["test"]),
            file=sys.stderr,
        )
        return _INTERRUPTED
    _clear_progress()
    _print_result(COMMANDS["test-result"], {**begun, **result} if as_json else result, as_json=as_json)
    return 0 if result["call"] is not None else 1


def _check_output(spec: CommandSpec, options: argparse.Namespace) -> None:
    """Check the output path before sending the command."""
    option = {"export": "output", "import": "bad_rows"}.get(spec.name)
    if option is not None and getattr(options, option):
        from speechaid.protocol.sheets import SheetError
        from speechctl.sheets import check_name

        try:
            check_name(getattr(options, option))
        except SheetError as exc:
            raise CommandFailed(2, "bad_argument", str(exc)) from exc
    if spec.name == "report" and (options.directory or options.replace):
        if options.output or not options.directory:
            message = (
                say("--replace is for --directory DIR")
                if options.replace
                else say("--output and --directory: give one")
            )
            raise CommandFailed(2, "bad_argument", message)
        from pathlib import Path

        if not Path(options.directory).is_dir():
            raise CommandFailed(
                2, "bad_argument", say("{directory}: there is no such directory", directory=options.directory)
            )
        return
    if spec.name == "report" and (options.format == "xlsx") != str(options.output or "").endswith(".xlsx"):
        if options.format == "xlsx":
            raise CommandFailed(2, "bad_argument", say("--format xlsx needs --output FILE.xlsx"))
        raise CommandFailed(
            2, "bad_argument", say("{output}: an .xlsx file needs --format xlsx", output=options.output)
        )


def _export(client: Client, path: str, args: Mapping[str, Any], timeout_seconds: float) -> int:
    from speechaid.protocol.sheets import SheetError
    from speechctl.exporting import run

    try:
        written = run(client, path, args, timeout_seconds=timeout_seconds, on_progress=_show_progress)
    except SheetError as exc:
        raise CommandFailed(1, "refused", str(exc)) from exc
    _clear_progress()
    if path != "-":
        print(
            say(
                "{rows} written to {path}",
                rows=say_n("{count} row", "{count} rows", written["rows"]),
                path=printable_name(path),
            )
        )
    return 0


def _write_reports(
    client: Client,
    spec: CommandSpec,
    options: argparse.Namespace,
    args: Mapping[str, Any],
    timeout_seconds: float,
    *,
    as_json: bool,
) -> int:
    """Write one report for each account; 1 where one is not written since an older file is there."""
    from pathlib import Path

    from speechaid.protocol.sheets import SheetError
    from speechctl.report_files import ENDINGS, Written, write_reports

    sentences = {
        Written.WRITTEN: N_("the report of {account} is written to {path}"),
        Written.REPLACED: N_("the report of {account} is written anew to {path}"),
        Written.KEPT: N_("{path} is there already, and stays: --replace writes it anew"),
        Written.EMPTY: N_("there was no call and no payment in {account}: no report is written"),
    }

    def write(path: Path, report: dict[str, Any]) -> None:
        _write_report(spec, report, str(path), options.format, replace=options.replace)

    reports = []
    try:
        for one in write_reports(
            client,
            args,
            Path(options.directory),
            ending=ENDINGS[options.format],
            replace=options.replace,
            write=write,
            timeout_seconds=timeout_seconds,
        ):
            path, account = printable_name(str(one.path)), one.account or say("all accounts")
            reports.append({"account": one.account, "file": path, "state": one.state})
            if not as_json:
                print(say(sentences[one.state], account=printable_name(account), path=path), flush=True)
    except SheetError as exc:
        raise CommandFailed(1, "refused", str(exc)) from exc
    except OSError as exc:
        raise CommandFailed(
            1, "refused", f"{exc.filename or options.directory}: {system_fault(exc)}"
        ) from exc
    if as_json:
        _print_result(spec, {"reports": reports}, as_json=True)
    return 1 if any(row["state"] is Written.KEPT for row in reports) else 0


def _write_report(
    spec: CommandSpec, result: dict[str, Any], path: str, output_format: str, *, replace: bool = True
) -> None:
    """Write one report in its format.

    Raises:
        OSError: the file cannot be written.
        SheetError: the file cannot be written.
    """
    from speechaid.protocol.report_sheets import report_sheets
    from speechctl.private_files import open_private
    from speechctl.sheets import write

    if output_format == "xlsx":
        write(path, report_sheets(result), replace=replace)
        return
    with open_private(path, replace=replace) as file:
        file.write(encodable_text(_as_text(spec, result, output_format)).encode())


def _write_files(spec: CommandSpec, result: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Write what belongs into a file; returns the result that is left to show."""
    from speechaid.protocol.sheets import SheetError
    from speechctl.sheets import write_bad_rows

    try:
        if spec.name == "import":
            rows, form = result.pop("returned_rows", []), result.pop("returned_form", {})
            write_bad_rows(options.bad_rows, rows, form)
            return {**result, "bad_rows_file": printable_name(options.bad_rows)}
        _write_report(spec, result, options.output, options.format)
    except SheetError as exc:
        raise CommandFailed(1, "refused", str(exc)) from exc
    except OSError as exc:
        raise CommandFailed(1, "refused", f"{options.output}: {system_fault(exc)}") from exc
    return {"output": printable_name(options.output)}


def _as_text(spec: CommandSpec, result: Mapping[str, Any], output_format: str) -> str:
    if output_format == "json":
        import json

        return json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    if "markdown" in result:
        return str(result["markdown"]) + "\n"
    from speechctl.render.blocks import as_text
    from speechctl.render.commands import render

    return as_text(render(spec.name, result)) + "\n"


def _run_locally(spec: CommandSpec, options: argparse.Namespace, *, as_json: bool) -> int:
    """Run a command that is no request to the daemon: completion, keys, top."""
    from speechctl import keys

    if spec.name == "completion":
        from speechctl.completion import script

        print(script(options.shell))
        return 0
    if spec.name == "keys":
        try:
            result = keys.run(options)
        except keys.KeyringError as exc:
            raise CommandFailed(1, "refused", str(exc)) from exc
        _print_result(spec, result, as_json=as_json)
        return 0
    from speechctl.top import run as top

    with _connection(options) as client:
        return top(
            client, interval_seconds=options.interval or 1.0, once=options.once or as_json, as_json=as_json
        )


@contextlib.contextmanager
def _connection(options: argparse.Namespace) -> Iterator[Client]:
    """A client whose faults become ``CommandFailed``."""
    from speechaid.protocol.client import Client, Refused, Unanswered, Unreachable

    try:
        with Client(_target(options)) as client:
            yield client
    except Refused as refused:
        hint = _repeat_hint(options) if refused.code in _UNDECIDED else ""
        raise CommandFailed(refused.exit_status, refused.code, f"{refused}{hint}") from refused
    except Unanswered as unanswered:
        is_import = options.command == "import"
        hint = (
            say("; speechctl imports shows its progress and its result")
            if is_import
            else _repeat_hint(options)
        )
        raise CommandFailed(3, "unreachable", f"{unanswered}{hint}") from unanswered
    except Unreachable as unreachable:
        raise CommandFailed(3, "unreachable", f"{unreachable}{_repeat_hint(options)}") from unreachable
    except KeyboardInterrupt:
        if hint := _repeat_hint(options):
            print(say("speechctl: interrupted{hint}", hint=hint), file=sys.stderr)
        raise
    finally:
        _clear_progress()


def _repeat_hint(options: argparse.Namespace) -> str:
    """How to repeat a command that may have been carried out; empty for one that has no key."""
    key = getattr(options, "idempotency_key", None)
    if key is None:
        return ""
    return say(
        "; repeat the command with --idempotency-key {key}: under that key nothing is added twice", key=key
    )


def _target(options: argparse.Namespace) -> Path | Remote:
    """The Unix socket, or the address of a daemon on the network with this client's keys."""
    from pathlib import Path

    address = getattr(options, "socket", None) or os.environ.get("SPEECHAID_SOCKET") or ""
    if not address.startswith("tcp://"):
        return Path(address).expanduser().absolute() if address else messages.client_socket()
    key = getattr(options, "key", None) or os.environ.get("SPEECHCTL_KEY")
    if not key:
        raise CommandFailed(
            2, "bad_argument", say("{address}: control over TCP needs a key: --key FILE", address=address)
        )
    from speechaid.protocol.client import Remote
    from speechaid.protocol.keys import KeyringError, credentials

    try:
        return Remote(address=address, credentials=credentials(Path(key).expanduser()))
    except KeyringError as exc:
        raise CommandFailed(2, "bad_argument", str(exc)) from exc


def _attachment(spec: CommandSpec, options: argparse.Namespace) -> bytes | None:
    """The file's bytes where the command takes one."""
    names = [getattr(options, argument.name) for argument in spec.arguments if argument.kind is Kind.FILE]
    if not names or names[0] is None:
        return None
    from pathlib import Path

    path, limit = Path(names[0]), messages.ATTACHMENT_LIMIT
    try:
        if path.is_char_device() or path.is_block_device():
            raise CommandFailed(
                2, "bad_argument", say("{path} is a device: name a file or a pipe", path=path)
            )
        with path.open("rb") as file:
            # The size of what a pipe delivers is known only when it has been read.
            content = file.read(limit + 1)
    except OSError as exc:
        raise CommandFailed(2, "bad_argument", f"{path}: {system_fault(exc)}") from exc
    if len(content) > limit:
        raise CommandFailed(
            2,
            "too_large",
            say("{path} is larger than {limit} MiB: split it", path=path, limit=limit // 2**20),
        )
    return content


def _validate(spec: CommandSpec, args: Mapping[str, Any], attachment: bytes | None) -> None:
    """Refuse what the daemon would refuse, without asking it."""
    header = {"v": messages.PROTOCOL_VERSION, "id": "check", "command": spec.name, "args": args}
    request = messages.validate(header, attachment)
    if isinstance(request, messages.Refusal):
        raise CommandFailed(messages.EXIT_STATUS[request.code], request.code, request.message)


def _question(spec: CommandSpec, args: Mapping[str, Any], options: argparse.Namespace) -> str | None:
    """The question to confirm before the command is sent; None where there is none."""
    if spec.question is None or getattr(options, "yes", False) or args.get("dry_run"):
        return None
    question = say(spec.question, **args)
    if not sys.stdin.isatty():
        raise CommandFailed(
            2, "unconfirmed", say("{question} stdin is not a terminal; use --yes", question=question)
        )
    return question


#: What confirms a question, in the languages of the manual.
_YES: Final = frozenset({"y", "yes", "s", "si", "sí"})
#: For each kind of id, a read-only command that fails where the id does not exist.
_LOOKUPS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "job": ("job", {}),
    "batch": ("jobs", {"limit": 1}),
}


def _check_ids(client: Client, spec: CommandSpec, args: Mapping[str, Any]) -> None:
    """Fail for an unknown id before the operator is asked to confirm.

    Raises:
        Refused: the daemon does not know an id, or it is ambiguous.
    """
    for argument in spec.arguments:
        lookup = _LOOKUPS.get(argument.completes or "")
        if lookup is not None and args.get(argument.name) is not None:
            name, more = lookup
            lookup_args = {argument.name: args[argument.name], **more}
            client.ask(name, lookup_args, timeout_seconds=COMMANDS[name].timeout_seconds)


def _about_import(client: Client, args: dict[str, Any]) -> str:
    """The question of ``undo-import``: of a batch's latest import it names which that is, and asks for it.

    Raises:
        Refused: it cannot be taken back.
    """
    timeout = COMMANDS["undo-import"].timeout_seconds
    found = client.ask("undo-import", {**args, "dry_run": True}, timeout_seconds=timeout)
    args["import"] = found["import_id"]
    contacts = say_n("{count} contact", "{count} contacts", int(found["would_delete"]))
    file = printable_name(str(found.get("file") or "?"))
    return say(
        "Delete {contacts} of the import {import_id} ({file}) from {batch_id}?",
        contacts=contacts,
        import_id=found["import_id"],
        file=file,
        batch_id=found["batch_id"],
    )


def ask_to_confirm(question: str) -> None:
    """Ask an operator, in the terminal.

    Raises:
        CommandFailed: the answer is not yes, in English or Spanish.
    """
    print(f"{question} [{say('y/N')}] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in _YES:
        raise CommandFailed(1, "unconfirmed", say("cancelled; nothing was sent"))


def _wait_for_drain(
    client: Client, result: Mapping[str, Any], *, as_json: bool, stop: bool
) -> dict[str, Any]:
    from speechctl.live import wait_for_drain

    return wait_for_drain(client, result, stop=stop, on_progress=None if as_json else _show_progress)


def _print_result(spec: CommandSpec, result: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps(result, indent=2, ensure_ascii=False))
        return
    if "markdown" in result:
        print(result["markdown"])
        return
    from speechctl.render.commands import render

    blocks = render(spec.name, result)
    if sys.stdout.isatty():
        from speechctl.render.terminal import print_blocks

        print_blocks(blocks)
    else:
        from speechctl.render.blocks import as_text

        print(as_text(blocks))


def _show_with_pace() -> Callable[[Mapping[str, Any]], None]:
    from speechctl.live import Pace

    pace = Pace()
    return lambda progress: _show_progress(pace.add_to(progress))


def _show_progress(progress: Mapping[str, Any]) -> None:
    """One line on the terminal, overwritten by the next; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        return
    from speechctl.render.commands import progress_line

    line = progress_line(progress)
    if line:
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def _clear_progress() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _print_failure(failed: CommandFailed, *, as_json: bool) -> None:
    if as_json:
        import json

        print(
            json.dumps({"ok": False, "error": {"code": failed.code, "message": encodable_text(str(failed))}})
        )
    else:
        # The daemon may quote an imported file: a terminal must not act on control characters in it.
        from speechctl.render.blocks import sanitized

        lines = [sanitized(line) for line in encodable_text(str(failed)).splitlines()]
        print("speechctl:", "\n".join(lines), file=sys.stderr)


def run() -> NoReturn:
    """Entry point of ``python -m speechctl``."""
    sys.exit(main())
