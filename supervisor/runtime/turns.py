"""What keeps a storm from holding up the daemon: work of many at one moment is done a little at a time.

Trio runs all tasks that can run before it looks at sockets again. A thousand workers that die together make a thousand
such tasks, and a request of an operator would wait for them all.
"""

import time

import trio

AT_ONCE = 3  # launches or exits taken further before sockets are looked at again: each is a fraction of a millisecond
PORTION_S = 0.002  # of a loop over many instances, likewise


class Turns:
    """One for the fleet. Who came first goes first."""

    def __init__(self) -> None:
        self._free = trio.Semaphore(AT_ONCE)

    async def take(self) -> None:
        """Wait for a turn: what follows, up to the next await, is to be short."""
        async with self._free:
            pass  # leaving wakes the next one, which runs when sockets have been looked at


class Portions:
    """A long loop, cut into portions of time."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def rest(self) -> None:
        """Let others run where this loop has had its share; what was looked up before may have changed then.

        Never cancelled here: a client that leaves does not leave half of what it asked for.
        """
        if time.monotonic() - self._since > PORTION_S:
            await trio.lowlevel.cancel_shielded_checkpoint()
            self._since = time.monotonic()
