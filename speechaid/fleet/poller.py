"""All descriptors of the fleet in one epoll, so that a beat costs the same in a fleet of any size.

The end of a process wakes the loop at once. Channels are in a second epoll, which is left out of the first
for a moment after each read: the loop then wakes once for the messages of many workers, not for each.
"""

from __future__ import annotations

import math
import select
from typing import Final

from speechaid.fleet.slots import Slot

#: Least time between two reads of the channels. A channel holds what its worker sends in many times that.
READ_INTERVAL_SECONDS: Final = 0.02
#: The same in a small fleet, whose workers wait for turns and send little: by the number of workers.
INTERVAL_A_WORKER_SECONDS: Final = 0.0005


class ProcessPoller:
    """Which slots have something to read; its own descriptor is readable while one has.

    Attributes:
        next_read_at: when to poll at the latest (seconds of the boot-time clock): messages may be waiting
            without making the descriptor readable; infinite while none can.
        read_interval: least time between two reads of the channels, in seconds.
    """

    def __init__(self) -> None:
        self.next_read_at = math.inf
        self.read_interval = READ_INTERVAL_SECONDS
        self._epoll = select.epoll()
        self._channels = select.epoll()
        self._epoll.register(self._channels.fileno(), select.EPOLLIN)
        self._slots: dict[int, Slot] = {}
        self._zygote: tuple[int, ...] = ()

    def fileno(self) -> int:
        """The one descriptor that the loop waits for."""
        return self._epoll.fileno()

    def add(self, slot: Slot) -> None:
        """Watch the process and the channel of this slot."""
        for source, epoll in ((slot.child, self._epoll), (slot.channel, self._channels)):
            if source is not None:
                epoll.register(source.fileno(), select.EPOLLIN)
                self._slots[source.fileno()] = slot

    def tracks(self, descriptor: int) -> bool:
        """Whether the descriptor is watched."""
        return descriptor in self._slots

    def forget(self, descriptor: int) -> None:
        """Stop watching a descriptor; call it before the close, as the number may be reused."""
        slot = self._slots.pop(descriptor, None)
        if slot is not None:
            (self._epoll if _is_of_process(slot, descriptor) else self._channels).unregister(descriptor)

    def follow_zygote(self, descriptors: tuple[int, ...]) -> None:
        """Watch these descriptors of zygote and spare; closed ones have left the epoll by themselves.

        Raises:
            OSError: one cannot be watched; the next call tries again.
        """
        if descriptors == self._zygote:
            return
        watched = [descriptor for descriptor in descriptors if descriptor in self._zygote]
        try:
            for descriptor in descriptors:
                if descriptor not in watched:
                    self._epoll.register(descriptor, select.EPOLLIN)
                    watched.append(descriptor)
        finally:
            self._zygote = tuple(watched)

    def poll(self, now: float, *, read_all: bool) -> list[tuple[Slot, bool]]:
        """The slots that are ready, and whether the process has ended (else: its channel is readable).

        Args:
            now: seconds of the boot-time clock.
            read_all: channels too, before ``next_read_at``.
        """
        ready = [descriptor for descriptor, _ in self._epoll.poll(0)]
        if read_all or now >= self.next_read_at or self._channels.fileno() in ready:
            readable = [descriptor for descriptor, _ in self._channels.poll(0)]
            self._mute_channels(now) if readable else self._unmute_channels()
            ready += readable
        slots = [(self._slots.get(descriptor), descriptor) for descriptor in ready]
        return [(slot, _is_of_process(slot, descriptor)) for slot, descriptor in slots if slot is not None]

    def close(self) -> None:
        """Close the epolls."""
        self._channels.close()
        self._epoll.close()

    def _mute_channels(self, now: float) -> None:
        if self.next_read_at == math.inf:
            self._epoll.modify(self._channels.fileno(), 0)
        self.next_read_at = now + self.read_interval

    def _unmute_channels(self) -> None:
        if self.next_read_at != math.inf:
            self._epoll.modify(self._channels.fileno(), select.EPOLLIN)
        self.next_read_at = math.inf


def _is_of_process(slot: Slot, descriptor: int) -> bool:
    return slot.child is not None and slot.child.fileno() == descriptor
