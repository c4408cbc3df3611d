"""A week of two accounts in two zones, with workers that crash and answers that are lost.

Each day's report is compared with what the simulated Retell says of its calls, and the balances with the
same: by code that uses none of our rules, in decimals, exactly.
"""

from __future__ import annotations

import random
import threading
from collections import Counter, defaultdict
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from speechaid.commands.interfaces import HandlerContext, Invocation
from speechaid.commands.report import report
from speechaid.commands.top_ups import top_up
from speechaid.dialer import dial, recovery
from speechaid.dialer.claim import JobClaimer
from speechaid.dialer.context import WorkerContext
from speechaid.errors import LeaseLost
from speechaid.model.call import Call, ListedCall
from speechaid.protocol.money import exact_amount
from speechaid.retell.faults import Ambiguous
from tests.support.stories import Steps, instrumented
from tests.support.week import IDLE_SECONDS, FakeRetell, PlacedCall, Week

#: A week is simulated before the first test.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

Document = dict[str, Any]

#: Chile sets its clocks back at the end of Saturday, 4 April 2026, which has 25 hours.
START = datetime(2026, 4, 1, tzinfo=UTC)
ZONES = {"cl": ZoneInfo("America/Santiago"), "mx": ZoneInfo("America/Mexico_City")}
#: A minute at 0.6 is a thousandth of a cent for each millisecond: every charge is exact.
ACCOUNTS: dict[str, Document] = {
    "cl": {
        "plan_type": "credit_based",
        "credit_balance": 60,
        "cost_per_call_setup": 0.35,
        "cost_per_minute": 0.6,
        "cost_failed_call": 0.03,
        "timezone": "America/Santiago",
        "currency": "USD",
        "country": "CL",
    },
    "mx": {
        "plan_type": "minutes_based",
        "minutes_purchased": 40,
        "timezone": "America/Mexico_City",
        "currency": "MXN",
        "country": "MX",
    },
}
#: Over midnight, where a call of one day is easily taken for one of the next.
HOURS = {"start": "19:00", "end": "04:30"}
#: Added to each account, twice on each day: at 22:00 and at 23:00 UTC.
JOBS = 9
#: When which account gets how much, under which key; each top-up is sent twice.
TOP_UPS = (
    (1.9, "cl", {"credit": 400.0}, "first"),
    (2.4, "mx", {"minutes": 150.0}, "first"),
    (4.2, "cl", {"credit": 75.25}, "second"),
    (5.1, "mx", {"minutes": 60.5}, "second"),
)
OUTCOMES = {
    "user_hangup": "answered",
    "agent_hangup": "answered",
    "voicemail_reached": "voicemail",
    "dial_no_answer": "no_answer",
    "dial_busy": "busy",
    "dial_failed": "failed",
    "user_requested_dnc": "do_not_call",
    "concurrency_limit_reached": "temporary",
}


class Killed(BaseException):
    """The worker is gone: no code of it runs any more."""


class RoughRetell(FakeRetell):
    """Loses the answer to some creates; some talks are with a machine, and in some the person promises."""

    def __init__(self, week: Week) -> None:
        super().__init__(week.clock, week.seed)
        self._dice = random.Random(17)
        self.lost_answers = 0

    def create_call(self, body: Document) -> Call:
        call = super().create_call(body)
        if self._dice.random() < 0.04:
            self.lost_answers += 1
            raise Ambiguous("the answer was lost")
        return call

    def get_call(self, call_id: str) -> Call:
        call = super().get_call(call_id)
        placed = self.calls[call_id]
        if not call.is_over or placed.connected_at is None:
            return call
        collected = {"fecha_pago_cliente": "2026-05-02", "monto_pago_cliente": promised(placed)}
        told = {"collected_dynamic_variables": collected} if promised(placed) else {}
        return Call.read({**call.document, "call_analysis": {"in_voicemail": is_machine(placed)}, **told})

    def find_calls(
        self,
        *,
        call_id: str | None = None,
        metadata: Document | None = None,
        to_number: str | None = None,
        started_after: datetime | None = None,
    ) -> list[ListedCall]:
        found = []
        for name, call in self.calls.items():
            fits = (metadata or {}).items() <= call.metadata.items() and call_id in {None, name}
            if fits and to_number in {None, call.number} and (call_id or metadata or started_after):
                found.append(ListedCall.read(super().get_call(name).document))
        return found


def is_machine(call: PlacedCall) -> bool:
    """Whether the later analysis calls it a machine: each seventh talk, and every voicemail."""
    return call.reason == "voicemail_reached" or int(call.call_id.removeprefix("call_")) % 7 == 0


def promised(call: PlacedCall) -> str | None:
    serial = int(call.call_id.removeprefix("call_"))
    return f"{1000 + serial}.25" if call.reason == "user_hangup" and serial % 3 == 0 else None


class RoughWeek(Week):
    """A week whose workers are killed at writes, before or after them; others take over."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.retell = RoughRetell(self)
        self.crashes = 0
        self._dice = random.Random(23)
        self._mortal = threading.local()

    def kill(self, _number: int, _name: str, _done: bool) -> None:
        """Called around each write."""
        if getattr(self._mortal, "is_worker", False) and self._dice.random() < 0.004:
            self.crashes += 1
            raise Killed

    def work(self, context: WorkerContext) -> None:
        self._mortal.is_worker = True
        while True:
            with suppress(Killed):
                self._live(context)
            self.clock.sleep(5)
            context = self.context(1000 + self.crashes)

    def _live(self, context: WorkerContext) -> None:
        """As a worker of ``Week``, with recovery."""
        claimer = JobClaimer(context)
        while True:
            with suppress(LeaseLost):
                claimed = claimer.claim()
                if claimed is not None and self._idle:
                    self.clock.wake(self._idle.pop())
                if claimed is not None and claimed.job.dial is not None:
                    recovery.recover(context, claimed.job)
                elif claimed is not None:
                    dial.run(context, claimed.job, claimed.preflight)
                elif self._scouting:
                    self.clock.park(self._idle)
                elif not recovery.recover_one(context):
                    self._scouting = True
                    self.clock.sleep(IDLE_SECONDS)
                    self._scouting = False


@pytest.fixture(scope="module")
def week() -> RoughWeek:
    """The week, when it is over."""
    week = RoughWeek(start=START, workers=6)
    for serial, (name, fields) in enumerate(ACCOUNTS.items()):
        week.store.accounts.table.insert({"account_id": name, "status": "active", **fields})
        settings = {"allowed_hours": HOURS, "retry_delay_hours": 4, "max_attempts": 4}
        week.store.batches.create({"batch_id": name, "account_id": name, "call_settings": settings})
        for part, hour in enumerate([22, 23] * 7):
            first = (serial * 14 + part) * JOBS
            at = (part // 2 * 24 + hour) * 3600
            week.clock.at(at, lambda a=name, b=first: add_jobs(week, a, b))  # type: ignore[misc]
    for days, account, amount, key in TOP_UPS:
        week.clock.at(days * 86_400, lambda a=account, b=amount, c=key: add(week, a, b, c))  # type: ignore[misc]
    with instrumented(Steps(week.kill)):
        week.run(7)
    return week


def add_jobs(week: RoughWeek, account: str, first: int) -> None:
    for serial in range(first, first + JOBS):
        add_job(week, account, serial)


def add_job(week: RoughWeek, account: str, serial: int) -> None:
    # Each person has two jobs.
    contact = {
        "name": "Ana",
        "dni": f"{5_000_000 + serial // 2}-K",
        "phones": [f"+5691{serial:04d}{place:03d}" for place in range(1 + serial % 3)],
        "next_phone_index": 0,
    }
    payload = {"debt_amount": 1000 + serial, "currency": ACCOUNTS[account]["currency"]}
    week.store.jobs.table.insert(
        {
            "job_id": f"job-{serial}",
            "batch_id": account,
            "account_id": account,
            "status": "pending",
            "attempts": 0,
            "reserved_until": None,
            "contact": contact,
            "payload": payload,
        }
    )


def add(week: RoughWeek, account: str, amount: Document, key: str) -> None:
    """Top an account up; the answer is lost, and so it is sent again."""
    args = {"account": account, "minutes": None, "credit": None, "note": None, "idempotency_key": key}
    for _ in range(2):
        ask(week, top_up, **args | amount)


def ask(week: RoughWeek, command: Any, **args: Any) -> Document:
    context = HandlerContext(store=week.store, settings=week.settings, in_loop=lambda call: call())
    called = Invocation(args=args, actor="a test", attachment=None, progress=lambda _progress: None)
    found: Document = command(context, called)
    return found


def report_of(week: RoughWeek, **args: Any) -> Document:
    names = ("batch", "account", "agent", "number", "from_number", "day", "from", "to")
    return ask(week, report, **{**dict.fromkeys(names), "format": "json", **args})


def settled(week: RoughWeek, account: str) -> list[PlacedCall]:
    """The calls that are settled; of the others, the week's end left the last ones."""
    results = Counter(row["call_id"] for row in week.rows("call_results").values())
    assert max(results.values()) == 1
    assert len(week.retell.calls) - len(results) <= week.workers
    return [
        call
        for call in week.retell.calls.values()
        if call.metadata["account_id"] == account and call.call_id in results
    ]


def day_of(week: RoughWeek, account: str, call: PlacedCall) -> date:
    return (week.start + timedelta(seconds=call.placed_at)).astimezone(ZONES[account]).date()


def by_day(week: RoughWeek, account: str) -> dict[date, list[PlacedCall]]:
    days: dict[date, list[PlacedCall]] = defaultdict(list)
    for call in settled(week, account):
        days[day_of(week, account, call)].append(call)
    return days


def milliseconds(call: PlacedCall) -> int:
    return 0 if call.connected_at is None else round((call.ended_at - call.connected_at) * 1000)


def charge(account: str, call: PlacedCall) -> Decimal:
    """What a call takes of its account, in its unit: credit or minutes."""
    if call.reason == "concurrency_limit_reached":
        return Decimal(0)
    fields, talked = ACCOUNTS[account], Decimal(milliseconds(call))
    if fields["plan_type"] == "minutes_based":
        return round(talked / 60_000, 6)
    if call.connected_at is None:
        return Decimal(str(fields["cost_failed_call"]))
    return Decimal(str(fields["cost_per_call_setup"])) + talked * Decimal("0.00001")


def person_of(call: PlacedCall) -> int:
    return int(call.metadata["job_id"].removeprefix("job-")) // 2


def expected(account: str, calls: list[PlacedCall]) -> Document:
    """The figures of a report, from Retell's record."""
    rang = [call for call in calls if call.reason != "concurrency_limit_reached"]
    talks = {"user_hangup", "agent_hangup", "user_requested_dnc"}
    people = [call for call in calls if call.reason in talks and not is_machine(call)]
    later = [call for call in calls if call.reason in talks and is_machine(call)]
    latest: dict[str, PlacedCall] = {}
    for call in sorted(calls, key=lambda call: call.placed_at):
        if promised(call):
            latest[call.metadata["job_id"]] = call
    return {
        "outcomes": dict(Counter(OUTCOMES[call.reason] for call in calls)),
        "milliseconds": sum(map(milliseconds, calls)),
        "cost": sum((Decimal(str(round(call.minutes * 11, 4))) / 100 for call in calls), Decimal(0)),
        "charged": sum((charge(account, call) for call in calls), Decimal(0)),
        "people": (len({person_of(call) for call in rang}), len({person_of(call) for call in people})),
        "by person and machine": (
            len(people),
            len(later) + sum(call.reason == "voicemail_reached" for call in calls),
            len(later),
        ),
        "promised": sum((Decimal(promised(call) or 0) for call in latest.values()), Decimal(0)),
    }


def found_in(account: str, found: Document) -> Document:
    """The same figures of a report."""
    calls, unit = found["calls"], {"cl": "credit", "mx": "minutes"}[account]
    promises = found["promises"]["by_currency"]
    return {
        "outcomes": calls["by_outcome"],
        "milliseconds": round(calls["seconds"] * 1000),
        "cost": Decimal(str(calls["cost"])),
        "charged": Decimal(str(calls["charged"][unit])),
        "people": (found["people"]["called"], found["people"]["reached"]),
        "by person and machine": (calls["by_person"], calls["by_machine"], calls["machines_found_later"]),
        "promised": Decimal(str(promises[0]["amount"])) if promises else Decimal(0),
    }


def test_the_week_was_rough(week: RoughWeek) -> None:
    assert isinstance(week.retell, RoughRetell)
    assert week.crashes > 30
    assert week.retell.lost_answers > 10
    assert len(week.retell.calls) > 400


@pytest.mark.parametrize("account", ACCOUNTS)
def test_each_days_report_is_what_retell_says_to_the_cent_and_the_millisecond(
    week: RoughWeek, account: str
) -> None:
    days = by_day(week, account)
    assert len(days) >= 6
    for day, calls in days.items():
        found = report_of(week, account=account, day=day.isoformat())
        assert found_in(account, found) == expected(account, calls), day
        assert found["timezone"] == ZONES[account].key
        assert [row["day"] for row in found["days"]] == [day.isoformat()]


@pytest.mark.parametrize("account", ACCOUNTS)
def test_the_report_of_the_week_and_its_days_add_up(week: RoughWeek, account: str) -> None:
    found, days = report_of(week, account=account), by_day(week, account)
    assert found_in(account, found) == expected(account, settled(week, account))
    assert {row["day"]: row["calls"] for row in found["days"]} == {
        day.isoformat(): len(calls) for day, calls in days.items()
    }
    hours = Counter(
        (week.start + timedelta(seconds=call.placed_at)).astimezone(ZONES[account]).hour
        for call in settled(week, account)
    )
    assert {row["hour"]: row["calls"] for row in found["hours"]} == hours


def test_the_day_of_the_clock_change_has_25_hours_of_calls(week: RoughWeek) -> None:
    moments = [
        week.start + timedelta(seconds=call.placed_at)
        for call in settled(week, "cl")
        if day_of(week, "cl", call) == date(2026, 4, 4)
    ]
    # The hour from 23:00 comes twice: from 02:00 and from 03:00 UTC.
    assert {moment.hour for moment in moments} >= {2, 3}


def test_a_day_over_both_accounts_is_that_of_each(week: RoughWeek) -> None:
    day = date(2026, 4, 4)
    found = report_of(week, day=day.isoformat())
    calls = {account: by_day(week, account)[day] for account in ACCOUNTS}
    assert found["calls"]["total"] == sum(map(len, calls.values()))
    (charged,) = found["calls"]["charged"]["by_currency"]
    assert charged["currency"] == "USD"
    assert Decimal(str(charged["credit"])) == expected("cl", calls["cl"])["charged"]
    assert [row["timezone"] for row in found["timezones"]] == ["America/Mexico_City", "America/Santiago"]


@pytest.mark.parametrize("account", ACCOUNTS)
def test_the_balance_is_exact_after_top_ups_calls_crashes_and_replays(week: RoughWeek, account: str) -> None:
    document = next(row for row in week.rows("accounts").values() if row["account_id"] == account)
    unit, bought, used = {
        "cl": ("credit", "credit_balance", "credit_used"),
        "mx": ("minutes", "minutes_purchased", "minutes_used"),
    }[account]
    added = [amount[unit] for _, name, amount, _ in TOP_UPS if name == account]
    assert document[bought] == ACCOUNTS[account][bought] + sum(added)
    rows = [row for row in week.rows("transactions").values() if row["account_id"] == account]
    assert sorted(row.get("credits") or row["minutes"] for row in rows) == sorted(added)
    paid = sum((charge(account, call) for call in settled(week, account)), Decimal(0))
    # The database adds doubles: what is below a millionth is no money.
    assert exact_amount(document[used]) == paid
    held = [entry["key"] for entry in document.get("open_dials", [])]
    assert len(held) <= week.workers
