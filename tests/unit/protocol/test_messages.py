"""The command table, and the validation of requests."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.commands.registry import REGISTRY, BackgroundCommand, LoopCommand
from speechaid.protocol import messages
from speechaid.protocol.commands import GROUPS
from speechaid.protocol.messages import (
    COMMANDS,
    EXIT_STATUS,
    Access,
    CommandSpec,
    ErrorCode,
    Kind,
    Peer,
    Refusal,
    Request,
    Runs,
    validate,
)
from speechaid.protocol.on_behalf import OnBehalf
from speechaid.protocol.specs.specification import Argument

SPECS = list(COMMANDS.values())
ARGUMENTS = [(spec, argument) for spec in SPECS for argument in spec.arguments]


def request(command: str = "status", args: Any = None, **changes: Any) -> dict[str, Any]:
    return {"v": 1, "id": "q1", "command": command, "args": {} if args is None else args, **changes}


def refusal(header: object, attachment: bytes | None = None) -> Refusal:
    checked = messages.validate(header, attachment)
    assert isinstance(checked, Refusal), checked
    return checked


def accepted(header: object, attachment: bytes | None = None) -> Request:
    checked = messages.validate(header, attachment)
    assert isinstance(checked, Request), checked
    return checked


# -- the table ---------------------------------------------------------------------------------------------


def test_every_command_has_a_handler_of_the_thread_that_the_table_names() -> None:
    registered = {Runs.LOOP: LoopCommand, Runs.BACKGROUND: BackgroundCommand}
    wanted = {spec.name: registered[spec.runs] for spec in SPECS if spec.runs in registered}
    assert {name: type(row) for name, row in REGISTRY.items()} == wanted


def test_every_error_code_has_an_exit_status_of_a_refusal_or_of_wrong_usage() -> None:
    assert set(EXIT_STATUS) == set(ErrorCode)
    assert set(EXIT_STATUS.values()) <= {1, 2}


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_command_has_one_line_of_help_and_each_argument_once(spec: CommandSpec) -> None:
    assert spec.help == spec.help.strip().removesuffix(".")
    names = [argument.name for argument in spec.arguments]
    assert len(names) == len(set(names))
    assert sum(argument.kind is Kind.FILE for argument in spec.arguments) <= 1


@pytest.mark.parametrize(("spec", "argument"), ARGUMENTS, ids=[f"{s.name}-{a.name}" for s, a in ARGUMENTS])
def test_an_argument_has_bounds_and_an_allowed_default(spec: CommandSpec, argument: Argument) -> None:
    if argument.kind in {Kind.INTEGER, Kind.NUMBER, Kind.DURATION}:
        assert argument.minimum is not None
        assert argument.maximum is not None
    assert not (argument.required and argument.default is not None)
    if argument.choices and argument.default is not None:
        assert argument.default in argument.choices


# -- good requests -----------------------------------------------------------------------------------------


def test_a_request_gets_defaults() -> None:
    filters = dict.fromkeys(("batch", "account", "outcome", "number", "agent", "from_number", "from", "to"))
    others = {"status": None, "tests": False, "after": None, "limit": 50}
    assert accepted(request("jobs")).args == {**filters, **others}


def test_absent_flags_are_false() -> None:
    assert accepted(request("drain")).args == {"stop": False}


def test_null_means_absent() -> None:
    assert accepted(request("pause-batch", {"batch": "b", "reason": None})).args["reason"] is None


def test_args_may_be_absent() -> None:
    assert accepted({"v": 1, "id": "q1", "command": "status"}).args == {}


def test_unknown_fields_of_the_header_are_ignored() -> None:
    assert accepted(request(trace="abc")).command.name == "status"


def test_a_file_is_the_attachment() -> None:
    assert accepted(request("import", {"filename": "a.csv"}), b"name,phone\n").attachment == b"name,phone\n"


# -- bad requests: a code for each, and a helpful message --------------------------------------------------


@pytest.mark.parametrize(
    ("header", "code", "words"),
    [
        ([1], ErrorCode.BAD_REQUEST, "not a list"),
        (None, ErrorCode.BAD_REQUEST, "not null"),
        ({}, ErrorCode.BAD_REQUEST, "id:"),
        (request(id="x" * 65), ErrorCode.BAD_REQUEST, "1 to 64"),
        (request(id="a b"), ErrorCode.BAD_REQUEST, "id:"),
        (request(v=2), ErrorCode.BAD_VERSION, "speaks version 1"),
        (request(v=True), ErrorCode.BAD_VERSION, "v = true"),
        (request(v="1"), ErrorCode.BAD_VERSION, 'v = "1"'),
        (request(7), ErrorCode.BAD_REQUEST, "command: a text"),  # type: ignore[arg-type]
        (request("pause-bach"), ErrorCode.UNKNOWN_COMMAND, "did you mean pause-batch?"),
        (request("\ud800"), ErrorCode.UNKNOWN_COMMAND, "no command"),
        (request("status", []), ErrorCode.BAD_ARGUMENT, "not a list"),
        (request("status", {"x": 1}), ErrorCode.BAD_ARGUMENT, "allowed: none"),
        (request("pause-batch"), ErrorCode.BAD_ARGUMENT, "batch is missing"),
        (request("pause-batch", {"bach": "b"}), ErrorCode.BAD_ARGUMENT, "did you mean batch?"),
        (request("pause-batch", {"batch": 7}), ErrorCode.BAD_ARGUMENT, "not a number"),
        (request("pause-batch", {"batch": "  "}), ErrorCode.BAD_ARGUMENT, "empty"),
        (request("pause-batch", {"batch": "x" * 5000}), ErrorCode.BAD_ARGUMENT, "5000 characters"),
        (request("pause-batch", {"batch": "a\x1b[2J"}), ErrorCode.BAD_ARGUMENT, "control characters"),
        (request("pause-batch", {"batch": "a\ud800"}), ErrorCode.BAD_ARGUMENT, "control characters"),
        (request("scale", {"count": "3"}), ErrorCode.BAD_ARGUMENT, "not a text"),
        (request("scale", {"count": 3.5}), ErrorCode.BAD_ARGUMENT, "a whole number"),
        (request("scale", {"count": True}), ErrorCode.BAD_ARGUMENT, "not true or false"),
        (request("scale", {"count": -1}), ErrorCode.BAD_ARGUMENT, "0 to 2000"),
        (
            request("create-batch", {"name": "x", "max_concurrent_calls": 0}),
            ErrorCode.BAD_ARGUMENT,
            "1 to 100000 (calls at a time; for none use pause-batch)",
        ),
        (request("drain", {"stop": 1}), ErrorCode.BAD_ARGUMENT, "true or false is required"),
        (request("log-level", {"level": "INF"}), ErrorCode.BAD_ARGUMENT, "did you mean INFO?"),
        (request("import", {"filename": "a.csv"}), ErrorCode.BAD_REQUEST, "needs a file"),
    ],
)
def test_a_bad_request_is_refused_with_code_and_fault(header: object, code: ErrorCode, words: str) -> None:
    refused = refusal(header)
    assert refused.code is code
    assert words in refused.message


def test_local_arguments_are_refused_on_the_wire() -> None:
    assert refusal(request("drain", {"wait": True})).code is ErrorCode.BAD_ARGUMENT


def test_a_file_for_a_command_that_takes_none_is_refused() -> None:
    assert "takes no attached file" in refusal(request("status"), b"x").message


def test_a_refusal_has_the_id_where_it_could_be_read() -> None:
    assert refusal(request("nonsense")).id == "q1"
    assert refusal({"id": 7}).id is None


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"", ErrorCode.BAD_JSON),
        (b"{", ErrorCode.BAD_JSON),
        (b"\xff\xfe", ErrorCode.BAD_JSON),
        (b'{"v": NaN}', ErrorCode.BAD_JSON),
        (b"[" * 500_000, ErrorCode.BAD_JSON),
        (b"9" * 5000, ErrorCode.BAD_JSON),
        (b" " * (messages.JSON_LIMIT + 1), ErrorCode.TOO_LARGE),
    ],
    ids=["empty", "half", "not-utf8", "nan", "deep", "huge-number", "too-large"],
)
def test_invalid_bytes_are_refused(frame: bytes, code: ErrorCode) -> None:
    refused = messages.decode_request(frame)
    assert isinstance(refused, Refusal)
    assert refused.code is code


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "v": st.just(1) | json_values,
        "id": st.just("q1") | json_values,
        "command": st.sampled_from(sorted(COMMANDS)) | json_values,
        "args": st.dictionaries(
            st.sampled_from(sorted({argument.name for _, argument in ARGUMENTS})), json_values, max_size=4
        )
        | json_values,
    },
)


@given(header=headers | json_values, attachment=st.none() | st.binary(max_size=4))
def test_any_header_is_a_valid_request_or_a_refusal_that_can_be_sent(
    header: object, attachment: bytes | None
) -> None:
    checked = messages.decode_request(json.dumps(header).encode(), attachment)
    if isinstance(checked, Refusal):
        error = {"code": checked.code, "message": checked.message}
        assert json.loads(messages.encode({"id": checked.id, "ok": False, "error": error}))["ok"] is False
        assert len(checked.message) < 1000
    else:
        assert set(checked.args) == {argument.name for argument in checked.command.wire_arguments}


# -- answers, peers, socket paths --------------------------------------------------------------------------


def test_an_answer_has_the_version_and_times_as_text() -> None:
    from datetime import UTC, datetime

    message = json.loads(messages.encode({"id": "q", "result": {"at": datetime(2026, 3, 2, tzinfo=UTC)}}))
    assert message == {"v": 1, "id": "q", "result": {"at": "2026-03-02T00:00:00+00:00"}}


@pytest.mark.parametrize(
    ("access", "may"),
    [
        (Access.STATUS, {Access.STATUS}),
        (Access.READ, {Access.STATUS, Access.READ}),
        (Access.WRITE, {Access.STATUS, Access.READ, Access.WRITE}),
    ],
)
def test_each_access_includes_those_before_it(access: Access, may: set[Access]) -> None:
    assert {wanted for wanted in Access if Peer(access=access).may(wanted)} == may


def test_a_client_of_the_unix_socket_may_write() -> None:
    assert Peer().may(Access.WRITE)


#: What each access opens, told twice: a command that changes its own changes this list too.
GRANTS = {
    Access.STATUS: "status batches alerts top keys completion",
    Access.READ: "imports jobs job explain forecast report promises export dnc events logs doctor ids"
    " check-agent agents numbers batch accounts account transactions person test-numbers test-result"
    " users user-sessions tokens packs pack check-pack evidence call recording",
    Access.WRITE: "drain undrain pause-worker resume-worker scale reload log-level shutdown create-batch"
    " pause-batch resume-batch pause-all resume-all cancel-batch import undo-import suspend-job resume-job"
    " cancel-job hang-up release-stuck reset-jobs suspend-account resume-account hold unhold dnc-add"
    " dnc-remove dnc-import edit-batch redial-batch delete-batch forget opt-out paid"
    " create-account edit-account top-up"
    " test-call test-number-add test-number-remove set-pack"
    " user-add user-edit user-password user-disable user-enable user-logout token-add token-revoke",
}


def test_what_people_type_is_told_from_ids_and_choices() -> None:
    prose = {
        argument.name
        for spec in COMMANDS.values()
        if spec.runs is not Runs.CLIENT
        for argument in spec.wire_arguments
        if argument.is_prose
    }
    assert prose == {
        *("reason", "description", "name", "filename", "map", "sheet", "accept", "refuse"),
        *("number", "country", "hours", "days", "timezone", "from_number", "voicemail_option", "to"),
        *("person", "file", "column", "amount_column", "note", "idempotency_key"),
    }


def test_every_command_has_its_access() -> None:
    listed = {name: access for access, names in GRANTS.items() for name in names.split()}
    assert listed == {name: spec.access for name, spec in COMMANDS.items()}


def test_users_and_tokens_are_managed_on_the_daemons_host_alone() -> None:
    assert {name for name, spec in COMMANDS.items() if spec.is_local} == set(GROUPS["users of the HTTP API"])


def test_a_secret_is_on_no_command_line_and_in_no_repr() -> None:
    specs = [spec for spec in COMMANDS.values() if spec.secrets]
    assert [spec.name for spec in specs] == ["user-add", "user-password"]
    for spec in specs:
        assert not {one.name for one in spec.secrets} & {one.name for one in spec.arguments}
    args = {"name": "maria", "role": "admin", "password": "correct horse battery"}
    request = validate({"v": 1, "id": "q", "command": "user-add", "args": args})
    assert isinstance(request, Request)
    assert "horse" not in repr(request)


@pytest.mark.parametrize("password", [5, None, "", "x" * 5000, "tab\there is a control"])
def test_a_refusal_does_not_quote_a_password(password: Any) -> None:
    args = {"name": "maria", "role": "admin", "password": password}
    refusal = validate({"v": 1, "id": "q", "command": "user-add", "args": args})
    assert isinstance(refusal, Refusal)
    assert "there is a control" not in refusal.message
    assert "xxx" not in refusal.message


def test_a_message_on_behalf_of_a_user_is_of_version_2() -> None:
    asked = {"id": "q", "command": "status", "args": {}}
    for on_behalf, version in ((None, 1), (OnBehalf(user="maria", role="viewer").to_wire(), 2)):
        frame = messages.encode({**asked, "on_behalf": on_behalf})
        assert json.loads(frame)["v"] == version
        request = messages.decode_request(frame)
        assert isinstance(request, Request)
        assert (request.peer.on_behalf is None) is (on_behalf is None)


def test_what_a_user_asks_for_counts_as_the_users() -> None:
    bound = OnBehalf(user="maria", role="viewer", account="acc-1")
    request = Request(id="q", command=COMMANDS["status"], args={}, peer=Peer(pid=7, on_behalf=bound))
    assert (request.client, request.account_id) == ("maria (user)", "acc-1")
    own = Request(id="q", command=COMMANDS["status"], args={}, peer=Peer(pid=7))
    assert (own.client, own.account_id) == ("pid 7", None)


@pytest.mark.parametrize(
    ("environment", "uid", "path"),
    [
        ({"SPEECHAID_SOCKET": "/a/b.sock", "RUNTIME_DIRECTORY": "/run/x"}, 0, "/a/b.sock"),
        ({"RUNTIME_DIRECTORY": "/run/speechaid:/run/other"}, 7, "/run/speechaid/control.sock"),
        ({"XDG_RUNTIME_DIR": "/run/user/0"}, 0, "/run/speechaid/control.sock"),
        ({"XDG_RUNTIME_DIR": "/run/user/7"}, 7, "/run/user/7/speechaid/control.sock"),
        ({}, 7, "/tmp/speechaid-7/control.sock"),
        ({"SPEECHAID_SOCKET": ""}, 7, "/tmp/speechaid-7/control.sock"),
    ],
)
def test_the_default_socket_depends_on_the_environment(
    environment: dict[str, str], uid: int, path: str
) -> None:
    assert messages.default_socket(environment, uid) == Path(path)


def test_a_client_uses_the_system_service_unless_the_user_runs_a_daemon(
    tmp_path: Path,
) -> None:
    service = tmp_path / "service" / "control.sock"
    mine = {"XDG_RUNTIME_DIR": str(tmp_path / "user")}
    own = tmp_path / "user" / "speechaid" / "control.sock"
    assert (
        messages.client_socket(mine, 7, service) == own
    )  # no service: the user's path, for the error message
    service.parent.mkdir()
    assert messages.client_socket(mine, 7, service) == service  # also where its directory is closed to us
    assert messages.client_socket({"SPEECHAID_SOCKET": "/a/b.sock"}, 7, service) == Path("/a/b.sock")
    own.parent.mkdir(parents=True)
    own.touch()
    assert messages.client_socket(mine, 7, service) == own


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_socket_that_a_stranger_made_does_not_hide_the_service(tmp_path: Path) -> None:
    mine = {"XDG_RUNTIME_DIR": str(tmp_path / "run-7")}
    own, service = tmp_path / "run-7" / "speechaid" / "control.sock", tmp_path / "run" / "control.sock"
    own.parent.mkdir(parents=True)
    own.touch()
    os.chown(own.parent, 65534, 65534)
    assert messages.client_socket(mine, 7, service) == own  # no service: the client says whose it is
    service.parent.mkdir()
    assert messages.client_socket(mine, 7, service) == service


def test_a_too_long_socket_path_is_reported() -> None:
    assert messages.path_fault(Path("/tmp") / ("x" * 102)) is None
    fault = messages.path_fault(Path("/tmp") / ("x" * 103))
    assert fault is not None
    assert "108 bytes" in fault
    assert "107" in fault


def test_the_length_of_a_path_is_counted_in_bytes() -> None:
    assert messages.path_fault(Path("/tmp") / ("ñ" * 60)) is not None


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("0s", 0), ("5m", 300), ("1.5h", 5400), ("2d", 172_800), (" 1m ", 60)]
)
def test_a_duration_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert messages.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "90", "0", "-5m", "5 min", "1e3", "inf", "٣m"])
def test_an_invalid_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        messages.parse_duration(text)


def test_numbers_that_json_does_not_have_become_null() -> None:
    answer = json.loads(
        messages.encode({"id": "1", "job": {"cost": float("nan"), "costs": [float("-inf"), 2]}})
    )
    assert answer["job"] == {"cost": None, "costs": [None, 2]}
