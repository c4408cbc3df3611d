"""A new campaign, reports, the do-not-call list and accounts in a browser, beside a daemon with calls."""

from __future__ import annotations

import os
import re
import secrets
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from speechaid.embedded.database import published_uri
from speechaid.settings import get_web_settings
from speechaid.store.connection import connect
from tests.acceptance.test_page import HOSTILE, WAIT_MS, Site, has_placed, import_people, log_in
from tests.acceptance.test_web import web_variables
from tests.support.browser import open_browser, serious_findings
from tests.support.terminal import open_terminal
from tests.support.web import running_web

pytestmark = pytest.mark.slow

#: A number for test calls; its plan has it.
OWN_PHONE = "+12125550177"


# A file is read, a call is made: some seconds, and more on a machine that runs many tests.
expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with open_browser() as browser, open_terminal(SPEECHAID_DEFAULT_ALLOWED_HOURS="00:00-24:00") as terminal:
        environment = web_variables(terminal)
        database = get_web_settings({**environment, "HOME": "/nonexistent"}, None).database
        store = connect(database, uri=published_uri(terminal.place / "database"))
        terminal.type("create-account", "acc_123", "--plan", "minutes_based", "--country", "US")
        terminal.type("create-account", "acc_other", "--plan", "unlimited")
        terminal.type("top-up", "acc_123", "--minutes", "500")
        terminal.type("test-number-add", OWN_PHONE, "--note", "mine")
        with running_web(terminal.place, environment) as web:
            yield Site(terminal, web, store, browser)
        store.close()


def people_file(site: Site, name: str = "personas.csv") -> Path:
    """Four people whom nobody knows yet, and two rows that cannot be used."""
    area = f"646{secrets.randbelow(700) + 210}"
    rows = [
        f"{HOSTILE};+1{area}0001;150000;hogar",
        f"Luis Paz;+1{area}0002;90500;pyme",
        f"María Núñez;+1{area}0003;25 mil;hogar",
        "Pedro Rojas;912;80000;hogar",
        f"Rosa Díaz;+1{area}0004;1200;hogar",
        f"Eva Soto;+1{area}0005;1300;hogar",
    ]
    file = site.terminal.place / name
    file.write_text("\n".join(["nombre;telefono;monto;plan", *rows, ""]), encoding="utf-8")
    return file


def go_on(page: Page) -> None:
    page.locator("main form button[type=submit]").first.click()


def to_settings(site: Site, page: Page, file: Path) -> None:
    """From the list of campaigns to the form of the settings."""
    page.goto("/campaigns")
    page.get_by_role("link", name="New campaign").click()
    page.set_input_files("#file", file)
    if page.locator("select#account").count():
        page.select_option("#account", "acc_123")
    go_on(page)
    expect(page.locator("h1")).to_have_text("What is in the columns?")
    go_on(page)
    expect(page.locator("h1")).to_have_text("Who will be in the campaign?")
    page.get_by_role("link", name=re.compile("Go on with")).click()
    expect(page.locator("h1")).to_have_text("When and how are people called?")


def campaigns_called(site: Site, name: str) -> list[str]:
    return [one.batch_id for one in site.store.batches.select(limit=100) if one.name == name]


def minutes_bought(site: Site) -> float:
    account = site.store.accounts.find("acc_123")
    assert account is not None
    return float(account.minutes_purchased)


def fill_hours(page: Page, name: str) -> None:
    page.fill("#name", name)
    page.fill("#start", "00:00")
    page.fill("#end", "24:00")
    for day in range(1, 8):
        page.check(f"#day_{day}")


# -- a new campaign ----------------------------------------------------------------------------------------


def test_a_campaign_is_made_of_a_file_in_steps_and_calls_when_it_is_started(site: Site) -> None:
    page = site.visit()
    page.goto("/campaigns/new")
    assert serious_findings(page) == []
    page.set_input_files("#file", people_file(site))
    page.select_option("#account", "acc_123")
    go_on(page)
    # What a column is can be corrected, and is remembered for the account.
    plan = page.get_by_role("row", name=re.compile("^plan"))
    plan.get_by_role("combobox").select_option("reference")
    assert serious_findings(page) == []
    go_on(page)
    expect(page.locator("main")).to_contain_text("People to import")
    expect(page.locator("dl.figures dd").first).to_have_text("4")
    expect(page.get_by_role("row", name=re.compile("too few digits"))).to_be_visible()
    assert serious_findings(page) == []
    with page.expect_download() as download:
        page.get_by_role("link", name="Download these rows").click()
    content = download.value.path().read_text(encoding="utf-8-sig")
    assert download.value.suggested_filename == "personas-bad-rows.csv"
    assert [line.split(";")[0] for line in content.splitlines()] == ["_line", "4", "5"]
    # What the agent is told of any row; a number is masked.
    page.fill("#row", "3")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("row", name=re.compile("reference_number"))).to_contain_text("pyme")
    expect(page.locator("main")).to_contain_text(re.compile(r"Called in this order: \+164\*+02"))
    page.get_by_role("link", name="Go on with 4 people").click()
    # A fault leaves what was typed.
    fill_hours(page, "Octubre")
    page.fill("#max_attempts", "0")
    go_on(page)
    expect(page.get_by_role("alert")).to_contain_text("This is a number from 1 to 100.")
    expect(page.locator("#name")).to_have_value("Octubre")
    assert serious_findings(page) == []
    page.fill("#max_attempts", "2")
    go_on(page)
    expect(page.locator("h1")).to_have_text("Start the campaign?")
    expect(page.locator("main")).to_contain_text("4 people are in the campaign Octubre.")
    expect(page.locator("main")).to_contain_text("People who will be called")
    assert serious_findings(page) == []
    (batch_id,) = campaigns_called(site, "Octubre")
    assert not has_placed(site, batch_id)
    page.get_by_role("button", name="Start now: call 4 people").click()
    expect(page).to_have_url(re.compile(f"/campaigns/{batch_id}"))
    site.terminal.until(partial(has_placed, site, batch_id))
    # The next file with these titles is read as the last one was corrected.
    page.goto("/campaigns/new")
    page.set_input_files("#file", people_file(site))
    page.select_option("#account", "acc_123")
    go_on(page)
    expect(page.locator("main")).to_contain_text("What was corrected in an earlier file")
    plan = page.get_by_role("row", name=re.compile("^plan"))
    expect(plan.get_by_role("combobox")).to_have_value("reference")


def test_a_form_that_is_sent_twice_makes_one_campaign_which_can_be_taken_back(site: Site) -> None:
    page = site.visit()
    to_settings(site, page, people_file(site))
    fill_hours(page, "Doble")
    page.evaluate(
        """() => {
            const form = document.querySelector("main form");
            const body = () => new URLSearchParams(new FormData(form));
            window.answers = Promise.all([1, 2, 3].map(() =>
                fetch(form.action, {method: "POST", body: body()}).then((answer) => answer.url)));
        }"""
    )
    answers = page.evaluate("window.answers")
    # The page of the campaign, or of its import where that is not done yet.
    campaigns = {re.sub(r"/(ready|import)([?].*)?$", "", answer) for answer in answers}
    assert len(campaigns) == 1
    page.goto(answers[0])
    expect(page.locator("h1")).to_have_text("Start the campaign?")
    (batch_id,) = campaigns_called(site, "Doble")
    page.get_by_role("button", name="Go back and change it").click()
    expect(page.locator("#name")).to_have_value("Doble")
    assert campaigns_called(site, "Doble") == []
    page.fill("#name", "Doble dos")
    go_on(page)
    expect(page.locator("h1")).to_have_text("Start the campaign?")
    assert len(campaigns_called(site, "Doble dos")) == 1
    assert not has_placed(site, batch_id)


def test_the_page_asks_what_a_campaign_is_for_and_shows_the_law(site: Site) -> None:
    page = site.visit()
    to_settings(site, page, people_file(site))
    fill_hours(page, "Con ley")
    page.select_option("#purpose", "reminder")
    assert serious_findings(page) == []
    go_on(page)
    (batch_id,) = campaigns_called(site, "Con ley")
    assert site.store.batches.get(batch_id).call_settings.purpose == "reminder"
    # It is changed, and taken back, with the hours.
    page.goto(f"/campaigns/{batch_id}/hours")
    expect(page.locator("#purpose")).to_have_value("reminder")
    page.select_option("#purpose", "")
    go_on(page)
    expect(page.get_by_role("status")).to_contain_text("in force")
    assert site.store.batches.get(batch_id).call_settings.purpose is None
    page.goto(f"/campaigns/{batch_id}/hours")
    page.select_option("#purpose", "collection")
    go_on(page)
    expect(page.locator("main")).to_contain_text("collection of a debt")
    # The evidence of a person, whose call was placed under a rule.
    job = site.store.jobs.table.find({"batch_id": batch_id}, limit=1)[0]
    site.store.jobs.table.update({"_id": job["_id"]}, {"$set": {"contact.dni": "12.345.678-5"}})
    site.store.results.table.insert(
        {
            "call_id": "call_evidence",
            "job_id": job["job_id"],
            "batch_id": batch_id,
            "account_id": job["account_id"],
            "contact": {"phone_used": "+12125550178"},
            "outcome": "no_answer",
            "connected": False,
            "created_at": site.store.now(),
            "placed_at": site.store.now(),
            "calling_rule": {"rule": "CL collection", "pack": "0" * 64, "zones": ["America/Santiago"]},
        }
    )
    page.goto(f"/people/{job['job_id']}/evidence")
    expect(page.locator("main")).to_contain_text("CL collection")
    expect(page.locator("main")).to_contain_text("an attempt")
    assert serious_findings(page) == []


def test_what_was_typed_survives_the_end_of_the_session(site: Site) -> None:
    page = site.visit()
    to_settings(site, page, people_file(site))
    fill_hours(page, "Sesión")
    site.store.identities.end_sessions("manager")
    go_on(page)
    expect(page.get_by_role("alert")).to_contain_text("what you typed is kept")
    log_in(page, "manager")
    page.get_by_role("button", name="Send it now").click()
    expect(page.locator("h1")).to_have_text("Start the campaign?")
    assert len(campaigns_called(site, "Sesión")) == 1


def test_a_file_is_its_users_alone_and_an_unusable_one_says_why(site: Site) -> None:
    page = site.visit()
    to_settings(site, page, people_file(site))
    address = page.url
    other = site.visit("stranger")
    answer = other.goto(address)
    assert answer is not None
    assert answer.status == 404
    expect(other.locator("main")).to_contain_text("not kept any more")
    answer = site.visit("operator").goto("/campaigns/new")
    assert answer is not None
    assert answer.status == 403
    nothing = site.terminal.place / "nada.csv"
    nothing.write_text("a;b\nx;y\n")
    page.goto("/campaigns/new")
    page.set_input_files("#file", nothing)
    go_on(page)
    expect(page.locator("h1")).to_have_text("New campaign")
    expect(page.get_by_role("alert")).to_be_visible()


def test_a_registered_telephone_hears_the_campaign_first(site: Site) -> None:
    page = site.visit()
    batch_id = import_people(site, "probar", 3, "--paused")
    page.goto(f"/campaigns/{batch_id}/ready")
    page.fill("#to", "+12125550188")
    page.get_by_role("button", name="Call me").click()
    expect(page.get_by_role("alert")).to_be_visible()  # not registered
    expect(page.locator("#to")).to_have_value("+12125550188")
    page.fill("#to", OWN_PHONE)
    page.get_by_role("button", name="Call me").click()
    expect(page.locator("h1")).to_contain_text("Test call to")
    expect(page.locator("main")).to_contain_text("Result")
    expect(page.get_by_role("heading", name="What was said")).to_be_visible()
    assert not has_placed(site, batch_id)


# -- reports, the do-not-call list, accounts ---------------------------------------------------------------


def test_a_report_has_charts_with_their_figures_and_files(site: Site) -> None:
    batch_id = import_people(site, "informe", 3)
    site.terminal.until(lambda: len(site.terminal.jobs(batch_id, "done")) == 3)
    page = site.visit(language="es")
    page.goto(f"/reports?batch={batch_id}")
    chart = page.get_by_role("img", name=re.compile("Llamadas por hora"))
    expect(chart).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Avance"))).to_be_visible()
    expect(page.locator("main")).to_contain_text("Comprometido")
    assert serious_findings(page) == []
    with page.expect_download() as download:
        page.get_by_role("link", name="Descargar el informe (XLSX)").click()
    assert download.value.path().read_bytes().startswith(b"PK")
    with page.expect_download() as download:
        page.get_by_role("link", name="Descargar las llamadas (CSV)").click()
    lines = download.value.path().read_text(encoding="utf-8-sig").splitlines()
    assert len(lines) == 4
    # A viewer has the figures, and no file with telephones.
    viewer = site.visit("viewer")
    viewer.goto(f"/reports?batch={batch_id}")
    expect(viewer.get_by_role("img", name=re.compile("Calls by hour"))).to_be_visible()
    expect(viewer.get_by_role("link", name="Download the calls (CSV)")).to_have_count(0)
    answer = site.visit("viewer").request.get("/reports/calls.csv")
    assert answer.status == 403


def test_a_number_is_put_on_the_list_found_there_and_taken_off(site: Site) -> None:
    page = site.visit()
    page.goto("/do-not-call")
    assert serious_findings(page) == []
    page.fill("#added", "+12125550142")
    page.get_by_role("button", name="Put it on the list").click()
    expect(page.get_by_role("alert")).to_contain_text("Say why")
    expect(page.locator("#added")).to_have_value("+12125550142")
    page.fill("#reason", HOSTILE)
    page.get_by_role("button", name="Put it on the list").click()
    expect(page.get_by_role("status")).to_contain_text("it is not dialled any more")
    page.fill("#number", "+1 212 555 0142")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("status")).to_contain_text("manager (user)")
    page.get_by_role("button", name="Take it off the list").click()
    expect(page.get_by_role("alert")).to_contain_text("Confirm")
    assert site.store.do_not_call.size() == 1
    page.check("#sure")
    page.get_by_role("button", name="Take it off the list").click()
    expect(page.get_by_role("status")).to_contain_text("it may be called")
    assert site.store.do_not_call.size() == 0


def test_a_list_is_imported_after_a_look_at_it(site: Site) -> None:
    page = site.visit()
    file = site.terminal.place / "lista.csv"
    file.write_text("+12125550151\n+12125550152\nno number\n")
    page.goto("/do-not-call")
    page.set_input_files("#file", file)
    page.get_by_role("button", name="See what it would add").click()
    expect(page.locator("main")).to_contain_text("2 numbers would be new on the list.")
    expect(page.locator("main")).to_contain_text("1 line without a number")
    before = site.store.do_not_call.size()
    page.get_by_role("button", name="Put 2 numbers on the list").click()
    expect(page.get_by_role("status")).to_contain_text("2 numbers are new on the list.")
    assert site.store.do_not_call.size() == before + 2
    operator = site.visit("operator")
    operator.goto("/do-not-call")
    expect(operator.locator("#file")).to_have_count(0)


def test_a_balance_is_topped_up_once_and_an_account_suspended(site: Site) -> None:
    page = site.visit("admin")
    page.goto("/accounts")
    assert serious_findings(page) == []
    page.get_by_role("link", name="acc_123").click()
    assert serious_findings(page) == []
    bought = minutes_bought(site)
    page.fill("#amount", "12,5")
    page.fill("#note", "factura 17")
    page.evaluate(
        """() => {
            const form = document.querySelector("form[action$=topup]");
            window.answers = Promise.all([1, 2].map(() => fetch(form.action,
                {method: "POST", body: new URLSearchParams(new FormData(form))}).then((one) => one.status)));
        }"""
    )
    assert page.evaluate("window.answers") == [200, 200]
    assert minutes_bought(site) - bought == pytest.approx(12.5)
    page.goto("/accounts/acc_other")
    page.get_by_role("link", name="Suspend the account").click()
    page.get_by_role("button", name="Suspend the account").click()
    expect(page.get_by_role("status")).to_contain_text("no new call")
    page.get_by_role("button", name="Allow its calls again").click()
    expect(page.get_by_role("status")).to_contain_text("may call again")
    # A manager looks, and changes nothing; another account's user sees nothing of it.
    manager = site.visit()
    manager.goto("/accounts/acc_123")
    expect(manager.locator("#amount")).to_have_count(0)
    answer = site.visit("stranger").goto("/accounts/acc_123")
    assert answer is not None
    assert answer.status == 404


# -- what is typed, and what takes long ----------------------------------------------------------------------


def test_what_was_typed_is_there_after_the_browsers_back_button(site: Site) -> None:
    page = site.visit()
    to_settings(site, page, people_file(site))
    fill_hours(page, "Atrás")
    # The name is kept by a request of its own, which may be answered only now.
    with page.expect_response(
        lambda answer: answer.url.endswith("/keep") and "enviado" in (answer.request.post_data or "")
    ):
        page.fill("#description", "no se ha enviado")
    page.goto("/start")
    page.go_back()
    expect(page.locator("#description")).to_have_value("no se ha enviado")
    expect(page.locator("#name")).to_have_value("Atrás")
    page.go_back()
    page.go_forward()
    expect(page.locator("#description")).to_have_value("no se ha enviado")


def test_an_import_that_takes_long_is_watched_left_and_come_back_to(site: Site) -> None:
    page = site.visit()
    to_settings(site, page, people_file(site))
    fill_hours(page, "Larga")
    daemon = int(site.terminal.ask("status")["supervisor"]["pid"])
    os.kill(daemon, signal.SIGSTOP)
    try:
        go_on(page)
        expect(page.locator("h1")).to_have_text("The people are being imported")
        expect(page.get_by_role("progressbar")).to_be_visible()
    finally:
        os.kill(daemon, signal.SIGCONT)
    expect(page.locator("h1")).to_have_text("Start the campaign?")
    assert len(campaigns_called(site, "Larga")) == 1
