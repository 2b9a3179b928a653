"""The end of a keeper that cannot be talked to, and of its workers: before there are second copies of them."""

import os
import signal
from contextlib import suppress

import psutil
import trio

from supervisor.runtime.child import send_signal
from supervisor.telemetry.bus import EventBus

END_TIMEOUT_S = 5.0


async def end_keeper(pid: int, bus: EventBus, *, tell: bool) -> None:
    """SIGKILL it, then each of its children, of which some may outlive it; wait for all of them.

    tell: of each worker. Nothing is done where there is no such process.
    """
    try:
        keeper = os.pidfd_open(pid)
    except OSError:  # it is gone, or never was in our pid namespace
        return
    children: list[tuple[str, int, int]] = []
    try:
        with suppress(psutil.Error):
            send_signal(keeper, signal.SIGSTOP)  # it forks no more
            for child in psutil.Process(pid).children():
                with suppress(OSError):
                    children.append((_incarnation(child.pid), child.pid, os.pidfd_open(child.pid)))
        send_signal(keeper, signal.SIGKILL)
        for name, child_pid, pidfd in children:
            if send_signal(pidfd, signal.SIGKILL) and tell and name:
                bus.publish("worker.stray", "warning", name=name, pid=child_pid)
        with trio.move_on_after(END_TIMEOUT_S):
            for pidfd in (keeper, *(pidfd for _, _, pidfd in children)):
                await trio.lowlevel.wait_readable(pidfd)
    finally:
        for pidfd in (keeper, *(pidfd for _, _, pidfd in children)):
            os.close(pidfd)


def _incarnation(pid: int) -> str:
    """By the name of its cgroup; its title where it has none of its own; "" for what is no worker."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
            place = next((line for line in file if line.startswith("0::")), "")
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            title = file.read().replace("\0", " ").strip()
    except OSError:
        return ""
    name = os.path.basename(place.strip())
    return name if "#" in name else "" if title == "nsinit: spare" else title
