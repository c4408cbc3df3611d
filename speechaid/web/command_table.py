"""The routes that are one command of the daemon: which path, which command, what stands in the path.

Parameters, bodies and their descriptions come from the command table itself (``routes.commands``); a test
asserts that every command has a route, or is named in ``WITHOUT_ROUTE``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, kw_only=True)
class CommandRoute:
    """One route."""

    methods: tuple[str, ...]
    path: str
    command: str
    summary: str
    #: By the name in the path, the argument that it is, and what it names: ``batch``, ``account``, ``job``,
    #: or None, where it is passed on as it stands.
    in_path: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    #: Arguments that the route gives itself; they are no parameters.
    fixed: Mapping[str, Any] = field(default_factory=dict)
    #: Other names of arguments: ``start_date`` for ``from``.
    renamed: Mapping[str, str] = field(default_factory=dict)
    #: An example of the parameters or of the body; a test runs it.
    example: Mapping[str, Any] = field(default_factory=dict)
    #: It creates something: it takes ``Idempotency-Key``, and answers 201.
    creates: bool = False
    #: Its parameters are a form with a file.
    takes_file: bool = False
    status: int = 200


_BATCH: Final = {"batch_id": ("batch", "batch")}
_ACCOUNT: Final = {"account_id": ("account", "account")}
_JOB: Final = {"job_id": ("job", "job")}
_CALL: Final = {"call_id": ("call", None)}
_NAME: Final = {"name": ("name", None)}
_WRITES: Final = ("POST", "PUT")


def _get(path: str, command: str, summary: str, **more: Any) -> CommandRoute:
    return CommandRoute(methods=("GET",), path=path, command=command, summary=summary, **more)


def _post(path: str, command: str, summary: str, **more: Any) -> CommandRoute:
    return CommandRoute(methods=("POST",), path=path, command=command, summary=summary, **more)


def _order(path: str, command: str, summary: str, **more: Any) -> CommandRoute:
    """An order about something that is there, by POST or PUT: to repeat it changes nothing more."""
    return CommandRoute(methods=_WRITES, path=path, command=command, summary=summary, **more)


ROUTES: Final = (
    # -- batches
    _order(
        "/batches/{batch_id}/pause",
        "pause-batch",
        "Stop new calls of a batch: once this has answered, none is placed",
        in_path=_BATCH,
        example={"reason": "the customer asked for it"},
    ),
    _order(
        "/batches/{batch_id}/resume", "resume-batch", "Allow calls of a batch, and start it", in_path=_BATCH
    ),
    _order(
        "/batches/{batch_id}/cancel",
        "cancel-batch",
        "Cancel a batch: waiting jobs at once, jobs in a call when it ends",
        in_path=_BATCH,
        example={"reason": "wrong list", "dry_run": True},
    ),
    _get(
        "/batches/{batch_id}/details", "batch", "A batch with all settings and who did what", in_path=_BATCH
    ),
    _post(
        "/batches/{batch_id}/redial",
        "redial-batch",
        "A new batch, paused, of those whom no call reached",
        in_path=_BATCH,
        example={"outcomes": "no-answer,busy", "dry_run": True},
        creates=True,
    ),
    _get(
        "/batches/{batch_id}/forecast", "forecast", "Who would be called, when, at what cost", in_path=_BATCH
    ),
    _get(
        "/batches/{batch_id}/report",
        "report",
        "Results of a batch's calls",
        in_path=_BATCH,
        fixed={"format": "json"},
    ),
    _get(
        "/batches/{batch_id}/promises", "promises", "Who promised to pay, how much and when", in_path=_BATCH
    ),
    _get(
        "/batches/{batch_id}/check-agent",
        "check-agent",
        "Whether the people have what the agent's prompt names",
        in_path=_BATCH,
    ),
    _order("/batches/reset-jobs", "reset-jobs", "Start finished jobs again", example={"dry_run": True}),
    _post(
        "/batches/{batch_id}/upload",
        "import",
        "Import a contacts file into a batch",
        in_path=_BATCH,
        takes_file=True,
        creates=True,
    ),
    # -- imports
    _get("/imports", "imports", "Imports: progress or result of each", example={"limit": 10}),
    _post(
        "/imports",
        "import",
        "Import a contacts file, into a new batch or one that is there",
        takes_file=True,
        creates=True,
    ),
    _post(
        "/imports/preview",
        "import",
        "What an import would do: bad rows, duplicates, columns; nothing is stored",
        takes_file=True,
        fixed={"dry_run": True},
    ),
    _order(
        "/imports/{import_id}/undo",
        "undo-import",
        "Take back an import of which nobody was called",
        in_path={"import_id": ("import", None)},
        example={"dry_run": True},
    ),
    # -- jobs
    _get("/jobs/{job_id}", "job", "A job with its history: every call, every event", in_path=_JOB),
    _get("/jobs/{job_id}/explain", "explain", "Why this person is, or is not, called now", in_path=_JOB),
    _order(
        "/jobs/{job_id}/retry", "resume-job", "Allow calls of a job that was set aside again", in_path=_JOB
    ),
    _order(
        "/jobs/{job_id}/suspend", "suspend-job", "Set a job aside", in_path=_JOB, example={"reason": "asked"}
    ),
    _order(
        "/jobs/{job_id}/cancel", "cancel-job", "Cancel a job", in_path=_JOB, example={"reason": "has paid"}
    ),
    _order("/jobs/{job_id}/hang-up", "hang-up", "End a job's live call", in_path=_JOB),
    CommandRoute(
        methods=("DELETE",),
        path="/jobs/{job_id}",
        command="cancel-job",
        summary="Cancel a job; its record stays",
        in_path=_JOB,
    ),
    # -- calls
    _get(
        "/calls/history",
        "export",
        "Calls with their outcomes, page by page; who reads them is recorded",
        fixed={"what": "calls"},
        renamed={"from": "start_date", "to": "end_date"},
        example={"start_date": "2026-01-01", "limit": 100},
    ),
    _get(
        "/calls/{call_id}",
        "call",
        "A call that has ended: what was said, what the agent was told, what it collected",
        in_path=_CALL,
    ),
    _get(
        "/calls/{call_id}/recording",
        "recording",
        "The address of a call's recording, as Retell gives it now",
        in_path=_CALL,
    ),
    # -- people
    _post(
        "/persons/search",
        "person",
        "Every job and call of a person; by POST, since addresses are logged on their way",
        example={"person": "12.345.678-5"},
    ),
    _post(
        "/persons/evidence",
        "evidence",
        "Each call to a person: by which rule, at which hour where it rang, with which outcome",
        example={"person": "12.345.678-5"},
    ),
    _post(
        "/opt-outs",
        "opt-out",
        "Never call a person again, on any number",
        example={"person": "12.345.678-5", "reason": "asked not to be called"},
    ),
    _post(
        "/payments",
        "paid",
        "A person has paid: their waiting jobs are cancelled",
        example={"person": "12.345.678-5", "amount": 45000, "dry_run": True},
    ),
    _post("/payments/import", "paid", "Those of a file have paid", takes_file=True),
    _post(
        "/persons/forget",
        "forget",
        "Erase what is stored about a person",
        example={"person": "12.345.678-5", "reason": "asked for it"},
    ),
    # -- do-not-call list
    _get("/do-not-call", "dnc", "How long the do-not-call list is"),
    _post(
        "/do-not-call/check",
        "dnc",
        "Whether a number or a person is on the list",
        example={"number": "+56912345678"},
    ),
    _post(
        "/do-not-call",
        "dnc-add",
        "Put a number on the list: no host dials it",
        example={"number": "+56912345678", "reason": "asked not to be called"},
    ),
    _post(
        "/do-not-call/remove",
        "dnc-remove",
        "Take a number, or a person, off the list",
        example={"number": "+56912345678"},
    ),
    _post("/do-not-call/import", "dnc-import", "Put the numbers of a file on the list", takes_file=True),
    # -- accounts
    _get(
        "/accounts/{account_id}/transactions",
        "transactions",
        "What moved an account's balance, the last first",
        in_path=_ACCOUNT,
        example={"limit": 10},
    ),
    _post(
        "/accounts/{account_id}/topup",
        "top-up",
        "Add minutes or credit, once under its Idempotency-Key",
        in_path=_ACCOUNT,
        example={"minutes": 100, "note": "invoice 17"},
        creates=True,
    ),
    _order(
        "/accounts/{account_id}/suspend",
        "suspend-account",
        "Stop new calls of an account",
        in_path=_ACCOUNT,
        example={"reason": "unpaid"},
    ),
    _order("/accounts/{account_id}/activate", "resume-account", "Allow its calls again", in_path=_ACCOUNT),
    CommandRoute(
        methods=("PATCH",),
        path="/accounts/{account_id}",
        command="edit-account",
        summary="Change settings of an account; the others stay",
        in_path=_ACCOUNT,
        example={"daily_call_limit": 500},
    ),
    # -- results
    _get("/reports", "report", "Results of the calls", fixed={"format": "json"}),
    _get("/promises", "promises", "Who promised to pay, how much and when"),
    _get("/forecast", "forecast", "Who would be called, when, at what cost; who not, and why"),
    _get(
        "/exports",
        "export",
        "Calls, jobs, promises or the do-not-call list, page by page",
        example={"what": "jobs", "limit": 100},
    ),
    # -- what happens
    _get("/status", "status", "Workers, queue, batches, alerts and holds of the daemon's host"),
    _get("/alerts", "alerts", "Firing alerts: since when, what they mean, what to do"),
    _get("/doctor", "doctor", "What keeps calls from being made, with evidence and remedy"),
    _get(
        "/logs",
        "logs",
        "Recorded events of jobs on all hosts, and operators' commands",
        example={"limit": 10},
    ),
    # -- stop everything
    _order(
        "/hold",
        "hold",
        "Emergency stop: no new dial on any host, from the answer on",
        example={"reason": "wrong agent"},
    ),
    _order("/unhold", "unhold", "End the emergency stop"),
    _order("/pause-all", "pause-all", "Pause every active batch", example={"reason": "holiday"}),
    _order("/resume-all", "resume-all", "Resume the batches that pause-all paused, and no others"),
    _post("/release-stuck", "release-stuck", "Requeue jobs whose worker is gone", example={"dry_run": True}),
    # -- calling rules
    _get("/packs", "packs", "The calling rules by country, and whether they are in force"),
    _get(
        "/packs/{country}",
        "pack",
        "One rule pack: windows, holidays, caps, and where each rule is from",
        in_path={"country": ("country", None)},
        example={"purpose": "collection"},
    ),
    _post("/packs/check", "check-pack", "Whether a file is a rule pack", takes_file=True),
    _post("/packs", "set-pack", "Put the rule packs of this version in force", example={"shipped": True}),
    _post("/packs/import", "set-pack", "Put a file's rule pack in force", takes_file=True),
    # -- users and tokens
    _get("/users", "users", "The users of the API and the page"),
    _post(
        "/users",
        "user-add",
        "Create a user",
        example={"name": "maria", "role": "operator", "password": "a long sentence"},
        status=201,
    ),
    CommandRoute(
        methods=("PATCH",),
        path="/users/{name}",
        command="user-edit",
        summary="Change role or account of a user",
        in_path=_NAME,
        example={"role": "viewer"},
    ),
    _order(
        "/users/{name}/password",
        "user-password",
        "Set a password; the user's sessions end",
        in_path=_NAME,
        example={"password": "another long sentence"},
    ),
    _order("/users/{name}/disable", "user-disable", "Refuse a user's logins", in_path=_NAME),
    _order("/users/{name}/enable", "user-enable", "Allow them again", in_path=_NAME),
    _get("/users/{name}/sessions", "user-sessions", "Where a user is logged in", in_path=_NAME),
    CommandRoute(
        methods=("DELETE",),
        path="/users/{name}/sessions",
        command="user-logout",
        summary="End a user's sessions",
        in_path=_NAME,
    ),
    _get("/tokens", "tokens", "The tokens, without their secrets"),
    # Without Idempotency-Key: what it answers, the secret, is stored nowhere.
    _post(
        "/tokens",
        "token-add",
        "Create a token; its secret is in this answer alone",
        example={"name": "crm", "role": "operator"},
        status=201,
    ),
    CommandRoute(
        methods=("DELETE",),
        path="/tokens/{name}",
        command="token-revoke",
        summary="Revoke a token, at once and for good",
        in_path=_NAME,
    ),
    # -- Retell, test calls
    _get("/agents", "agents", "The agents that Retell has"),
    _get("/numbers", "numbers", "The phone numbers that Retell has"),
    _get("/test-numbers", "test-numbers", "The numbers that are registered for test calls"),
    _post(
        "/test-numbers",
        "test-number-add",
        "Register a number for test calls",
        example={"number": "+56912345678", "note": "the manager's"},
    ),
    _post(
        "/test-numbers/remove",
        "test-number-remove",
        "Take a number off the list for test calls",
        example={"number": "+56912345678"},
    ),
    _post(
        "/test-calls",
        "test-call",
        "Call a registered number as a row of a batch would be called",
        example={"to": "+56912345678", "batch": "batch-20251003-abc12345"},
        creates=True,
    ),
    _get(
        "/test-calls/{test_id}",
        "test-result",
        "How far a test call is; then what was said",
        in_path={"test_id": ("test", None)},
    ),
)
#: Commands that have no route here: the host's own, what speechctl does itself, and what has a route of
#: another shape (``routes``).
WITHOUT_ROUTE: Final = frozenset(
    {
        *("drain", "undrain", "pause-worker", "resume-worker", "scale", "reload", "log-level", "shutdown"),
        *("top", "keys", "completion", "ids"),
        # ``routes.batches`` and ``routes.accounts``, in SpeechAI's names; ``routes.events``.
        *("batches", "create-batch", "edit-batch", "delete-batch", "jobs"),
        *("accounts", "account", "create-account", "events"),
    }
)
