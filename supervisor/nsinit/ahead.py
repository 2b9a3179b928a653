"""What of a plan can be done before the launch is asked for: the first steps of the last plans, as far as they agree.

A launch takes what was done ahead only where its own plan begins with exactly those steps.
"""

from __future__ import annotations

import os
import select
import time

from supervisor.kernel.libc import KernelError
from supervisor.nsinit.operations.table import OPERATIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor.nsinit.box import Box

    Step = tuple[str, list[str]]

# None of them asks the daemon for anything, or looks at a path that a user chose.
PHASES = frozenset(
    (
        "parent.bind", "id.map", "id.root", "ns.uts", "ns.ipc", "ns.network", "ns.cgroup", "net.loopback", "ns.mount",
        "mount.propagation", "rootfs.prepare", "mount.dev", "mount.proc", "userns.seal",
    )
)  # fmt: skip
ONLY = {"id.map": "self", "rootfs.prepare": "host", "userns.seal": "host"}  # the first argument that it must have


def leading(steps: list[Step]) -> list[Step]:
    """The first ones of a plan, after `clone`, that can be done ahead."""
    count = 0
    for phase, arguments in steps:
        if phase not in PHASES or ONLY.get(phase, "") not in ("", *arguments[:1]):
            break
        count += 1
    return steps[:count]


def common(one: list[Step], other: list[Step]) -> list[Step]:
    """As far as they agree."""
    count = 0
    while count < min(len(one), len(other)) and one[count] == other[count]:
        count += 1
    return one[:count]


class Done:
    """One step that was done: how long it took, and what it said of itself."""

    def __init__(self, duration_ns: int, note: str | None) -> None:
        """note: as an operation returns it."""
        self.outcome = "skipped" if note == "skipped" else "ok"
        took = f"done ahead, in {duration_ns // 1000} us"
        self.text = "" if note == "skipped" else f"{note}; {took}" if note else took


def do(box: Box, steps: list[Step]) -> list[Done]:
    """In the spare. An error is for the launch to meet, which then does them itself."""
    done = []
    for phase, arguments in steps:
        start = time.monotonic_ns()
        note = OPERATIONS[phase](box, *arguments)
        done.append(Done(time.monotonic_ns() - start, note))
    return done


class Sources:
    """Files of the host that were mounted ahead: the same still, or is another in the place of one by now?

    Only of the host view, which this process needs as well: no path that might be on a server that is gone.
    """

    def __init__(self, steps: list[Step]) -> None:
        """Before they are mounted."""
        self._paths = [
            arguments[at + 2]
            for phase, arguments in steps
            if phase == "rootfs.prepare"
            for at in range(1, len(arguments), 3)
            if arguments[at] not in ("dir", "symlink")
        ]
        self._seen = self._look()

    def are_the_same(self) -> bool:
        """By device and inode."""
        return self._look() == self._seen

    def _look(self) -> list[tuple[int, int]]:
        found = []
        for path in self._paths:
            try:
                file = os.stat(path)
            except OSError:
                found.append((0, 0))
            else:
                found.append((file.st_dev, file.st_ino))
        return found


class Mounts:
    """The host's mounts, as this process sees them: told when one comes or goes (proc_pid_mountinfo(5))."""

    EVENTS = select.EPOLLPRI

    def __init__(self) -> None:
        """OSError, KernelError."""
        try:
            self.fd = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise KernelError(error.errno or 0, "openat", error.filename) from None

    def have_changed(self) -> bool:
        """Since it was opened, or since this was asked last."""
        poll = select.poll()
        poll.register(self.fd, select.POLLPRI)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Stop looking."""
        os.close(self.fd)
