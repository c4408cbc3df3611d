"""Requests of the web process for its users, through socket and database: roles, accounts, records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from speechaid.commands.scopes import SCOPES
from speechaid.maintenance.housekeeping import COUNTERS
from speechaid.model.identity import Role
from speechaid.protocol import messages
from speechaid.protocol.commands import COMMANDS
from speechaid.protocol.on_behalf import OnBehalf
from speechaid.rules.roles import NOBODY, may
from tests.integration.control.test_commands import CSV, Operator, operator
from tests.integration.control.test_socket import RawClient

__all__ = ["operator"]

Document = dict[str, Any]
#: What is the account's own, and what is another's.
OWN, OTHER = "acc-1", "acc-2"


class Page:
    """The web process: it asks for one user after the other."""

    def __init__(self, operator: Operator, raw: RawClient) -> None:
        self.operator = operator
        self.raw = raw

    def ask(
        self,
        command: str,
        /,
        *,
        role: str = "admin",
        bound: str | None = OWN,
        file: str | None = None,
        **args: Any,
    ) -> Document:
        """The last answer; role and account are those of the user."""
        on_behalf = OnBehalf(user="maria", role=role, account=bound).to_wire()
        self.send(command, args, on_behalf, file)
        while True:
            reply = self.receive()
            if "progress" not in reply:
                return reply

    def send(self, command: str, args: Document, on_behalf: Document, file: str | None = None) -> None:
        header = messages.encode({"id": "q1", "command": command, "args": args, "on_behalf": on_behalf})
        self.raw.send(header, *([] if file is None else [file.encode()]))

    def receive(self) -> Document:
        # Longer than the client's own patience: some commands read for seconds on a busy machine.
        assert self.raw.dealer.poll(120_000), "no answer"
        return self.raw.receive()

    def result(self, command: str, /, **options: Any) -> Document:
        reply = self.ask(command, **options)
        assert reply["ok"], reply
        return dict(reply["result"])

    def error(self, command: str, /, **options: Any) -> tuple[str, str]:
        reply = self.ask(command, **options)
        assert not reply["ok"], reply
        return reply["error"]["code"], reply["error"]["message"]


@pytest.fixture
def page(operator: Operator, tmp_path: Path) -> Iterator[Page]:
    for account in (OWN, OTHER):
        operator.store.accounts.create(account, {"plan_type": "unlimited", "status": "active"}, by="test")
    for batch, account in ((OWN_BATCH, OWN), (OTHER_BATCH, OTHER)):
        operator.database.batches.insert_one(
            {"batch_id": batch, "name": f"Octubre {batch}", "account_id": account, "is_active": True}
        )
        contact = {"name": "Ana", "dni": "12345678-5", "phones": ["+56912345671"], "next_phone_index": 0}
        operator.database.jobs.insert_one(
            {
                "job_id": f"job-{batch}",
                "batch_id": batch,
                "account_id": account,
                "status": "suspended",
                "contact": contact,
                "person_keys": [f"id:{account}"],
            }
        )
    raw = RawClient(tmp_path / "control.sock")
    yield Page(operator, raw)
    raw.close()


#: The other one's id begins with the own one's: neither may be taken for the other.
OWN_BATCH, OTHER_BATCH = "batch-1", "batch-10"
#: For each command that looks something up: arguments that name what is the user's own.
EXAMPLES: Final[dict[str, Document]] = {
    **{
        key: {"batch": OWN_BATCH}
        for key in (
            "batch",
            "delete-batch",
            "pause-batch",
            "resume-batch",
            "cancel-batch",
            "report",
            "promises",
        )
    },
    **{key: {"batch": OWN_BATCH} for key in ("forecast", "reset-jobs", "check-agent", "logs", "jobs")},
    "export": {"what": "jobs", "batch": OWN_BATCH},
    "edit-batch": {"batch": OWN_BATCH, "description": "x"},
    "redial-batch": {"batch": OWN_BATCH, "outcomes": "no-answer"},
    "create-batch": {"name": "new", "copy_from": OWN_BATCH},
    "import": {"filename": "a.csv", "batch": OWN_BATCH, "country": "CL"},
    "undo-import": {"import": OWN_BATCH},
    "test-call": {"to": "+56955550099", "batch": OWN_BATCH},
    **{
        key: {"job": f"job-{OWN_BATCH}"}
        for key in ("job", "explain", "suspend-job", "resume-job", "cancel-job", "hang-up")
    },
    "test-result": {"test": f"job-{OWN_BATCH}"},
    **{key: {"account": OWN} for key in ("account", "transactions")},
}


def renamed(args: Document, names: dict[str, str]) -> Document:
    """The arguments with other names in place of the account's own."""
    return {key: names.get(value, value) for key, value in args.items()}


OTHERS: Final = {OWN_BATCH: OTHER_BATCH, f"job-{OWN_BATCH}": f"job-{OTHER_BATCH}", OWN: OTHER}
UNKNOWN: Final = {OWN_BATCH: "batch-99", f"job-{OWN_BATCH}": "job-batch-99", OWN: "acc-9"}


# -- who is believed, and what a role may ----------------------------------------------------------------


def test_the_hosts_commands_are_refused_whatever_the_role(page: Page) -> None:
    values: Document = {"count": 1, "worker": "worker-1", "level": "DEBUG", "kind": "job"}
    for name in sorted(NOBODY - {"top", "keys", "completion"}):
        args = {one.name: values[one.name] for one in COMMANDS[name].arguments if one.required}
        for role in Role:
            assert page.error(name, role=role, bound=None, **args)[0] == "forbidden", (name, role)


def test_a_role_is_checked_again_by_the_daemon(page: Page) -> None:
    refused = [(name, role) for name in EXAMPLES for role in Role if not may(role, name)]
    assert refused
    for name, role in refused:
        file = CSV if name == "import" else None
        assert page.error(name, role=role, file=file, **EXAMPLES[name])[0] == "forbidden", (name, role)


def test_what_does_not_say_plainly_for_whom_it_is_is_not_carried_out(page: Page) -> None:
    wrong: list[Any] = [
        "maria",
        [],
        {"user": "maria"},
        {"user": "maria", "role": "root"},
        {"user": "maria", "role": ["admin"]},
        {"user": "Maria (uid 0)", "role": "admin"},
        {"user": "", "role": "admin"},
        {"user": "maria", "role": "admin", "account": ""},
        {"user": "maria", "role": "admin", "account": ["acc-1"]},
        {"user": "maria", "role": "admin", "account": "a\nb"},
        {"user": "maria", "role": "admin", "kind": "root"},
        {"user": "maria", "role": "admin", "kind": ["user"]},
        {"user": "maria", "role": "admin", "more": 1},
    ]
    for on_behalf in wrong:
        page.send("hold", {}, on_behalf)
        assert page.receive()["error"]["code"] == "bad_request", on_behalf


def test_a_request_for_a_user_says_version_2_and_no_other_does(page: Page) -> None:
    whole = {"command": "status", "on_behalf": {"user": "maria", "role": "viewer"}}
    assert page.raw.ask(**whole)["error"]["code"] == "bad_version"
    assert page.raw.ask(command="status", v=2)["error"]["code"] == "bad_version"
    assert page.raw.ask(**whole, v=2)["ok"]


# -- one account -----------------------------------------------------------------------------------------


def test_what_concerns_every_account_is_not_for_users_of_one(page: Page) -> None:
    values: Document = {"number": "+56912345671", "account": OWN, "plan": "unlimited", "person": "Ana"}
    for name, scope in SCOPES.items():
        if scope.refused is None:
            continue
        needed = {one.name: values.get(one.name, "a.csv") for one in COMMANDS[name].arguments if one.required}
        file = "+56912345671\n" if COMMANDS[name].needs_file else None
        code, message = page.error(name, file=file, **needed)
        assert (code, "not for users of one account" in message) == ("forbidden", True), name


def test_a_command_about_all_needs_something_of_the_account(page: Page) -> None:
    for name, scope in SCOPES.items():
        if scope.needs:
            assert page.error(name)[0] == "forbidden", name


def test_what_is_another_accounts_is_refused_as_what_does_not_exist(page: Page) -> None:
    database = page.operator.database

    def stored() -> Document:
        """All that is stored, but the counts that housekeeping writes into batches meanwhile."""
        batches = list(database.batches.find({}, dict.fromkeys(COUNTERS, 0)))
        return {"batches": batches, **{each: list(database[each].find({})) for each in ("jobs", "accounts")}}

    before = stored()
    for name, own in EXAMPLES.items():
        file = CSV if name == "import" else None
        other = page.error(name, file=file, **renamed(own, OTHERS))
        unknown = page.error(name, file=file, **renamed(own, UNKNOWN))
        assert other[0] == "not_found", name
        message = unknown[1]
        for each, known in UNKNOWN.items():
            message = message.replace(f"'{known}'", f"'{OTHERS[each]}'")
        assert other == (unknown[0], message)
    assert before == stored()


def test_what_is_the_accounts_own_is_found(page: Page) -> None:
    last = ("cancel-job", "hang-up", "cancel-batch", "delete-batch")
    # Of these there is nothing to be found: no test call, no import, no Retell.
    without = {"test-call", "test-result", "check-agent", "undo-import", *last}
    for name in (*(name for name in EXAMPLES if name not in without), *last):
        reply = page.ask(name, file=CSV if name == "import" else None, **EXAMPLES[name])
        assert reply["ok"] or reply["error"]["code"] == "refused", (name, reply)


def test_a_beginning_or_a_name_finds_batches_of_the_account_alone(page: Page) -> None:
    assert page.result("batch", batch="Octubre batch-1")["batch_id"] == OWN_BATCH
    assert page.result("batch", batch="bat")["batch_id"] == OWN_BATCH
    assert page.error("batch", batch="Octubre batch-10")[0] == "not_found"
    assert page.error("batch", batch="batch-10")[0] == "not_found"
    assert page.error("job", job="job-batch")[0] == "not_found"


def test_lists_are_of_the_account_whatever_is_asked(page: Page) -> None:
    for options in ({}, {"account": OWN}, {"account": "acc"}, {"number": "+56912345671"}):
        rows = page.result("jobs", **options)["jobs"]
        assert {row["account_id"] for row in rows} == {OWN}
    assert page.error("jobs", account=OTHER)[0] == "not_found"
    assert page.error("export", what="dnc")[0] == "bad_argument"
    (row,) = page.result("export", what="jobs")["rows"]
    assert OTHER_BATCH not in str(row)


def test_calls_and_people_by_their_jobs_are_of_the_account_alone(page: Page) -> None:
    for batch, account in ((OWN_BATCH, OWN), (OTHER_BATCH, OTHER)):
        page.operator.database.call_results.insert_one(
            {"call_id": f"call-{batch}", "job_id": f"job-{batch}", "account_id": account}
        )
    assert page.result("call", call=f"call-{OWN_BATCH}")["job_id"] == f"job-{OWN_BATCH}"
    for command in ("call", "recording"):
        assert page.error(command, call=f"call-{OTHER_BATCH}")[0] == "not_found"
    for command in ("person", "opt-out", "paid"):
        assert page.error(command, person=f"job:job-{OTHER_BATCH}")[0] == "not_found"
    assert page.error("call", role="viewer", call=f"call-{OWN_BATCH}")[0] == "forbidden"


def test_a_new_batch_is_the_accounts(page: Page) -> None:
    batch_id = page.result("create-batch", name="new")["batch_id"]
    assert page.operator.batch(batch_id)["account_id"] == OWN
    assert page.error("create-batch", name="new", account=OTHER)[0] == "not_found"
    assert page.error("edit-batch", batch=OWN_BATCH, account=OTHER)[0] == "not_found"
    imported = page.result("import", filename="a.csv", file=CSV, country="CL", hours="09:00-18:00")
    assert page.operator.batch(imported["batch_id"])["account_id"] == OWN


def test_a_batch_is_not_taken_out_of_its_account(page: Page) -> None:
    assert page.error("edit-batch", batch=OWN_BATCH, unset=["account"])[0] == "forbidden"
    assert page.operator.batch(OWN_BATCH)["account_id"] == OWN
    assert page.result("edit-batch", batch=OWN_BATCH, description="x")["batch_id"] == OWN_BATCH


def test_who_is_called_by_another_account_is_not_named(page: Page) -> None:
    jobs = page.operator.database.jobs
    jobs.update_one({"job_id": f"job-{OWN_BATCH}"}, {"$set": {"status": "pending"}})
    jobs.update_one(
        {"job_id": f"job-{OTHER_BATCH}"},
        {"$set": {"status": "in_progress", "dial": {"number": "+56912345671", "key": "k"}}},
    )
    shown = page.result("explain", job=f"job-{OWN_BATCH}")
    assert "another account's job" in str(shown["checks"])
    assert OTHER_BATCH not in str(shown)


def test_events_of_a_batch_are_no_other_ones(page: Page) -> None:
    page.send("events", {"batch": OWN_BATCH}, OnBehalf(user="maria", role="operator", account=OWN).to_wire())
    assert page.receive()["progress"] == {"state": "listening"}
    service = page.operator.service
    thread, publish = service._database_thread, service.dispatcher.subscriptions.publish
    assert thread is not None

    def publish_both() -> None:
        for batch in (OTHER_BATCH, OWN_BATCH):
            publish("worker-1", "call.placed", {"batch": batch})

    thread.add_answer(publish_both)
    assert page.receive()["progress"]["event"]["batch"] == OWN_BATCH


def test_an_import_of_another_account_is_not_taken_back(page: Page) -> None:
    imported = page.result("import", bound=None, filename="a.csv", file=CSV, country="CL", batch=OTHER_BATCH)
    assert page.error("undo-import", **{"import": imported["import_id"]})[0] == "not_found"
    assert page.error("undo-import", **{"import": OTHER_BATCH})[0] == "not_found"


def test_a_person_is_shown_without_what_other_accounts_know(page: Page) -> None:
    page.operator.store.do_not_call.add("+56912345671", source="call", job_id=f"job-{OTHER_BATCH}")
    found = page.result("person", person="+56912345671")
    assert {job["account_id"] for job in found["jobs"]} == {OWN}
    (listed,) = found["opt_outs"]
    assert (listed["by"], listed["job"]) == (None, None)
    page.operator.store.do_not_call.add("+56922223333", source="call", job_id=f"job-{OTHER_BATCH}")
    assert page.result("person", person="+56922223333")["opt_outs"] == []


def test_only_people_of_the_account_are_opted_out(page: Page) -> None:
    assert page.error("opt-out", person="+56922223333")[0] == "not_found"
    assert not page.operator.store.do_not_call.listed(["+56922223333"])
    assert page.result("opt-out", person="+56912345671")["jobs"] == 1


def test_a_number_registered_for_another_account_is_refused_as_one_that_is_not(page: Page) -> None:
    numbers = page.operator.store.test_calls
    numbers.add_number("+56955550099", account_id=OTHER, note=None, by="test")
    registered = page.error("test-call", to="+56955550099", batch=OWN_BATCH)
    other = page.error("test-call", to="+56955550098", batch=OWN_BATCH)
    assert registered[0] == other[0] == "refused"
    assert registered[1].replace("99 is", "98 is") == other[1]


def test_an_account_that_is_gone_has_nothing(page: Page) -> None:
    assert page.error("jobs", bound="acc-9")[0] == "not_found"
    assert page.error("create-batch", bound="acc-9", name="new")[0] == "not_found"


# -- records ---------------------------------------------------------------------------------------------


def test_a_write_is_recorded_under_the_users_name(page: Page) -> None:
    page.result("pause-batch", batch=OWN_BATCH, reason="wrong amounts", role="operator")
    assert page.operator.batch(OWN_BATCH)["pause"]["by"] == "maria (user)"
    (line,) = page.operator.recorded(1)
    assert (line["actor"], line["command"], line["outcome"]) == ("maria (user)", "pause-batch", "done")


def test_a_refused_write_is_recorded_under_the_users_name(page: Page) -> None:
    page.error("pause-batch", batch=OTHER_BATCH)
    (line,) = page.operator.recorded(1)
    assert (line["actor"], line["outcome"]) == ("maria (user)", "not_found")


def test_a_read_of_people_is_recorded_under_the_users_name(page: Page) -> None:
    page.result("jobs", role="operator")
    (line,) = page.operator.recorded(1, event="read")
    assert (line["actor"], line["command"], line["documents"]) == ("maria (user)", "jobs", 1)
    page.operator.run("jobs")
    actors = [one["actor"] for one in page.operator.recorded(2, event="read")]
    assert len(set(actors)) == 2
