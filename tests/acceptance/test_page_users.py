"""Users, tokens, changes, agents and numbers in a browser, beside a daemon."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

import pytest
from playwright.sync_api import Page, expect

from speechaid.embedded.database import published_uri
from speechaid.model.identity import Role
from speechaid.settings import get_web_settings
from speechaid.store.connection import connect
from tests.acceptance.test_page import (
    HOSTILE,
    PASSWORD,
    WAIT_MS,
    Site,
    has_placed,
    import_people,
    log_in,
)
from tests.acceptance.test_web import web_variables
from tests.support.browser import open_browser, serious_findings
from tests.support.terminal import open_terminal
from tests.support.web import running_web

pytestmark = pytest.mark.slow

expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with open_browser() as browser, open_terminal(SPEECHAID_DEFAULT_ALLOWED_HOURS="00:00-24:00") as terminal:
        environment = web_variables(terminal)
        database = get_web_settings({**environment, "HOME": "/nonexistent"}, None).database
        store = connect(database, uri=published_uri(terminal.place / "database"))
        terminal.type("create-account", "acc_123", "--plan", "unlimited")
        terminal.type("create-account", "acc_other", "--plan", "unlimited")
        store.identities.create_user(
            "of-account", role=Role.ADMIN, account_id="acc_123", password=PASSWORD, by="test"
        )
        with running_web(terminal.place, environment) as web:
            yield Site(terminal, web, store, browser)
        store.close()


def make_user(page: Page, name: str, role: str = "operator") -> None:
    page.goto("/new-user")
    page.fill("#name", name)
    page.check(f"#role_{role}")
    page.fill("#password", PASSWORD)
    page.fill("#password_again", PASSWORD)
    page.get_by_role("button", name="Make the user").click()
    expect(page.get_by_role("status")).to_contain_text("can log in now")


def status_of(page: Page, path: str) -> int:
    answer = page.goto(path)
    assert answer is not None
    return answer.status


# -- users -------------------------------------------------------------------------------------------------


def test_a_user_is_made_logs_in_is_given_another_role_and_disabled(site: Site) -> None:
    page = site.visit("admin")
    page.get_by_role("link", name="Users").click()
    expect(page.get_by_role("row", name=re.compile("^admin"))).to_contain_text("(you)")
    page.get_by_role("link", name="New user").click()
    page.fill("#name", "Rosa!")
    page.fill("#password", "short")
    page.get_by_role("button", name="Make the user").click()
    expect(page.get_by_role("alert")).to_contain_text("Choose what the user may see and do.")
    expect(page.get_by_role("alert")).to_contain_text("at least 12 characters")
    expect(page.locator("#name")).to_have_value("Rosa!")
    page.check("#role_operator")
    page.fill("#password", PASSWORD)
    page.fill("#password_again", PASSWORD + "x")
    page.get_by_role("button", name="Make the user").click()
    expect(page.get_by_role("alert")).to_contain_text("not the same")
    page.fill("#password", PASSWORD)
    page.fill("#password_again", PASSWORD)
    page.get_by_role("button", name="Make the user").click()
    expect(page.get_by_role("alert")).to_contain_text("cannot be a name")
    assert PASSWORD not in page.content()
    make_user(page, "rosa")
    # Her session follows the role, and ends with the click of the administrator.
    rosa = site.visit("rosa")
    expect(rosa.get_by_role("link", name="Users")).to_have_count(0)
    page.goto("/users/rosa")
    page.check("#role_viewer")
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_role("status")).to_contain_text("in force")
    assert site.store.identities.find_user("rosa", None).role is Role.VIEWER  # type: ignore[union-attr]
    log_in_again(rosa, "rosa")
    expect(rosa.get_by_role("link", name="Changes")).to_have_count(0)
    page.reload()
    page.get_by_role("button", name="End it").first.click()
    expect(page.get_by_role("status")).to_contain_text("has to log in again")
    rosa.goto("/campaigns")
    expect(rosa.locator("h1")).to_have_text("Log in")
    page.get_by_role("button", name="Disable this user").click()
    expect(page.get_by_role("status")).to_contain_text("cannot log in any more")
    log_in(rosa, "rosa")
    expect(rosa.get_by_role("alert")).to_have_text("Name or password is wrong.")
    page.get_by_role("button", name="Let this user log in again").click()
    page.fill("#password", "another long sentence")
    page.fill("#password_again", "another long sentence")
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_role("status")).to_contain_text("The password is changed")
    log_in(rosa, "rosa", "another long sentence")
    expect(rosa).to_have_url(re.compile("/campaigns$"))


def log_in_again(page: Page, name: str) -> None:
    """A change of the role ends the sessions."""
    page.goto("/start")
    if page.locator("#password").count():
        log_in(page, name)
        page.wait_for_url("**/start")


def test_two_who_change_one_user_are_told(site: Site) -> None:
    page = site.visit("admin")
    make_user(page, "eva")
    page.goto("/users/eva")
    page.select_option("#account", "acc_123")
    site.terminal.type("user-edit", "eva", "--role", "manager")
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_role("alert")).to_contain_text("Somebody else has changed this user")
    expect(page.locator("#account")).to_have_value("acc_123")  # what was chosen is kept
    expect(page.locator("#role_operator")).to_be_checked()
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_role("status")).to_contain_text("in force")
    eva = site.store.identities.find_user("eva", None)
    assert eva is not None
    assert (eva.role, eva.account_id) == (Role.OPERATOR, "acc_123")


def test_nobody_locks_themselves_out(site: Site) -> None:
    page = site.visit("admin")
    page.goto("/users/admin")
    expect(page.get_by_role("button", name="Disable this user")).to_have_count(0)
    token = page.locator("main [name=form_token]").first.input_value()
    for order in ("disable", "edit"):
        answer = page.request.post(
            f"/users/admin/{order}",
            form={"form_token": token, "role": "viewer"},
            headers={"Sec-Fetch-Site": "same-origin"},
        )
        assert answer.status == 409
    assert site.store.identities.find_user("admin", None).role is Role.ADMIN  # type: ignore[union-attr]


def test_an_administrator_of_one_account_sees_its_users_alone(site: Site) -> None:
    page = site.visit("of-account")
    page.goto("/users")
    expect(page.locator("main")).to_contain_text("of-account")
    expect(page.locator("main")).not_to_contain_text("operator@")
    assert page.get_by_role("link", name="manager", exact=True).count() == 0
    assert status_of(page, "/users/manager") == 404
    make_user(page, "suyo", "viewer")
    suyo = site.store.identities.find_user("suyo", None)
    assert suyo is not None
    assert suyo.account_id == "acc_123"
    manager = site.visit("manager")
    for path in ("/users", "/new-user", "/tokens/new", "/users/admin"):
        assert status_of(manager, path) == 403


# -- tokens ------------------------------------------------------------------------------------------------


def test_a_token_is_shown_once_opens_the_api_and_is_revoked(site: Site) -> None:
    page = site.visit("admin")
    page.goto("/users")
    page.get_by_role("link", name="New token").click()
    page.get_by_role("button", name="Make the token").click()
    expect(page.get_by_role("alert")).to_contain_text("Type what the token is for")
    page.fill("#name", "crm")
    page.check("#role_manager")
    page.select_option("#expires", "30")
    page.get_by_role("button", name="Make the token").click()
    secret = page.locator("#token").input_value()
    assert secret.startswith("spt_")
    assert serious_findings(page) == []
    with site.web.client(secret) as client:
        assert client.get("/api/v1/batches").status_code == 200
        page.reload()  # the form is sent again: no second token, and the secret is not there any more
        expect(page.get_by_role("alert")).to_contain_text("take another name")
        assert secret not in page.content()
        page.goto("/users")
        assert secret not in page.content()
        page.get_by_role("link", name="Revoke crm").click()
        page.get_by_role("button", name="Revoke it").click()
        expect(page.get_by_role("status")).to_contain_text("opens nothing")
        assert client.get("/api/v1/batches").status_code == 401
    expect(page.get_by_role("row", name=re.compile("^crm"))).to_contain_text("revoked")


# -- who did what ------------------------------------------------------------------------------------------


def test_who_did_what_is_found_by_author_campaign_and_day(site: Site) -> None:
    batch = import_people(site, "cambios", 2, "--paused")
    site.terminal.type("pause-batch", batch, "--reason", HOSTILE)
    operator = site.visit("operator")
    operator.goto(f"/campaigns/{batch}")
    operator.get_by_role("button", name="Start calling").click()
    expect(operator.get_by_role("status")).to_contain_text("may call")
    operator.goto(f"/campaigns/{batch}/people")
    page = site.visit("admin")
    page.get_by_role("link", name="Changes").click()
    row = page.get_by_role("row", name=re.compile("operator .user."))
    expect(row.first).to_contain_text("Let it call")
    expect(page.locator("main")).to_contain_text(HOSTILE)
    page.fill("#by", "operator")
    page.fill("#batch", batch)
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile("by=operator"))
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Let it call")
    page.select_option("#show", "reads")
    page.fill("#batch", "")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody")).to_contain_text("The people of a campaign")
    page.fill("#to", "2020-01-01")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".empty")).to_contain_text("Nothing like this is recorded.")
    page.fill("#from", "2021-01-01")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("alert")).to_be_visible()
    # A user of one account sees what was done in its campaigns.
    bound = site.visit("of-account")
    bound.goto("/changes")
    expect(bound.locator(".empty")).to_contain_text("Type the id of a campaign")
    bound.fill("#batch", batch)
    bound.get_by_role("button", name="Show").click()
    expect(bound.locator("tbody")).to_contain_text("Let it call")
    bound.goto("/changes?batch=no-such-campaign")
    expect(bound.get_by_role("alert")).to_contain_text("no such batch")
    assert status_of(site.visit("viewer"), "/changes") == 403


# -- agents and numbers ------------------------------------------------------------------------------------


def test_agents_and_numbers_are_retells_and_its_silence_is_said(site: Site) -> None:
    page = site.visit("manager")
    site.terminal.simulator.fault("outage", endpoints=["agents"])
    page.get_by_role("link", name="Agents").click()
    expect(page.get_by_role("status").first).to_contain_text("The agents cannot be shown just now.")
    expect(page.locator("main")).to_contain_text("+12125550100")
    assert serious_findings(page) == []
    site.terminal.simulator.clear_faults()
    page.reload()
    expect(page.locator("main")).to_contain_text("agent_demo_flow")
    expect(page.locator("main")).to_contain_text("the usual one")
    expect(page.locator(".note.warning")).to_contain_text("The usual agent, agent_test, is not among them")
    assert status_of(site.visit("operator"), "/agents") == 403
    bound = site.visit("of-account")
    expect(bound.get_by_role("link", name="Agents")).to_have_count(0)


# -- a start at a time --------------------------------------------------------------------------------------


def test_a_campaign_starts_at_a_time_or_now_after_all(site: Site) -> None:
    batch = import_people(site, "a la hora", 3, "--paused", "--timezone", "America/Santiago")
    page = site.visit("manager")
    page.goto(f"/campaigns/{batch}/ready")
    page.get_by_role("link", name="Start at a time").click()
    page.get_by_role("button", name="Start then").click()
    expect(page.get_by_role("alert")).to_contain_text("Choose the day.")
    page.fill("#day", "2020-01-01")
    page.fill("#time", "09:00")
    page.get_by_role("button", name="Start then").click()
    expect(page.get_by_role("alert")).to_contain_text("is over")  # it would have called at once
    assert not site.store.batches.get(batch).is_active
    page.fill("#day", "2099-05-04")
    assert serious_findings(page) == []
    page.get_by_role("button", name="Start then").click()
    expect(page.get_by_role("status")).to_contain_text("starts by itself")
    expect(page.locator("#starts")).to_contain_text("It starts calling 4 May 2099, 09:00")
    stored = site.store.batches.get(batch)
    assert stored.is_active
    assert stored.call_settings.start_at == "2099-05-04T09:00"
    job = site.store.jobs.select({"batch_id": batch}, status=None, limit=1)[0].job_id
    page.goto(f"/people/{job}")
    expect(page.locator("section.calling")).to_contain_text("Next chance: 4 May 2099, 09:00")
    # Somebody changes it meanwhile.
    page.goto(f"/campaigns/{batch}/start")
    site.terminal.type("edit-batch", batch, "--start-at", "2099-06-01 8:00")
    page.get_by_role("button", name="Start now").click()
    expect(page.get_by_role("alert")).to_contain_text("Somebody else has changed the start")
    assert not has_placed(site, batch)
    page.get_by_role("button", name="Start now").click()
    expect(page.get_by_role("status")).to_contain_text("may call")
    expect(page.locator("#starts")).to_have_count(0)
    site.terminal.until(partial(has_placed, site, batch))
    site.terminal.type("cancel-batch", batch, "--yes")
    assert status_of(site.visit("operator"), f"/campaigns/{batch}/start") == 403


# -- a person and a call -----------------------------------------------------------------------------------


def test_a_call_shows_what_was_said_and_its_recording_at_the_click(site: Site) -> None:
    batch = import_people(site, "dicho", 1)
    (done,) = site.terminal.until(lambda: site.terminal.jobs(batch, "done"))
    page = site.visit("operator")
    page.goto(f"/people/{done['job_id']}")
    page.locator("a[href*='/calls/']").first.click()
    expect(page.get_by_role("heading", name="What was said")).to_be_visible()
    expect(page.locator(".talk").last).to_contain_text("Agent")
    expect(page.get_by_role("table")).to_contain_text("nombre")
    assert serious_findings(page) == []
    link = page.get_by_role("link", name="Listen to the recording").get_attribute("href")
    assert link is not None
    assert "retell" not in page.content().replace("Retell", "")  # its address stands on no page
    answer = page.request.get(link, max_redirects=0)
    assert answer.status == 303
    assert answer.headers["location"].startswith("https://recordings.retell.invalid/")
    site.terminal.simulator.fault("outage", endpoints=["get"])
    assert page.request.get(link, max_redirects=0).status == 503
    site.terminal.simulator.clear_faults()
    assert page.request.get(link.replace(done["job_id"], "job-none"), max_redirects=0).status == 404
    reads = site.terminal.ask("logs", "--reads", "--by", "operator")["lines"]
    assert {"call", "recording"} <= {line["command"] for line in reads}


def test_somebody_without_an_id_has_paid_and_wants_no_calls(site: Site) -> None:
    batch = import_people(site, "pagos", 2, "--paused")
    job = site.store.jobs.select({"batch_id": batch}, status=None, limit=1)[0].job_id
    page = site.visit("operator")
    page.goto(f"/people/{job}")
    page.get_by_text("Do something about this person").click()
    page.get_by_role("link", name="This person has paid").click()
    page.fill("#amount", "mucho")
    page.fill("#note", "transferencia 17")
    page.get_by_role("button", name="Record the payment").click()
    expect(page.get_by_role("alert")).to_contain_text("amount above zero")
    expect(page.locator("#note")).to_have_value("transferencia 17")
    page.fill("#amount", "12500,5")
    page.get_by_role("button", name="Record the payment").click()
    expect(page.get_by_role("status")).to_contain_text("The payment is recorded.")
    page.goto(f"/people/{job}/paid")
    page.fill("#amount", "13000")
    page.get_by_role("button", name="Record the payment").click()
    expect(page.get_by_role("alert")).to_contain_text("Another amount is recorded already")
    page.check("#correct")
    page.get_by_role("button", name="Record the payment").click()
    expect(page.get_by_role("status")).to_contain_text("The payment is recorded.")
    assert site.store.jobs.get(job).document["paid"]["amount"] == 13000
    page.get_by_text("Do something about this person").click()
    page.get_by_role("link", name="Never call this person again").click()
    assert site.store.do_not_call.size() == 0
    page.fill("#reason", HOSTILE)
    page.get_by_role("button", name="Never call this person again").click()
    expect(page.get_by_role("status")).to_contain_text("never called again")
    assert site.store.do_not_call.size() == 1


# -- languages, sizes, without a script --------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("width", [360, 1280])
def test_no_screen_is_wider_than_the_window_or_keeps_somebody_out(
    site: Site, language: str, width: int
) -> None:
    page = site.visit("admin", language, width)
    for path in (
        *("/users", "/new-user", "/users/manager", "/users/admin", "/tokens/new"),
        *("/changes", "/changes?show=reads", "/changes?by=nobody", "/agents"),
    ):
        page.goto(path)
        assert page.locator("html").get_attribute("lang") == language
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert serious_findings(page) == [], path


def test_a_user_is_made_without_a_script(site: Site) -> None:
    context = site.browser.new_context(base_url=site.web.address, java_script_enabled=False, locale="es")
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.goto("/login")
    log_in(page, "admin")
    page.goto("/new-user")
    page.fill("#name", "sin-guion")
    page.check("#role_viewer")
    page.fill("#password", PASSWORD)
    page.fill("#password_again", PASSWORD)
    page.get_by_role("button", name="Crear el usuario").click()
    expect(page.get_by_role("status")).to_contain_text("ya puede iniciar sesión")
