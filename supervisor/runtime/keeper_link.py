"""The daemon's end of the connection to a keeper. The protocol is described in nsinit/keeper.py."""

import errno
import os
import signal
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec
import trio

from supervisor.spec.records import Rusage
from supervisor.wire import MAX_MESSAGE_BYTES, PROTOCOL, pack, unpack

MAX_FDS = 64
HELD_FDS = 3  # at least: a pidfd, the reading ends of standard output and error, a socket for sd_notify(3) perhaps
GONE = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF)


class ExitStatus(msgspec.Struct, frozen=True):
    """What waitpid(2) and getrusage(2) said of an incarnation."""

    code: int | None
    signal: str | None
    core_dumped: bool
    rusage: Rusage

    @classmethod
    def from_wait(cls, status: int, user_us: int, system_us: int, max_rss_kib: int) -> "ExitStatus":
        """Take a wait status apart (wait(2))."""
        killed_by = status & 0x7F
        return cls(
            code=None if killed_by else status >> 8 & 0xFF,
            signal=signal_name(killed_by) if killed_by else None,
            core_dumped=bool(status & 0x80),
            rusage=Rusage(user_us / 1e6, system_us / 1e6, max_rss_kib * 1024),
        )


def signal_name(number: int) -> str:
    """SIGKILL for 9, SIGRTMIN+3 for 37; SIG33 where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}" if number > signal.SIGRTMIN else f"SIG{number}"


class HeldWorker(msgspec.Struct):
    """A worker, or a program beside one, that a keeper has from an earlier daemon. The descriptors are ours now."""

    name: str
    pid: int
    exit: ExitStatus | None
    pidfd: int
    kept: list[int]


class Refused(Exception):  # noqa: N818  (the keeper's word)
    """The keeper could not fork: the failed step's index, its start (ns), errno, system call, message."""

    def __init__(self, index: int, start_ns: int, number: int, syscall: str, text: str) -> None:
        """As the keeper sent them."""
        super().__init__(text)
        self.index, self.start_ns, self.number, self.syscall, self.text = index, start_ns, number, syscall, text


class KeeperGoneError(Exception):
    """The keeper died, or never lived."""


class AdoptionError(Exception):
    """The keeper lives, and what it holds cannot be taken over: why, and what to do."""


class KeeperBusyError(AdoptionError):
    """The keeper serves another daemon."""


class KeeperLink:
    """One connection. `run` must be running for answers to arrive."""

    def __init__(self, connection: socket.socket) -> None:
        """Take the socket over."""
        connection.setblocking(False)
        self._socket = connection
        self._launches: dict[str, trio.Event] = {}  # in the order in which the keeper answers
        self._reserves: dict[str, int] = {}  # a descriptor for each: it makes room for the pidfd of the answer
        self._answers: dict[str, tuple[int, int] | Refused] = {}
        self._exits: dict[str, ExitStatus] = {}
        self._exit_events: dict[str, trio.Event] = {}
        self._sending = trio.Lock()
        self.gone = trio.Event()
        self.pid = 0
        self._is_cut = False  # the last message: its descriptors found no room in this process

    async def greet(self) -> tuple[list[HeldWorker], int]:
        """Say hello: the workers it holds and the state memfd (or -1). KeeperGoneError, AdoptionError."""
        taken: list[int] = []
        try:
            return await self._greet(taken)
        except BaseException:
            close_all(taken)
            raise

    async def _greet(self, taken: list[int]) -> tuple[list[HeldWorker], int]:
        with suppress(KeeperGoneError):  # why, it has said before it left
            await self._send(pack("hello", PROTOCOL), [])
        tokens, fds = await self._receive()
        while tokens[0] == "exited":  # before it had read our hello; `held` will tell it again
            tokens, fds = await self._receive()
        if tokens[0] == "busy":
            raise KeeperBusyError(
                f"cannot start: the keeper (pid {tokens[1]}) serves another daemon; stop that one first"
            )
        if tokens[0] != "keeper":
            raise KeeperGoneError(f"it speaks another protocol: {' '.join(tokens)}")
        self.pid = int(tokens[2])
        taken += fds
        state_fd = fds[0] if fds else -1
        workers: list[HeldWorker] = []
        while True:
            tokens, fds = await self._receive()
            if tokens[0] == "end":
                return workers, state_fd
            taken += fds
            if len(fds) < HELD_FDS or self._is_cut:  # recvmsg drops what finds no room
                raise AdoptionError(
                    f"cannot take over the workers of keeper {self.pid}: no room for their descriptors; "
                    "raise RLIMIT_NOFILE (LimitNOFILE=, ulimit -n)"
                )
            _, name, pid, state, *numbers = tokens
            ended = ExitStatus.from_wait(*map(int, numbers)) if state == "EXITED" else None
            workers.append(HeldWorker(name, int(pid), ended, fds[0], fds[1:]))
            if ended is not None:
                self._exits[name] = ended

    async def run(self) -> None:
        """Read until the keeper is gone; then every waiter learns it."""
        try:
            while True:
                tokens, fds = await self._receive()
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
    ) -> tuple[int, int]:
        """Fork one sandbox, which waits for `go`: its pid and pidfd. Refused, KeeperGoneError.

        hidden: not dumpable until it executes, for others live in what it joins.
        fds by role: plan, channel, stdio (three), keep (held for the next daemon), join, cgroup; the caller's still.
        """
        roles = " ".join(role for role, several in fds.items() for _ in several)
        kinds = " ".join(map(str, join_kinds))
        stop_signal, grace_s = stop
        options = ["hidden"] if hidden else []
        message = pack("launch", name, clone_flags, stop_signal, int(grace_s * 1000), roles, kinds, *options)
        return await self._ask(name, message, [fd for several in fds.values() for fd in several])

    async def spawn(self, name: str, argv: list[str], stdio: tuple[int, int, int], log: int) -> tuple[int, int]:
        """Execute a program of the host's beside a worker: its pid and pidfd. Refused, KeeperGoneError.

        name: web-0#17/pasta. It ends with the worker, and with the keeper. log: a reading end, held for others.
        """
        return await self._ask(name, pack("spawn", name, *argv), [*stdio, log, log])  # as many are held as of a worker

    async def _ask(self, name: str, message: bytes, fds: list[int]) -> tuple[int, int]:
        try:
            self._reserves[name] = os.dup(self._socket.fileno())
        except OSError as error:
            if error.errno in GONE:
                raise KeeperGoneError(str(error)) from None
            raise Refused(0, time.monotonic_ns(), error.errno or 0, "dup", error.strerror or "") from None
        event = self._launches[name] = trio.Event()
        try:
            try:
                await self._send(message, fds)
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
            raise KeeperGoneError("it died during the launch")
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
            await self._send(pack("hold", name), [fd])
        except KeeperGoneError as error:
            raise OSError(errno.ESRCH, f"the keeper is gone: {error}") from None
        except Refused as refused:
            raise OSError(refused.number, refused.text) from None

    async def hold_state(self, fd: int) -> None:
        """Give the keeper the state memfd."""
        await self._tell(pack("state"), [fd])

    async def dismiss(self) -> None:
        """Let it leave as soon as it holds no worker."""
        await self._tell(pack("leave"))

    async def _tell(self, message: bytes, fds: list[int] | None = None) -> None:
        """Send what needs no answer; a keeper that is gone needs it no more."""
        with suppress(KeeperGoneError, Refused):
            await self._send(message, fds or [])

    async def _send(self, message: bytes, fds: list[int]) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []
        async with self._sending:
            while True:
                try:
                    self._socket.sendmsg([message], rights, socket.MSG_NOSIGNAL)
                except BlockingIOError:
                    await self._wait(trio.lowlevel.wait_writable)
                except OSError as error:
                    if error.errno in GONE:
                        raise KeeperGoneError(str(error)) from None
                    number = error.errno or errno.EIO  # ETOOMANYREFS, ENOBUFS, EMSGSIZE: it lives
                    raise Refused(0, time.monotonic_ns(), number, "sendmsg", os.strerror(number)) from None
                else:
                    return

    async def _receive(self) -> tuple[list[str], list[int]]:
        room = socket.CMSG_SPACE(MAX_FDS * 4)
        while True:
            try:
                data, control, flags, _ = self._socket.recvmsg(MAX_MESSAGE_BYTES, room, socket.MSG_CMSG_CLOEXEC)
                break
            except BlockingIOError:
                await self._wait(trio.lowlevel.wait_readable)
            except ConnectionResetError:  # it left with our last message unread; told once, before what it had said
                continue
            except OSError as error:
                raise KeeperGoneError(str(error)) from None
        if not data:
            raise KeeperGoneError("it closed the connection")
        self._is_cut = bool(flags & socket.MSG_CTRUNC)
        fds = [fd for _, _, value in control for (fd,) in struct.iter_unpack("i", value[: len(value) & ~3])]
        return unpack(data), fds

    async def _wait(self, until: Callable[[socket.socket], Awaitable[None]]) -> None:
        try:
            await until(self._socket)
        except trio.ClosedResourceError:
            raise KeeperGoneError("the connection was closed") from None

    def peer_pid(self) -> int:
        """Who listens at the other end (SO_PEERCRED); 0 from another pid namespace."""
        return int(struct.unpack("3i", self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])

    def close(self) -> None:
        """Close the connection: the keeper waits for the next daemon."""
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
        self._socket.close()


def close_all(fds: list[int]) -> None:
    """Close descriptors."""
    for fd in fds:
        os.close(fd)
