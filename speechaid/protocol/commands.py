"""The table of control commands, from which parser, dispatch, ``--help``, completion and manual are made.

Standard library only, and light: ``speechctl`` imports it at every start. ``speechaid.commands.registry`` has
the handler of each row; a test compares the two.
"""

from __future__ import annotations

from typing import Final

from speechaid.protocol.specs import (
    accounts,
    agents,
    batches,
    calling_rules,
    client,
    contacts,
    do_not_call,
    host,
    jobs,
    observing,
    people,
    results,
    stops,
    test_calls,
    users,
)

_SPECS: Final = {
    "see what happens": observing.SPECS,
    "stop every call": stops.SPECS,
    "batches": batches.SPECS,
    "contacts": contacts.SPECS,
    "jobs and calls": jobs.SPECS,
    "people": people.SPECS,
    "test calls": test_calls.SPECS,
    "accounts": accounts.SPECS,
    "do-not-call list": do_not_call.SPECS,
    "results": results.SPECS,
    "agents at Retell": agents.SPECS,
    "users of the HTTP API": users.SPECS,
    "calling rules": calling_rules.SPECS,
    "this host": host.SPECS,
    "speechctl itself": client.SPECS,
}
#: Every command by name, in the order of the help.
COMMANDS: Final = {spec.name: spec for specs in _SPECS.values() for spec in specs}
#: The commands by what they are about, in the order of ``--help``.
GROUPS: Final = {title: tuple(spec.name for spec in specs) for title, specs in _SPECS.items()}
