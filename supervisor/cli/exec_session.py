"""The part of `nsvisor exec` that talks: the exec socket, the terminal, signals, the exit status."""

import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, nullcontext, suppress

import msgspec
import trio
from msgspec.structs import replace

from supervisor.cli.exec_relay import Relay
from supervisor.cli.run import NOT_EXECUTABLE, NOT_FOUND, OURS
from supervisor.cli.run_foreground import signal_status
from supervisor.control.exec_messages import Exited, Failed, FromDaemon, Request, Signal, Started
from supervisor.control.exec_messages import receive as receive_message
from supervisor.control.exec_messages import send as send_message
from supervisor.runtime.foreground import FORWARDED
from supervisor.runtime.terminal import Terminal
from supervisor.spec.paths import exec_socket


class ConnectionLostError(Exception):
    """The daemon has gone."""

    def __init__(self, text: str, *, started: bool) -> None:
        """started: the command was."""
        super().__init__(text)
        self.started = started


def execute(control: str, request: Request, *, terminal_wanted: bool, as_json: bool) -> int:
    """Execute it: the exit status for the shell."""
    on_terminal = terminal_wanted and all(os.isatty(fd) for fd in (0, 1, 2))
    if on_terminal:
        shown = {"TERM": os.environ["TERM"]} if os.environ.get("TERM") else {}
        request = replace(request, terminal=True, env={**shown, **request.env})
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with connection:
        path = exec_socket(control)
        try:
            connection.connect(path)
        except OSError as error:
            print(f"cannot exec: no daemon answers at {path}: {error.strerror}", file=sys.stderr)
            return OURS
        end: Exited | Failed | None = None
        lost: BaseException | None = None
        with Terminal() if on_terminal else nullcontext() as terminal:
            try:
                end = trio.run(_converse, connection, request, terminal)
            except* (ConnectionLostError, OSError) as errors:
                lost = _leaf(errors)
    if end is None:
        begun = isinstance(lost, ConnectionLostError) and lost.started
        print(f"{'cannot tell how the command ended' if begun else 'cannot exec'}: {lost}", file=sys.stderr)
        return OURS
    if as_json:
        print(msgspec.json.encode(end).decode(), file=sys.stderr)
    return _status(end, quiet=as_json)


def _leaf(error: BaseException) -> BaseException:
    return _leaf(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


async def _converse(connection: socket.socket, request: Request, terminal: Terminal | None) -> Exited | Failed:
    connection.setblocking(False)
    with trio.open_signal_receiver(*FORWARDED) as signals, ExitStack() as opened:
        relay = opened.enter_context(Relay())
        try:
            send_message(connection, request, relay.stdio)
        except OSError as error:
            return Failed("too_large", f"cannot exec: cannot send the command: {error.strerror}")
        relay.close_theirs()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_forward, signals, connection, terminal)
            relay.start(nursery)
            end = await _follow(connection, nursery, terminal)
            if terminal is not None:
                await terminal.drained()
            await relay.drained()
            nursery.cancel_scope.cancel()
    return end


async def _follow(connection: socket.socket, nursery: trio.Nursery, terminal: Terminal | None) -> Exited | Failed:
    started = False
    while True:
        await trio.lowlevel.wait_readable(connection)
        try:
            data, fds = receive_message(connection)
        except BlockingIOError:
            continue
        except OSError as error:
            text = f"the connection to the daemon broke: {error.strerror}"
            raise ConnectionLostError(text, started=started) from None
        if not data:
            raise ConnectionLostError("the daemon closed the connection", started=started)
        message: FromDaemon = msgspec.json.decode(data, type=FromDaemon)
        if isinstance(message, Exited | Failed):
            return message
        if isinstance(message, Started):
            started = True
        elif terminal is not None:
            terminal.take(fds.pop())
            nursery.start_soon(terminal.copy_in)
            nursery.start_soon(terminal.copy_out)
        for fd in fds:
            os.close(fd)


async def _forward(signals: AsyncIterator[int], connection: socket.socket, terminal: Terminal | None) -> None:
    async for number in signals:
        if number == signal.SIGWINCH:
            if terminal is not None:
                terminal.resize()
        else:
            with suppress(OSError):  # the daemon has gone: its silence will be noticed
                send_message(connection, Signal(number))


def _status(end: Exited | Failed, *, quiet: bool) -> int:
    if isinstance(end, Exited):
        if end.signal is None and end.code is None:
            print("cannot tell how the command ended: the keeper died", file=sys.stderr)
            return OURS
        if end.why == "worker" and not quiet:
            print(f"{end.instance} has ended, and the command with it", file=sys.stderr)
        return signal_status(end.signal) if end.signal is not None else end.code or 0
    if not quiet:
        _explain(end)
    if end.phase == "exec":
        return NOT_FOUND if end.errno == "ENOENT" else NOT_EXECUTABLE
    return OURS


def _explain(failure: Failed) -> None:
    if failure.phase is None:
        print(failure.message, file=sys.stderr)
        return
    why = ": ".join(word for word in (failure.syscall, failure.errno, failure.message) if word)
    about = f" ({failure.detail})" if failure.detail else ""
    print(f"cannot exec: {failure.phase}{about}: {why}", file=sys.stderr)
    if failure.hint:
        print(f"  {failure.hint}", file=sys.stderr)
