"""Parameters that a route does not have: a filter that is misspelt must not silently mean everything."""

from __future__ import annotations

from typing import Final

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from speechaid.web.problems import invalid_part

#: What a parameter is called that clients may know by another name.
_OWN_NAMES: Final = {"batch": "batch_id", "account": "account_id", "from": "start_date", "to": "end_date"}


def _names_of(route: APIRoute) -> tuple[frozenset[str], frozenset[str]]:
    """The parameters of the query, and the fields of the form."""
    parts = _parts_of(route.dependant)
    return (
        frozenset(field.alias for part in parts for field in part.query_params),
        frozenset(field.alias for part in parts for field in part.body_params),
    )


def _parts_of(dependant: Dependant) -> list[Dependant]:
    return [dependant, *(part for each in dependant.dependencies for part in _parts_of(each))]


async def refuse_unknown_parameters(request: Request) -> None:
    """Check that the route knows each parameter, and each field of a form.

    Raises:
        Problem: it does not know one.
    """
    route = request.scope["route"]
    in_query, in_form = _names_of(route)
    _check("query", request.query_params.keys(), in_query)
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        _check("body", (await request.form()).keys(), in_form)


def _check(place: str, given: object, known: frozenset[str]) -> None:
    for name in given:  # type: ignore[attr-defined]
        if name in known:
            continue
        own = _OWN_NAMES.get(name)
        allowed = own if own in known else ", ".join(sorted(known)) or "none"
        # Not the name itself where it is no name: a client may put anything there.
        shown = name if name.isidentifier() and len(name) <= 40 else "(another name)"
        raise invalid_part(f"{place}.{shown}", f"there is no such parameter here; there is: {allowed}")
