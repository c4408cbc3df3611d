"""What installing and removing the service takes, decided from facts about a host."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from speechaid.protocol.translation import ENGLISH, use_language
from speechaid.service.install import change, fill_in, install_plan
from speechaid.service.steps import (
    BACKUPS,
    CHECK_DROP_IN,
    CHECK_UNIT,
    COMPLETION,
    DIRECTORIES,
    LINK,
    MARK,
    REPORT_TIMER,
    REPORTS,
    SERVICE,
    SERVICE_DROP_IN,
    SETTINGS,
    SIMULATOR_SETTINGS,
    SIMULATOR_UNIT,
    SPEECHCTL,
    STATE,
    TIMER,
    UNIT_DIRECTORY,
    UNITS,
    WEB_SETTINGS,
    Access,
    Check,
    Directory,
    Facts,
    Link,
    Mode,
    Permit,
    Place,
    Plan,
    Remove,
    Run,
    State,
    Wanted,
    Write,
    credential_path,
    with_checksum,
)
from speechaid.service.uninstall import uninstall_plan
from speechaid.settings.secrets import SECRETS
from speechaid.settings.table import BY_VARIABLE

ROOT = Path(__file__).parents[3]
PREFIX = Path("/opt/speechaid")
KEY = "key_0123456789abcdef"
GIVEN = {"RETELL_AGENT_ID": "agent_1", "RETELL_FROM_NUMBER": "+15005550006"}
LIVE = Wanted(settings=GIVEN, secrets={"RETELL_API_KEY": KEY})
SIMULATOR = Wanted(mode=Mode.SIMULATOR)
TOOLS = frozenset({"systemctl", "systemd-sysusers", "systemd-tmpfiles", "useradd", "usermod"})
SHIPPED = {
    f"systemd/{path.relative_to(ROOT / 'systemd')}": path.read_text(encoding="utf-8")
    for path in (ROOT / "systemd").rglob("*")
    if path.is_file()
} | {
    "example.env": (ROOT / ".env.example").read_text(encoding="utf-8"),
    "simulator.env": (ROOT / "speechaid" / "data" / "simulator.env").read_text(encoding="utf-8"),
}


@pytest.mark.parametrize("wanted", [LIVE, SIMULATOR], ids=["live", "simulator"])
def test_the_language_changes_what_is_printed_and_nothing_that_is_done(wanted: Wanted) -> None:
    english = install_plan(host(), wanted).steps
    use_language("es")
    try:
        spanish = install_plan(host(), wanted).steps
    finally:
        use_language(ENGLISH)
    assert [step.action for step in spanish] == [step.action for step in english]
    assert [step.state for step in spanish] == [step.state for step in english]
    texts = {step.text for step in spanish}
    assert "crear el usuario y el grupo speechaid (systemd-sysusers)" in texts
    assert texts.isdisjoint(step.text for step in english)


def place(path: str = "/opt/speechaid/bin/speechaid", closed_at: str = "", filesystem: str = "ext4") -> Place:
    return Place(path=Path(path), closed_at=Path(closed_at) if closed_at else None, filesystem=filesystem)


def host(**changes: Any) -> Facts:
    """A Debian on which nothing of the service is installed yet, with these differences."""
    bare = Facts(
        is_root=True,
        prefix=PREFIX,
        places=(place(),),
        missing_extras=frozenset(),
        shipped=SHIPPED,
        completion="complete speechctl\n",
        tools=TOOLS,
        systemd_version=252,
        systemd_runs=True,
        files={},
        links={},
        directories=frozenset({COMPLETION.parent, PREFIX}),
        access={},
        settings={},
        has_user=False,
        has_group=False,
        operators={},
        enabled=frozenset(),
        active=frozenset(),
        kept=frozenset(),
        is_outdated=False,
    )
    return replace(bare, **changes)


def after(plan: Plan, before: Facts, **changes: Any) -> Facts:
    """The host once a plan has been carried out."""
    files, links, enabled, active = (
        dict(before.files),
        dict(before.links),
        set(before.enabled),
        set(before.active),
    )
    for action in actions(plan):
        match action:
            case Write(path, text):
                files[path] = text
            case Link(path, target):
                links[path] = target
            case Remove(path):
                files.pop(path, None)
                links.pop(path, None)
            case Run(("systemctl", "enable", *words)):
                enabled.add(words[-1])
            case Run(("systemctl", "start" | "restart", unit)):
                active.add(unit)
            case Run(("systemctl", "disable", *words)):
                enabled.discard(words[-1])
                active.discard(words[-1])
    settings = dict(
        line.split("=", 1)
        for line in files.get(SETTINGS, "").splitlines()
        if "=" in line and not line.startswith("#") and not line.endswith("=")
    )
    made = {"has_user": True, "has_group": True, "directories": before.directories | {*DIRECTORIES, STATE}}
    state = {"files": files, "links": links, "settings": settings}
    return replace(
        before,
        **{**made, **state, "enabled": frozenset(enabled), "active": frozenset(active), **changes},
    )


def actions(plan: Plan) -> list[object]:
    return [step.action for step in plan.steps if step.action is not None]


def commands(plan: Plan) -> list[str]:
    return [" ".join(action.command) for action in actions(plan) if isinstance(action, Run)]


def written(plan: Plan) -> dict[Path, Write]:
    return {action.path: action for action in actions(plan) if isinstance(action, Write)}


def texts(plan: Plan, state: State) -> list[str]:
    return [step.text for step in plan.steps if step.state is state]


def by_hand(**changes: Any) -> Facts:
    """A host on which somebody followed the manual's long way, with the service running."""
    files = {UNIT_DIRECTORY / unit: SHIPPED[f"systemd/{unit}"] for unit in UNITS}
    settings = {**GIVEN, "MONGO_URI": f"embedded:{STATE}/db", "WORKER_COUNT": "20"}
    files[SETTINGS] = "".join(f"{name}={value}\n" for name, value in settings.items())
    files[credential_path("RETELL_API_KEY")] = f"{KEY}\n"
    return host(
        **{
            "prefix": Path("/opt/speechaid-0.1.0"),
            "files": files,
            "links": {LINK: "speechaid-0.1.0", SPEECHCTL: "/opt/speechaid/bin/speechctl"},
            "directories": frozenset({*DIRECTORIES, STATE, LINK}),
            "settings": settings,
            "has_user": True,
            "has_group": True,
            "enabled": frozenset({SERVICE}),
            "active": frozenset({SERVICE}),
            **changes,
        }
    )


# -- a first installation ----------------------------------------------------------------------------------


def test_a_first_installation_makes_everything_in_order_and_ends_with_the_check() -> None:
    plan = install_plan(host(), LIVE)
    assert plan.refusals == ()
    assert plan.unset == ()
    assert commands(plan) == [
        "systemd-sysusers /etc/sysusers.d/speechaid.conf",
        "systemd-tmpfiles --create /etc/tmpfiles.d/speechaid.conf",
        "systemctl daemon-reload",
        "systemctl enable speechaid.service",
        "systemctl start speechaid.service",
        "systemctl enable --now speechaid-backup.timer",
    ]
    assert actions(plan)[-1] == Check("speechaid-check@speechaid.service")
    assert {UNIT_DIRECTORY / unit for unit in UNITS} <= written(plan).keys()
    assert Link(SPEECHCTL, "/opt/speechaid/bin/speechctl") in actions(plan)


def test_settings_and_secrets_are_written_for_those_alone_who_need_them() -> None:
    files = written(install_plan(host(), LIVE))
    settings, key = files[SETTINGS], files[credential_path("RETELL_API_KEY")]
    assert (settings.mode, settings.group) == (0o640, "speechaid")
    assert {"MONGO_URI=embedded:/var/lib/speechaid/db", "RETELL_AGENT_ID=agent_1"} <= set(
        settings.text.splitlines()
    )
    assert (key.text, key.mode, key.group) == (f"{KEY}\n", 0o600, "root")
    assert KEY not in settings.text


def test_no_secret_is_shown_in_any_step_or_its_representation() -> None:
    plan = install_plan(host(), LIVE)
    assert KEY not in repr((plan, host(files={SETTINGS: KEY}), LIVE))


def test_a_database_address_with_a_password_is_a_secret_and_wants_no_embedded_database() -> None:
    uri = "mongodb://speechaid:geheim@db1/"
    wanted = replace(LIVE, secrets={**LIVE.secrets, "MONGO_URI": uri})
    plan = install_plan(host(missing_extras=frozenset({"embedded"})), wanted)
    files = written(plan)
    assert files[credential_path("MONGO_URI")].text == f"{uri}\n"
    assert "\nMONGO_URI=" not in files[SETTINGS].text
    assert not [command for command in commands(plan) if TIMER in command]


def test_the_simulator_gets_settings_and_a_database_of_its_own_and_the_real_settings_are_not_made() -> None:
    plan = install_plan(host(), SIMULATOR)
    files = written(plan)
    assert SETTINGS not in files
    assert f"SPEECHAID_ENV_FILE={SIMULATOR_SETTINGS}" in files[SERVICE_DROP_IN].text
    assert f"Wants={SIMULATOR_UNIT}" in files[SERVICE_DROP_IN].text
    assert f"SPEECHAID_ENV_FILE={SIMULATOR_SETTINGS}" in files[CHECK_DROP_IN].text
    assert f"embedded:{STATE}/db\n" not in files[SIMULATOR_SETTINGS].text
    order = [path for path in files if path in {SERVICE_DROP_IN, UNIT_DIRECTORY / SERVICE}]
    assert order == [
        SERVICE_DROP_IN,
        UNIT_DIRECTORY / SERVICE,
    ]  # interrupted, it never uses the real settings
    assert f"systemctl start {SIMULATOR_UNIT}" in commands(plan)
    assert any("speechctl import /opt/speechaid/share" in text for text in texts(plan, State.NOTE))


def test_units_start_the_very_installation_that_wrote_them() -> None:
    elsewhere = host(prefix=Path("/srv/calls/venv"))
    plan = install_plan(elsewhere, LIVE)
    unit = written(plan)[UNIT_DIRECTORY / SERVICE].text
    assert "ExecStart=/srv/calls/venv/bin/speechaid run" in unit
    assert "/opt/speechaid" not in unit
    check = written(plan)[UNIT_DIRECTORY / "speechaid-check@.service"].text
    assert "ExecStart=/srv/calls/%i/bin/speechaid check" in check
    assert actions(plan)[-1] == Check("speechaid-check@venv.service")
    assert Link(SPEECHCTL, "/srv/calls/venv/bin/speechctl") in actions(plan)


def test_a_version_beside_others_is_reached_by_the_link() -> None:
    plan = install_plan(host(prefix=Path("/opt/speechaid-0.1.0"), directories=frozenset()), LIVE)
    assert Link(LINK, "speechaid-0.1.0") in actions(plan)
    assert "ExecStart=/opt/speechaid/bin/speechaid run" in written(plan)[UNIT_DIRECTORY / SERVICE].text


def test_operators_join_the_group_once() -> None:
    wanted = replace(LIVE, operators=("olga", "otto"))
    plan = install_plan(host(operators={"olga": False, "otto": True}), wanted)
    assert "usermod --append --groups speechaid olga" in commands(plan)
    assert not any("otto" in command for command in commands(plan))
    assert any("otto" in text for text in texts(plan, State.ALREADY))


# -- what is missing on the host ---------------------------------------------------------------------------

REFUSED = [
    ({"is_root": False}, LIVE, "this takes root"),
    (
        {"places": (place("/home/olga/venv/bin/speechaid"),)},
        LIVE,
        "below /home, which the service cannot see",
    ),
    ({"places": (place("/tmp/venv/bin/speechaid"),)}, LIVE, "below /tmp, which the service cannot see"),
    ({"places": (place("/root/.pyenv/bin/python3.11"),)}, LIVE, "below /root, which the service cannot see"),
    (
        {"places": (place("/srv/x/bin/speechaid", "/srv/x"),)},
        LIVE,
        "since /srv/x is closed to others",
    ),
    ({"places": (place(filesystem="tmpfs"),)}, LIVE, "in memory (tmpfs) and gone after a restart"),
    ({"prefix": Path("/opt/my calls")}, LIVE, "cannot stand in a unit file"),
    ({"shipped": {}}, LIVE, "holds no units"),
    ({"tools": frozenset({"systemctl"})}, LIVE, "neither systemd-sysusers nor useradd"),
    ({"missing_extras": frozenset({"embedded"})}, LIVE, "the extra embedded is not installed"),
    ({"missing_extras": frozenset({"simulator"})}, SIMULATOR, "the extra simulator is not installed"),
    ({"files": {UNIT_DIRECTORY / SERVICE: ""}}, LIVE, "speechaid.service is masked"),
    ({}, replace(LIVE, operators=("nemo",)), "--operator nemo: there is no such user"),
    ({}, replace(LIVE, mode=Mode.SIMULATOR), "settings for real calls go with --live"),
    (
        {},
        replace(LIVE, settings={**GIVEN, "MONGO_URI": "embedded:/srv/db"}),
        "the service may write below /var/lib/speechaid only",
    ),
]


@pytest.mark.parametrize(("facts", "wanted", "reason"), REFUSED, ids=[reason for *_, reason in REFUSED])
def test_what_cannot_work_is_refused_before_anything_is_done(
    facts: dict[str, Any], wanted: Wanted, reason: str
) -> None:
    plan = install_plan(host(**facts), wanted)
    assert [refusal for refusal in plan.refusals if reason in refusal]
    assert plan.steps == ()


def test_without_settings_the_service_is_installed_and_not_started() -> None:
    plan = install_plan(host(), Wanted())
    assert plan.unset == ("RETELL_API_KEY", "RETELL_AGENT_ID", "RETELL_FROM_NUMBER")
    (told,) = texts(plan, State.CANNOT)
    assert "RETELL_API_KEY (in /etc/credstore/speechaid.retell_api_key)" in told
    assert "RETELL_AGENT_ID (in /etc/speechaid/speechaid.env)" in told
    assert not [command for command in commands(plan) if command.startswith("systemctl start")]
    assert UNIT_DIRECTORY / SERVICE in written(plan)


def test_where_systemd_does_not_run_everything_else_is_done_and_the_rest_is_named() -> None:
    plan = install_plan(host(systemd_runs=False), LIVE)
    assert "systemctl enable speechaid.service" in commands(plan)
    assert "systemctl daemon-reload" not in commands(plan)
    assert [text.partition(":")[0] for text in texts(plan, State.CANNOT)] == [
        f"start {SERVICE}",
        "check",
    ]


def test_without_systemds_tools_user_and_directories_are_made_without_them() -> None:
    plan = install_plan(host(tools=frozenset({"useradd"}), systemd_version=None, systemd_runs=False), LIVE)
    (useradd,) = commands(plan)
    assert useradd.startswith("useradd --system --user-group --home-dir /var/lib/speechaid")
    made = {
        action.path: (action.mode, action.group) for action in actions(plan) if isinstance(action, Directory)
    }
    assert made == DIRECTORIES
    assert texts(plan, State.CANNOT)[0] == f"enable and start {SERVICE}: systemctl is not here"


def test_the_shipped_directories_are_those_of_the_plan() -> None:
    lines = [
        line.split() for line in SHIPPED["systemd/tmpfiles.d/speechaid.conf"].splitlines() if line[:2] == "d "
    ]
    assert {Path(line[1]): (int(line[2], 8), line[4]) for line in lines} == DIRECTORIES


# -- once more, and upgrades -------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [LIVE, SIMULATOR], ids=["live", "simulator"])
def test_a_second_run_changes_nothing_and_looks_again(wanted: Wanted) -> None:
    first = host()
    plan = install_plan(after(install_plan(first, wanted), first), wanted)
    assert commands(plan) == []
    assert {type(action).__name__ for action in actions(plan)} == {"Show", "Check"}
    assert plan.refusals == ()


def test_an_operators_switch_of_the_backup_is_left_as_it_is() -> None:
    first = host()
    off = after(install_plan(first, LIVE), first, enabled=frozenset({SERVICE}))
    plan = install_plan(off, LIVE)
    assert not [command for command in commands(plan) if TIMER in command]
    assert f"the nightly backup is off: systemctl enable --now {TIMER}" in texts(plan, State.NOTE)


def test_the_daily_reports_are_switched_on_by_an_operator_alone() -> None:
    plan = install_plan(host(), LIVE)
    assert UNIT_DIRECTORY / REPORT_TIMER in written(plan)
    assert not [command for command in commands(plan) if REPORT_TIMER in command]
    off = f"the daily reports in {REPORTS} are off: on one host, systemctl enable --now {REPORT_TIMER}"
    assert off in texts(plan, State.NOTE)
    on = after(plan, host(), enabled=frozenset({SERVICE, TIMER, REPORT_TIMER}))
    assert off not in texts(install_plan(on, LIVE), State.NOTE)
    assert off not in texts(install_plan(host(), SIMULATOR), State.NOTE)
    assert f"systemctl disable --now {REPORT_TIMER}" in commands(uninstall_plan(on))


def test_existing_settings_and_secrets_are_never_overwritten_and_what_differs_is_said() -> None:
    wanted = Wanted(
        settings={"RETELL_AGENT_ID": "agent_2", "WORKER_COUNT": "20"}, secrets={"RETELL_API_KEY": "key_new"}
    )
    plan = install_plan(by_hand(), wanted)
    assert not written(plan).keys() & {SETTINGS, credential_path("RETELL_API_KEY")}
    notes = "\n".join(texts(plan, State.NOTE))
    assert f"RETELL_AGENT_ID=agent_2 is not written: {SETTINGS} says agent_1" in notes
    assert "holds another value" in notes
    assert KEY not in notes
    assert "key_new" not in notes
    assert "WORKER_COUNT" not in notes


def test_settings_that_the_file_leaves_blank_are_filled_and_its_other_lines_stay() -> None:
    facts = replace(
        by_hand(active=frozenset()),
        settings={"RETELL_FROM_NUMBER": "+15005550006"},
    )
    text = "# mine\nRETELL_AGENT_ID=\n#WORKER_COUNT=6\nRETELL_FROM_NUMBER=+15005550006\n"
    facts = replace(facts, files={**facts.files, SETTINGS: text})
    wanted = Wanted(settings={"RETELL_AGENT_ID": "agent_1", "WORKER_COUNT": "20"})
    plan = install_plan(facts, wanted)
    assert plan.unset == ()
    assert written(plan)[SETTINGS].text == (
        "# mine\nRETELL_AGENT_ID=agent_1\n#WORKER_COUNT=6\nRETELL_FROM_NUMBER=+15005550006\nWORKER_COUNT=20\n"
    )
    assert "systemctl start speechaid.service" in commands(plan)


def test_a_database_that_the_service_cannot_write_is_refused_also_where_the_settings_exist() -> None:
    wanted = Wanted(settings={"MONGO_URI": "embedded:/srv/db"})
    facts = by_hand(settings=GIVEN)
    assert any("below /var/lib/speechaid only" in text for text in install_plan(facts, wanted).refusals)
    set_by_hand = by_hand(settings={**GIVEN, "MONGO_URI": "embedded:/srv/db"})
    assert install_plan(set_by_hand, Wanted()).refusals == ()


def test_an_empty_secret_is_none() -> None:
    facts = by_hand(active=frozenset())
    facts = replace(facts, files={**facts.files, credential_path("RETELL_API_KEY"): "\n"})
    assert install_plan(facts, Wanted()).unset == ("RETELL_API_KEY",)
    plan = install_plan(facts, Wanted(secrets={"RETELL_API_KEY": KEY}))
    assert written(plan)[credential_path("RETELL_API_KEY")].text == f"{KEY}\n"


def test_a_wrong_answer_is_replaced_on_demand_and_the_running_service_takes_it() -> None:
    wanted = Wanted(
        settings={"RETELL_AGENT_ID": "agent_2"}, secrets={"RETELL_API_KEY": "key_new"}, replace=True
    )
    first = host()
    plan = install_plan(after(install_plan(first, LIVE), first), wanted)
    assert written(plan)[credential_path("RETELL_API_KEY")].text == "key_new\n"
    assert "\nRETELL_AGENT_ID=agent_2\n" in written(plan)[SETTINGS].text
    assert "systemctl restart speechaid.service" in commands(plan)
    assert "key_new" not in repr(plan)


def test_a_replaced_database_address_is_put_where_it_counts() -> None:
    secret = "mongodb://speechaid:geheim@db1/"
    path = credential_path("MONGO_URI")
    plan = install_plan(by_hand(), Wanted(secrets={"MONGO_URI": secret}, replace=True))
    assert written(plan)[path].text == f"{secret}\n"
    assert "MONGO_URI=" in written(plan)[SETTINGS].text.splitlines()

    held = by_hand(settings=GIVEN)
    held = replace(held, files={**held.files, path: f"{secret}\n"})
    plain = Wanted(settings={"MONGO_URI": "mongodb://db2/"})
    assert f"MONGO_URI is not written: {path} holds another value; --replace writes it" in texts(
        install_plan(held, plain), State.NOTE
    )
    replaced = written(install_plan(held, replace(plain, replace=True)))
    assert replaced[path].text == "mongodb://db2/\n"
    assert SETTINGS not in replaced


@pytest.mark.parametrize(
    ("line", "after_it"),
    [
        ("A_B='old'", "A_B=new\n"),
        ("A_B=old\nA_B=older", "A_B=old\nA_B=new\n"),
        ("export A_B=old", "A_B=new\n"),
        ("A_B='two\nlines'", "A_B='two\nlines'\nA_B=new\n"),
        ("#A_B=example", "#A_B=example\nA_B=new\n"),
    ],
    ids=["quoted", "twice", "exported", "two lines", "comment"],
)
def test_a_changed_value_counts_whatever_the_line_was(line: str, after_it: str) -> None:
    assert change(line + "\n", {"A_B": "new"}) == after_it


def killed_after(wanted: Wanted, before: Facts, number: int) -> Facts:
    """The host on which the first steps of a plan were carried out."""
    plan = install_plan(before, wanted)
    return after(replace(plan, steps=plan.steps[:number]), before)


@pytest.mark.parametrize("start", ["bare", "simulator"])
def test_killed_anywhere_and_run_again_it_does_all_that_is_missing(start: str) -> None:
    before = host() if start == "bare" else with_simulator()
    wanted = replace(LIVE, mode=Mode.LIVE)
    whole = after(install_plan(before, wanted), before)
    for number in range(len(install_plan(before, wanted).steps)):
        facts = killed_after(wanted, before, number)
        again = install_plan(facts, wanted)
        assert again.refusals == ()
        reached = after(again, facts)
        assert (reached.files, reached.enabled) == (whole.files, whole.enabled), number
        done = commands(again)
        if "systemctl start speechaid.service" in done:
            assert done.index("systemctl daemon-reload") < done.index("systemctl start speechaid.service")


def test_a_backup_that_somebody_left_off_by_hand_stays_off_also_when_killed() -> None:
    before = by_hand()
    for number in range(len(install_plan(before, Wanted()).steps)):
        facts = killed_after(Wanted(), before, number)
        assert not [command for command in commands(install_plan(facts, Wanted())) if TIMER in command]


def test_an_edited_unit_is_kept_and_an_older_one_of_ours_is_not() -> None:
    first = host()
    installed = after(install_plan(first, LIVE), first)
    path = UNIT_DIRECTORY / SERVICE
    edited = installed.files[path].replace("TimeoutStopSec=90", "TimeoutStopSec=900")
    plan = install_plan(replace(installed, files={**installed.files, path: edited}), LIVE)
    assert written(plan)[path].keep
    text = f"write {path}; it was edited: the old one is kept as {SERVICE}.orig"
    assert text in [step.text for step in plan.steps]

    taken = frozenset({path.with_name(f"{SERVICE}.orig")})
    plan = install_plan(replace(installed, files={**installed.files, path: edited}, kept=taken), LIVE)
    assert any(f"kept as {SERVICE}.2.orig" in step.text for step in plan.steps)

    older = with_checksum("[Service]\nExecStart=/opt/speechaid/bin/speechaid run\n")
    plan = install_plan(replace(installed, files={**installed.files, path: older}), LIVE)
    assert not written(plan)[path].keep


@pytest.mark.parametrize(
    ("path", "access", "who"),
    [
        (SETTINGS, Access("root", "speechaid", 0o666), "every user of this host"),
        (SETTINGS.parent, Access("root", "speechaid", 0o777), "every user of this host"),
        (SETTINGS, Access("root", "speechaid", 0o660), "the group speechaid"),
        (SETTINGS, Access("olga", "speechaid", 0o640), "the user olga"),
        (credential_path("RETELL_API_KEY"), Access("root", "root", 0o602), "every user of this host"),
    ],
)
def test_settings_that_others_can_change_are_refused_with_the_remedy(
    path: Path, access: Access, who: str
) -> None:
    (refusal,) = install_plan(by_hand(access={path: access}), Wanted()).refusals
    assert f"{path} can be changed by {who}" in refusal
    assert f"chown root:{'root' if 'credstore' in str(path) else 'speechaid'} {path} && chmod" in refusal


def test_access_that_is_only_too_narrow_or_too_wide_for_reading_is_restored() -> None:
    key = credential_path("RETELL_API_KEY")
    access = {
        SETTINGS: Access("root", "root", 0o600),
        SETTINGS.parent: Access("root", "root", 0o700),
        key: Access("root", "root", 0o644),
    }
    done = actions(install_plan(by_hand(access=access), Wanted()))
    assert Permit(SETTINGS, 0o640, "speechaid") in done
    assert Directory(SETTINGS.parent, 0o750, "speechaid") in done
    assert Permit(key, 0o600, "root") in done

    right = {
        SETTINGS: Access("root", "speechaid", 0o640),
        SETTINGS.parent: Access("root", "speechaid", 0o750),
        key: Access("root", "root", 0o600),
    }
    assert not [a for a in actions(install_plan(by_hand(access=right), Wanted())) if isinstance(a, Permit)]


def test_a_service_that_was_switched_off_is_not_started_without_a_word() -> None:
    first = host()
    off = after(install_plan(first, LIVE), first, enabled=frozenset({TIMER}), active=frozenset())
    assert any(
        f"{SERVICE} is installed and off" in text for text in texts(install_plan(off, LIVE), State.NOTE)
    )


def test_a_directory_in_the_place_of_the_link_is_named() -> None:
    facts = host(prefix=Path("/opt/speechaid-0.1.0"))
    notes = texts(install_plan(facts, LIVE), State.NOTE)
    assert any(text.startswith(f"{LINK} is a directory and stays") for text in notes)


def test_the_settings_file_has_no_line_for_the_key_and_says_where_it_is() -> None:
    text = written(install_plan(host(), LIVE))[SETTINGS].text
    assert "\nRETELL_API_KEY=" not in text
    assert "Copy to" not in text
    assert str(credential_path("RETELL_API_KEY")) in text


@pytest.mark.parametrize("unit", [SERVICE, CHECK_UNIT])
def test_units_and_manual_name_every_secrets_file(unit: str) -> None:
    manual = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    for variable in SECRETS:
        name = credential_path(variable).name
        assert f"LoadCredential={variable.lower()}:{name}\n" in SHIPPED[f"systemd/{unit}"]
        assert f"`{name}`" in manual


def test_a_service_installed_by_hand_is_recognised_and_its_units_are_kept() -> None:
    plan = install_plan(by_hand(), Wanted())
    assert texts(plan, State.NOTE)[0].startswith("a service that was installed by hand is here")
    units = {path: action for path, action in written(plan).items() if path.parent == UNIT_DIRECTORY}
    assert units
    assert all(action.keep and action.text.startswith(MARK) for action in units.values())
    assert commands(plan).count("systemctl restart speechaid.service") == 1
    assert Link(LINK, "speechaid-0.1.0") not in actions(plan)


def test_a_running_service_is_not_held_up_by_settings_that_only_its_drop_ins_bring() -> None:
    drop_in = UNIT_DIRECTORY / f"{SERVICE}.d" / "key.conf"
    facts = by_hand(kept=frozenset({drop_in}))
    files = {path: text for path, text in facts.files.items() if path != credential_path("RETELL_API_KEY")}
    plan = install_plan(replace(facts, files=files), Wanted())
    assert plan.unset == ()
    assert "systemctl restart speechaid.service" in commands(plan)


def test_an_upgrade_is_checked_before_the_link_and_the_service_are_touched() -> None:
    plan = install_plan(by_hand(prefix=Path("/opt/speechaid-0.2.0")), Wanted())
    done = actions(plan)
    check = Check("speechaid-check@speechaid-0.2.0.service")
    unit = written(plan)[UNIT_DIRECTORY / SERVICE]
    order = [check, unit, Link(LINK, "speechaid-0.2.0"), Run(("systemctl", "restart", SERVICE))]
    assert [done.index(action) for action in order] == sorted(done.index(action) for action in order)
    assert not next(step for step in plan.steps if step.action == check).optional


def test_a_package_that_was_renewed_in_place_restarts_the_service() -> None:
    first = host()
    plan = install_plan(after(install_plan(first, LIVE), first, is_outdated=True), LIVE)
    assert commands(plan)[-1] == "systemctl restart speechaid.service"


def test_no_start_leaves_a_running_service_alone_and_says_how_to_restart_it() -> None:
    plan = install_plan(by_hand(), Wanted(start=False))
    assert not [command for command in commands(plan) if "restart" in command]
    assert f"not started (--no-start): systemctl restart {SERVICE}" in texts(plan, State.NOTE)


# -- from the simulator to real calls, and back ------------------------------------------------------------


def with_simulator() -> Facts:
    first = host()
    return after(install_plan(first, SIMULATOR), first)


def test_without_a_word_the_service_stays_with_the_simulator() -> None:
    assert commands(install_plan(with_simulator(), Wanted())) == []


def test_real_calls_stop_the_service_before_the_simulator_goes_and_need_all_settings() -> None:
    assert (
        "the simulator stays until then" in install_plan(with_simulator(), Wanted(mode=Mode.LIVE)).refusals[0]
    )
    plan = install_plan(with_simulator(), replace(LIVE, mode=Mode.LIVE))
    done = actions(plan)
    order = [
        Check("speechaid-check@speechaid.service"),
        Run(("systemctl", "stop", SERVICE)),
        Remove(SERVICE_DROP_IN),
        Run(("systemctl", "disable", "--now", SIMULATOR_UNIT)),
        Run(("systemctl", "restart", SERVICE)),
    ]
    assert [done.index(action) for action in order] == sorted(done.index(action) for action in order)
    assert f"systemctl enable --now {TIMER}" in commands(plan)
    assert SETTINGS in written(plan)


def test_a_service_for_real_calls_is_never_turned_to_the_simulator() -> None:
    (refusal,) = install_plan(by_hand(), SIMULATOR).refusals
    assert "its campaigns would stop" in refusal


# -- removing ----------------------------------------------------------------------------------------------


def test_removing_takes_what_was_installed_and_leaves_data_and_settings() -> None:
    first = host()
    facts = after(install_plan(first, LIVE), first)
    plan = uninstall_plan(facts)
    removed = {action.path for action in actions(plan) if isinstance(action, Remove)}
    assert removed == (written(install_plan(first, LIVE)).keys() | {SPEECHCTL}) - {
        SETTINGS,
        WEB_SETTINGS,
        credential_path("RETELL_API_KEY"),
    }
    assert commands(plan)[0] == f"systemctl disable --now {SERVICE}"
    notes = "\n".join(texts(plan, State.NOTE))
    assert f"rm -r {STATE} {BACKUPS}" in notes
    assert f"rm {SETTINGS} {WEB_SETTINGS} {credential_path('RETELL_API_KEY')}" in notes
    assert "userdel speechaid" in notes


def test_removing_a_service_with_the_simulator_leaves_its_settings_alone() -> None:
    removed = {
        action.path for action in actions(uninstall_plan(with_simulator())) if isinstance(action, Remove)
    }
    installed = written(install_plan(host(), SIMULATOR)).keys() | {SPEECHCTL}
    assert removed == installed - {SIMULATOR_SETTINGS}


def test_purging_removes_settings_and_secrets_too_and_never_data() -> None:
    first = host()
    plan = uninstall_plan(after(install_plan(first, LIVE), first), purge_settings=True)
    removed = {action.path for action in actions(plan) if isinstance(action, Remove)}
    assert {SETTINGS, credential_path("RETELL_API_KEY")} <= removed
    assert not [path for path in removed if path.is_relative_to(STATE) or path.is_relative_to(BACKUPS)]
    assert any("rmdir --ignore-fail-on-non-empty /etc/speechaid" in text for text in texts(plan, State.NOTE))


def test_removing_names_other_versions_and_the_group() -> None:
    beside = by_hand(
        directories=frozenset({LINK, Path("/opt/speechaid-0.1.0"), Path("/opt/speechaid-0.2.0")})
    )
    notes = "\n".join(texts(uninstall_plan(beside), State.NOTE))
    assert "rm -r /opt/speechaid-0.1.0 /opt/speechaid\n" in notes
    assert "left: other versions; to delete them: rm -r /opt/speechaid-0.2.0" in notes
    assert "groupdel speechaid" in notes


def test_removing_leaves_an_operators_drop_ins_and_old_units_and_names_them() -> None:
    kept = {UNIT_DIRECTORY / f"{SERVICE}.d" / "override.conf", UNIT_DIRECTORY / f"{SERVICE}.orig"}
    plan = uninstall_plan(by_hand(kept=frozenset(kept)))
    assert {f"left, since it is yours: {path}" for path in kept} <= set(texts(plan, State.NOTE))
    assert not kept & {action.path for action in actions(plan) if isinstance(action, Remove)}


def test_removing_twice_says_so_and_does_nothing() -> None:
    plan = uninstall_plan(host())
    assert texts(plan, State.ALREADY) == ["remove the service"]
    assert actions(plan) == []


def test_removing_takes_root() -> None:
    assert uninstall_plan(host(is_root=False)).refusals == ("this takes root: run it with sudo",)


# -- the environment file ----------------------------------------------------------------------------------


def test_every_setting_that_is_no_secret_has_a_line_to_fill_in() -> None:
    values = {name: "x" for name, declared in BY_VARIABLE.items() if not declared.secret}
    lines = fill_in(SHIPPED["example.env"], values).splitlines()
    assert {f"{name}=x" for name in values} <= set(lines)


def test_a_value_with_blanks_is_quoted() -> None:
    assert "RETELL_AGENT_ID='agent # 1'\n" in fill_in("RETELL_AGENT_ID=\n", {"RETELL_AGENT_ID": "agent # 1"})
