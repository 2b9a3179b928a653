"""Standbys give way where memory is short: told by the kernel (PSI), so that nothing wakes while there is enough.

Where the kernel takes no trigger from this user (before Linux 6.5 it wants CAP_SYS_RESOURCE), a standby is not dropped
while it is held; but none is built while little memory is left.
"""

import os
import select
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import trio

FILES = ("/proc/pressure/memory",)
# Processes waited for memory for 150 ms within 2 s: the shortest window that any user may ask for.
TRIGGER = b"some 150000 2000000"
LEAST_SHARE = 0.05  # of all memory, to be available before one is built
CALM_S = 30.0  # without pressure, before the next one is built
WHY = "memory is short"


class Holder(Protocol):
    """Who holds what can be given back."""

    def relieve(self, why: str) -> None:
        """Give it back."""


class MemoryPressure:
    """One for the daemon. The trigger is set when somebody holds something for the first time."""

    def __init__(self, nursery: trio.Nursery, open_trigger: Callable[[], int] | None = None) -> None:
        """open_trigger: a descriptor that is POLLPRI under pressure; OSError where there is none."""
        self._nursery = nursery
        self._open = open_trigger or trigger
        self._holders: dict[Holder, None] = {}
        self._scope: trio.CancelScope | None = None
        self._short_at = -CALM_S  # Trio's clock

    def watch(self, holder: Holder) -> None:
        """It holds something from now on."""
        self._holders[holder] = None
        if self._scope is None:
            self._scope = trio.CancelScope()
            self._nursery.start_soon(self._watch, self._scope)

    def forget(self, holder: Holder) -> None:
        """It holds nothing any more."""
        self._holders.pop(holder, None)

    async def relieved(self) -> None:
        """Wait until there is memory enough."""
        while True:
            await trio.sleep_until(self._short_at + CALM_S)
            if trio.current_time() >= self._short_at + CALM_S:
                if available_share() >= LEAST_SHARE:
                    return
                self._short_at = trio.current_time()

    async def _watch(self, scope: trio.CancelScope) -> None:
        with suppress(OSError), scope:
            fd = self._open()
            try:
                with select.epoll() as events:  # itself readable where its descriptor is POLLPRI
                    events.register(fd, select.EPOLLPRI | select.EPOLLET)
                    while True:
                        await trio.lowlevel.wait_readable(events.fileno())
                        events.poll(0)  # may be empty: to be looked at from outside resets a trigger, too
                        self._relieve()
            finally:
                os.close(fd)

    def _relieve(self) -> None:
        self._short_at = trio.current_time()
        holders, self._holders = list(self._holders), {}
        for holder in holders:
            holder.relieve(WHY)


def trigger() -> int:
    """A descriptor that is POLLPRI when memory is short. OSError: the kernel has none for this user."""
    last: OSError | None = None
    for path in FILES:
        try:
            fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            last = error
            continue
        try:
            os.write(fd, TRIGGER + b"\0")
        except OSError as error:
            os.close(fd)
            last = error
            continue
        return fd
    raise last or OSError


def available_share() -> float:
    """Of this host's memory, what can be had without swapping; 1 where that is not told."""
    found: dict[str, int] = {}
    with suppress(OSError, ValueError), open("/proc/meminfo", encoding="ascii") as opened:
        for line in opened:
            key, _, rest = line.partition(":")
            if key in ("MemTotal", "MemAvailable"):
                found[key] = int(rest.split()[0])
    return found["MemAvailable"] / found["MemTotal"] if len(found) == 2 and found["MemTotal"] else 1.0
