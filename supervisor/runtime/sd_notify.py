"""sd_notify(3): what the service manager is told, by datagrams to $NOTIFY_SOCKET."""

import os
import socket
import time
from collections.abc import Mapping
from typing import Self

import trio

from supervisor.runtime.log_file import errno_name
from supervisor.telemetry.bus import EventBus

SEND_TIMEOUT_S = 1.0  # the service manager's queue is full


class Notifier:
    """Without a service manager every call does nothing. A call returns whether it was sent, and never raises.

    What cannot be sent is published once as `daemon.notify_failed`, until sending works again.
    """

    def __init__(self, address: str | None, watchdog_us: int | None = None, bus: EventBus | None = None) -> None:
        """Address: a path, or an abstract name that begins with @."""
        self.address = address
        self.watchdog_us = watchdog_us if address else None
        self._bus = bus
        self._failing = False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], bus: EventBus | None = None) -> Self:
        """NOTIFY_SOCKET; WATCHDOG_USEC unless WATCHDOG_PID is somebody else's."""
        usec = environ.get("WATCHDOG_USEC", "")
        watchdog_us = int(usec) if usec.isascii() and usec.isdigit() else 0
        if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            watchdog_us = 0
        return cls(environ.get("NOTIFY_SOCKET") or None, watchdog_us or None, bus)

    def ready(self) -> bool:
        """READY=1: started, or done with reloading."""
        return self.send("READY=1")

    def status(self, text: str) -> bool:
        """STATUS=: one line for `systemctl status`."""
        return self.send("STATUS=" + " ".join(text.split()))

    def reloading(self) -> bool:
        """RELOADING=1; ready() ends it."""
        return self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> bool:
        """STOPPING=1."""
        return self.send("STOPPING=1")

    def extend_timeout(self, seconds: float) -> bool:
        """EXTEND_TIMEOUT_USEC=: what is under way may take so long from now, whatever its time-out was."""
        return self.send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def main_pid(self, pid: int) -> bool:
        """MAINPID=: which process the service is."""
        return self.send(f"MAINPID={pid}")

    def watchdog(self) -> bool:
        """WATCHDOG=1: still alive."""
        return self.send("WATCHDOG=1")

    async def watchdog_loop(self) -> None:
        """watchdog() at half its period, for ever; return at once where there is no watchdog."""
        if self.watchdog_us is None:
            await trio.lowlevel.checkpoint()
            return
        while True:
            self.watchdog()
            await trio.sleep(self.watchdog_us / 2e6)

    def send(self, *assignments: str) -> bool:
        """One datagram of NAME=VALUE lines."""
        if self.address is None:
            return False
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(SEND_TIMEOUT_S)
                sender.sendto("\n".join(assignments).encode("utf-8", "surrogateescape"), address)
        except OSError as error:
            if not self._failing and self._bus is not None:
                self._bus.publish(
                    "daemon.notify_failed",
                    "warning",
                    state=assignments[0],
                    errno=errno_name(error),
                    error=str(error),
                )
            self._failing = True
            return False
        self._failing = False
        return True
