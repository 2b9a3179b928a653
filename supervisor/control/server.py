"""The control server: the API on a private unix socket, served by Hypercorn under Trio.

The accept loop is ours, each connection is Hypercorn's: a connection that fails must not take the daemon along, and a
client that does not read must not hold up its end (Hypercorn shields its sends from cancellation).
"""

import os
import socket
import traceback
from collections.abc import Sequence
from typing import cast

import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState, LifespanState
from hypercorn.utils import wrap_app

from supervisor.control import sockets
from supervisor.control.app import build
from supervisor.control.fleet_surface import FleetSurface
from supervisor.control.routes import RouteSpec
from supervisor.control.stream import ControlStream
from supervisor.control.table import ROUTES

IDLE_TIMEOUT_S = 30
GRACE_S = 0.5  # for answers under way when the server ends
LINGER_S = 1.0  # for a client that has said its last
MAX_CONNECTIONS = 256


async def serve(
    fleet: FleetSurface, socket_path: str, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer on `socket_path` until cancelled; then end within GRACE_S, whatever the clients do.

    Started once a client can connect. Raises SocketTaken when a living daemon listens there; OSError.
    """
    path = os.path.abspath(socket_path)  # noqa: ASYNC240 it reads nothing
    listening = sockets.listen(path)
    inode = os.lstat(path).st_ino
    try:
        await _Server(fleet, ROUTES).run(listening, task_status)
    finally:
        listening.close()
        sockets.unlink(path, inode)


async def serve_on(fleet: FleetSurface, listening: socket.socket, routes: Sequence[RouteSpec]) -> None:
    """Answer these routes on a socket that listens, which is closed in the end."""
    with listening:
        await _Server(fleet, routes).run(listening, trio.TASK_STATUS_IGNORED)


def _quiet_config() -> Config:
    config = Config()
    config.errorlog = None  # faults are published on the fleet's bus instead
    config.accesslog = None
    config.include_server_header = False
    config.include_date_header = False
    config.keep_alive_timeout = IDLE_TIMEOUT_S
    return config


class _Server:
    def __init__(self, fleet: FleetSurface, routes: Sequence[RouteSpec]) -> None:
        self._fleet = fleet
        self._stopping = trio.Event()
        self._context = WorkerContext(None)
        self._config = _quiet_config()
        app = build(fleet, self._stopping, routes)
        self._app = wrap_app(cast("ASGIFramework", app), 0, "asgi")
        self._idle = trio.Event()  # it ends, and no connection is left
        self._open: set[ControlStream] = set()

    async def run(self, listening: socket.socket, task_status: trio.TaskStatus[None]) -> None:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        async with trio.open_nursery() as nursery:
            connections = await nursery.start(self._shelter)
            try:
                task_status.started()  # it listens already: who connects now is served
                await trio.serve_listeners(self._connection, [listener], handler_nursery=connections)
            finally:
                self._stopping.set()
                if not self._open:
                    self._idle.set()
                await self._context.terminated.set()

    async def _shelter(self, task_status: trio.TaskStatus[trio.Nursery]) -> None:
        """Hold the connections, out of reach of the server's cancellation, for as long as their last answers take."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as connections:
                task_status.started(connections)
                await self._stopping.wait()
                with trio.move_on_after(GRACE_S):
                    await self._idle.wait()
                for stream in self._open:
                    stream.cut()
                connections.cancel_scope.cancel()

    async def _connection(self, accepted: trio.SocketStream) -> None:
        if len(self._open) >= MAX_CONNECTIONS:
            await accepted.aclose()
            self._fleet.bus.publish("control.refused", "warning", connections=len(self._open))
            return
        stream = ControlStream(accepted)
        self._open.add(stream)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_linger, stream, nursery.cancel_scope)
                await self._talk(stream)
                nursery.cancel_scope.cancel()
        finally:
            self._open.discard(stream)
            if self._stopping.is_set() and not self._open:
                self._idle.set()
            await trio.aclose_forcefully(stream)

    async def _talk(self, stream: ControlStream) -> None:
        state = ConnectionState(LifespanState({"hang_up": stream.hang_up}))
        plain = cast("trio.SSLStream[trio.SocketStream]", stream)  # as hypercorn itself does without TLS
        try:
            await TCPServer(self._app, self._config, self._context, state, plain)
        except Exception as error:  # noqa: BLE001 a broken connection is reported, and is no more than that
            self._fleet.bus.publish("control.failed", "error", error=repr(error), traceback=traceback.format_exc())


async def _linger(stream: ControlStream, scope: trio.CancelScope) -> None:
    """End a connection that outlives its client. (An upgrade to HTTP/2 does, in Hypercorn 0.18.)"""
    await stream.read_out.wait()
    await trio.sleep(LINGER_S)
    stream.cut()
    scope.cancel()
