"""Results for people: as blocks, lines and tables."""

from __future__ import annotations

import io
import re
from datetime import datetime
from typing import Any

import pytest
from rich.console import Console

from speechaid.protocol.messages import COMMANDS
from speechaid.rules.prompt_variables import Given
from speechaid.rules.retry_table import RetryCause
from speechctl.render import agents
from speechctl.render.blocks import Grid, Heading, as_text, table
from speechctl.render.commands import progress_line, render
from speechctl.render.history import event_line, log_line
from speechctl.render.terminal import print_blocks
from speechctl.render.test_calls import state_line
from speechctl.render.text import CAUSES, duration
from tests.support.fakes import FakeDaemon


def text(command: str, result: dict[str, Any]) -> str:
    return as_text(render(command, result))


PACK = {
    "country": "CL",
    "purpose": "collection",
    "windows": "Mon-Sat 08:00-20:00",
    "holidays": "barred",
    "caps": ["1 contact a calendar week per person"],
    "confidence": "M",
    "reviewed": "2026-11-30",
    "hash": "0123456789abcdef" * 4,
    "warnings": ["CL collection was last reviewed on 2025-01-01, more than 12 months ago: review it"],
    "remark": None,
    "zones": ["America/Santiago"],
    "counted_purposes": ["collection", "reminder"],
    "statements": [
        {
            "about": "caps weekly_contact",
            "rule": "1 contact a calendar week per person",
            "says": "One contact by phone or visit a week.",
            "source": "Ley 21.320",
            "confidence": "M",
        }
    ],
    "operator_must": ["Call only the debtor."],
    "not_covered": ["Visits and letters."],
    "chosen": ["saturday_morning"],
    "exemptions": [
        {
            "name": "our_lawyer",
            "loosens": ["hours"],
            "said_by": "A. Soto",
            "at": "2026-12-01",
            "reason": "her letter",
        }
    ],
}
OF_PACKS = {"enforced": False, "advice": "no legal advice: have a local lawyer look at it"}
IMPORTED = {
    "file": "march.csv",
    "good_rows": 2,
    "bad_rows_count": 1,
    "bad_rows": [{"line": 3, "reason": "no phone number"}],
    "remarks_count": 0,
    "remarks": [],
    "dry_run": False,
    "batch_id": "batch-1",
    "name": "march",
    "created": True,
    "active": True,
    "imported": 2,
    "already_there": 0,
}
JOB = {
    "job_id": "job-1",
    "status": "pending",
    "batch_id": "batch-1",
    "account_id": None,
    "name": "Ana",
    "attempts": 1,
    "phone": 0,
    "phones_count": 2,
    "due_at": "2026-03-02T10:00:00+00:00",
    "lease_until": None,
    "worker": None,
    "call_id": None,
    "outcome": "busy",
}
ERASED = {
    "at": "2026-11-30T10:00:00+00:00",
    "by": "retention",
    "what": "person",
    "text": "not stored any more (erased 2026-11-30 by retention)",
}
BATCH = {
    "as_of": "2026-03-02T10:00:00+00:00",
    "batch_id": "batch-1",
    "name": "March",
    "description": "second reminder",
    "account_id": "acc-1",
    "active": False,
    "pause": {"by": "maria (uid 1000)", "reason": "wrong amounts"},
    "cancelled": None,
    "resumed": {"by": "maria (uid 1000)", "at": "2026-03-01T10:00:00+00:00"},
    "created_at": "2026-03-01T09:00:00+00:00",
    "created_by": "maria (uid 1000)",
    "redial": None,
    "fault": None,
    "settings": [
        {
            "option": "hours",
            "value": "09:00-18:00",
            "source": "batch",
            "variable": None,
            "default": None,
            "default_source": "settings",
        },
        {
            "option": "max_call_duration",
            "value": 600.0,
            "source": "settings",
            "variable": "CALL_MAX_DURATION_MINUTES",
            "default": 600.0,
            "default_source": "settings",
        },
    ],
    "jobs": {"pending": 3},
    "live_calls": 1,
    "cost": 1.5,
    "minutes": 12.0,
    "imports": [
        {
            "import_id": "import-1",
            "file": "march.csv",
            "by": "maria (uid 1000)",
            "started_at": "2026-03-01T09:00:00+00:00",
            "finished_at": None,
            "contacts": 3,
            "undone": None,
        }
    ],
    "history": [
        {
            "at": "2026-03-01T09:30:00+00:00",
            "actor": "maria (uid 1000)",
            "command": "edit-batch",
            "outcome": "done",
            "args": {"batch": "March", "max_attempts": 5},
            "changes": [{"option": "max_attempts", "old": 3, "new": 5}],
        }
    ],
    "first_calls": {"text": "first calls tomorrow 09:00 America/Santiago, 3 people, 3 phones"},
}
REPORT: dict[str, Any] = {
    "at": "2026-03-02T10:00:00+00:00",
    "timezone": "America/Santiago",
    "batch_id": None,
    "jobs": {"total": 3, "by_status": {"done": 2, "failed": 1}},
    "calls": {
        "total": 4,
        "connected": 2,
        "successful": 2,
        "success_rate": 0.5,
        "by_outcome": {"answered": 2, "busy": 2},
        "minutes": 3.5,
        "cost": 0.7,
        "cost_per_success": 0.35,
        "charged": {"minutes": 3.5, "credit": 0},
    },
    "attempts": [{"attempt": 1, "calls": 4, "successful": 2, "success_rate": 0.5}],
    "hours": [{"hour": 9, "calls": 4, "successful": 2, "success_rate": 0.5}],
    "promises": {"jobs": 1, "amount": 1500.0, "jobs_without_amount": 0, "by_day": [{"day": None, "jobs": 1}]},
    "batches": [],
}
ALERT = {
    "alert": "DatabaseAway",
    "severity": "critical",
    "since": "2026-05-04T12:00:00+00:00",
    "summary": "the database does not answer",
    "meaning": "The database does not answer: nothing is dialled, calls going on are followed to their end.",
    "remedy": "Bring the database or the way to it back; nothing has to be restarted.",
}
#: A result of each command, and text that an operator must find in it.
CHECKED_AGENT: dict[str, Any] = {
    "agent_id": "agent_1",
    "agent_name": "Cobranza",
    "version": 3,
    "published": True,
    "languages": ["es-419"],
    "engine": "retell-llm",
    "prompt_shown": True,
    "not_shown": None,
    "batch_id": "batch-1",
    "name": "July",
    "jobs": 38,
    "all_jobs": True,
    "variables": [
        {
            "name": "Monto",
            "given_by": "nobody",
            "jobs_without": 38,
            "places": ["prompt"],
            "similar": "monto_total",
        },
        {
            "name": "nombre",
            "given_by": "jobs",
            "jobs_without": 0,
            "places": ["prompt", "first sentence"],
            "similar": None,
        },
    ],
    "lacking": ["Monto"],
    "unused": ["referencia"],
    "other_agents": [],
}

TEST_RESULT: dict[str, Any] = {
    "test": "test-1",
    "batch_id": "batch-1",
    "row": "job-7",
    "by": "maria",
    "number": "+569******34",
    "state": "over",
    "since": None,
    "at": "2026-03-02T10:01:00+00:00",
    "until": "2026-03-02T10:05:00+00:00",
    "why": None,
    "call": {
        "call_id": "call-1",
        "outcome": "answered",
        "disconnection_reason": "user_hangup",
        "placed_at": "2026-03-02T10:00:05+00:00",
        "duration_ms": 72_000,
        "cost": 0.12,
        "charged": {"minutes": 1.2, "credit": 0},
        "agent_id": "agent-1",
        "agent_version": 3,
        "from_number": "+12125550100",
        "transcript": "Agent: Buenas tardes\nUser: Hola",
        "variables": [
            {"name": "nombre", "sent": "Ana", "collected": None},
            {"name": "fecha_pago_cliente", "sent": None, "collected": "2026-04-01"},
        ],
    },
}

BALANCE = {"unit": "credit", "bought": 1000.0, "used": 10.1, "reserved": 0.2, "left": 989.7}
RESULTS: dict[str, tuple[dict[str, Any], str]] = {
    "status": (FakeDaemon().snapshot(), "worker-2  following  job-7  call_7  12s"),
    "alerts": ({"firing": [ALERT], "quiet": None, "quiet_count": 12}, "DatabaseAway (critical)"),
    "drain": ({"draining": True, "stopping": False, "calls_in_hand": 2}, "2 jobs in hand"),
    "undrain": ({"draining": False}, "take jobs again"),
    "pause-worker": ({"worker": "worker-2", "paused": True}, "worker-2 is paused"),
    "resume-worker": ({"worker": "worker-2", "paused": False}, "worker-2 takes jobs again"),
    "scale": ({"wanted": 5, "before": 3}, "5 workers wanted (before: 3)"),
    "reload": (
        {"applied": ["A"], "needs_restart": ["B"], "warnings": ["X is not a setting of speechaid"]},
        "needs a restart: B\n! X is not a setting of speechaid",
    ),
    "log-level": ({"level": "DEBUG"}, "level is DEBUG"),
    "shutdown": (
        {"stopping": True, "now": True, "calls_in_hand": 1},
        "1 job in hand, left to the next start",
    ),
    "batches": (
        {
            "batches": [
                {
                    "batch_id": "batch-1",
                    "name": "March",
                    "active": False,
                    "pause": {"by": "maria (uid 1000)", "reason": "wrong amounts"},
                    "jobs": {"pending": 3},
                }
            ],
            "without_batch": {"pending": 1},
        },
        "paused by maria (uid 1000): wrong amounts",
    ),
    "create-batch": ({"batch_id": "batch-1", "name": "March", "active": False}, "resume-batch starts it"),
    "batch": (BATCH, "max-attempts: 3 -> 5"),
    "edit-batch": (
        {
            "batch_id": "batch-1",
            "name": "March",
            "active": False,
            "changes": [{"option": "hours", "old": None, "new": "10:00-18:00"}],
            "moved_retries": 2,
            "first_calls": {"text": "first calls now"},
            "warning": None,
        },
        "hours: default -> 10:00-18:00",
    ),
    "redial-batch": (
        {
            "batch_id": "batch-2",
            "name": "March - redial 1",
            "source": "batch-1",
            "source_name": "March",
            "dry_run": False,
            "left_out": {"opted_out": 2},
            "text": "38 people; speechctl resume-batch batch-2 starts it",
        },
        "left out: 2 opted out",
    ),
    "delete-batch": (
        {"batch_id": "batch-1", "name": "March", "dry_run": False, "deleted": 3},
        "is deleted with 3 contacts",
    ),
    "pause-batch": (
        {"batch_id": "batch-1", "name": "March", "waited_for": 1, "live_calls": 2, "ambiguous": 1},
        "waited for 1 dial in flight",
    ),
    "resume-batch": ({"batch_id": "batch-1", "name": None, "was_active": False}, "batch-1 is active again"),
    "check-agent": (CHECKED_AGENT, "! missing: {{Monto}} (prompt): none of 38 waiting jobs has it"),
    "evidence": (
        {
            "as_of": "2026-03-02T10:00:00+00:00",
            "person": "Ana, 1-9",
            "account": None,
            "calls": [
                {
                    "at": "2026-03-02T13:00:00+00:00",
                    "local_at": ["2026-03-02T10:00:00-03:00"],
                    "zones": ["America/Santiago"],
                    "phone": "+569******71",
                    "call_id": "call_1",
                    "job_id": "job-1",
                    "batch_id": "batch-1",
                    "account_id": None,
                    "purpose": "collection",
                    "rule": "CL collection",
                    "pack": "0123456789abcdef",
                    "outcome": "no_answer",
                    "counts_as": "attempt",
                }
            ],
            "more": False,
        },
        "2026-03-02 10:00 America/Santiago",
    ),
    "packs": (
        {"packs": [PACK], "faults": [], "caps_ready": None, **OF_PACKS},
        "! these rules refuse no call until a batch has a purpose",
    ),
    "set-pack": (
        {
            "packs": [
                {
                    "country": "CL",
                    "purpose": "collection",
                    "hash": "0123456789abcdef",
                    "before": None,
                    "exemptions": [
                        {
                            "name": "our_lawyer",
                            "loosens": ["hours"],
                            "said_by": "A. Soto",
                            "at": "2026-12-01",
                            "reason": "Her letter.",
                        }
                    ],
                }
            ],
            "released": 12,
            "warnings": [],
            "waited_for": 0,
            "live_calls": 0,
            "ambiguous": 0,
            "advice": "no legal advice",
        },
        "exemption our_lawyer of CL collection, from hours: Her letter. (A. Soto, 2026-12-01)",
    ),
    "pack": (
        {"pack": PACK, **OF_PACKS},
        "exemption our_lawyer, from hours: her letter (A. Soto, 2026-12-01)",
    ),
    "check-pack": (
        {
            "file": "mine.toml",
            "kind": "overlay",
            "valid": False,
            "faults": ["mine.toml: caps.1.number: 0"],
            "pack": None,
            **OF_PACKS,
        },
        "! mine.toml: caps.1.number: 0",
    ),
    "agents": (
        {
            "agents": [
                {
                    "agent_id": "agent_9d7537bb6f6966aee6af1a73ce",
                    "name": "Cobranza",
                    "version": 3,
                    "languages": ["es-419"],
                    "published": True,
                    "engine": "retell-llm",
                    "suspended": False,
                    "in_use": True,
                    "details": True,
                }
            ],
            "has_more": False,
            "in_use": "agent_9d7537bb6f6966aee6af1a73ce",
        },
        "in use",
    ),
    "numbers": (
        {
            "numbers": [
                {
                    "number": "+56220000000",
                    "nickname": "Santiago",
                    "type": "custom",
                    "outbound_agents": [{"agent_id": "agent_1", "version": "latest"}],
                    "inbound_agents": [],
                    "outbound_countries": ["CL", "AR"],
                    "inbound_countries": [],
                    "in_use": False,
                }
            ],
            "has_more": False,
            "in_use": "+12125550100",
        },
        "! this host uses the number +12125550100, which Retell does not list",
    ),
    "import": (IMPORTED, "line 3: no phone number"),
    "undo-import": (
        {
            "import_id": "import-1",
            "batch_id": "batch-1",
            "file": "march.csv",
            "dry_run": False,
            "deleted": 2,
            "left": 0,
            "batch_deleted": True,
        },
        "2 contacts deleted from batch-1, and the batch",
    ),
    "forget": (
        {
            "jobs": 2,
            "calls": 3,
            "imports": 0,
            "cancelled": 1,
            "later": ["job-3"],
            "has_more": False,
            "name": "Ana Rojas",
            "dni": "1-9",
            "number_kept": True,
            "id_kept": False,
            "retell": "Retell keeps transcripts",
        },
        "1 more job erased without another command, once the call is over and settled: job-3",
    ),
    "jobs": ({"jobs": [JOB], "limit": 50}, "1/2"),
    "job": (
        JOB
        | {
            "calls": [{"call_id": "call_1", "outcome": "busy", "duration_ms": 0}],
            "events": [{"at": "2026-03-02T10:00:00+00:00", "event": "call.placed", "attempt": 1}],
        },
        "attempt=1",
    ),
    "hold": ({"held": True, "was_held": False, "waited_for": 1, "live_calls": 4}, "HELD: no new dial"),
    "unhold": ({"held": False, "was_held": True}, "dialling is allowed again"),
    "report": (REPORT, "2 successful (50 %)"),
    "pause-all": ({"paused": 2, "waited_for": 0, "live_calls": 1}, "2 batches paused"),
    "resume-all": ({"resumed": 1}, "1 batch active again"),
    "cancel-batch": (
        {
            "dry_run": False,
            "batch_id": "batch-1",
            "name": "March",
            "cancelled": 5,
            "when_their_calls_end": 2,
            "live_calls": 2,
        },
        "2 more jobs when their calls have ended",
    ),
    "suspend-job": ({"job_id": "job-1", "status": "suspended", "how": "done"}, "job-1 is suspended"),
    "resume-job": ({"job_id": "job-1", "status": "pending", "how": "taken back"}, "is withdrawn"),
    "cancel-job": (
        {"job_id": "job-1", "status": "in_progress", "how": "recorded", "live_call": "call_1"},
        "applied when it has ended",
    ),
    "hang-up": (
        {"job_id": "job-1", "status": "in_progress", "how": "recorded", "call_id": "call_1"},
        "follows its call (call_1) will stop it",
    ),
    "release-stuck": (
        {
            "dry_run": True,
            "released": 1,
            "left_to_workers": 1,
            "given_up": 1,
            "moved_meanwhile": 0,
            "workers_at_work": 0,
            "jobs": [
                {
                    "job_id": "job-1",
                    "batch_id": "batch-1",
                    "worker": "worker-1@a:7",
                    "lease_until": "2026-03-02T10:00:00+00:00",
                    "then": "released",
                }
            ],
        },
        "1 job would be released",
    ),
    "reset-jobs": ({"dry_run": True, "would_reset": 3}, "3 jobs would be reset"),
    "accounts": (
        {
            "accounts": [
                {
                    "account_id": "acme",
                    "name": "Acme Chile",
                    "plan": "credit_based",
                    "status": "active",
                    "faults": [],
                    "currency": "USD",
                    "balance": BALANCE,
                    "calls_today": 12,
                    "daily_call_limit": 400,
                    "live_calls": 1,
                }
            ],
            "next": "acme",
        },
        "credit based  active  989.70 USD    12 of 400            1",
    ),
    "account": (
        {
            "as_of": "2026-03-02T10:00:00+00:00",
            "account_id": "acme",
            "name": "Acme Chile",
            "plan": "credit_based",
            "status": "active",
            "faults": ["daily_call_limit '1,000' cannot be understood: a number"],
            "currency": "USD",
            "balance": BALANCE,
            "calls_today": 12,
            "daily_call_limit": None,
            "live_calls": 1,
            "created_at": "2026-03-01T10:00:00+00:00",
            "created_by": "maria (uid 1000)",
            "settings": [
                {"option": "country", "value": "CL", "source": "account", "variable": None},
                {"option": "cost_per_minute", "value": 0.085, "source": "account", "variable": None},
                {"option": "daily_call_limit", "value": "1,000", "source": "account", "variable": None},
            ],
            "last_call_settings": {
                "from_batch": "batch-1",
                "name": "May",
                "created_at": "2026-03-01T10:00:00+00:00",
                "settings": [{"option": "days", "value": "1-3"}],
            },
        },
        "cost-per-minute   0.085 USD  account",
    ),
    "create-account": (
        {
            "account_id": "acme",
            "name": None,
            "plan": "credit_based",
            "currency": "CLP",
            "warning": "calls of this account cost it nothing",
        },
        "its balance is 0: speechctl top-up acme --credit N",
    ),
    "edit-account": (
        {
            "account_id": "acme",
            "name": "Acme Chile",
            "status": "expired",
            "currency": "CLP",
            "changes": [{"option": "cost_per_minute", "old": None, "new": 85.5}],
            "faults": [],
            "live_calls": 2,
            "warning": None,
        },
        "cost-per-minute: default -> 85.5 CLP",
    ),
    "top-up": (
        {
            "account_id": "acme",
            "name": None,
            "at": "2026-03-02T10:00:00+00:00",
            "type": "topup",
            "minutes": None,
            "credit": 1000.0,
            "currency": "USD",
            "before": 0.0,
            "after": 1000.0,
            "note": "invoice 7",
            "by": "maria (uid 1000)",
            "key": "0123456789abcdef",
            "repeated": False,
            "balance": BALANCE,
        },
        "account acme: +1,000.00 USD added (key 0123456789abcdef)",
    ),
    "transactions": (
        {
            "account_id": "acme",
            "name": None,
            "currency": "USD",
            "transactions": [
                {
                    "at": "2026-03-02T10:00:00+00:00",
                    "type": "call",
                    "minutes": None,
                    "credit": -0.085,
                    "currency": "USD",
                    "call_id": "call_1",
                    "outcome": "no_answer",
                },
                {
                    "at": "2026-03-01T10:00:00+00:00",
                    "type": "topup",
                    "minutes": None,
                    "credit": 1000.0,
                    "currency": "USD",
                    "after": 1000.0,
                    "by": "maria",
                    "note": "invoice 7",
                },
            ],
            "next": "1772359200000-1-0",
            "balance": BALANCE,
        },
        "call      -0.085 USD                 call_1",
    ),
    "suspend-account": (
        {"account_id": "acc-1", "status": "suspended", "was": "active", "live_calls": 1},
        "acc-1 is suspended (was active)",
    ),
    "resume-account": (
        {"account_id": "acc-1", "status": "active", "was": "suspended", "jobs_resumed": 2},
        "2 jobs pending again",
    ),
    "person": (
        {
            "as_of": "2026-03-02T10:00:00+00:00",
            "understood_as": ["national id"],
            "account": None,
            "people": [
                {
                    "name": "Ana Rojas",
                    "dni": "12345678-5",
                    "accounts": ["acc-1"],
                    "phones": ["+569******71"],
                    "jobs": 1,
                    "understood_as": "national id",
                }
            ],
            "more_people": False,
            "jobs": [
                {
                    "job_id": "job-1",
                    "batch_id": "batch-1",
                    "batch_name": "March",
                    "account_id": "acc-1",
                    "status": "cancelled",
                    "why": "cancelled: paid",
                    "attempts": 1,
                    "phones": ["+569******71"],
                    "paid": {"amount": 1000, "currency": "CLP"},
                }
            ],
            "calls": [],
            "more": False,
            "opt_outs": [
                {
                    "what": "the person",
                    "since": "2026-03-02T10:00:00+00:00",
                    "by": "maria",
                    "job": None,
                }
            ],
            "next_dial": None,
            "note": None,
        },
        "job-1  March  cancelled: paid; paid 1,000 CLP",
    ),
    "opt-out": (
        {
            "known": True,
            "understood_as": ["name"],
            "name": "Ana Rojas",
            "dni": None,
            "accounts": [None],
            "as_person": False,
            "phones": ["+569******71"],
            "jobs": 2,
            "more": False,
            "remark": None,
            "in_call": [],
            "was_listed": False,
            "cancelled": 1,
        },
        "no job has a national id of the person: only these numbers are listed",
    ),
    "paid": (
        {
            "dry_run": False,
            "file": "payers.csv",
            "people": 2,
            "not_found_count": 1,
            "not_found": [{"line": 3, "dni": "1-9"}],
            "cancelled": 1,
            "in_call": [],
            "ended": 1,
            "recorded": 2,
            "recorded_before": 0,
            "amounts": 0,
            "amounts_known": 0,
            "bad_rows_count": 0,
            "bad_rows": [],
        },
        "payers.csv: 2 people recorded as paid",
    ),
    "explain": (
        {
            "job_id": "job-1",
            "status": "pending",
            "sentence": "Not now: due: at 2026-03-02T12:00:00+00:00; window: 09:00-18:00, closed",
            "next_chance": "2026-03-02T12:00:00+00:00",
            "in_hand": None,
            "checks": [
                {"name": "job", "passed": True, "value": "pending"},
                {"name": "window", "passed": False, "value": "09:00-18:00, closed"},
            ],
        },
        "NO  window",
    ),
    "forecast": (
        {
            "at": "2026-03-02T10:00:00+00:00",
            "batch_id": None,
            "dials": [
                {
                    "at": "2026-03-02T12:00:00+00:00",
                    "job_id": "job-1",
                    "batch_id": "batch-1",
                    "phone": "+569******71",
                    "attempt": 0,
                    "minutes": 3.0,
                    "credit": 0.0,
                }
            ],
            "skipped": [{"reason": "batch_paused", "jobs": 4, "examples": ["job-2", "job-3"]}],
            "kept_back": [{"rule": "CL collection: windows", "jobs": 5, "first_at": None}],
            "pending": 7,
            "beyond": 2,
            "workers": 3,
            "call_seconds": 80.0,
            "minutes": 3.0,
            "credit": 0.0,
            "retell_cost": 0.2,
        },
        "2 more jobs wait after these",
    ),
    "top": (FakeDaemon().snapshot(), ""),
    "events": ({"answered": "as a stream"}, "as a stream"),
    "logs": (
        {
            "lines": [
                {
                    "id": "1",
                    "at": "2026-03-02T10:00:00+00:00",
                    "event": "command",
                    "actor": "maria (uid 1000)",
                    "command": "pause-batch",
                    "args": {"batch": "batch-1"},
                    "outcome": "done",
                }
            ],
            "place": "x",
        },
        "maria (uid 1000): pause-batch batch=batch-1: done",
    ),
    "doctor": (
        {
            "findings": [
                {
                    "code": "held",
                    "weight": "ordered",
                    "cause": "every dial on every host is held",
                    "evidence": "by maria: fire",
                    "remedy": "speechctl unhold",
                }
            ],
            "database_ms": 1.5,
            "retell_ms": None,
        },
        "do:    speechctl unhold",
    ),
    "keys": (
        {"client": "maria", "access": "read", "key_file": "/home/maria/maria.key", "next": "reload"},
        "works like a password",
    ),
    "completion": ({"script": "for a shell"}, "for a shell"),
    "ids": ({"ids": ["batch-1", "batch-2"]}, "batch-1"),
    "imports": (
        {
            "imports": [
                {
                    "batch_id": "batch-1",
                    "name": "March",
                    "active": False,
                    "state": "importing",
                    "file": "march.csv",
                    "by": "maria (uid 1000)",
                    "started_at": "2026-11-22T12:00:00+00:00",
                    "finished_at": None,
                    "done": 23_000,
                    "of": 50_000,
                    "imported": 22_990,
                    "already_there": 10,
                    "bad_rows": 3,
                }
            ]
        },
        "importing: 23,000 of 50,000",
    ),
    "promises": (
        {
            "limit": 200,
            "promises": [
                {
                    "promised_day": "2026-03-15",
                    "promised_day_as_told": "15/03/2026",
                    "promised_amount": 15000,
                    "promised_amount_as_told": "15.000",
                    "name": "Ana",
                    "reference_number": "A-1",
                    "debt_amount": 30000,
                    "job_id": "job-1",
                }
            ],
        },
        "2026-03-15",
    ),
    "export": ({"what": "dnc", "columns": ["phone", "source"], "rows": [["+569", "call"]]}, "+569"),
    "dnc": (
        {
            "listed_numbers": 3,
            "number": "+569******34",
            "listed": True,
            "source": "call",
            "job": "job-1",
            "at": "2026-03-02T10:00:00+00:00",
        },
        "is on the list since",
    ),
    "dnc-add": (
        {
            "number": "+569******34",
            "numbers": ["+569******34"],
            "valid": True,
            "was_listed": False,
            "in_call": True,
        },
        "right now",
    ),
    "dnc-remove": ({"number": "+569******34", "was_listed": True}, "may be called again"),
    "dnc-import": (
        {
            "file": "list.csv",
            "dry_run": False,
            "numbers": 5,
            "added": 2,
            "bad_rows_count": 1,
            "bad_rows": [{"line": 3, "reason": "no phone number"}],
        },
        "2 of them new",
    ),
    "test-numbers": (
        {
            "numbers": [
                {
                    "number": "+569******34",
                    "note": "Maria's mobile",
                    "account_id": None,
                    "by": "maria",
                    "at": "2026-03-02T10:00:00+00:00",
                    "on_do_not_call_list": True,
                    "latest": "test-1",
                }
            ]
        },
        "! +569******34 is on the do-not-call list: it is not called",
    ),
    "test-number-add": (
        {
            "number": "+569******34",
            "account_id": "acme",
            "note": None,
            "was_registered": False,
            "on_do_not_call_list": False,
        },
        "may get test calls of account acme",
    ),
    **dict.fromkeys(
        ("user-add", "user-edit", "user-password", "user-disable"),
        (
            {"name": "maria", "role": "manager", "account_id": "acme", "disabled": True},
            "maria: manager, account acme, disabled",
        ),
    ),
    "user-enable": (
        {"name": "maria", "role": "manager", "account_id": None, "disabled": False},
        "maria: manager, all accounts, may log in",
    ),
    "users": ({"users": []}, "user-add NAME --role admin creates the first"),
    "user-sessions": ({"user": "maria", "sessions": []}, "maria is not logged in"),
    "user-logout": ({"user": "maria", "ended": 2}, "2 sessions of maria ended"),
    "token-add": (
        {
            "name": "crm",
            "role": "viewer",
            "account_id": None,
            "expires_at": "2026-03-02T10:00:00+00:00",
            "token": "spt_x",
        },
        "spt_x",
    ),
    "tokens": (
        {
            "tokens": [
                {
                    "name": "crm",
                    "role": "viewer",
                    "account_id": None,
                    "valid": False,
                    "revoked_at": None,
                    "expires_at": "2026-03-02T10:00:00+00:00",
                    "used_at": None,
                    "created_by": "maria (user)",
                }
            ]
        },
        "expired",
    ),
    "token-revoke": ({"name": "crm", "was_valid": True}, "crm is revoked"),
    "test-number-remove": ({"number": "+569******34", "was_registered": False}, "was not registered"),
    "test-call": (
        {
            "test": "test-1",
            "batch_id": "batch-1",
            "name": "March",
            "row": "job-7",
            "number": "+569******34",
            "until": "2026-03-02T10:05:00+00:00",
            "agent_id": "agent-1",
            "agent_version": 3,
            "from_number": "+12125550100",
            "remarks": ["the number is of US, the batch's people are of CL"],
        },
        "agent agent-1, version 3, from +12125550100",
    ),
    "test-result": (TEST_RESULT, "Buenas tardes"),
    "call": (
        {
            **TEST_RESULT["call"],
            "job_id": "job-7",
            "name": "Ana",
            "phone": "+569******34",
            "analysis": {"call_summary": "Paga en abril."},
            "promised": {"day": "2026-04-01", "amount": "45000"},
            "recording": True,
        },
        "speechctl recording call-1 has the address of the recording",
    ),
    "recording": (
        {"call_id": "call-1", "url": "https://retell.example/r.wav"},
        "https://retell.example/r.wav",
    ),
}


def test_every_command_has_a_result_here() -> None:
    assert set(RESULTS) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_result_shows_what_an_operator_needs(command: str) -> None:
    result, needed = RESULTS[command]
    shown = text(command, result)
    assert needed in shown
    assert "\n\n\n" not in shown
    assert not re.search(r"\d-\d\dT\d\d:", shown)  # times are in the reader's time zone


@pytest.mark.parametrize(
    ("command", "result"),
    [
        ("jobs", {"jobs": [{**JOB, "name": None, "erased": ERASED}], "limit": 50}),
        ("job", {**JOB, "calls": [], "events": [], "erased": ERASED}),
        ("undo-import", {**RESULTS["undo-import"][0], "file": None, "erased": ERASED}),
    ],
)
def test_what_is_not_stored_any_more_says_so(command: str, result: dict[str, Any]) -> None:
    assert ERASED["text"] in text(command, result)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_result_fits_a_terminal_of_eighty_columns(command: str) -> None:
    screen = io.StringIO()
    print_blocks(render(command, RESULTS[command][0]), Console(file=screen, width=80))
    assert max(len(line) for line in screen.getvalue().splitlines()) <= 80


def test_a_result_of_a_newer_daemon_is_shown_field_by_field() -> None:
    assert (
        text("new-command", {"so_many": 3, "nothing": None, "list": ["a", "b"]}) == "so many: 3\nlist: a, b"
    )


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"fleet_hold": {"by": "maria", "reason": "complaints", "at": None}}, "! HELD on all hosts by maria"),
        ({"too_old": "the database requires level 3"}, "! HELD on this host: the database requires level 3"),
        (
            {"batches_hold": {"by": "maria", "reason": None, "at": None}},
            "! all batches HELD by a pause-all of",
        ),
        (
            {"breakers": [{"_id": "key:ab", "state": "open", "kind": "outage"}]},
            "! dialling with key ab is held, circuit breaker open",
        ),
        ({"database": {"state": "away", "error": "no server"}}, "! database: away: no server"),
        (
            {"recent": {"minutes": 30, "calls_ended": 0, "calls_succeeded": 0, "dials_refused": 12.0}},
            "! Retell refused 12 dials in the last 30 min, 0 calls ended",
        ),
        (
            {"census": {"not_understood": {"count": 2, "named": ["batch-1", "batch-2"]}}},
            "! 2 batches not dialled, call settings not understood: batch-1, batch-2",
        ),
    ],
)
def test_status_warns_of_what_stops_dialling(change: dict[str, Any], warning: str) -> None:
    assert warning in text("status", FakeDaemon().snapshot() | change)


@pytest.mark.parametrize(
    ("field", "value", "warning"),
    [
        ("held", True, "! HELD on this host"),
        (
            "paused_batches",
            ["", "batch-1"],
            "! paused on this host alone, the database could not record it: all",
        ),
        ("draining", True, "! draining"),
        ("dependency_away", True, "! workers cannot start"),
        ("crash_loops", ["worker-1"], "! crash loop: worker-1"),
    ],
)
def test_status_warns_of_what_stops_the_workers(field: str, value: object, warning: str) -> None:
    snapshot = FakeDaemon().snapshot()
    snapshot["supervisor"][field] = value
    assert warning in text("status", snapshot)


def test_status_says_that_there_are_more_batches_than_it_names() -> None:
    shown = FakeDaemon().snapshot() | {"batches": [], "batches_left_out": 512}
    assert "and 512 batches more: speechctl batches" in text("status", shown)


def test_a_batch_whose_settings_cannot_be_understood_is_not_shown_as_active() -> None:
    fault = "max_concurrent_calls 'two' cannot be understood"
    row = RESULTS["batches"][0]["batches"][0] | {"active": True, "pause": None, "fault": fault}
    assert f"not dialled: {fault}" in text("batches", {"batches": [row]})
    assert f"still not dialled: {fault}" in text("resume-batch", row | {"was_active": True})
    snapshot = FakeDaemon().snapshot() | {
        "batches": [{"batch_id": "batch-1", "active": True}, {"batch_id": "batch-2", "active": True}],
        "census": {"not_understood": {"count": 1, "named": ["batch-1"]}},
    }
    shown = text("status", snapshot).splitlines()
    states = {line.split()[0]: line for line in shown if line.startswith("batch-")}
    assert "not dialled: settings not understood" in states["batch-1"]
    assert "active" in states["batch-2"]


def test_status_does_not_mention_a_closed_circuit_breaker() -> None:
    snapshot = FakeDaemon().snapshot() | {"breakers": [{"_id": "key:ab", "state": "closed"}]}
    assert "breaker" not in text("status", snapshot)


def test_status_of_a_large_fleet_counts_its_workers_by_state() -> None:
    snapshot = FakeDaemon().snapshot()
    snapshot["workers"] = snapshot["workers"] * 70
    shown = text("status", snapshot)
    assert "idle           140" in shown
    assert "worker-1" not in shown


def test_control_characters_in_a_name_are_replaced() -> None:
    shown = text("batches", {"batches": [RESULTS["batches"][0]["batches"][0] | {"name": "\x1b[2Jx"}]})
    assert "\x1b" not in shown
    assert "?[2Jx" in shown


def test_markup_in_a_name_is_shown_as_it_is() -> None:
    screen = io.StringIO()
    print_blocks(
        [table("", "name", [["[red]x[/red]"]]), Heading(text="[b]y[/b]")], Console(file=screen, width=80)
    )
    assert "[red]x[/red]" in screen.getvalue()
    assert "[b]y[/b]" in screen.getvalue()


def test_a_table_aligns_numbers_to_the_right() -> None:
    table = Grid(headers=("a", "n"), rows=(("x", "1"), ("yy", "100")), right=frozenset({1}))
    assert as_text([table]) == "a     n\nx     1\nyy  100"
    assert as_text(["before", table]).startswith("before\n\na     n\n")


def test_one_long_name_does_not_widen_every_row() -> None:
    job = JOB | {"name": "x" * 3000}
    lines = text("jobs", {"jobs": [job, JOB], "limit": 50}).splitlines()
    assert all(len(line) < 160 for line in lines)
    assert "x…  " in lines[1]
    batch = RESULTS["batches"][0]["batches"][0]
    shown = text("batches", {"batches": [batch | {"name": "y" * 4096, "jobs": {"pending": 7}}]})
    assert max(map(len, shown.splitlines())) < 250


def test_the_fault_of_a_batch_is_shown_in_full() -> None:
    fault = "call_settings.allowed_hours: " + "not understood " * 20 + "END"
    batch = RESULTS["batches"][0]["batches"][0] | {"active": True, "fault": fault}
    assert text("batches", {"batches": [batch]}).endswith("END")


def test_a_line_break_in_a_name_does_not_break_its_row() -> None:
    shown = text("jobs", {"jobs": [JOB | {"name": "Ana\nLuz"}], "limit": 50})
    assert "Ana Luz" in shown


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        ({"state": "accepted"}, ""),
        ({"state": "waiting", "on_their_way": 1}, "done; waiting for 1 dial in flight ..."),
        ({"state": "importing", "done": 500, "of": 1200}, "importing: 500 of 1200 contacts ..."),
        (
            {"state": "draining", "calls_in_hand": 2, "seconds": 65, "left": {}},
            "draining: 2 jobs in hand, 1m 05s so far ...",
        ),
        ({"state": "reading"}, "reading ..."),
        (
            {"state": "importing", "done": 3000, "of": 50_000, "per_second": 1500.0, "seconds_left": 80.0},
            "importing: 3000 of 50000 contacts, 1500 a second, 1m 20s left ...",
        ),
    ],
)
def test_progress_is_one_line(progress: dict[str, Any], line: str) -> None:
    assert progress_line(progress) == line


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, ""),
        (0.9, "0s"),
        (59, "59s"),
        (60, "1m 00s"),
        (3599, "59m 59s"),
        (7800, "2h 10m"),
        (90_000, "1d 1h"),
    ],
)
def test_a_duration_is_shown_in_two_units(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


def test_an_interrupted_import_says_what_to_do() -> None:
    result, _ = RESULTS["imports"]
    broken = text("imports", {"imports": [{**row, "state": "broke_off"} for row in result["imports"]]})
    assert "interrupted: 23,000 of 50,000" in broken
    assert "again with --batch" in broken


@pytest.mark.parametrize(
    ("command", "change", "line"),
    [
        ("shutdown", {"now": False, "calls_in_hand": 0}, "stopping: no job in hand"),
        ("shutdown", {"now": False, "calls_in_hand": 1}, "stopping: 1 job in hand finishes first"),
        ("shutdown", {"now": False, "calls_in_hand": 2}, "stopping: 2 jobs in hand finish first"),
        ("reset-jobs", {"dry_run": False, "reset": 1}, "1 job reset: pending"),
        ("forecast", {"pending": 1}, "of 1 waiting job,"),
        ("forecast", {"beyond": 1}, "1 more job waits after these"),
        ("drain", {"calls_in_hand": 0}, "takes a new job; no job in hand"),
    ],
)
def test_counts_use_the_singular_and_the_plural(command: str, change: dict[str, Any], line: str) -> None:
    assert line in text(command, RESULTS[command][0] | change)


def test_a_list_of_jobs_shows_codes_as_words() -> None:
    shown = text("jobs", {"jobs": [JOB | {"outcome": "do_not_call", "status": "in_progress"}], "limit": 50})
    assert "do not call" in shown
    assert "in progress" in shown


def test_status_names_who_paused_a_batch_as_batches_does() -> None:
    pause = {"by": "maria (uid 1000)", "reason": "wrong amounts"}
    row = {"batch_id": "batch-1", "name": "April", "active": False, "pause": pause, "jobs": {}}
    assert "paused by maria (uid 1000): wrong amounts" in text(
        "status", FakeDaemon().snapshot() | {"batches": [row]}
    )


def of_accounts(minutes: float = 0, **credit: float) -> dict[str, Any]:
    rows = [{"currency": code, "credit": amount} for code, amount in credit.items()]
    return {"minutes": minutes, "credit": sum(credit.values()), "by_currency": rows}


def in_currencies(**amounts: float) -> dict[str, Any]:
    rows = [{"currency": code, "amount": amount, "jobs": 1} for code, amount in amounts.items()]
    return {"jobs": len(rows), "by_currency": rows, "jobs_without_amount": 0}


def test_a_report_of_several_zones_and_currencies_says_so() -> None:
    day = {
        "day": "2026-03-01",
        "calls": 4,
        "by_person": 1,
        "minutes": 3.5,
        "people": {"called": 3, "reached": 1, "contact_rate": 0.3333},
        "charged": of_accounts(CLP=900.0),
        "promised": in_currencies(CLP=1500.0),
        "recovered": in_currencies(),
    }
    charged = of_accounts(CLP=900.0, MXN=12.5)
    for row in charged["by_currency"]:
        row |= {"people_reached": 1, "per_person_reached": row["credit"]}
    answered = {"by_person": 1, "by_machine": 2, "machines_found_later": 1}
    zones = [
        {"timezone": "America/Mexico_City", "accounts": ["mx"]},
        {"timezone": "America/Santiago", "accounts": ["cl", None]},
    ]
    result = {
        **REPORT,
        "from": "2026-03-01",
        "to": "2026-03-01",
        "account_id": None,
        "is_of_calls": True,
        "timezones": zones,
        "people": day["people"],
        "calls": {**REPORT["calls"], **answered, "charged": charged},
        "debt": in_currencies(CLP=10_000.0, MXN=20.0),
        "promises": {**REPORT["promises"], **in_currencies(CLP=1500.0)},
        "recovered": in_currencies(),
        "days": [day],
    }
    shown = text("report", result)
    assert "Campaign report of 2026-03-01, " in shown
    assert "1 of 3 people reached: contact rate 33 %" in shown
    assert "answered by a person: 1; by a machine: 2, 1 of these as Retell's later analysis found" in shown
    assert "charged for each person reached: 900 CLP, 12.50 MXN" in shown
    assert "debt 10,000 CLP, 20.00 MXN; promised 1,500 CLP; recovered 0" in shown
    assert "America/Mexico_City (mx); America/Santiago (cl, calls without an account)." in shown
    assert "By day (each account's zone)" in shown
    assert "Jobs with one of these calls, as they are now" in shown


def test_a_forecast_says_what_all_dials_come_to() -> None:
    result, _ = RESULTS["forecast"]
    more: dict[str, Any] = {
        "dials_total": 90_000,
        "ends_at": "2026-03-09T10:00:00+00:00",
        "calls_at_once": 20,
    }
    ends = datetime.fromisoformat(more["ends_at"]).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    line = f"all of it: 90000 dials, at most 20 calls at once, the last one ends at {ends}"
    assert line in text("forecast", {**result, **more})
    assert "all of it" not in text("forecast", result)


def test_the_head_of_a_report_names_the_time_zone() -> None:
    result, _ = RESULTS["report"]
    shown = text("report", {**result, "jobs": {**result["jobs"], "total": 1}})
    assert datetime.fromisoformat(result["at"]).astimezone().strftime("%H:%M:%S %Z") in shown
    assert "1 job, " in shown


@pytest.mark.parametrize("command", ["status", "alerts"])
def test_an_alert_whose_cause_is_gone_says_so(command: str) -> None:
    clearing = {**ALERT, "clears_in_seconds": 12.0}
    result, _ = RESULTS[command]
    shown = text(command, {**result, "alerts": [clearing], "firing": [clearing]})
    assert (
        "the cause is gone; clears in 12s unless it returns (it was: the database does not answer)" in shown
    )


def test_a_warning_about_a_new_batch_is_shown_below_its_name() -> None:
    created, _ = RESULTS["create-batch"]
    assert "\n! calls from 20:00" in text("create-batch", {**created, "warning": "calls from 20:00"})
    imported, _ = RESULTS["import"]
    assert "\n! calls from 20:00" in text("import", {**imported, "warning": "calls from 20:00"})


def test_status_warns_of_a_host_scaled_to_zero_workers() -> None:
    result, _ = RESULTS["status"]
    without_workers = {**result, "supervisor": {**result["supervisor"], "wanted": 0}}
    assert "scaled to 0 workers" in text("status", without_workers)
    assert "scaled to 0 workers" not in text("status", result)


def test_every_cause_of_a_settled_call_is_shown_in_words() -> None:
    assert set(CAUSES) == set(RetryCause)
    event = {"event": "call.settled", "cause": "served", "status": "done"}
    assert event_line(event) == 'call.settled  cause="goal reached" status=done'
    assert event_line({"event": "worker_ended", "cause": "hung"}) == "worker_ended  cause=hung"


def counted(in_progress: int, **fields: Any) -> dict[str, Any]:
    """A status with one job in hand, and jobs in progress as counted before."""
    daemon = FakeDaemon()
    daemon.in_call = True
    return {**daemon.snapshot(), "queue": {"in_progress": in_progress}, **fields}


def test_status_says_where_the_jobs_in_progress_are_that_no_worker_here_has_in_hand() -> None:
    shown = text("status", counted(5, census={"parked": 1, "lapsed": 1}))
    assert "1 job in hand" in shown
    assert "of the 5 jobs in progress: 1 in hand on this host; 1 parked: Retell does not confirm" in shown
    assert "1 waiting for a worker, the lease has run out; 2 on another host, or claimed or settled" in shown


def test_status_says_nothing_of_it_while_all_are_in_hand() -> None:
    assert "of the" not in text("status", counted(1))


def test_counts_from_before_a_command_say_so() -> None:
    assert "before the last command" in text("status", counted(1, counted_before_command=True))
    assert "before the last command" not in text("status", counted(1, counted_before_command=False))


def test_while_the_database_is_away_status_says_as_of_when_it_knows_holds_and_batches() -> None:
    away = {"state": "away", "error": "no answer"}
    shown = text("status", counted(1, database=away, read_at="2026-03-02T10:00:00+00:00"))
    assert re.search(r"database: away: no answer; what it holds is shown as of 2026-03-0\d \d\d:00:00", shown)


def test_batches_says_what_it_leaves_out_and_which_do_not_exist() -> None:
    shown = text("batches", {"batches": [], "left_out": 2, "missing": {"batch-gone": {"pending": 3}}})
    assert "and 2 older batches with jobs: --limit N" in shown
    assert "batch-gone does not exist, its jobs are not dialled: 3 pending" in shown


def test_check_agent_offers_a_name_that_is_nearly_the_same() -> None:
    assert "has it; is it {{monto_total}}?" in text("check-agent", CHECKED_AGENT)


def test_check_agent_says_that_all_is_well_only_of_what_was_compared() -> None:
    well = {**CHECKED_AGENT, "variables": CHECKED_AGENT["variables"][1:], "lacking": []}
    assert "every variable of the prompt has a value, for 38 waiting jobs" in text("check-agent", well)
    sampled = text("check-agent", {**well, "all_jobs": False})
    assert "every variable of the prompt has a value, for the first 38 waiting jobs" in sampled
    alone = text("check-agent", {**well, "batch_id": None, "name": None, "jobs": 0})
    assert "every variable" not in alone
    assert "not compared with any people" in alone
    hidden = text("check-agent", {**well, "prompt_shown": False, "not_shown": "a program of yours"})
    assert "! the prompt was not checked: a program of yours" in hidden
    assert "every variable" not in hidden


def test_a_start_shows_what_the_agent_would_not_know() -> None:
    warned = {"batch_id": "batch-1", "name": None, "was_active": False, "agent_warning": "no {{monto}}"}
    assert "! no {{monto}}" in text("resume-batch", warned)
    assert "! no {{monto}}" in text("import", {**IMPORTED, "agent_warning": "no {{monto}}"})


@pytest.mark.parametrize(
    ("requests", "shown"),
    [
        (1, r"maria \(key, 10\.0\.0\.5\): export what=jobs: done, 1000 documents"),
        (12, r"done, 1000 documents in 12 requests until 2026-11-22 .*"),
    ],
)
def test_a_record_of_reads_shows_how_many_documents_in_how_many_requests(requests: int, shown: str) -> None:
    line = {
        "event": "read",
        "at": "2026-11-22T12:00:00+00:00",
        "until": "2026-11-22T12:05:00+00:00",
        "actor": "maria (key, 10.0.0.5)",
        "command": "export",
        "args": {"what": "jobs"},
        "outcome": "done",
        "documents": 1000,
        "requests": requests,
    }
    assert re.search(f"{shown}$", log_line(line))


def test_who_gives_a_variable_its_value_is_said_in_words_and_ranked() -> None:
    assert agents._GIVEN.keys() == set(Given)
    assert set(agents._ORDER) == set(Given)


def test_a_recorded_edit_shows_old_and_new_value() -> None:
    change = {"option": "max_attempts", "old": 3, "new": 5}
    line = {"event": "command", "actor": "maria", "command": "edit-batch", "outcome": "done"}
    assert text("logs", {"lines": [{**line, "changes": [change]}]}).endswith("done (max-attempts: 3 -> 5)")


@pytest.mark.parametrize(
    ("everywhere", "here", "said"),
    [
        (True, True, "dialling is allowed again"),
        (False, True, "dialling is allowed again on this host; there was no hold of all hosts"),
        (False, False, "there was no hold"),
    ],
)
def test_unhold_says_what_it_lifted(everywhere: bool, here: bool, said: str) -> None:
    result = {"held": False, "was_held": everywhere, "was_held_here": here}
    assert text("unhold", result).strip() == said


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"was_active": True}, "nothing was changed; first calls now"),
        ({"was_active": True, "started": 2}, "\nfirst calls now"),
        ({"was_active": False}, "\nfirst calls now"),
    ],
)
def test_resuming_a_batch_that_was_active_does_not_read_as_a_start(result: dict[str, Any], said: str) -> None:
    row = {"batch_id": "batch-1", "name": None, "first_calls": {"text": "first calls now"}}
    assert said in text("resume-batch", row | result)


def test_a_test_call_shows_variables_sent_and_collected_side_by_side() -> None:
    shown = as_text(render("test-result", TEST_RESULT))
    assert "answered (user_hangup), 1m 12s talked, cost 0.12 USD at Retell, charged 1.2 minutes" in shown
    rows = [line.split() for line in shown.splitlines()[-3:]]
    assert rows == [
        ["name", "sent", "collected"],
        ["nombre", "Ana"],
        ["fecha_pago_cliente", "2026-04-01"],
    ]


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"state": "queued", "since": None}, "queued: the next free worker takes it"),
        ({"state": "ringing", "since": "2026-03-02T10:00:00+00:00"}, "ringing"),
        ({"state": "talking", "since": "2026-03-02T10:00:48+00:00"}, "talking 12s"),
    ],
)
def test_how_far_a_test_call_is_stands_in_one_line(fields: dict[str, Any], line: str) -> None:
    assert state_line({**TEST_RESULT, **fields}) == line


def test_a_test_call_that_was_not_placed_says_why() -> None:
    shown = as_text(render("test-result", {**TEST_RESULT, "call": None, "why": "test_expired"}))
    assert "there was no call: test expired" in shown
