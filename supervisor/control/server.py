"""The control server: the API on a private unix socket, served by Hypercorn under Trio.

The accept loop is ours, each connection is Hypercorn's: a connection that fails must not take the daemon along, and a
client that does not read must not hold up its end (Hypercorn shields its sends from cancellation).

At most MAX_CONNECTIONS are open. Who comes then takes the place of one that asks for nothing, or does not read what it
asked for; so a crowd of idle clients keeps nobody out.
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
from starlette.types import ASGIApp, Receive, Scope, Send

from supervisor.control import sockets
from supervisor.control.acceptor import Acceptor
from supervisor.control.app import build, too_many
from supervisor.control.closing import Closing
from supervisor.control.crowd import Crowd
from supervisor.control.fleet_surface import FleetSurface
from supervisor.control.routes import RouteSpec
from supervisor.control.stream import ControlStream
from supervisor.control.table import ROUTES

IDLE_TIMEOUT_S = 30
GRACE_S = 0.5  # for answers under way when the server ends
SHUT_S, SHUT_PAUSE_S, QUIET_S = 5.0, 0.01, 0.2  # the same, when the daemon re-executes itself
LINGER_S = 1.0  # for a client that has said its last
MAX_CONNECTIONS = 256
MAX_LASTING = 192  # requests that last as long as their clients like, so that there is always room for the others
LASTING = ("/v1/events", "/v1/wait")


async def serve(
    fleet: FleetSurface,
    socket_path: str,
    inherited: socket.socket | None = None,
    *,
    task_status: "trio.TaskStatus[Server]" = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer on `socket_path` until cancelled; then end within GRACE_S, whatever the clients do.

    inherited: listens there already. Started once a client can connect. Raises SocketTaken when a living daemon
    listens there; OSError.
    """
    path = os.path.abspath(socket_path)  # noqa: ASYNC240 it reads nothing
    acceptor = Acceptor(inherited or sockets.listen(path), fleet.bus, path)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(acceptor.stay)
            await Server(fleet, ROUTES, acceptor).run(task_status)
    finally:
        acceptor.close()


async def serve_on(fleet: FleetSurface, listening: socket.socket, where: str, routes: Sequence[RouteSpec]) -> None:
    """Answer these routes on a socket that listens, which is closed in the end. where: its address, for records."""
    acceptor = Acceptor(listening, fleet.bus, where)
    try:
        await Server(fleet, routes, acceptor).run(trio.TASK_STATUS_IGNORED)
    finally:
        acceptor.close()


def _quiet_config() -> Config:
    config = Config()
    config.errorlog = None  # faults are published on the fleet's bus instead
    config.accesslog = None
    config.include_server_header = False
    config.include_date_header = False
    config.keep_alive_timeout = IDLE_TIMEOUT_S
    return config


class Server:
    """One socket's."""

    def __init__(self, fleet: FleetSurface, routes: Sequence[RouteSpec], acceptor: Acceptor) -> None:
        self._fleet = fleet
        self._acceptor = acceptor
        self._stopping = Closing()  # what lasts ends
        self._ending = trio.Event()  # and so does the server
        self._context = WorkerContext(None)
        self._config = _quiet_config()
        app = build(fleet, self._stopping, routes)
        self._app = wrap_app(cast("ASGIFramework", _Counting(app)), 0, "asgi")
        self._idle = trio.Event()  # it ends, and no connection is left
        self._open: dict[ControlStream, None] = {}  # the oldest first
        self._crowd = Crowd(fleet.bus)

    @property
    def fd(self) -> int:
        """Of the socket that listens."""
        return self._acceptor.fd

    async def shut(self) -> None:
        """Let nobody in, have what lasts end, and what was asked for be answered. Who connects waits."""
        await self._acceptor.shut()
        self._stopping.set(for_good=False)
        with trio.move_on_after(SHUT_S):
            while any(map(_is_busy, self._open)):  # noqa: ASYNC110  (each has its own)
                await trio.sleep(SHUT_PAUSE_S)

    def reopen(self) -> None:
        """Go on after shut()."""
        self._stopping.clear()
        self._acceptor.reopen()

    async def run(self, task_status: "trio.TaskStatus[Server]") -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            connections = await nursery.start(self._shelter)
            try:
                task_status.started(self)  # it listens already: who connects now is served
                while True:
                    accepted = trio.socket.from_stdlib_socket(await self._acceptor.accept())
                    connections.start_soon(self._connection, trio.SocketStream(accepted))
            finally:
                self._stopping.set(for_good=True)
                self._ending.set()
                if not self._open:
                    self._idle.set()
                await self._context.terminated.set()

    async def _shelter(self, task_status: trio.TaskStatus[trio.Nursery]) -> None:
        """Hold the connections, out of reach of the server's cancellation, for as long as their last answers take."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as connections:
                task_status.started(connections)
                await self._ending.wait()
                with trio.move_on_after(GRACE_S):
                    await self._idle.wait()
                for stream in self._open:
                    stream.cut()
                connections.cancel_scope.cancel()

    async def _connection(self, accepted: trio.SocketStream) -> None:
        if len(self._open) >= MAX_CONNECTIONS and not self._crowd.make_room(self._open):
            await trio.aclose_forcefully(accepted)
            return
        stream = ControlStream(accepted)
        self._open[stream] = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_linger, stream, nursery.cancel_scope)
                await self._talk(stream)
                nursery.cancel_scope.cancel()
        finally:
            self._open.pop(stream, None)
            if self._ending.is_set() and not self._open:
                self._idle.set()
            await trio.aclose_forcefully(stream)

    async def _talk(self, stream: ControlStream) -> None:
        state = ConnectionState(LifespanState({"stream": stream}))
        plain = cast("trio.SSLStream[trio.SocketStream]", stream)  # as hypercorn itself does without TLS
        try:
            await TCPServer(self._app, self._config, self._context, state, plain)
        except Exception as error:  # noqa: BLE001 a broken connection is reported, and is no more than that
            self._fleet.bus.publish("control.failed", "error", error=repr(error), traceback=traceback.format_exc())


class _Counting:
    """ASGI middleware: a stream knows whether a request of its is under way, and not all of them may last."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._lasting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stream: ControlStream = scope["state"]["stream"]
        lasts = scope["path"] in LASTING
        if lasts and self._lasting >= MAX_LASTING:
            await too_many(MAX_LASTING)(scope, receive, send)
            return
        stream.requests += 1
        self._lasting += lasts
        try:
            await self._app(scope, receive, send)
        finally:
            stream.requests -= 1
            self._lasting -= lasts


def _is_busy(stream: ControlStream) -> bool:
    """Whether it is being answered, or was heard just now: a request takes a moment to come, and an answer to go."""
    if stream.outlasting:
        return False
    return stream.requests > 0 or trio.current_time() - stream.active_at < QUIET_S


async def _linger(stream: ControlStream, scope: trio.CancelScope) -> None:
    """End a connection that outlives its client. (An upgrade to HTTP/2 does, in Hypercorn 0.18.)"""
    await stream.read_out.wait()
    await trio.sleep(LINGER_S)
    stream.cut()
    scope.cancel()
