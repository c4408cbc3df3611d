"""How many requests may be under way: of one client and in all, so that no client's flood delays another's.

Urgent commands, which stop calls, have places of their own: reads never take them. Used by the loop thread.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from speechaid.protocol.messages import Request
from speechaid.protocol.translation import say

#: Requests under way at most: of one client, and of all together; urgent ones are counted apart.
PER_CLIENT: Final = 8
IN_ALL: Final = 64
#: Bytes of attached files under way at most; one file always may.
ATTACHED_BYTES: Final = 128 * 1024 * 1024


class Admission:
    """The requests that the daemon has taken and not answered yet."""

    def __init__(self) -> None:
        self._under_way: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        self._attached = 0

    def admit_request(self, request: Request) -> str | None:
        """Take a request; the reason, for the client, where it may not be taken now."""
        of_kind = self._under_way[request.command.urgent]
        if of_kind[request.client] >= PER_CLIENT:
            return say(
                "{PER_CLIENT} requests of this client are under way already: wait for an answer",
                PER_CLIENT=PER_CLIENT,
            )
        if of_kind.total() >= IN_ALL:
            return say(
                "the daemon is busy: {IN_ALL} requests are under way already; try again later", IN_ALL=IN_ALL
            )
        size = len(request.attachment or b"")
        if size and self._attached and self._attached + size > ATTACHED_BYTES:
            return say("the daemon is busy with other files; try again later")
        of_kind[request.client] += 1
        self._attached += size
        return None

    def release_request(self, request: Request) -> None:
        """A request that was taken has been answered."""
        of_kind = self._under_way[request.command.urgent]
        of_kind[request.client] -= 1
        if of_kind[request.client] <= 0:
            del of_kind[request.client]
        self._attached -= len(request.attachment or b"")
