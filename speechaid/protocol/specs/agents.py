"""What the account at Retell has: agents and numbers."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.specs.arguments import at_most
from speechaid.protocol.specs.specification import Access, Argument, CommandSpec, Kind

SPECS: Final = (
    CommandSpec(
        name="agents",
        access=Access.READ,
        help="the agents that Retell has: version, language, whether published",
        arguments=(
            Argument(
                name="limit",
                kind=Kind.INTEGER,
                minimum=1,
                maximum=200,
                default=20,
                help="show at most this many; each is a request to Retell",
            ),
        ),
    ),
    CommandSpec(
        name="numbers",
        access=Access.READ,
        help="the phone numbers that Retell has: their agents, and the countries that they may call",
        arguments=(at_most(100),),
    ),
    CommandSpec(
        name="check-agent",
        access=Access.READ,
        help="which variables the agent's prompt names, and whether the people of a batch have them",
        arguments=(
            Argument(
                name="batch",
                help="compare with the waiting jobs of this batch (id, or its unique beginning)",
                completes="batch",
            ),
            Argument(name="agent", is_id=True, help="the agent's id at Retell (default: the one that calls)"),
        ),
    ),
)
