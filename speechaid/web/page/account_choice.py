"""The accounts that a form offers."""

from __future__ import annotations

from typing import Any, Final

from speechaid.rules.roles import WebAction
from speechaid.web.page.visits import Visit
from speechaid.web.pages import ListPage
from speechaid.web.routes.accounts import list_accounts

#: Accounts that a form offers; where there are more, the id is typed.
_OFFERED: Final = 200


async def offered_accounts(visit: Visit) -> list[dict[str, Any]] | None:
    """The accounts to choose from; None: there are too many, or the user may choose none."""
    if not visit.sees_all or not visit.may(WebAction.VIEW_ACCOUNTS):
        return None
    page = ListPage(limit=_OFFERED, skip=0, after=None)
    found = await list_accounts(caller=visit.caller, services=visit.services, page=page)
    return None if found["next"] else found["accounts"]
