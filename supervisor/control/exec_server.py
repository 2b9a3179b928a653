"""The exec socket: commands executed in running workers, each for the connection that asked (exec_messages.py)."""

import os
import socket
import stat
import traceback
from contextlib import suppress

import msgspec
import trio

from supervisor.control import sockets
from supervisor.control.acceptor import Acceptor
from supervisor.control.exec_messages import Exited, Failed, FromDaemon, Request, Signal, Started, Terminal
from supervisor.control.exec_messages import receive as receive_message
from supervisor.control.exec_messages import send as send_message
from supervisor.runtime.execution import Caller, Execution, NotUpError, SetupError
from supervisor.runtime.fleet import FleetRuntime
from supervisor.runtime.instance import Instance
from supervisor.sandbox.exec_plan import Command
from supervisor.spec.names import UnknownName

REQUEST_TIMEOUT_S = 10.0
MAX_CONNECTIONS = 256
LARGEST_ID = 2**32 - 2
LARGEST_SIGNAL = 64


class _RefusedError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.view = Failed(code, message)


async def serve(
    fleet: FleetRuntime,
    socket_path: str,
    inherited: socket.socket | None = None,
    *,
    task_status: trio.TaskStatus[Acceptor] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Execute what is asked for on `socket_path` until cancelled. Started once a client can connect.

    inherited: listens there already. Raises SocketTaken when a living daemon listens there; OSError.
    """
    path = os.path.abspath(socket_path)  # noqa: ASYNC240 it reads nothing
    acceptor = Acceptor(inherited or sockets.listen(path, socket.SOCK_SEQPACKET), fleet.bus, path)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(acceptor.stay, socket.SOCK_SEQPACKET)
            task_status.started(acceptor)
            sessions = await nursery.start(_Sessions(fleet).run)
            while True:
                sessions.admit(await acceptor.accept())
    finally:
        acceptor.close()


class _Sessions:
    """All that there are. Who comes when there is no more room takes the place of one that has asked for nothing."""

    def __init__(self, fleet: FleetRuntime) -> None:
        self._fleet = fleet
        self._open: dict[_Session, None] = {}  # the oldest first

    async def run(self, task_status: "trio.TaskStatus[_Sessions]") -> None:
        async with trio.open_nursery() as self._nursery:
            task_status.started(self)
            await trio.sleep_forever()

    def admit(self, connection: socket.socket) -> None:
        """Serve it, or close it."""
        if sockets.peer_uid(connection) not in (os.geteuid(), 0):
            connection.close()
            return
        if len(self._open) >= MAX_CONNECTIONS:
            idle = next((one for one in self._open if not one.has_asked), None)
            if idle is None:
                view = Failed("too_many", f"cannot exec: {MAX_CONNECTIONS} commands are executed already")
                with connection, suppress(OSError):
                    send_message(connection, view)
                return
            del self._open[idle]
            idle.give_up()
        session = _Session(connection, self._fleet)
        self._open[session] = None
        self._nursery.start_soon(self._serve, session)

    async def _serve(self, session: "_Session") -> None:
        try:
            await session.run()
        finally:
            self._open.pop(session, None)


class _Session:
    """One connection, one command."""

    def __init__(self, connection: socket.socket, fleet: FleetRuntime) -> None:
        self._connection = connection
        self._fleet = fleet
        self._stdio: list[int] = []
        self.has_asked = False

    def give_up(self) -> None:
        """Make room for another."""
        with suppress(OSError):  # its end is read at once
            self._connection.shutdown(socket.SHUT_RDWR)

    async def run(self) -> None:
        """Serve it to its end; a fault of ours is the connection's end, and no more than that."""
        try:
            await self._serve()
        except (_RefusedError, NotUpError) as error:
            self._tell(error.view if isinstance(error, _RefusedError) else Failed("conflict", str(error)))
        except Exception as error:  # noqa: BLE001 a broken connection is reported, and is no more than that
            self._tell(Failed("internal", f"cannot exec: {error!r}"))
            self._fleet.bus.publish("control.failed", "error", error=repr(error), traceback=traceback.format_exc())
        finally:
            self._close_stdio()
            self._connection.close()

    async def _serve(self) -> None:
        with trio.move_on_after(REQUEST_TIMEOUT_S):
            await trio.lowlevel.wait_readable(self._connection)
        try:
            data, self._stdio = receive_message(self._connection)
        except OSError as error:
            raise _RefusedError("bad_request", f"cannot exec: no request: {error.strerror or error}") from None
        if not data:  # somebody looked whether a daemon listens
            return
        self.has_asked = True
        request = _read(data, self._stdio)
        instance = _choose(self._fleet, request.instance)
        caller = Caller(sockets.peer_pid(self._connection), sockets.peer_uid(self._connection))
        command = Command(request.command, request.env, request.working_dir, request.user, request.terminal)
        execution = Execution(instance, command, caller)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, execution)
                await self._execute(execution)
                nursery.cancel_scope.cancel()
        finally:
            execution.close()

    async def _execute(self, execution: Execution) -> None:
        stdin, stdout, stderr = self._stdio
        try:
            pid = await execution.start((stdin, stdout, stderr), self._pass_terminal)
        except SetupError as error:
            self._tell(_failed(error))
            return
        finally:
            self._close_stdio()  # ours would keep the client's pipes open
        about = (execution.instance.name, execution.incarnation, execution.number)
        self._tell(Started(*about, pid))
        status = await execution.wait()
        code, signal = (status.code, status.signal) if status is not None else (None, None)
        self._tell(Exited(*about, code, signal, round(execution.uptime_s, 6), execution.why))

    async def _obey(self, execution: Execution) -> None:
        """Pass signals on until the client hangs up."""
        decoder = msgspec.json.Decoder(Signal)
        while True:
            await trio.lowlevel.wait_readable(self._connection)
            try:
                data, fds = receive_message(self._connection)
            except BlockingIOError:
                continue
            except OSError:
                break
            for fd in fds:
                os.close(fd)
            if not data:
                break
            with suppress(msgspec.DecodeError):
                number = decoder.decode(data).number
                if 0 < number <= LARGEST_SIGNAL:
                    execution.signal(number)
        await execution.hang_up()

    def _pass_terminal(self, master: int) -> None:
        try:
            self._tell(Terminal(), (master,))
        finally:
            os.close(master)

    def _tell(self, message: FromDaemon, fds: tuple[int, ...] = ()) -> None:
        with suppress(OSError):  # it has gone, or does not read: the end of its connection tells
            send_message(self._connection, message, fds)

    def _close_stdio(self) -> None:
        for fd in self._stdio:
            os.close(fd)
        self._stdio = []


def _read(data: bytes, stdio: list[int]) -> Request:
    try:
        request = msgspec.json.decode(data, type=Request)
    except msgspec.DecodeError as error:
        raise _RefusedError("bad_request", f"cannot exec: no request: {error}") from None
    words = (*request.command, *request.env, *request.env.values(), request.working_dir or "", str(request.user))
    if not request.command or any("\0" in word for word in words):
        raise _RefusedError("bad_request", "cannot exec: no command, or a NUL in a word")
    if any(not name or "=" in name for name in request.env):
        raise _RefusedError("bad_request", "cannot exec: a variable's name is empty or holds a =")
    if request.working_dir is not None and not request.working_dir.startswith("/"):
        raise _RefusedError("bad_request", f"cannot exec: the working directory {request.working_dir} is not absolute")
    if request.user == "" or (isinstance(request.user, int) and not 0 <= request.user <= LARGEST_ID):
        raise _RefusedError("bad_request", f"cannot exec: {request.user!r} is no user")
    if len(stdio) != 3:
        raise _RefusedError("bad_request", "cannot exec: standard input, output and error come with the request")
    if any(stat.S_ISDIR(os.fstat(fd).st_mode) for fd in stdio):
        raise _RefusedError("bad_request", "cannot exec: a directory as standard input would lead out of the sandbox")
    return request


def _choose(fleet: FleetRuntime, name: str) -> Instance:
    try:
        chosen = fleet.select([name])
    except UnknownName as error:
        raise _RefusedError("unknown_name", str(error)) from None
    if len(chosen) != 1:
        names = ", ".join(one.name for one in chosen)
        raise _RefusedError("conflict", f"cannot exec in {name}: it has several instances, name one: {names}")
    return chosen[0]


def _failed(error: SetupError) -> Failed:
    failure = error.failure
    return Failed(
        "setup",
        failure.message or "",
        failure.phase,
        failure.detail,
        failure.errno,
        failure.syscall,
        failure.hint,
    )


__all__ = ["serve"]
