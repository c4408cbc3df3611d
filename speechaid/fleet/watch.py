"""All descriptors of the fleet in one epoll, so that a beat costs the same in a fleet of any size."""

from __future__ import annotations

import select
from collections.abc import Iterator

from speechaid.fleet.slots import Slot


class Watch:
    """Which slot a readable descriptor belongs to; its own descriptor is readable while there is news."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._slots: dict[int, Slot] = {}
        self._zygote: tuple[int, ...] = ()

    def fileno(self) -> int:
        """The one descriptor that the loop waits for."""
        return self._epoll.fileno()

    def add(self, slot: Slot) -> None:
        """Watch a new process of this slot: what it says, and whether it lives."""
        for held in (slot.child, slot.channel):
            if held is not None:
                self._epoll.register(held.fileno(), select.EPOLLIN)
                self._slots[held.fileno()] = slot

    def knows(self, descriptor: int) -> bool:
        """Whether it is watched."""
        return descriptor in self._slots

    def forget(self, descriptor: int) -> None:
        """Watch it no longer; to be called before it is closed, as its number may return."""
        if self._slots.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def follow_zygote(self, descriptors: tuple[int, ...]) -> None:
        """They change with each zygote and each spare; closed ones have left the epoll by themselves."""
        if descriptors != self._zygote:
            for descriptor in set(descriptors) - set(self._zygote):
                self._epoll.register(descriptor, select.EPOLLIN)
            self._zygote = descriptors

    def news(self) -> Iterator[tuple[Slot, bool]]:
        """The slots with news, and whether the news is the process's end."""
        for descriptor, _ in self._epoll.poll(0):
            slot = self._slots.get(descriptor)
            if slot is not None:
                yield slot, slot.child is not None and slot.child.fileno() == descriptor

    def close(self) -> None:
        """Let go of the epoll."""
        self._epoll.close()
