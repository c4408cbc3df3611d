"""The page in a real browser beside a daemon with real calls: from login to logout."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from speechaid.embedded.database import published_uri
from speechaid.model.identity import Role
from speechaid.settings import get_web_settings
from speechaid.store.connection import Store, connect
from tests.acceptance.test_web import web_variables
from tests.support.browser import open_browser, serious_findings
from tests.support.terminal import Terminal, open_terminal
from tests.support.web import WebProcess, running_web

pytestmark = pytest.mark.slow

PASSWORD = "a long sentence of words"
WAIT_MS = 60_000
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


class Site:
    """A daemon with a campaign, the page, a user of each role, and one of another account."""

    def __init__(self, terminal: Terminal, web: WebProcess, store: Store, browser: Browser) -> None:
        self.terminal = terminal
        self.web = web
        self.store = store
        self.browser = browser
        for role in Role:
            store.identities.create_user(str(role), role=role, account_id=None, password=PASSWORD, by="test")
        store.identities.create_user(
            "stranger", role=Role.MANAGER, account_id="acc_other", password=PASSWORD, by="test"
        )

    def visit(self, name: str | None = "manager", language: str = "en", width: int = 1280) -> Page:
        """A new browser profile, logged in as a user; whatever a page's script gets wrong fails the test."""
        context = self.browser.new_context(
            base_url=self.web.address, locale=language, viewport={"width": width, "height": 900}
        )
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.on("pageerror", lambda error: pytest.fail(f"a script failed: {error}"))
        page.on("dialog", lambda dialog: pytest.fail(f"a script of a contact ran: {dialog.message}"))
        if name is not None:
            page.goto("/")
            log_in(page, name)
            expect(page).to_have_url(re.compile("/start$"))
        return page


def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.fill("#name", name)
    page.fill("#password", password)
    page.click("main button[type=submit]")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with open_browser() as browser, open_terminal(SPEECHAID_DEFAULT_ALLOWED_HOURS="00:00-24:00") as terminal:
        environment = web_variables(terminal)
        database = get_web_settings({**environment, "HOME": "/nonexistent"}, None).database
        store = connect(database, uri=published_uri(terminal.place / "database"))
        terminal.type("create-account", "acc_123", "--plan", "unlimited")
        terminal.type("create-account", "acc_other", "--plan", "unlimited")
        with running_web(terminal.place, environment) as web:
            yield Site(terminal, web, store, browser)
        store.close()


def import_people(site: Site, name: str, count: int, *options: str) -> str:
    return site.terminal.import_contacts(count, name, "--account", "acc_123", *options)


def placed_of(site: Site, batch_id: str) -> int:
    """How many people of a campaign were called: a test call is none of them."""
    placed = [one["metadata"] for one in site.terminal.simulator.placed_calls()]
    return sum(one.get("batch_id") == batch_id and one.get("test") != "true" for one in placed)


def has_placed(site: Site, batch_id: str) -> bool:
    return placed_of(site, batch_id) > 0


# -- login -------------------------------------------------------------------------------------------------


def test_a_wrong_password_says_so_and_keeps_the_name(site: Site) -> None:
    page = site.visit(None)
    page.goto("/campaigns")
    expect(page.locator("h1")).to_have_text("Log in")
    log_in(page, "manager", "no password of theirs")
    expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    expect(page.locator("#name")).to_have_value("manager")
    log_in(page, "manager")
    expect(page).to_have_url(re.compile("/campaigns$"))  # where one was going


def test_the_session_cannot_be_read_by_a_script_and_ends_with_the_logout(site: Site) -> None:
    page = site.visit("viewer")
    (cookie,) = [one for one in page.context.cookies() if one["name"] == "speechaid_session"]
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax"
    assert "speechaid_session" not in page.evaluate("document.cookie")
    page.get_by_role("button", name="Log out").click()
    expect(page.locator("h1")).to_have_text("Log in")
    # What the browser had opens nothing any more.
    page.context.add_cookies([{"name": cookie["name"], "value": cookie["value"], "url": site.web.address}])
    page.goto("/start")
    expect(page.locator("h1")).to_have_text("Log in")


def test_what_was_typed_survives_an_ended_session(site: Site) -> None:
    batch = import_people(site, "typed", 2, "--paused")
    page = site.visit("manager")
    page.goto(f"/campaigns/{batch}/cancel")
    page.fill("#reason", "the list is wrong")
    site.store.identities.end_sessions("manager")
    page.click("main button.danger")
    expect(page.get_by_role("alert")).to_contain_text("what you typed is kept")
    log_in(page, "manager")
    expect(page.locator("dl")).to_contain_text("the list is wrong")
    assert site.store.batches.get(batch).cancelled is None
    page.get_by_role("button", name="Send it now").click()
    expect(page.get_by_role("status")).to_contain_text("cancelled")
    cancelled = site.store.batches.get(batch).cancelled
    assert cancelled is not None
    assert (cancelled["by"], cancelled["reason"]) == ("manager (user)", "the list is wrong")


def test_of_a_stranger_no_file_is_read(site: Site) -> None:
    with site.web.client(timeout=30) as client:
        for path in ("/login", "/stop"):
            answer = client.post(
                path,
                data={"name": "viewer", "password": PASSWORD},
                files={"file": ("a.csv", b"x" * 2_000_000)},
                headers={"Sec-Fetch-Site": "same-origin"},
            )
            assert answer.status_code == 401
            assert "speechaid_session" not in answer.cookies


def test_tries_are_limited(site: Site) -> None:
    site.store.identities.create_user(
        "tried", role=Role.VIEWER, account_id=None, password=PASSWORD, by="test"
    )
    with site.web.client() as client:
        client.headers["Sec-Fetch-Site"] = "same-origin"
        answers = [
            client.post("/login", data={"name": "tried", "password": "wrong password"}).status_code
            for _ in range(11)
        ]
        assert answers == [401] * 10 + [429]
        right = client.post("/login", data={"name": "tried", "password": PASSWORD})
        assert right.status_code == 429
        assert "Too many failed tries" in right.text


# -- a campaign --------------------------------------------------------------------------------------------


def test_a_campaign_is_followed_live_paused_and_resumed(site: Site) -> None:
    batch = import_people(site, "live", 40)
    page = site.visit("operator")
    page.goto("/campaigns")
    page.get_by_role("link", name="live").click()
    site.terminal.until(partial(has_placed, site, batch))
    # The figures change without a reload.
    expect(page.locator("[sse-swap]")).to_contain_text(
        re.compile(r"[1-9]\d* of 40 people finished"), timeout=WAIT_MS
    )
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status")).to_contain_text("Paused: no new call of this campaign since")
    placed = placed_of(site, batch)
    assert site.store.batches.get(batch).pause is not None
    page.get_by_role("button", name="Start calling").click()
    expect(page.get_by_role("status")).to_contain_text("may call")
    site.terminal.until(lambda: placed_of(site, batch) > placed)
    site.terminal.type("cancel-batch", batch, "--yes")


def test_a_live_page_goes_on_after_a_restart_of_its_process(site: Site, tmp_path: Path) -> None:
    batch = import_people(site, "restarted", 3, "--paused")
    port = httpx.URL(site.web.address).port
    environment = web_variables(site.terminal)
    with running_web(tmp_path, environment) as first:
        fixed = {**environment, "SPEECHAID_WEB_ADDRESS": f"127.0.0.1:{httpx.URL(first.address).port}"}
        assert httpx.URL(first.address).port != port
        context = site.browser.new_context(base_url=first.address, locale="en")
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.goto(f"/campaigns/{batch}")
        log_in(page, "operator")
        expect(page.locator("[sse-swap]")).to_contain_text("0 of 3 people finished")
        first.stop(signal.SIGKILL)
        (tmp_path / "again").mkdir()
        with running_web(tmp_path / "again", fixed):
            site.terminal.type("resume-batch", batch)
            expect(page.locator("[sse-swap]")).to_contain_text(
                re.compile("[1-3] of 3 people finished"), timeout=WAIT_MS
            )


def test_hours_are_edited_and_somebody_elses_change_is_told(site: Site) -> None:
    batch = import_people(site, "hours", 2, "--paused")
    page = site.visit("manager")
    page.goto(f"/campaigns/{batch}/hours")
    page.fill("#start", "")
    page.fill("#end", "18:00")
    page.click("main button[type=submit]")
    expect(page.get_by_role("alert")).to_contain_text("from when to when")
    expect(page.locator("#end")).to_have_value("18:00")
    page.fill("#start", "nonsense")
    page.click("main button[type=submit]")
    expect(page.locator("fieldset.fault")).to_be_visible()
    page.fill("#start", "09:30")
    page.uncheck("#day_7")
    site.terminal.type("edit-batch", batch, "--hours", "08:00-12:00")
    page.click("main button[type=submit]")
    expect(page.get_by_role("alert")).to_contain_text("now 08:00 to 12:00")
    expect(page.locator("#start")).to_have_value("09:30")
    page.click("main button[type=submit]")
    expect(page.get_by_role("status")).to_contain_text("in force")
    expect(page.locator("main")).to_contain_text("09:30 to 18:00")  # at once, not when a reading is renewed
    settings: Any = site.store.batches.get(batch).document["call_settings"]
    assert settings["allowed_hours"] == {"start": "09:30", "end": "18:00"}
    assert settings["days_of_week"] == [1, 2, 3, 4, 5, 6]
    expect(page.locator(".log")).to_contain_text("manager (user)")


def test_a_person_is_found_and_why_they_are_not_called_is_said(site: Site) -> None:
    batch = import_people(site, "people", 3, "--paused")
    site.store.jobs.table.update(
        {"batch_id": batch, "contact.name": "Persona 1"}, {"$set": {"contact.name": HOSTILE}}
    )
    page = site.visit("operator")
    page.goto(f"/campaigns/{batch}/people?status=failed")
    expect(page.locator(".empty")).to_contain_text("Nobody is like this.")
    page.select_option("#status", "pending")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile("status=pending"))
    page.get_by_role("link", name=HOSTILE).click()
    expect(page.locator("h1")).to_have_text(HOSTILE)
    expect(page.locator("section.calling")).to_contain_text("is paused")
    assert not re.search(r"\+\d{9,}", page.content())  # masked
    page.get_by_text("Do something about this person").click()
    page.get_by_role("button", name="Set aside").click()
    expect(page.get_by_role("status")).to_contain_text("set aside")
    page.goto("/people")
    page.fill("#person", "Persona 2")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("heading", name="Find a person")).to_be_visible()
    expect(page.locator("main")).to_contain_text("Persona 2")
    assert "Persona" not in page.url


# -- the emergency stop ------------------------------------------------------------------------------------


def test_the_emergency_stop_asks_once_shows_its_guarantee_and_is_released(site: Site) -> None:
    batch = import_people(site, "stopped", 40)
    site.terminal.until(partial(has_placed, site, batch))
    page = site.visit("manager")
    page.get_by_role("link", name="Stop all calls").click()
    expect(page.locator("h1")).to_have_text("Stop all calls?")
    expect(page.locator("main")).to_contain_text(re.compile(r"\d+ people wait"))
    page.fill("#reason", HOSTILE)
    page.get_by_role("button", name="Stop all calls").click()
    expect(page.locator("h1")).to_contain_text(re.compile(r"No new call since \d\d:\d\d:\d\d"))
    placed = len(site.terminal.simulator.placed_calls())
    page.goto("/campaigns")
    expect(page.locator(".banner.danger")).to_contain_text("manager (user) stopped them")
    expect(page.locator(".banner.danger")).to_contain_text(HOSTILE)
    other = site.visit("operator")
    expect(other.locator(".banner.danger")).to_contain_text("A manager can allow calls again.")
    page.wait_for_timeout(2000)
    assert len(site.terminal.simulator.placed_calls()) == placed
    page.get_by_role("link", name="Allow calls again").click()
    page.get_by_role("button", name="Allow calls again").click()
    expect(page.locator(".banner.danger")).to_have_count(0)
    site.terminal.until(lambda: len(site.terminal.simulator.placed_calls()) > placed)
    site.terminal.type("cancel-batch", batch, "--yes")


@pytest.fixture(autouse=True)
def released(site: Site) -> Iterator[None]:
    """No test leaves the emergency stop behind."""
    yield
    site.terminal.type("unhold")


# -- who may what ------------------------------------------------------------------------------------------


def test_a_user_of_another_account_sees_and_stops_nothing(site: Site) -> None:
    batch = import_people(site, "foreign", 2, "--paused")
    page = site.visit("stranger")
    assert page.get_by_role("link", name="Stop all calls").count() == 0
    page.goto("/campaigns")
    assert page.get_by_role("link", name="foreign").count() == 0
    job = site.store.jobs.select({"batch_id": batch}, status=None, limit=1)[0].job_id
    for path in (
        f"/campaigns/{batch}",
        f"/campaigns/{batch}/people",
        f"/campaigns/{batch}/live",
        f"/people/{job}",
        "/campaigns/no-such-campaign",
    ):
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 404, path
    answer = page.goto("/stop")
    assert answer is not None
    assert answer.status == 403


def test_a_viewer_sees_progress_and_no_people(site: Site) -> None:
    batch = import_people(site, "viewed", 2, "--paused")
    page = site.visit("viewer")
    page.goto(f"/campaigns/{batch}")
    expect(page.locator("main")).to_contain_text("0 of 2 people finished")
    assert page.get_by_role("button", name="Start calling").count() == 0
    assert page.get_by_role("link", name="People").count() == 0
    answer = page.goto(f"/campaigns/{batch}/people")
    assert answer is not None
    assert answer.status == 403


def test_a_form_of_another_site_or_without_the_token_does_nothing(site: Site) -> None:
    batch = import_people(site, "forged", 2)
    page = site.visit("manager")
    (cookie,) = [one for one in page.context.cookies() if one["name"] == "speechaid_session"]
    page.goto(f"/campaigns/{batch}")
    token = page.locator("main [name=form_token]").first.input_value()
    host = httpx.URL(site.web.address)
    cases = [
        ({"Sec-Fetch-Site": "cross-site"}, token),
        ({"Origin": "https://evil.example"}, token),
        ({"Origin": "null"}, token),
        ({}, token),
        ({"Sec-Fetch-Site": "same-origin"}, ""),
        ({"Sec-Fetch-Site": "same-origin", "Origin": str(host)}, "0" * 64),
    ]
    with site.web.client(cookies={"speechaid_session": cookie["value"]}) as client:
        for headers, sent in cases:
            answer = client.post(f"/campaigns/{batch}/pause", data={"form_token": sent}, headers=headers)
            assert answer.status_code == 403, headers
            assert site.store.batches.get(batch).is_active
        own = client.post(
            f"/campaigns/{batch}/pause",
            data={"form_token": token},
            headers={"Sec-Fetch-Site": "same-origin"},
        )
    assert own.status_code == 200
    assert not site.store.batches.get(batch).is_active


def test_every_answer_forbids_scripts_of_others(site: Site) -> None:
    with site.web.client() as client:
        for path in ("/login", "/static/page.css", "/nowhere", "/campaigns"):
            policy = client.get(path).headers["content-security-policy"]
            assert "script-src 'self'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
        assert client.get("/").json()["name"] == "speechaid"  # programs find the API there still


# -- languages, sizes, accessibility -----------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("width", [360, 1280])
def test_no_screen_is_wider_than_the_window_or_keeps_somebody_out(
    site: Site, language: str, width: int
) -> None:
    name = f"seen-{language}-{width}"
    batch = import_people(site, name, 4)
    site.terminal.until(partial(has_placed, site, batch))
    page = site.visit(None, language, width)
    page.goto("/login")
    assert serious_findings(page) == []
    log_in(page, "manager")
    page.wait_for_url("**/start")
    job = site.store.jobs.select({"batch_id": batch}, status=None, limit=1)[0].job_id
    for path in (
        *(
            "/start",
            "/campaigns",
            "/campaigns?show=paused",
            f"/campaigns/{batch}",
            f"/campaigns/{batch}/hours",
        ),
        *(f"/campaigns/{batch}/people", f"/campaigns/{batch}/again", f"/campaigns/{batch}/cancel"),
        f"/campaigns/{batch}/details",
        *("/people", f"/people/{job}", "/stop", "/nowhere", f"/campaigns/{batch}/results"),
    ):
        page.goto(path)
        assert page.locator("html").get_attribute("lang") == language
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert serious_findings(page) == [], path
        assert len(page.content()) < 100_000


def test_the_page_is_used_by_keyboard_alone(site: Site) -> None:
    page = site.visit(None)
    page.goto("/login")
    page.keyboard.type("operator")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/start")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_reading_needs_no_script(site: Site) -> None:
    batch = import_people(site, "plain", 2, "--paused")
    context = site.browser.new_context(base_url=site.web.address, java_script_enabled=False, locale="en")
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.goto("/login")
    log_in(page, "viewer")
    page.goto(f"/campaigns/{batch}")
    expect(page.locator("main")).to_contain_text("0 of 2 people finished")
    page.goto(f"/campaigns/{batch}/results")
    expect(page.locator("main")).to_contain_text("No call has ended yet.")


def test_without_the_daemon_what_can_be_shown_is_and_the_rest_says_so(site: Site, tmp_path: Path) -> None:
    batch = import_people(site, "alone", 2, "--paused")
    environment = web_variables(site.terminal) | {"SPEECHAID_SOCKET": str(tmp_path / "none.sock")}
    with running_web(tmp_path, environment) as web:
        context = site.browser.new_context(base_url=web.address, locale="en")
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.goto("/login")
        log_in(page, "manager")
        expect(page.locator(".banner.warning")).to_contain_text("does not answer")
        page.goto(f"/campaigns/{batch}")
        expect(page.locator("main")).to_contain_text("0 of 2 people finished")
        page.get_by_role("button", name="Start calling").click()
        expect(page.get_by_role("alert")).to_contain_text("the daemon is away")
