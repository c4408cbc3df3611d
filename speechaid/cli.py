"""``speechaid``: the daemon, the demo, the simulator; each command imports what it needs when it is run."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from speechaid import __version__
from speechaid.errors import (
    ConfigError,
    ControlError,
    ExitStatus,
    FleetError,
    OutputLost,
    SpeechaidError,
    StoreUnavailable,
    TelemetryError,
)
from speechaid.protocol import stdio
from speechaid.protocol.text import encodable_text
from speechaid.protocol.translation import (
    ENGLISH,
    argparse_texts,
    current_language,
    in_language,
    reader_language,
    say,
    use_language,
)

#: What a fault that ends a command comes to, most special first.
_STATUS: tuple[tuple[type[SpeechaidError], ExitStatus], ...] = (
    (ConfigError, ExitStatus.CONFIG),
    (StoreUnavailable, ExitStatus.UNAVAILABLE),
    (ControlError, ExitStatus.CANTCREAT),
    (FleetError, ExitStatus.CANTCREAT),
    (TelemetryError, ExitStatus.CANTCREAT),
    (OutputLost, ExitStatus.CANTCREAT),
    (SpeechaidError, ExitStatus.REFUSED),
)
#: What the zygote runs in each worker.
_WORKER = "speechaid.worker:main"
#: What a shell expects of a command that was interrupted.
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. A fault is told in one line each, without a traceback."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    closed = stdio.make_ready()
    if words[:1] == ["simulator"]:
        return _simulator(words[1:])
    options = _parsed(words)
    try:
        status = int(options.run(options))
        if closed and options.run is not _run:
            raise OutputLost(stdio.unwritten(stdio.CLOSED))
    except SpeechaidError as exc:
        for line in _lines_of(exc):
            print(f"speechaid: {encodable_text(line)}", file=sys.stderr)
        return next(status for kind, status in _STATUS if isinstance(exc, kind))
    except KeyboardInterrupt:
        print(say("speechaid: interrupted; what was started is stopped"), file=sys.stderr)
        return _INTERRUPTED
    return status


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; from then on speak the reader's language, where a command has one reader.

    The daemon and what is for programs stay English.
    """
    use_language(reader_language(os.environ))
    with argparse_texts():
        options = _parser().parse_args(words)
    for_people = {_check, _install_service, _uninstall_service, _demo}
    if options.run not in for_people or getattr(options, "json", False):
        use_language(ENGLISH)
    return options


def _lines_of(exc: SpeechaidError) -> list[str]:
    """What is told of a fault; with settings that cannot be used, also what looks like the slip behind it."""
    if not isinstance(exc, ConfigError):
        return [in_language(str(exc), current_language())]
    from speechaid.settings import settings_warnings

    return [in_language(fault, current_language()) for fault in exc.faults] + [
        say("warning: {line}", line=line) for line in settings_warnings()
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="speechaid",
        description=say(
            "Runs outbound AI phone-call campaigns: never twice, never lost. Operators talk to"
            " a running daemon with speechctl."
        ),
    )
    parser.add_argument("--version", action="version", version=f"speechaid {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    run = commands.add_parser(
        "run",
        help=say("the daemon: work on the jobs in the database until told to stop"),
        description=say(
            "The daemon, in the foreground. It is set by environment variables and a .env file"
            " (docs/settings.md). SIGTERM or Ctrl-C finishes the calls in hand, a second one"
            " hands them over."
        ),
    )
    run.add_argument(
        "--held",
        action="store_true",
        help=say("hold every dial on every host before the first worker starts, until speechctl unhold"),
    )
    run.set_defaults(run=_run)

    check = commands.add_parser(
        "check",
        help=say("is everything there that the daemon needs? nothing is dialled"),
        description=say(
            "Looks at settings, database, Retell, socket, directories and limits: a line each,"
            " with the remedy. Exit status 0: fine, perhaps with warnings; 1: something fails;"
            " 78: the settings."
        ),
    )
    check.add_argument("--json", action="store_true", help=say("print one JSON object"))
    check.add_argument(
        "--before-start",
        action="store_true",
        help=say("as the service asks: a daemon that runs already fails, a Retell that is away only warns"),
    )
    check.set_defaults(run=_check)

    web = commands.add_parser(
        "web",
        help=say("the HTTP API: a process of its own beside the daemon"),
        description=say(
            "Serves the API of docs/api.md until SIGTERM or Ctrl-C. It is set like the daemon"
            " (docs/settings.md), without RETELL_API_KEY, which it must not have."
        ),
    )
    web.set_defaults(run=_web)

    demo = commands.add_parser(
        "demo",
        help=say("a whole campaign on this machine: no database, no account, nobody is called"),
        description=say(
            "A daemon of its own with an embedded database calls sixty invented people through"
            " a Retell simulator; then every record is held against what the simulator knows."
        ),
    )
    demo.add_argument(
        "--json", action="store_true", help=say("print one JSON object at the end, nothing else")
    )
    demo.add_argument(
        "--keep", action="store_true", help=say("leave all running, to try the page and speechctl")
    )
    demo.add_argument(
        "--jobs", type=_count, default=60, metavar="N", help=say("contacts (default: %(default)s)")
    )
    demo.add_argument("--seed", type=int, default=1, metavar="N", help=say("another seed, other outcomes"))
    demo.add_argument(
        "--dir", metavar="DIR", help=say("keep database and logs here (default: a temporary one)")
    )
    demo.set_defaults(run=_demo)

    rules = commands.add_parser(
        "alert-rules",
        help=say("the alerts as a rules file for Prometheus, by the settings in force"),
        description=say(
            "Prints the rules that say what the daemon's own alerts say under the same"
            " settings. docs/alerts.md explains each."
        ),
    )
    rules.set_defaults(run=_alert_rules)

    commands.add_parser("simulator", help=say("the Retell simulator alone"), add_help=False)
    _add_service_commands(commands)
    return parser


def _add_service_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    install = commands.add_parser(
        "install-service",
        help=say(
            "make this installation a service of systemd: user, directories, settings, units, start, check"
        ),
        description=say(
            "Run as root. Says each step in a line: done, already (there), cannot (and why),"
            " note. Run it again after an upgrade: settings and data stay, units are renewed,"
            " the service is restarted. Exit status 0: all done and in order; 1: refused,"
            " nothing was done; 2: wrong usage; 69: installed, but a step could not be done or"
            " the check fails; 73: stopped in the middle, what is missing is named; 78:"
            " installed and not started, since settings are missing."
        ),
    )
    install.add_argument("--dry-run", action="store_true", help=say("print the steps, do none of them"))
    mode = install.add_mutually_exclusive_group()
    mode.add_argument(
        "--simulator",
        action="store_true",
        help=say("no account: a Retell simulator that calls nobody, with a database of its own"),
    )
    mode.add_argument(
        "--live", action="store_true", help=say("real calls, also where the simulator was in use")
    )
    database = install.add_mutually_exclusive_group()
    database.add_argument(
        "--mongo",
        nargs="?",
        const="",
        metavar="URI",
        help=say(
            "a MongoDB, not the embedded database; without URI it is asked for, where it holds a password"
        ),
    )
    database.add_argument(
        "--mongo-file", type=Path, metavar="FILE", help=say("the URI in a file; - is standard input")
    )
    install.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help=say("RETELL_API_KEY in a file; - is standard input. Else the environment, else it is asked for"),
    )
    install.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=say(
            "a setting, as in RETELL_AGENT_ID=agent_1; may be repeated. A file that sets it stays as it is"
        ),
    )
    install.add_argument(
        "--replace",
        action="store_true",
        help=say(
            "settings and secrets given now replace those that are set; without any, they are asked for"
        ),
    )
    install.add_argument(
        "--operator",
        action="append",
        default=[],
        metavar="USER",
        help=say("let this user use speechctl; may be repeated"),
    )
    install.add_argument("--no-start", action="store_true", help=say("install, do not start or restart"))
    install.set_defaults(run=_install_service)

    uninstall = commands.add_parser(
        "uninstall-service",
        help=say("stop and remove the service; data and settings stay"),
        description=say(
            "Run as root. Database, backups, settings, secrets, user and program stay; what is"
            " left is named, with the command that deletes it. Exit statuses as of"
            " install-service."
        ),
    )
    uninstall.add_argument("--dry-run", action="store_true", help=say("print the steps, do none of them"))
    uninstall.add_argument(
        "--purge-settings", action="store_true", help=say("delete settings and secrets too")
    )
    uninstall.set_defaults(run=_uninstall_service)


def _count(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not 1 <= number <= 5_000:
        raise argparse.ArgumentTypeError(say("{text!r} is not a whole number from 1 to 5000", text=text))
    return number


def _run(options: argparse.Namespace) -> int:
    from speechaid.clock import SystemClock
    from speechaid.fleet.processes import forbid_core_files
    from speechaid.fleet.spawner import Spawner

    forbid_core_files()  # before the first child
    with contextlib.closing(Spawner(_WORKER)) as spawner:
        # What workers are made of is imported beside what the daemon is made of, not after it.
        spawner.tick(SystemClock().boottime())
        from speechaid.daemon import serve
        from speechaid.fleet.signals import ignore

        status = serve(spawner, held=options.held)
        # The interpreter gives up its handlers before it is gone: one more SIGTERM would be how it ended.
        ignore([signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
        return status


def _web(_options: argparse.Namespace) -> int:
    from speechaid.fleet.processes import forbid_core_files

    forbid_core_files()
    try:
        from speechaid.web.process import serve
    except ModuleNotFoundError as exc:
        print(
            say("speechaid: the HTTP API is not installed ({name} is missing):", name=exc.name),
            file=sys.stderr,
        )
        print(say("speechaid: install the extra: pip install '.[web]' in the checkout"), file=sys.stderr)
        return ExitStatus.UNAVAILABLE
    return serve()


def _check(options: argparse.Namespace) -> int:
    from speechaid.check import checks
    from speechaid.protocol.text import encode_json

    found, status = checks.check(before_start=options.before_start)
    text = "\n".join(checks.as_lines(found))
    _tell(encode_json(checks.as_document(found)).decode() if options.json else encodable_text(text))
    return status


def _install_service(options: argparse.Namespace) -> int:
    from speechaid.service.command import install

    return install(options)


def _uninstall_service(options: argparse.Namespace) -> int:
    from speechaid.service.command import uninstall

    return uninstall(options)


def _alert_rules(_options: argparse.Namespace) -> int:
    from speechaid.rules.alerting import Thresholds
    from speechaid.settings import get_settings
    from speechaid.telemetry.alert_rules import rules_file

    thresholds = Thresholds.read(get_settings().alerts)
    _tell(rules_file(thresholds, "the settings of one host").removesuffix("\n"))
    return ExitStatus.OK


def _tell(text: str) -> None:
    """Print an answer; one whose reader left is no fault."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        stdio.give_up_output()
    except OSError as exc:
        stdio.give_up_output()
        raise OutputLost(stdio.unwritten(exc)) from exc


def _demo(options: argparse.Namespace) -> int:
    from speechaid.demo.run import run

    return run(
        jobs=options.jobs, seed=options.seed, as_json=options.json, keep=options.keep, where=options.dir
    )


def _simulator(words: Sequence[str]) -> int:
    try:
        from speechaid.demo.simulator.server import main as simulate
    except ImportError as exc:
        print(
            say("speechaid: the simulator is not installed ({name} is missing):", name=exc.name),
            file=sys.stderr,
        )
        print(
            say("speechaid: install the extra: pip install '.[simulator]' in the checkout"), file=sys.stderr
        )
        return ExitStatus.UNAVAILABLE
    return simulate(words)
