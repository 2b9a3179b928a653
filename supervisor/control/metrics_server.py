"""Metrics over TCP on loopback, and nothing else: the control API stays where only its owner can connect."""

import errno
import socket
from collections.abc import Callable

import trio

from supervisor.control.fleet_surface import FleetSurface
from supervisor.control.server import serve_on
from supervisor.control.sockets import BACKLOG
from supervisor.control.table import METRICS
from supervisor.spec.errors import ConfigError, Problem
from supervisor.spec.model import Fleet


class MetricsServer:
    """Answers where the configuration says. An address that cannot be listened on is an event, and no more."""

    def __init__(self, fleet: FleetSurface, configured: Callable[[], str | None]) -> None:
        """configured: the address in force, "127.0.0.1:9464" or "[::1]:9464"; None: do not listen."""
        self._fleet = fleet
        self._configured = configured
        self._address: str | None = None  # where it listens
        self._listening = trio.CancelScope()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. Started once a client can connect, or it is told why none can."""
        first = True
        while True:
            with trio.CancelScope() as self._listening:
                listener = self._open(self._configured())
                if first:
                    task_status.started()
                    first = False
                if listener is None:
                    await trio.sleep_forever()
                else:
                    await serve_on(self._fleet, listener, self._address or "", (METRICS,))

    def refuse_what_cannot_be(self, new: Fleet) -> None:
        """Whether another address could be listened on. ConfigError where not."""
        address = new.supervisor.metrics.listen
        if address is None or address in (self._configured(), self._address):
            return
        try:
            _listen(address).close()
        except OSError as error:
            why = f"cannot listen there: {error.strerror or error}"
            problem = Problem(new.files[0], None, "supervisor.metrics.listen", why, value=f'"{address}"')
            raise ConfigError([problem]) from None

    def follow(self) -> None:
        """The configuration may have changed. An address that failed is tried again."""
        if self._configured() != self._address:
            self._listening.cancel()

    def _open(self, address: str | None) -> socket.socket | None:
        self._address = None
        if address is None:
            return None
        try:
            listener = _listen(address)
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "")
            why = error.strerror or str(error)
            self._fleet.bus.publish("metrics.failed", "error", address=address, errno=name, error=why)
            return None
        self._address = address
        self._fleet.bus.publish("metrics.listening", address=address)
        return listener


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a server before may linger
        listening.bind((host.strip("[]"), int(port)))
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening
