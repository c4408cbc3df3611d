"""The commands ``install-service`` and ``uninstall-service``: ask what is missing, do each step, print it."""

from __future__ import annotations

import argparse
import getpass
import os
import stat
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from speechaid.errors import ConfigError, ExitStatus, SpeechaidError
from speechaid.protocol import stdio
from speechaid.protocol.translation import N_, say, system_fault
from speechaid.service.host import StepFailed, perform, read_facts
from speechaid.service.install import install_plan, value_fault
from speechaid.service.preconditions import HOW_TO_GIVE, has_password, mode_of, unset_settings
from speechaid.service.steps import (
    REQUIRED,
    STATE,
    Facts,
    Mode,
    Plan,
    State,
    Step,
    Wanted,
    credential_path,
)
from speechaid.service.uninstall import uninstall_plan
from speechaid.settings import get_settings
from speechaid.settings.loading import similar_variable
from speechaid.settings.secrets import SECRETS
from speechaid.settings.table import BY_VARIABLE

#: Values that let the others be checked although these are not known yet.
_STAND_INS: Final = {
    "RETELL_API_KEY": "stand-in",
    "RETELL_AGENT_ID": "stand-in",
    "RETELL_FROM_NUMBER": "+15005550006",
}
#: Taken from the environment, where neither the command line nor a file gives them.
_FROM_ENVIRONMENT: Final = (*REQUIRED, "MONGO_URI")
_WIDTH: Final = 8
#: What became of a step, in front of it.
_STATES: Final[Mapping[str, str]] = {
    State.TO_DO: N_("would"),
    State.ALREADY: N_("already"),
    State.CANNOT: N_("cannot"),
    State.NOTE: N_("note"),
    "done": N_("done"),
    "failed": N_("failed"),
    "missing": N_("missing"),
}


class WrongUsage(SpeechaidError):  # noqa: N818 - a remark to whoever typed it
    """The command line cannot be used; nothing was done."""


def install(options: argparse.Namespace) -> ExitStatus:
    """Install or renew the service; see ``speechaid install-service --help`` for the exit statuses."""
    try:
        wanted = _wanted(options)
        facts = read_facts(wanted.operators)
        wanted = _with_environment(facts, wanted, os.environ)
        wanted = _with_answers(facts, wanted, dry_run=options.dry_run)
    except WrongUsage as exc:
        print(say("speechaid: {exc}", exc=exc), file=sys.stderr)
        return ExitStatus.USAGE
    return carry_out(install_plan(facts, wanted), dry_run=options.dry_run)


def uninstall(options: argparse.Namespace) -> ExitStatus:
    """Remove the service; data stays."""
    planned = uninstall_plan(read_facts(), purge_settings=options.purge_settings)
    return carry_out(planned, dry_run=options.dry_run)


# -- what was asked for ------------------------------------------------------------------------------------


def _wanted(options: argparse.Namespace) -> Wanted:
    """The command line and the files that it names, checked as far as that goes.

    Raises:
        WrongUsage: something of it cannot be used.
    """
    if str(options.mongo_file) == str(options.api_key_file) == "-":
        raise WrongUsage(say("--mongo-file - --api-key-file -: only one of them can read standard input"))
    values = dict(map(_assignment, options.set))
    if options.mongo is not None:
        uri = options.mongo or (_ask("MONGO_URI") if sys.stdin.isatty() else "")
        if not uri and sys.stdin.isatty():
            raise WrongUsage(
                say("--mongo: no address was given; without --mongo the embedded database is used")
            )
        if not uri:
            raise WrongUsage(
                say("--mongo: an address, or a terminal to ask for it at; else --mongo-file FILE")
            )
        if options.mongo and has_password(uri):
            raise WrongUsage(
                say(
                    "--mongo: every user of this host can see a password on the command line: change it,"
                    " and give"
                    " the address in a file (--mongo-file FILE) or at the prompt (--mongo without an address)"
                )
            )
        values["MONGO_URI"] = uri
    if options.mongo_file is not None:
        values["MONGO_URI"] = _first_line(options.mongo_file)
    if options.api_key_file is not None:
        values["RETELL_API_KEY"] = _first_line(options.api_key_file)
    mode = Mode.SIMULATOR if options.simulator else Mode.LIVE if options.live else None
    operators = tuple(options.operator)
    wanted = Wanted(mode=mode, operators=operators, start=not options.no_start, replace=options.replace)
    return _with_values(wanted, values)


def _with_environment(facts: Facts, wanted: Wanted, environ: Mapping[str, str]) -> Wanted:
    """With what the environment sets and the command line does not; the simulator needs none of it."""
    if mode_of(facts, wanted) is Mode.SIMULATOR:
        return wanted
    values = {name: environ[name].strip() for name in _FROM_ENVIRONMENT if environ.get(name, "").strip()}
    return _with_values(wanted, {**values, **wanted.settings, **wanted.secrets})


def _with_values(wanted: Wanted, values: Mapping[str, str]) -> Wanted:
    """With these values, each where it belongs.

    Raises:
        WrongUsage: a value is not allowed.
    """
    _check_values(values)
    secret = {name: value for name, value in values.items() if _is_secret(name, value)}
    plain = {name: value for name, value in values.items() if name not in secret}
    return replace(wanted, settings=plain, secrets=secret)


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if name in SECRETS:
        raise WrongUsage(
            say(
                "--set {name}: every user of this host can see the command line; use --api-key-file,"
                " --mongo-file, or write {credential_path}",
                name=name,
                credential_path=credential_path(name),
            )
        )
    if not equals or not name:
        raise WrongUsage(
            say(
                "--set {name}: must be NAME=VALUE with a setting of {settings_page}",
                name=name,
                settings_page=_settings_page(),
            )
        )
    if name not in BY_VARIABLE:
        meant = similar_variable(name)
        hint = (
            say("did you mean {meant}?", meant=meant)
            if meant
            else say("{settings_page} lists them", settings_page=_settings_page())
        )
        raise WrongUsage(say("--set {name}: there is no such setting: {hint}", name=name, hint=hint))
    if not value.strip():
        raise WrongUsage(say("--set {name}: it has no value", name=name))
    if (fault := value_fault(value)) is not None:
        raise WrongUsage(say("--set {name}: {fault}", name=name, fault=fault))
    return name, value.strip()


def _settings_page() -> Path:
    """The manual's page as it is installed; in a checkout, its own."""
    page = Path(sysconfig.get_path("data")) / "share" / "doc" / "speechaid" / "settings.md"
    return page if page.exists() else Path("docs/settings.md")


def _first_line(path: Path) -> str:
    try:
        mode = 0 if str(path) == "-" else path.stat().st_mode
        if mode & stat.S_IWOTH:
            raise WrongUsage(
                say("{path}: every user of this host may write it: it may hold anybody's secret", path=path)
            )
        if mode & stat.S_IROTH:
            remark = say("delete it, and change the secret if others use this host")
            print(
                say(
                    "speechaid: {path}: every user of this host may read it: {remark}",
                    path=path,
                    remark=remark,
                ),
                file=sys.stderr,
            )
        text = sys.stdin.readline() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        fault = system_fault(exc) if isinstance(exc, OSError) else say("is no text")
        raise WrongUsage(say("{path}: {fault}", path=path, fault=fault)) from exc
    if len(text.split()) != 1:
        raise WrongUsage(say("{path}: must hold one line with the secret", path=path))
    return text.strip()


def _is_secret(name: str, value: str) -> bool:
    """An address of a database is one where it holds a password."""
    return name in SECRETS and (name != "MONGO_URI" or has_password(value))


def _check_values(values: Mapping[str, str]) -> None:
    for name in _FROM_ENVIRONMENT:
        if (fault := value_fault(values.get(name, ""))) is not None:
            raise WrongUsage(say("{name}: {fault}", name=name, fault=fault))
    places = {"SPEECHAID_SOCKET": "/run/speechaid/control.sock", "SPEECHAID_STATE_DIR": str(STATE)}
    try:
        get_settings({**_STAND_INS, **places, **values}, None)
    except ConfigError as exc:
        raise WrongUsage("; ".join(exc.faults)) from exc


def _with_answers(facts: Facts, wanted: Wanted, *, dry_run: bool) -> Wanted:
    """Ask for what is still missing, where somebody can answer; an empty answer leaves it unset."""
    unset = unset_settings(facts, wanted)
    if wanted.replace and not wanted.settings and not wanted.secrets:
        if not sys.stdin.isatty():
            raise WrongUsage(say("--replace: no value is given: {how_to_give}", how_to_give=HOW_TO_GIVE))
        unset = REQUIRED
    if dry_run or not unset or not facts.is_root or not sys.stdin.isatty():
        return wanted
    values = {**wanted.settings, **wanted.secrets}
    print(say("Settings for real calls; an empty answer leaves one as it is."), file=sys.stderr)
    for name in unset:
        if answer := _ask(name):
            values[name] = answer
    return _with_values(wanted, values)


def _ask(name: str) -> str:
    """The answer; the end of input is an empty one. A secret is not shown while it is typed."""
    try:
        answer = (
            getpass.getpass(say("{name} (not shown): ", name=name)) if name in SECRETS else input(f"{name}: ")
        )
    except EOFError:
        return ""
    return answer.strip()


# -- doing it ----------------------------------------------------------------------------------------------


def carry_out(planned: Plan, *, dry_run: bool) -> ExitStatus:
    """Print each step as it is done; after a failure, also what was not done."""
    if planned.refusals:
        for refusal in (*planned.refusals, say("nothing was done")):
            print(say("speechaid: {refusal}", refusal=refusal), file=sys.stderr)
        return ExitStatus.REFUSED
    if dry_run:
        for step in planned.steps:
            _say(step.state, step.text)
        status = ExitStatus.OK
    else:
        status = _do_all(planned)
    return ExitStatus.CONFIG if planned.unset and status is not ExitStatus.CANTCREAT else status


def _do_all(planned: Plan) -> ExitStatus:
    status = ExitStatus.OK
    steps = iter(planned.steps)
    for step in steps:
        if step.only_after_success and status is not ExitStatus.OK:
            continue
        try:
            _do(step)
        except KeyboardInterrupt:
            _say("failed", say("{step}: interrupted", step=step.text))
            _say_missing(steps)
            return ExitStatus.CANTCREAT
        except StepFailed as exc:
            _say("failed", say("{step}: {exc}", step=step.text, exc=exc))
            _show(exc.shown)
            if not step.optional:
                _say_missing(steps)
                return ExitStatus.CANTCREAT
            status = ExitStatus.UNAVAILABLE
        if step.state is State.CANNOT:
            status = ExitStatus.UNAVAILABLE
    return status


def _do(step: Step) -> None:
    """Do one step and report it.

    Raises:
        StepFailed: it could not be done.
    """
    if step.action is None:
        _say(step.state, step.text)
        return
    shown = perform(step.action)
    _say("done", step.text)
    _show(shown)


def _say_missing(steps: Iterator[Step]) -> None:
    for step in steps:
        if step.state is State.TO_DO:
            _say("missing", step.text)
    print(say("speechaid: mend what failed, then run the same command again"), file=sys.stderr)


def _say(state: str, text: str) -> None:
    """Print a line; a reader who has left must not stop the installation in the middle."""
    try:
        print(f"{say(_STATES[state]) if state else '':<{_WIDTH}} {text}".rstrip(), flush=True)
    except OSError:
        stdio.give_up_output()


def _show(text: str) -> None:
    for line in text.rstrip("\n").splitlines():
        _say("", line)
