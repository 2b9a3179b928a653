"""The keeper: forks sandboxes, holds their descriptors, reaps them, and outlives the daemon.

What it is told, and what it answers, is in messages.py.
"""

from __future__ import annotations

import _socket
import gc
import os
import signal
import time

from supervisor.nsinit.end_all import LONGEST_WAIT_S, end_all
from supervisor.nsinit.forks import Forks
from supervisor.nsinit.held import Held
from supervisor.nsinit.link import Link
from supervisor.nsinit.messages import VERBS
from supervisor.nsinit.reception import Reception
from supervisor.nsinit.strays import end_strays
from supervisor.nsinit.watch import Watch

ERROR_LENGTH = 500
STRAYS_AGAIN_MS = 1000
SPARE_DELAY_MS = 20  # of quiet after a launch, which is to have the processor, before the next one is prepared


class Keeper:
    """All of its state. One thread, one epoll."""

    def __init__(self, listeners: list[int], connection: int, adopt_timeout_s: float) -> None:
        """listeners: listening SOCK_SEQPACKETs; connection: an open one, or -1; the timeout may be inf."""
        self.watch = Watch()
        self.daemon = Reception(self.watch, self._obey)
        self.forks = Forks(self.watch, ahead=bool(listeners))  # a keeper of one launch needs no spare
        self.workers: dict[str, Held] = {}
        self.state_fd = -1
        self.leaving = False
        self.strays = 0  # that did not die yet
        self.adopt_timeout_s = adopt_timeout_s
        for listener in listeners:
            self.daemon.listen(listener)
        if connection >= 0:
            self.daemon.connect(Link(_socket.socket(fileno=connection)))

    def run(self) -> None:
        """Serve until told to leave, or until no daemon came back in time."""
        gc.collect()
        gc.freeze()  # what lives now lives for ever: collections need not touch it, nor copy pages shared with children
        while not (self.leaving and not self.workers):
            timeout_ms = None
            if not self.daemon.is_served:
                left_s = self.daemon.alone_since + self.adopt_timeout_s - time.monotonic()
                if left_s <= 0:
                    end_all([worker for worker in self.workers.values() if not worker.is_helper])
                    end_all([worker for worker in self.workers.values() if worker.is_helper])
                    self._end_strays()
                    break
                timeout_ms = int(min(left_s, LONGEST_WAIT_S) * 1000) + 1
            elif self.forks.wants_spare:
                timeout_ms = SPARE_DELAY_MS
            elif self.strays:
                timeout_ms = STRAYS_AGAIN_MS
            if not self.watch.turn(timeout_ms):
                if self.forks.wants_spare:
                    self.forks.make_spare()
                elif self.strays:
                    self._end_strays()
        self.forks.close()

    def _obey(self, tokens: list[str], fds: list[int]) -> None:
        verb, *arguments = tokens
        try:
            VERBS[verb](self, arguments, fds)
        except Exception as error:  # noqa: BLE001  (whatever a message holds: workers must not die of it)
            self.daemon.say("error", f"{verb[:40]}: {type(error).__name__}: {error}"[:ERROR_LENGTH])
        finally:
            for fd in fds:
                os.close(fd)

    def reap(self, worker: Held) -> None:
        """Tell the daemon that one has ended, once all that belonged to it has."""
        end = worker.reap()
        if end is not None:  # else the event was about an earlier owner of the descriptor's number
            self.watch.remove(worker.pidfd)
            if not worker.owns_pid_namespace:
                self._end_strays()
            for other in self.workers.values():
                if other.is_helper and other.exit is None and other.name.startswith(f"{worker.name}/"):
                    other.signal(signal.SIGKILL)  # it served this one; it has nothing to put in order
            self.daemon.say("exited", worker.name, *end)

    def _end_strays(self) -> None:
        """Before an exit is told: then the whole tree is gone. What is in the kernel's hands is tried again later."""
        self.strays = end_strays(
            {self.forks.spare_pid, *(one.pid for one in self.workers.values() if one.exit is None)}
        )
