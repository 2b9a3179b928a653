"""What a worker says of itself by sd_notify(3)."""

import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec
import trio

from supervisor.policy.health import Said
from supervisor.policy.restart import Extend
from supervisor.runtime import notify_socket
from supervisor.runtime.probe_answer import Answer

if TYPE_CHECKING:
    from supervisor.runtime.monitor import Monitor

TOLD, TOLD_WITHIN_S = 10, 60.0  # so many worker.notified within so long
SHORTEST_WATCHDOG_S = 0.001


class Notices:
    """Of one instance, for one incarnation after the other."""

    def __init__(self, monitor: "Monitor") -> None:
        self.said = Said()
        self._monitor = monitor
        self._instance = monitor.instance
        self._told: deque[float] = deque(maxlen=TOLD)

    async def listen(self, fd: int, number: int, pid: int, *, private: bool) -> None:
        """Take what is said at the socket.

        private: nobody outside the sandbox reaches it. A sender that has ended, and cannot be looked at, is believed.
        """
        messages = 0
        while True:
            message = await notify_socket.receive(fd)
            cgroup = self._instance.cgroup_path
            belongs = notify_socket.is_below(message.pid, pid, cgroup)
            if belongs or (belongs is None and private):
                self._take(message.assignments, number)
            else:
                self._monitor.complain(f"sd_notify from process {message.pid}, which is none of its own, was ignored")
            messages += 1
            if messages % notify_socket.AT_ONCE == 0:
                await trio.sleep(notify_socket.PAUSE_S)

    def _take(self, given: dict[str, str], number: int) -> None:
        before = self.said
        if "STATUS" in given:
            self.said = msgspec.structs.replace(self.said, status=given["STATUS"] or None)
        if (main_pid := _number(given.get("MAINPID"))) is not None:
            self.said = msgspec.structs.replace(self.said, main_pid=main_pid)
        if (period_us := _number(given.get("WATCHDOG_USEC"))) is not None:
            self.said = msgspec.structs.replace(self.said, watchdog_s=max(SHORTEST_WATCHDOG_S, period_us / 1e6))
        for word in ("reloading", "stopping", "ready"):
            if given.get(word.upper()) == "1":
                self._note_state(word)
        if self.said != before:
            self._instance.save()
            self._instance.tell()
        if (wanted_us := _number(given.get("EXTEND_TIMEOUT_USEC"))) is not None:
            self._instance.handle(Extend(number, wanted_us / 1e6))
        if given.get("WATCHDOG") == "1":
            self._monitor.beat(number, Answer(ok=True, seen="WATCHDOG=1"))
        elif given.get("WATCHDOG") == "trigger":
            self._monitor.beat(number, Answer(ok=False, seen="WATCHDOG=trigger"))
        if given.get("READY") == "1" and self._instance.worker.ready.kind == "notify":
            self._monitor.become_ready(number)

    def _note_state(self, word: str) -> None:
        self.said = msgspec.structs.replace(self.said, state=word)
        if word == "stopping":
            self._monitor.leave_alone()  # it leaves by itself: there is nothing to be healthy
        now = time.monotonic()
        if len(self._told) < TOLD or now - self._told[0] > TOLD_WITHIN_S:
            self._told.append(now)
            status = {} if self.said.status is None else {"status": self.said.status}
            self._monitor.publish("worker.notified", "info", state=word, **status)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 19 else None
