"""All descriptors of the fleet in one epoll, so that a beat costs the same in a fleet of any size.

The end of a process is news at once. What workers say is watched by an epoll of its own, which is left out of
the first for a moment after each hearing: the loop then wakes once for the words of many, not for each.
"""

from __future__ import annotations

import math
import select
from typing import Final

from speechaid.fleet.slots import Slot

#: From one hearing to the next at least, in seconds. A line holds what its worker says in many times that.
GATHERING_SECONDS: Final = 0.02


class ProcessPoller:
    """Which slot a readable descriptor belongs to; its own descriptor is readable while there is news.

    Attributes:
        hears_at: when the loop has to look, ready or not: words gather until then; infinite while none do.
    """

    def __init__(self) -> None:
        self.next_read_at = math.inf
        self._epoll = select.epoll()
        self._words = select.epoll()
        self._epoll.register(self._words.fileno(), select.EPOLLIN)
        self._slots: dict[int, Slot] = {}
        self._zygote: tuple[int, ...] = ()

    def fileno(self) -> int:
        """The one descriptor that the loop waits for."""
        return self._epoll.fileno()

    def add(self, slot: Slot) -> None:
        """Watch a new process of this slot: what it says, and whether it lives."""
        for held, epoll in ((slot.child, self._epoll), (slot.channel, self._words)):
            if held is not None:
                epoll.register(held.fileno(), select.EPOLLIN)
                self._slots[held.fileno()] = slot

    def tracks(self, descriptor: int) -> bool:
        """Whether it is watched."""
        return descriptor in self._slots

    def forget(self, descriptor: int) -> None:
        """Watch it no longer; to be called before it is closed, as its number may return."""
        slot = self._slots.pop(descriptor, None)
        if slot is not None:
            (self._epoll if _is_of_process(slot, descriptor) else self._words).unregister(descriptor)

    def follow_zygote(self, descriptors: tuple[int, ...]) -> None:
        """They change with each zygote and each spare; closed ones have left the epoll by themselves."""
        if descriptors != self._zygote:
            for descriptor in set(descriptors) - set(self._zygote):
                self._epoll.register(descriptor, select.EPOLLIN)
            self._zygote = descriptors

    def poll(self, now: float, *, hear_all: bool) -> list[tuple[Slot, bool]]:
        """The slots with news, and whether the news is the process's end.

        Args:
            now: seconds of the boot-time clock.
            hear_all: also what still gathers.
        """
        ready = [descriptor for descriptor, _ in self._epoll.poll(0)]
        if hear_all or now >= self.next_read_at or self._words.fileno() in ready:
            said = [descriptor for descriptor, _ in self._words.poll(0)]
            self._gather(now) if said else self._listen()
            ready += said
        slots = [(self._slots.get(descriptor), descriptor) for descriptor in ready]
        return [(slot, _is_of_process(slot, descriptor)) for slot, descriptor in slots if slot is not None]

    def close(self) -> None:
        """Let go of the epolls."""
        self._words.close()
        self._epoll.close()

    def _gather(self, now: float) -> None:
        if self.next_read_at == math.inf:
            self._epoll.modify(self._words.fileno(), 0)
        self.next_read_at = now + GATHERING_SECONDS

    def _listen(self) -> None:
        if self.next_read_at != math.inf:
            self._epoll.modify(self._words.fileno(), select.EPOLLIN)
        self.next_read_at = math.inf


def _is_of_process(slot: Slot, descriptor: int) -> bool:
    return slot.child is not None and slot.child.fileno() == descriptor
