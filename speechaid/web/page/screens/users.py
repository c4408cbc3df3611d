"""Users and tokens: who may see and do what; a token's secret is shown once, in the answer that makes it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Response

from speechaid.model.identity import Role, password_fault
from speechaid.protocol.translation import N_, say
from speechaid.web.page.account_choice import offered_accounts
from speechaid.web.page.campaign_form import fault_at
from speechaid.web.page.visits import Form, Visit, Visiting, needs_grant
from speechaid.web.problems import Problem, not_found

router = APIRouter()

#: What each role is for, where one is chosen.
_ROLE_HELP: Final[Mapping[str, str]] = {
    Role.VIEWER: N_("sees progress and results, and nobody's name"),
    Role.OPERATOR: N_("sees people and calls too; pauses, stops calls, sets people aside"),
    Role.MANAGER: N_("makes and changes campaigns, the do-not-call list and downloads too"),
    Role.ADMIN: N_("everything: accounts, top-ups, users and tokens too"),
}
#: For how long a token can be valid, as ``token-add --expires`` takes it.
_LIFETIMES: Final[Mapping[str, tuple[int, str]]] = {
    "30": (30, N_("30 days")),
    "90": (90, N_("90 days")),
    "365": (365, N_("one year")),
}
_DAY_SECONDS: Final = 86_400
#: What a screen says after something was done, by the code in its address.
_DONE: Final = {
    "added": N_("The user is made, and can log in now. Tell them the password in person."),
    "changed": N_("The change is in force for the user's next click."),
    "password": N_("The password is changed, and every session of the user has ended."),
    "disabled": N_("The user cannot log in any more, and every session has ended."),
    "enabled": N_("The user can log in again."),
    "ended": N_("Ended: whoever used it has to log in again."),
    "revoked": N_("The token opens nothing any more."),
}
#: The value of a form's choice for no account; an account's id is never empty.
_ALL_ACCOUNTS: Final = ""

Name = Annotated[str, Path(max_length=200)]
Done = Annotated[str, Query(max_length=20)]


# -- the lists ---------------------------------------------------------------------------------------------


@router.get("/users", **needs_grant("users"))
async def show_users(visit: Visiting, done: Done = "") -> Response:
    """The users and the tokens."""
    return await visit.page(
        "users.html",
        users=(await visit.ask("users"))["users"],
        tokens=(await visit.ask("tokens"))["tokens"],
        notice=_notice(done),
    )


# -- a user ------------------------------------------------------------------------------------------------


@router.get("/new-user", **needs_grant("user-add"))
async def show_new_user(visit: Visiting) -> Response:
    """The form of a new user."""
    return await _new_page(visit, "user_new.html", {}, {})


@router.post("/new-user", **needs_grant("user-add"))
async def add_user(visit: Visiting, form: Form) -> Response:
    """Make a user."""
    faults = _role_faults(form) | _password_faults(form, form.get("name", ""))
    if not form.get("name", "").strip():
        faults = {"name": say("Type the name with which the user logs in.")} | faults
    if not faults:
        args = {**_who(form), "password": form["password"]}
        try:
            made = await visit.ask("user-add", args)
        except Problem as problem:
            faults = fault_at(problem, ("name", "account"), "name")
        else:
            return visit.redirect_to(f"/users/{made['name']}?done=added")
    return await _new_page(visit, "user_new.html", form, faults)


@router.get("/users/{name}", **needs_grant("users"))
async def show_user(visit: Visiting, name: Name, done: Done = "") -> Response:
    """One user: role, account, and where they are logged in."""
    return await _user_page(visit, name, notice=_notice(done))


@router.post("/users/{name}/edit", **needs_grant("user-edit"))
async def edit_user(visit: Visiting, form: Form, name: Name) -> Response:
    """Change role and account, unless somebody else has changed them since the form was shown."""
    user = await _other_user(visit, name)
    faults = _role_faults(form)
    if (form.get("shown_role"), form.get("shown_account")) != (user["role"], user["account_id"] or ""):
        text = say(
            "Somebody else has changed this user meanwhile. What is chosen below is yours: look again."
        )
        return await _user_page(visit, name, typed=form, faults={"role_" + user["role"]: text})
    if not faults:
        args: dict[str, Any] = {"name": user["name"], "role": form["role"]}
        if visit.sees_all:
            account = form.get("account", "").strip()
            args |= {"all_accounts": True} if account == _ALL_ACCOUNTS else {"account": account}
        try:
            await visit.ask("user-edit", args)
        except Problem as problem:
            faults = fault_at(problem, (), "account")
    if faults:
        return await _user_page(visit, name, typed=form, faults=faults)
    return visit.redirect_to(f"/users/{user['name']}?done=changed")


@router.post("/users/{name}/password", **needs_grant("user-password"))
async def set_password(visit: Visiting, form: Form, name: Name) -> Response:
    """Set a password."""
    user = await _find_user(visit, name)
    faults = _password_faults(form, user["name"])
    if not faults:
        try:
            await visit.ask("user-password", {"name": user["name"], "password": form["password"]})
        except Problem as problem:
            faults = fault_at(problem, (), "password")
    if faults:
        return await _user_page(visit, name, faults=faults)
    return visit.redirect_to(f"/users/{user['name']}?done=password")


@router.post("/users/{name}/disable", **needs_grant("user-disable"))
async def disable_user(visit: Visiting, form: Form, name: Name) -> Response:  # noqa: ARG001
    """Refuse the user's logins."""
    user = await _other_user(visit, name)
    await visit.ask("user-disable", {"name": user["name"]})
    return visit.redirect_to(f"/users/{user['name']}?done=disabled")


@router.post("/users/{name}/enable", **needs_grant("user-enable"))
async def enable_user(visit: Visiting, form: Form, name: Name) -> Response:  # noqa: ARG001
    """Allow them again."""
    user = await _find_user(visit, name)
    await visit.ask("user-enable", {"name": user["name"]})
    return visit.redirect_to(f"/users/{user['name']}?done=enabled")


@router.post("/users/{name}/log-out", **needs_grant("user-logout"))
async def end_sessions(visit: Visiting, form: Form, name: Name) -> Response:
    """End one session of the user, or all."""
    user = await _find_user(visit, name)
    try:
        await visit.ask("user-logout", {"name": user["name"], "session": form.get("session") or None})
    except Problem as problem:
        # A session that is over already is what was asked for.
        if problem.document.status != HTTPStatus.NOT_FOUND:
            raise
    return visit.redirect_to(f"/users/{user['name']}?done=ended")


async def _find_user(visit: Visit, name: str) -> dict[str, Any]:
    """A user whom this one may see.

    Raises:
        Problem: there is none.
    """
    users: list[dict[str, Any]] = (await visit.ask("users"))["users"]
    found = next((user for user in users if user["name"] == name), None)
    if found is None:
        raise not_found("user")
    return found


async def _other_user(visit: Visit, name: str) -> dict[str, Any]:
    """As ``_find_user``; not whoever asks: nobody locks themselves out.

    Raises:
        Problem: there is none, or it is whoever asks.
    """
    found = await _find_user(visit, name)
    if found["name"] == visit.caller.name:
        text = say("Nobody changes their own role or disables themselves: another administrator does.")
        raise Problem(HTTPStatus.CONFLICT, text, code="refused")
    return found


async def _user_page(
    visit: Visit,
    name: str,
    *,
    notice: str | None = None,
    typed: Mapping[str, str] | None = None,
    faults: dict[str, str] | None = None,
) -> Response:
    user = await _find_user(visit, name)
    return await visit.page(
        "user.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK,
        user=user,
        is_self=user["name"] == visit.caller.name,
        sessions=(await visit.ask("user-sessions", {"name": user["name"]}))["sessions"],
        typed={"role": user["role"], "account": user["account_id"] or "", **(typed or {})},
        **await _choices(visit),
        notice=notice,
        faults=faults or {},
    )


# -- tokens ------------------------------------------------------------------------------------------------


@router.get("/tokens/new", **needs_grant("token-add"))
async def show_new_token(visit: Visiting) -> Response:
    """The form of a new token."""
    return await _new_page(visit, "token_new.html", {}, {})


@router.post("/tokens/new", **needs_grant("token-add"))
async def add_token(visit: Visiting, form: Form) -> Response:
    """Make a token; its secret stands in this answer alone.

    It is no redirection, since nothing keeps the secret. The form sent again is refused: the name is taken.
    """
    faults = _role_faults(form)
    if not form.get("name", "").strip():
        faults = {"name": say("Type what the token is for, as crm.")} | faults
    if not faults:
        days, _ = _LIFETIMES.get(form.get("expires", ""), _LIFETIMES["365"])
        try:
            made = await visit.ask("token-add", {**_who(form), "expires": days * _DAY_SECONDS})
        except Problem as problem:
            faults = fault_at(problem, ("name", "account"), "name")
        else:
            return await visit.page("token_made.html", token=made)
    return await _new_page(visit, "token_new.html", form, faults)


@router.get("/tokens/{name}/revoke", **needs_grant("token-revoke"))
async def ask_to_revoke(visit: Visiting, name: Name) -> Response:
    """What will happen."""
    tokens: list[dict[str, Any]] = (await visit.ask("tokens"))["tokens"]
    token = next((one for one in tokens if one["name"] == name), None)
    if token is None:
        raise not_found("token")
    return await visit.page("token_revoke.html", token=token)


@router.post("/tokens/{name}/revoke", **needs_grant("token-revoke"))
async def revoke(visit: Visiting, form: Form, name: Name) -> Response:  # noqa: ARG001
    """Revoke a token, at once and for good."""
    await visit.ask("token-revoke", {"name": name})
    return visit.redirect_to("/users?done=revoked")


# -- what the forms share ----------------------------------------------------------------------------------


async def _new_page(
    visit: Visit, template: str, typed: Mapping[str, str], faults: dict[str, str]
) -> Response:
    return await visit.page(
        template,
        HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK,
        typed=typed,
        lifetimes=[(code, say(text)) for code, (_, text) in _LIFETIMES.items()],
        **await _choices(visit),
        faults=faults,
    )


async def _choices(visit: Visit) -> dict[str, Any]:
    return {"accounts": await offered_accounts(visit), "role_help": _ROLE_HELP}


def _who(form: Mapping[str, str]) -> dict[str, Any]:
    """Name, role and account; a user of one account makes others of the same, whatever the form has."""
    return {
        "name": form["name"].strip(),
        "role": form["role"],
        "account": form.get("account", "").strip() or None,
    }


def _role_faults(form: Mapping[str, str]) -> dict[str, str]:
    is_known = form.get("role") in list(Role)
    return {} if is_known else {f"role_{Role.VIEWER}": say("Choose what the user may see and do.")}


def _password_faults(form: Mapping[str, str], name: str) -> dict[str, str]:
    password = form.get("password", "")
    if not password:
        return {"password": say("Type a password.")}
    if (fault := password_fault(name, password)) is not None:
        return {"password": fault}
    if password != form.get("password_again"):
        return {"password_again": say("The two passwords are not the same. Type both again.")}
    return {}


def _notice(done: str) -> str | None:
    return say(_DONE[done]) if done in _DONE else None
