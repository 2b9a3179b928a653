"""One epoll(7), and what is to be done for each descriptor.

Not poll(2), which fails with EINVAL once more descriptors are watched than RLIMIT_NOFILE says, and somebody may lower
that (prlimit) while all goes on.
"""

from __future__ import annotations

import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Watch:
    """Descriptors and their actions."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._actions: dict[int, Callable[[], None]] = {}

    def add(self, fd: int, action: Callable[[], None], events: int = select.EPOLLIN) -> None:
        """Do this whenever there is something to read, or the other end is closed; events 0: only then."""
        self._poll.register(fd, events)
        self._actions[fd] = action

    def remove(self, fd: int) -> None:
        """Before the descriptor is closed."""
        self._poll.unregister(fd)
        del self._actions[fd]

    def for_room(self, fd: int, *, wanted: bool) -> None:
        """Whether to act when there is room to write, too."""
        self._poll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if wanted else 0))

    def turn(self, timeout_ms: int | None) -> bool:
        """Wait and act once; false where nothing happened in time."""
        events = self._poll.poll(None if timeout_ms is None else timeout_ms / 1000)
        for fd, _ in events:
            action = self._actions.get(fd)
            if action is not None:  # else an earlier action of this round closed it
                action()
        return bool(events)
