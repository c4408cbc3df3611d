"""The page's own rules: forms, languages, words, templates; without a server."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.routing import APIRoute

from speechaid.commands.registry import REGISTRY
from speechaid.model.batch import BatchStatus
from speechaid.model.identity import Role
from speechaid.model.states import JobStatus
from speechaid.protocol.commands import COMMANDS
from speechaid.protocol.specs.specification import Access
from speechaid.protocol.translation import LANGUAGES, in_language
from speechaid.web.page import forgery, rendering, visits, words
from speechaid.web.page.calling import Calling, calling_state
from speechaid.web.page.languages import choose_language
from speechaid.web.page.screens import (
    accounts,
    agents,
    campaign_start,
    campaigns,
    changes,
    do_not_call,
    emergency,
    login,
    new_campaign,
    people,
    reports,
    start,
    users,
)
from speechaid.web.page.visits import kept_fields

OWN = {"host": "dialer.example.com"}
TEMPLATES = sorted(path.name for path in rendering.TEMPLATES.glob("*.html"))


@pytest.mark.parametrize(
    ("headers", "is_own"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-origin", "origin": "https://dialer.example.com"}, True),
        ({"origin": "https://dialer.example.com"}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "https://dialer.example.com"}, False),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "https://dialer.example.com.evil.example"}, False),
        ({"origin": "null"}, False),
        ({}, False),
    ],
)
def test_a_form_is_taken_from_a_page_of_this_server_alone(headers: dict[str, str], is_own: bool) -> None:
    assert forgery.is_own_request({**OWN, **headers}) is is_own


def test_without_the_name_of_its_host_no_request_is_the_pages_own() -> None:
    assert not forgery.is_own_request({"origin": "https://"})
    assert not forgery.is_own_request({"origin": "null", "host": ""})


def test_a_forms_token_is_of_one_session() -> None:
    token = forgery.token_of("secret of one")
    assert forgery.is_token_of("secret of one", token)
    assert not forgery.is_token_of("secret of another", token)
    assert not forgery.is_token_of("secret of one", "")
    assert not forgery.is_token_of("secret of one", "\ud800")
    assert "secret of one" not in token


@pytest.mark.parametrize(
    ("path", "is_own"),
    [
        ("/start", True),
        ("/campaigns?show=active&after=x", True),
        ("//evil.example/", False),
        ("/\\evil.example", False),
        ("https://evil.example/", False),
        ("start", False),
        ("", False),
        ("/a\nb", False),
    ],
)
def test_after_a_login_a_browser_is_sent_to_a_page_of_this_server_alone(path: str, is_own: bool) -> None:
    assert forgery.is_own_path(path) is is_own


def test_what_is_kept_of_an_unsent_form_has_no_password_and_an_end() -> None:
    typed = {"form_token": "t", "password": "p", "new_password": "p", "reason": "wrong agent"}
    assert kept_fields(typed) == {"reason": "wrong agent"}
    assert kept_fields({"reason": "x" * 100_000}) == {}


@pytest.mark.parametrize(
    ("chosen", "accepted", "language"),
    [
        ("es", "en", "es"),
        (None, "es-CL,es;q=0.9,en;q=0.8", "es"),
        (None, "de,en;q=0.5,es;q=0.7", "es"),
        (None, "de, es;q=0", "en"),
        (None, "es;q=nonsense, en;q=0.1", "en"),
        ("xx", "fr", "en"),
        (None, None, "en"),
    ],
)
def test_the_language_is_the_chosen_one_else_the_browsers(
    chosen: str | None, accepted: str | None, language: str
) -> None:
    assert choose_language(chosen, accepted, "en") == language


def dependencies(dependant: Any) -> set[object]:
    return {call for one in dependant.dependencies for call in ({one.call} | dependencies(one))}


def test_whatever_changes_something_checks_where_its_form_comes_from() -> None:
    changing = [route for route in all_routes() if "POST" in (route.methods or ())]
    assert len(changing) >= 8
    for route in changing:
        # A login has no session yet: it looks at the browser's word alone.
        if route.path != "/login":
            assert visits._form in dependencies(route.dependant), route.path


def test_every_screen_names_what_the_users_role_must_be_allowed() -> None:
    for route in all_routes():
        if visits._visit in dependencies(route.dependant) and route.path != "/logout":
            assert any(
                "needs_grant.<locals>" in getattr(call, "__qualname__", "")
                for call in dependencies(route.dependant)
            ), route.path


@pytest.mark.parametrize("name", sorted(visits.SHARED))
def test_an_answer_that_several_get_shows_no_people(name: str) -> None:
    assert getattr(REGISTRY[name], "documents", None) is None


def test_nothing_but_the_login_and_the_language_is_open_without_a_session() -> None:
    open_paths = {route.path for route in all_routes() if visits._visit not in dependencies(route.dependant)}
    assert open_paths == {"/login", "/language/{code}"}


def all_routes() -> list[APIRoute]:
    screens = (
        *(login, start, emergency, campaigns, people),
        *(new_campaign, reports, do_not_call, accounts, agents, changes, users),
        campaign_start,
    )
    return [route for one in screens for route in one.router.routes if isinstance(route, APIRoute)]


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_can_be_read_and_has_no_script_or_style_of_its_own(name: str) -> None:
    for language in LANGUAGES:
        rendering.environment_of(language).get_template(name)
    source = (rendering.TEMPLATES / name).read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|javascript:|\|safe", source)
    assert not re.search(r"(?:src|href|action)=[\"'](?:https?:)?//", source)


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_form_that_is_posted_carries_the_sessions_token(name: str) -> None:
    source = (rendering.TEMPLATES / name).read_text(encoding="utf-8")
    for form in re.findall(r"<form method=\"post\".*?</form>", source, re.DOTALL):
        assert "form_token" in form or 'action="/login"' in form, form


def test_what_people_wrote_is_escaped_also_within_a_sentence() -> None:
    template = rendering.environment_of("es").from_string(
        '{{ say("Paused by {by}, {ago}", by=by, ago="x") }} {{ by }}'
    )
    assert template.render(by="<script>").count("&lt;script&gt;") == 2


def test_whatever_is_recorded_has_its_words() -> None:
    changing = {name for name, spec in COMMANDS.items() if spec.access is Access.WRITE}
    assert words.COMMANDS.keys() == changing
    showing = {name for name in COMMANDS if getattr(REGISTRY.get(name), "documents", None) is not None}
    assert words.READS.keys() >= showing
    assert words.READS.keys() <= COMMANDS.keys()


def test_a_recorded_command_says_what_it_was_about_and_how() -> None:
    args = {"account": "acc_1", "minutes": 20, "note": "factura 17", "idempotency_key": "x"}
    assert words.subject_of(args) == "acc_1"
    assert words.details_of(args) == [("minutes", "20"), ("note", "factura 17")]
    assert words.subject_of({}) == ""
    given = {"paused": True, "expires": 2_592_000, "map": ["a=phone", "b=name"], "dry_run": None}
    assert words.details_of(given) == [("paused", ""), ("expires", "30 days"), ("map", "a=phone, b=name")]
    assert words.of_mood("Positive") == "friendly"
    assert words.of_mood("Of tomorrow") == "Of tomorrow"


def test_every_state_and_role_has_its_words() -> None:
    assert words.CAMPAIGN_STATES.keys() == set(BatchStatus)
    assert words.PEOPLE_STATES.keys() == set(JobStatus)
    assert words.ROLES.keys() == set(Role)
    assert words.LANGUAGE_NAMES.keys() == set(LANGUAGES)


NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "english", "spanish"),
    [
        (5, "just now", "ahora mismo"),
        (-5, "in a moment", "en un momento"),
        (60, "1 minute ago", "hace 1 minuto"),
        (-1200, "in 20 minutes", "en 20 minutos"),
        (7200, "2 hours ago", "hace 2 horas"),
        (-90_000, "in 1 day", "en 1 día"),
    ],
)
def test_a_time_is_told_by_its_distance(seconds: int, english: str, spanish: str) -> None:
    text = words.time_distance((NOW - timedelta(seconds=seconds)).isoformat(), NOW)
    assert (text, in_language(text, "es")) == (english, spanish)
    assert words.time_distance("nonsense", NOW) == ""


def test_a_moment_has_its_zone() -> None:
    assert rendering.moment("en", NOW, "America/Santiago") == "30 Nov 2026, 09:00 UTC-03"
    assert rendering.moment("es", NOW, "Europe/Madrid") == "30-11-2026, 13:00 CET"
    assert rendering.moment("en", "nonsense") == words.NOTHING


STATUS: dict[str, Any] = {
    "supervisor": {"held": False, "draining": False},
    "database": {"state": "up"},
    "workers": [],
    "queue": {"pending": 7},
    "census": {"callable": 0},
}


@pytest.mark.parametrize(
    ("change", "calling", "said"),
    [
        ({}, Calling.WAITING, "7 people wait"),
        ({"queue": {}}, Calling.WAITING, "finished"),
        ({"census": {"callable": 2}}, Calling.YES, "in a moment"),
        ({"queue": {"in_progress": 3, "pending": 1}}, Calling.YES, "3 calls are going on. 1 person waits."),
        ({"workers": [{"call": "call_1"}]}, Calling.YES, "1 call is going on."),
        ({"fleet_hold": {"by": "maria"}, "queue": {"in_progress": 2}}, Calling.NO, "2 calls are going on."),
        ({"key_held": True, "key_reason": "no credit."}, Calling.NO, "Retell refuses calls: no credit."),
        ({"database": {"state": "down"}}, Calling.NO, "The database does not answer."),
        ({"supervisor": {"draining": True}}, Calling.NO, "taken out of service"),
    ],
)
def test_whether_it_is_calling_and_why_not(change: dict[str, Any], calling: Calling, said: str) -> None:
    state = calling_state({**STATUS, **change})
    assert state.calling is calling
    assert said in f"{state.headline} {state.detail}"


def test_without_the_daemon_it_is_not_known_whether_it_is_calling() -> None:
    assert calling_state(None).calling is Calling.UNKNOWN
