"""Who did what: the recorded changes, and who looked at people; by author, campaign and days."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from speechaid.protocol.translation import N_, say
from speechaid.web.page.campaign_form import fault_at
from speechaid.web.page.visits import Visiting, needs_grant
from speechaid.web.problems import Problem

router = APIRouter()

_LISTED: Final = 200
#: What can be shown: its name, and the flag of ``logs``.
_SHOW: Final[Mapping[str, tuple[str, str]]] = {
    "changes": (N_("changes"), "commands"),
    "reads": (N_("who looked at people"), "reads"),
}


class ChangeFilters(BaseModel):
    """What of the records is wanted; an empty text: everything."""

    model_config = ConfigDict(str_strip_whitespace=True)

    show: str = Field("", max_length=20)
    by: str = Field("", max_length=100)
    batch: str = Field("", max_length=200)
    first: str = Field("", max_length=10, alias="from")
    last: str = Field("", max_length=10, alias="to")


@router.get("/changes", **needs_grant("logs"))
async def show_changes(visit: Visiting, given: Annotated[ChangeFilters, Query()]) -> Response:
    """The latest lines that are wanted, the newest first."""
    # What a user of one account may see is of a campaign: who looks at people is recorded of none.
    shown = given.show if given.show in _SHOW and visit.sees_all else "changes"
    filters = {"by": given.by, "batch": given.batch, "from": given.first, "to": given.last}
    lines: list[dict[str, Any]] | None = None
    faults: dict[str, str] = {}
    if visit.sees_all or filters["batch"]:
        wanted = {name: value or None for name, value in filters.items()}
        try:
            if wanted["batch"] is not None:
                wanted["batch"] = await visit.services.resolve(visit.caller, "batch", wanted["batch"])
            found = await visit.ask("logs", {**wanted, _SHOW[shown][1]: True, "limit": _LISTED})
        except Problem as problem:
            faults = fault_at(problem, ("from", "to"), "batch")
        else:
            lines = found["lines"][::-1]
    return await visit.page(
        "changes.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK,
        lines=lines,
        is_full=lines is not None and len(lines) >= _LISTED,
        listed=_LISTED,
        choices=[(code, say(name)) for code, (name, _) in _SHOW.items()],
        show=shown,
        filters=filters,
        faults=faults,
    )
