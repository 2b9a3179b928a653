"""What the daemon asks of a keeper, and what it hears. The protocol is described in nsinit/messages.py."""

import errno
import os
import socket
import time
from contextlib import suppress

import trio

from supervisor.runtime.exit_status import ExitStatus
from supervisor.runtime.keeper_errors import KeeperGoneError, Refused
from supervisor.runtime.keeper_greeting import HeldWorker, greet
from supervisor.runtime.keeper_socket import KeeperSocket, close_all
from supervisor.wire import PROTOCOL, pack


class KeeperLink:
    """One connection. `run` must be running for answers to arrive."""

    def __init__(self, connection: socket.socket) -> None:
        """Take the socket over."""
        self._socket = KeeperSocket(connection)
        self._launches: dict[str, trio.Event] = {}  # in the order in which the keeper answers
        self._reserves: dict[str, int] = {}  # a descriptor for each: it makes room for the pidfd of the answer
        self._answers: dict[str, tuple[int, int] | Refused] = {}
        self._reports: dict[str, int] = {}  # by name, until they are asked for
        self._exits: dict[str, ExitStatus] = {}
        self._exit_events: dict[str, trio.Event] = {}
        self.gone = trio.Event()
        self.pid = 0
        self.protocol = PROTOCOL
        self.version = ""  # of its code

    async def greet(self) -> tuple[list[HeldWorker], int]:
        """Say hello: the workers it holds and the state memfd (or -1). KeeperGoneError, AdoptionError."""
        greeting = await greet(self._socket)
        self.protocol, self.pid, self.version = greeting.protocol, greeting.pid, greeting.version
        for worker in greeting.workers:
            worker.keeper = self
            if worker.exit is not None:
                self._exits[worker.name] = worker.exit
        return greeting.workers, greeting.state_fd

    async def run(self) -> None:
        """Read until the keeper is gone; then every waiter learns it."""
        try:
            while True:
                tokens, fds = await self._socket.receive()
                self._dispatch(tokens, fds)
        except KeeperGoneError:
            pass
        finally:
            self.gone.set()
            for event in (*self._launches.values(), *self._exit_events.values()):
                event.set()

    def _dispatch(self, tokens: list[str], fds: list[int]) -> None:
        verb, *rest = tokens
        if verb == "launched":
            pid = int(rest[1])
            self._answers[rest[0]] = (pid, fds[0]) if fds else self._find_room(rest[0], pid)
            if len(fds) > 1:
                self._reports[rest[0]] = fds[1]
        elif verb == "adopted":
            self._answers[rest[0]] = (0, -1)
        elif verb == "error" and (name := self._next_unanswered()):  # a launch that it could not make sense of
            rest = [name]
            self._answers[name] = Refused(0, time.monotonic_ns(), errno.EPROTO, "", " ".join(tokens[1:]))
        elif verb == "refused":
            index, start_ns, number = map(int, rest[1:4])
            self._answers[rest[0]] = Refused(index, start_ns, number, rest[4], rest[5])
        elif verb == "exited":
            self._exits[rest[0]] = ExitStatus.from_wait(*map(int, rest[1:]))
            if (event := self._exit_events.get(rest[0])) is not None:
                event.set()
            return
        else:
            return
        if (waiting := self._launches.get(rest[0])) is not None:
            waiting.set()

    def _find_room(self, name: str, pid: int) -> tuple[int, int] | Refused:
        """Open another pidfd of a child: the one that came found no room in this process, and was dropped."""
        os.close(self._reserves.pop(name))
        try:
            return pid, os.pidfd_open(pid)
        except OSError as error:
            return Refused(0, time.monotonic_ns(), error.errno or errno.EMFILE, "pidfd_open", error.strerror or "")

    def _next_unanswered(self) -> str | None:
        return next((name for name in self._launches if name not in self._answers), None)

    async def launch(
        self,
        name: str,
        clone_flags: int,
        stop: tuple[int, float],
        fds: dict[str, list[int]],
        join_kinds: list[int],
        *,
        hidden: bool = False,
        released: bool = False,
    ) -> tuple[int, int]:
        """Fork one sandbox, which waits for `go`: its pid and pidfd. Refused, KeeperGoneError.

        hidden: not dumpable until it executes, for others live in what it joins. released: it will outlive the keeper.
        fds by role: plan, channel, stdio (three), keep (held for the next daemon), join, cgroup; the caller's still.
        """
        roles = " ".join(role for role, several in fds.items() for _ in several)
        kinds = " ".join(map(str, join_kinds))
        stop_signal, grace_s = stop
        options = [*(["hidden"] if hidden else []), *(["released"] if released else [])]
        message = pack("launch", name, clone_flags, stop_signal, int(grace_s * 1000), roles, kinds, *options)
        return await self._ask(name, message, [fd for several in fds.values() for fd in several])

    async def spawn(self, name: str, argv: list[str], stdio: tuple[int, int, int], log: int) -> tuple[int, int]:
        """Execute a program of the host's beside a worker: its pid and pidfd. Refused, KeeperGoneError.

        name: web-0#17/pasta. It ends with the worker, and with the keeper. log: a reading end, held for others.
        """
        return await self._ask(name, pack("spawn", name, *argv), [*stdio, log, log])  # as many are held as of a worker

    async def _ask(self, name: str, message: bytes, fds: list[int]) -> tuple[int, int]:
        self._reserves[name] = self._socket.duplicate()
        event = self._launches[name] = trio.Event()
        try:
            try:
                await self._socket.send(message, fds)
            except KeeperGoneError:
                await self.gone.wait()  # once all that it had said was heard
                raise
            if not self.gone.is_set():
                await event.wait()
        finally:
            del self._launches[name]
            close_all([fd for fd in [self._reserves.pop(name, None)] if fd is not None])
            answer = self._answers.pop(name, None)
        if answer is None:
            raise KeeperGoneError("it died before it answered")
        if isinstance(answer, Refused):
            raise answer
        return answer

    async def exit_status(self, name: str) -> ExitStatus | None:
        """Wait for an incarnation's exit record; None where the keeper is gone and it will never come."""
        if name not in self._exits and not self.gone.is_set():
            event = self._exit_events[name] = trio.Event()
            try:
                await event.wait()
            finally:
                del self._exit_events[name]
        return self._exits.get(name)

    async def acknowledge(self, name: str) -> None:
        """Let the keeper forget an incarnation that has exited."""
        if self._exits.pop(name, None) is not None:
            await self._tell(pack("ack", name))

    async def hold_lock(self, name: str, fd: int) -> None:
        """Give the keeper a descriptor to hold until an incarnation has ended. OSError where it cannot be given."""
        try:
            await self._socket.send(pack("hold", name), [fd])
        except KeeperGoneError as error:
            raise OSError(errno.ESRCH, f"the keeper is gone: {error}") from None
        except Refused as refused:
            raise OSError(refused.number, refused.text) from None

    def take_report(self, name: str) -> int:
        """Where PID 1 of one that was launched `released` writes the workload's status; -1: it is not told."""
        return self._reports.pop(name, -1)

    async def adopt(self, name: str, pid: int, stop: tuple[int, float], fds: dict[str, list[int]]) -> None:
        """Give it a worker that outlived its keeper. Refused, KeeperGoneError.

        fds by role: pidfd, report (or none), keep; the caller's still.
        """
        roles = " ".join(role for role, several in fds.items() for _ in several)
        message = pack("adopt", name, pid, stop[0], int(stop[1] * 1000), roles)
        await self._ask(name, message, [fd for several in fds.values() for fd in several])

    async def forget(self, name: str) -> None:
        """Have it let go of one that was adopted and has ended before anybody knew of the keeper."""
        self._exits.pop(name, None)
        await self._tell(pack("forget", name))

    async def set_rule(self, name: str, stop: tuple[int, float]) -> None:
        """Have one stopped by another signal and grace (s), should no daemon come back. An old keeper has no ear."""
        if self.protocol > 2:
            await self._tell(pack("rule", name, stop[0], int(stop[1] * 1000)))

    async def set_adopt_timeout(self, timeout_s: float) -> None:
        """Have it wait so long for the next daemon; may be inf. An old keeper has no ear."""
        if self.protocol > 2:
            await self._tell(pack("timeout", str(timeout_s)))

    async def listen(self, fd: int) -> None:
        """Have it await daemons at another listening socket, too."""
        if self.protocol > 2:
            await self._tell(pack("listen"), [fd])

    async def hold_state(self, fd: int) -> None:
        """Give the keeper the state memfd."""
        await self._tell(pack("state"), [fd])

    async def dismiss(self) -> None:
        """Let it leave as soon as it holds no worker."""
        await self._tell(pack("leave"))

    async def _tell(self, message: bytes, fds: list[int] | None = None) -> None:
        """Send what needs no answer; a keeper that is gone needs it no more."""
        with suppress(KeeperGoneError, Refused):
            await self._socket.send(message, fds or [])

    def peer_pid(self) -> int:
        """Who listens at the other end; 0 from another pid namespace."""
        return self._socket.peer_pid()

    def close(self) -> None:
        """Close the connection: the keeper waits for the next daemon."""
        self._socket.close()
