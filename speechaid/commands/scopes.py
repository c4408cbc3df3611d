"""What a user or token that is bound to one account may name in each command: a table.

Before a command runs, what its arguments name is looked up within the account, and replaced by full ids; the
handler then sees nothing else. What belongs to another account is refused in the words for what does not
exist. Commands that concern the whole installation are refused to bound users.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from speechaid.commands.calls import find_call
from speechaid.commands.identity import find_user
from speechaid.commands.ids import resolve_account_id, resolve_batch
from speechaid.commands.interfaces import CommandRefused, HandlerContext, Result
from speechaid.commands.people import find_people
from speechaid.errors import NotFound
from speechaid.model.reading import text
from speechaid.protocol.messages import ErrorCode, Request
from speechaid.protocol.translation import say, say_later
from speechaid.store.connection import Store

Args = dict[str, Any]


class OfAccount(StrEnum):
    """What becomes of the argument ``account``."""

    #: It is the user's account, whatever else was given.
    FORCED = "forced"
    #: It is a new value: where one is given, it is the user's account.
    IF_GIVEN = "if_given"


@dataclass(frozen=True, kw_only=True)
class Scope:
    """How one command is restricted to an account."""

    #: Why it is refused to bound users; None: it is not.
    refused: str | None = None
    #: What it shows is of no account, as the law is.
    is_public: bool = False
    #: Arguments that name a batch, or a job, of the account.
    batches: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    account: OfAccount | None = None
    #: One of these arguments must be given, since without them the command is about every account.
    needs: tuple[str, ...] = ()
    #: Further checks of the arguments, which are restricted already.
    check: Callable[[HandlerContext, Args, str], None] | None = None
    #: What of the answer is left out.
    conceal: Callable[[Result], Result] | None = None


def _check_import(context: HandlerContext, args: Args, account_id: str) -> None:
    """The id of an import, or of a batch: replaced by the import's."""
    name = args["import"]
    record = context.store.imports.find(name)
    batch_id = None if record is None else text(record.get("batch_id"))
    batch = None if batch_id is None else context.store.batches.find(batch_id)
    if batch is not None and batch.account_id == account_id:
        return
    try:
        args["import"] = resolve_batch(context.store, name, account_id).batch_id
    except (NotFound, CommandRefused) as exc:
        message = say("there is no import {name!r}, and no batch: speechctl imports lists them", name=name)
        raise CommandRefused(ErrorCode.NOT_FOUND, message) from exc


def _check_new_batch(_context: HandlerContext, args: Args, account_id: str) -> None:
    """A file goes into a batch of the account, or into a new one, which is the account's."""
    if args["batch"] is None:
        args["account"] = account_id


def _check_stays(_context: HandlerContext, args: Args, _account_id: str) -> None:
    """A batch without an account would be paid by none, and seen by those of all alone."""
    if "account" in (args["unset"] or ()):
        raise CommandRefused(ErrorCode.FORBIDDEN, say("users of one account take no batch out of it"))


def _check_is_known(context: HandlerContext, args: Args, account_id: str) -> None:
    """A number on the do-not-call list is called for no account: only people of one's own are put there."""
    if not find_people(context, args["person"], account_id).people:
        message = say("no job of the account is of such a person: nothing was changed")
        raise CommandRefused(ErrorCode.NOT_FOUND, message)


def _check_call(context: HandlerContext, args: Args, account_id: str) -> None:
    """Of calls those of the account are there alone."""
    find_call(context.store, args["call"], account_id)


def _check_user(context: HandlerContext, args: Args, account_id: str) -> None:
    """Of users those of the account are there alone."""
    args["name"] = find_user(context, args["name"], account_id).name
    if args.get("all_accounts"):
        raise CommandRefused(ErrorCode.FORBIDDEN, say("users of one account bind nobody to all accounts"))


def _check_token(context: HandlerContext, args: Args, account_id: str) -> None:
    own = {token.name for token in context.store.identities.find_tokens(account_id)}
    if args["name"].strip().lower() not in own:
        raise CommandRefused(
            ErrorCode.NOT_FOUND, say("there is no token {name!r}", name=args["name"].strip().lower())
        )


def _without_foreign_opt_outs(result: Result) -> Result:
    """The do-not-call list is one for all: whose call an entry is from, and of whom, is not shown."""
    rows = result.get("opt_outs", []) if result.get("people") else []
    return {**result, "opt_outs": [{**row, "by": None, "job": None} for row in rows]}


_BATCH: Final = Scope(batches=("batch",))
_JOB: Final = Scope(jobs=("job",))
_ONE_BATCH: Final = Scope(batches=("batch",), needs=("batch",))
_OWN_ACCOUNT: Final = Scope(account=OfAccount.FORCED)
_WHOLE: Final = Scope(refused=say_later("it concerns every account"))
_LISTS_ALL: Final = Scope(refused=say_later("it lists those of every account"))
_ONE_LIST: Final = Scope(refused=say_later("the do-not-call list is one for all accounts"))
_OPERATORS: Final = Scope(refused=say_later("it is done by those who serve all accounts"))

#: Each command that a role may give (``rules.roles``).
SCOPES: Final[Mapping[str, Scope]] = {
    **dict.fromkeys(("status", "alerts", "doctor", "release-stuck"), _WHOLE),
    **dict.fromkeys(("hold", "unhold", "pause-all", "resume-all"), _WHOLE),
    **dict.fromkeys(("batches", "imports", "accounts", "agents", "numbers", "test-numbers"), _LISTS_ALL),
    **dict.fromkeys(("packs", "pack", "check-pack"), Scope(is_public=True)),
    **dict.fromkeys(("dnc", "dnc-add", "dnc-remove", "dnc-import"), _ONE_LIST),
    **dict.fromkeys(
        (
            *("create-account", "edit-account", "top-up", "suspend-account", "resume-account"),
            *("test-number-add", "test-number-remove", "set-pack"),
        ),
        _OPERATORS,
    ),
    **dict.fromkeys(
        ("batch", "redial-batch", "delete-batch", "pause-batch", "resume-batch", "cancel-batch"), _BATCH
    ),
    **dict.fromkeys(("job", "explain", "suspend-job", "resume-job", "cancel-job", "hang-up"), _JOB),
    **dict.fromkeys(("promises", "forecast", "reset-jobs", "check-agent"), _ONE_BATCH),
    **dict.fromkeys(("account", "transactions"), _OWN_ACCOUNT),
    "create-batch": Scope(batches=("copy_from",), account=OfAccount.FORCED),
    "edit-batch": Scope(batches=("batch",), account=OfAccount.IF_GIVEN, check=_check_stays),
    "import": Scope(batches=("batch", "copy_from"), account=OfAccount.IF_GIVEN, check=_check_new_batch),
    "undo-import": Scope(check=_check_import),
    **dict.fromkeys(("jobs", "export", "report"), Scope(batches=("batch",), account=OfAccount.FORCED)),
    "person": Scope(account=OfAccount.FORCED, conceal=_without_foreign_opt_outs),
    "opt-out": Scope(account=OfAccount.FORCED, check=_check_is_known),
    **dict.fromkeys(("paid", "evidence"), _OWN_ACCOUNT),
    **dict.fromkeys(("call", "recording"), Scope(check=_check_call)),
    # It also erases results whose jobs were deleted, by number: they may be another account's.
    "forget": _OPERATORS,
    "test-call": Scope(batches=("batch",), jobs=("job",)),
    "test-result": Scope(jobs=("test",)),
    **dict.fromkeys(("user-add", "users", "token-add", "tokens"), _OWN_ACCOUNT),
    **dict.fromkeys(
        ("user-password", "user-disable", "user-enable", "user-sessions", "user-logout"),
        Scope(check=_check_user),
    ),
    "user-edit": Scope(account=OfAccount.IF_GIVEN, check=_check_user),
    "token-revoke": Scope(check=_check_token),
    "events": Scope(batches=("batch",), jobs=("job",), needs=("batch", "job")),
    "logs": Scope(batches=("batch",), jobs=("job",), needs=("batch", "job")),
}


def refuse_unscoped(request: Request) -> None:
    """Refuse at once what a bound user may not give, or not so.

    Raises:
        CommandRefused: the reason.
    """
    scope = SCOPES.get(request.command.name)
    name = request.command.name
    if scope is None or scope.refused is not None:
        why = say("it has no scope") if scope is None else scope.refused
        message = say("{name} is not for users of one account: {why}", name=name, why=why)
        raise CommandRefused(ErrorCode.FORBIDDEN, message)
    if scope.needs and all(request.args[each] is None for each in scope.needs):
        options = " or ".join(scope.needs)
        message = say(
            "{name} is not for users of one account without a {options}: it would be about every account",
            name=name,
            options=options,
        )
        raise CommandRefused(ErrorCode.FORBIDDEN, message)


def restrict(context: HandlerContext, request: Request, account_id: str) -> Request:
    """The request with full ids of what is the account's, in place of what was typed; reads the database.

    Raises:
        CommandRefused: it names what is not there, as far as the account goes.
        StoreError: the database cannot be read.
    """
    refuse_unscoped(request)
    scope, args = SCOPES[request.command.name], dict(request.args)
    for name in scope.batches:
        if args[name] is not None:
            args[name] = resolve_batch(context.store, args[name], account_id).batch_id
    for name in scope.jobs:
        if args[name] is not None:
            args[name] = _own_job(context.store, args[name], account_id)
    if scope.account is OfAccount.FORCED or (scope.account is not None and args["account"] is not None):
        args["account"] = resolve_account_id(context.store, args["account"] or account_id, account_id)
    if scope.check is not None:
        scope.check(context, args, account_id)
    return replace(request, args=args)


def conceal(request: Request, result: Result) -> Result:
    """The answer as a bound user gets it."""
    scope = SCOPES.get(request.command.name)
    is_bound = request.account_id is not None
    return scope.conceal(result) if is_bound and scope is not None and scope.conceal is not None else result


def _own_job(store: Store, name: str, account_id: str) -> str:
    """The full id of a job of the account; the whole of it must be given."""
    try:
        job = store.jobs.get(name)
    except NotFound:
        job = None
    if job is None or job.account_id != account_id:
        message = say("there is no job {name!r} (speechctl jobs lists them)", name=name)
        raise CommandRefused(ErrorCode.NOT_FOUND, message)
    return job.job_id
