"""Phases that have ended and are not told yet, where the daemon finds them if this process is killed: after the plan.

In the plan's memory file, so that no message is lost by telling many phases at once (channel.py).
"""

from __future__ import annotations

import os

from supervisor.kernel.shared_memory import map_shared, unmap
from supervisor.wire import UNTOLD_BYTES, UNTOLD_HEAD, untold_at


class Untold:
    """The sandbox's end; the daemon's is wire.untold."""

    def __init__(self, plan_fd: int, plan_bytes: int) -> None:
        """The descriptor may be closed afterwards."""
        at = untold_at(plan_bytes)
        os.ftruncate(plan_fd, at + UNTOLD_BYTES)
        self._memory = map_shared(plan_fd, UNTOLD_BYTES, at)
        self._end = UNTOLD_HEAD.size

    def add(self, text: bytes) -> bool:
        """Note one, with the NUL before it; false where there is no room, and all should be told now."""
        at, end = self._end, self._end + len(text)
        if end > UNTOLD_BYTES:
            return False
        self._memory[at:end] = text
        UNTOLD_HEAD.pack_into(self._memory, 0, end)  # last, for it may be read at any time
        self._end = end
        return True

    def clear(self) -> None:
        """All is told."""
        UNTOLD_HEAD.pack_into(self._memory, 0, 0)
        self._end = UNTOLD_HEAD.size

    def close(self) -> None:
        """For a process that stays. It cannot be used any more."""
        unmap(self._memory)
