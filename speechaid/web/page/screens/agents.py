"""Agents and numbers, as the Retell workspace of the server's key has them."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Response

from speechaid.web.page.retell_lists import RetellList, read_list
from speechaid.web.page.visits import Visiting, needs_grant

router = APIRouter()


@router.get("/agents", **needs_grant("agents"))
async def show_agents(visit: Visiting) -> Response:
    """Who can speak, and which numbers call."""
    agents, numbers = await asyncio.gather(read_list(visit, "agents"), read_list(visit, "numbers"))
    return await visit.page("agents.html", agents=agents, numbers=numbers, names=_names(agents))


def _names(agents: RetellList) -> dict[str, Any]:
    """The agents' names by their ids, as far as they are known."""
    return {one["agent_id"]: one["name"] or one["agent_id"] for one in agents.rows or ()}
