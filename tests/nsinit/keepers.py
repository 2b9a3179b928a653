"""A real keeper, driven message by message as the daemon drives it."""

import os
import select
import socket
import struct
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from supervisor.wire import PROTOCOL, pack, unpack
from tests.nsinit.people import Who, environ_of

PATIENCE_S = 20.0
ROOM = socket.CMSG_SPACE(64 * 4)

Message = tuple[list[str], list[int]]


class Gone(Exception):  # noqa: N818  (what it is)
    """The other end was closed."""


class Keeper:
    """The process and our connection to it."""

    def __init__(self, who: Who, process: "subprocess.Popen[bytes]", connection: socket.socket | None) -> None:
        self.who = who
        self.process = process
        self.connection = connection
        self.inbox: list[Message] = []

    @property
    def pid(self) -> int:
        """Of the keeper itself, whatever wraps it."""
        return self.process.pid

    def send(self, *tokens: bytes | str | int, fds: Sequence[int] = ()) -> None:
        """One message."""
        self.send_raw(pack(*tokens), fds)

    def send_raw(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """One message, whatever it says."""
        assert self.connection is not None
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []
        self.connection.sendmsg([data], rights)

    def receive(self) -> Message:
        """The next message. Gone at the end of the connection."""
        assert self.connection is not None
        return receive(self.connection)

    def expect(self, verb: str, name: str | None = None) -> Message:
        """The first message of this kind (about this worker); what came before it waits in the inbox."""
        for at, (tokens, _) in enumerate(self.inbox):
            if tokens[0] == verb and name in (None, tokens[1]):
                return self.inbox.pop(at)
        while True:
            tokens, fds = self.receive()
            if tokens[0] == verb and name in (None, tokens[1]):
                return tokens, fds
            if tokens[0] in {"error", "refused", "busy"}:
                raise AssertionError(f"instead of {verb}: {tokens}")
            self.inbox.append((tokens, fds))

    def hello(self) -> tuple[Message, list[Message]]:
        """Greet: the `keeper` message, and one per worker held."""
        self.send("hello", PROTOCOL)
        first = self.expect("keeper")
        held = []
        while (message := self.receive())[0] != ["end"]:
            held.append(message)
        return first, held

    def settle(self) -> None:
        """Return once all that was sent so far has been dealt with."""
        for _, fds in self.hello()[1]:
            close_all(fds)

    def drain(self, last: str) -> list[list[str]]:
        """Everything that it says until it has heard of this word."""
        self.send("ack", last)
        said: list[list[str]] = []
        while True:
            tokens, fds = self.receive()
            close_all(fds)
            if tokens == ["error", f"ack: KeyError: {last!r}"]:
                return said
            said.append(tokens)

    def is_well(self) -> bool:
        """It lives, holds nothing, and has said nothing that nobody waits for."""
        return self.process.poll() is None and not self.inbox and not self.hello()[1]

    def descriptors(self) -> list[str]:
        """What it has open."""
        return descriptors(self.pid)

    def disconnect(self) -> None:
        """As a daemon that died."""
        assert self.connection is not None
        self.connection.close()
        self.connection = None

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def close(self) -> None:
        """Be rid of it, and of all that it has."""
        for _, fds in self.inbox:
            close_all(fds)
        if self.connection is not None:
            self.connection.close()
        self.kill()


@contextmanager
def running_keeper(
    who: Who,
    *,
    adopt_timeout_s: float = 0.0,
    listener: socket.socket | None = None,
    connected: bool = True,
    wrapper: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    umask: int = 0o022,
) -> Iterator[Keeper]:
    """Start one, as supervisor/runtime/keeper_process.py does, for its user; SIGKILLed at the end if it still runs.

    wrapper: words before the command; umask: what its starter was started with.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) if connected else (None, None)
    fds = [one.fileno() for one in (listener, theirs) if one is not None]
    numbers = [str(-1 if one is None else one.fileno()) for one in (listener, theirs)]
    entry = os.path.join(who.package_parent, "supervisor", "nsinit", "__main__.py")
    command = [who.python, "-I", "-S", entry, who.package_parent, *numbers, str(adopt_timeout_s)]

    process = subprocess.Popen(
        [*wrapper, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=fds,
        start_new_session=True,
        cwd="/",
        env=environ_of(environ or {}),
        umask=umask,
        **who.account.identity(),  # type: ignore[call-overload]
    )
    if theirs is not None:
        theirs.close()
    keeper = Keeper(who, process, ours)
    try:
        yield keeper
    finally:
        keeper.close()


def receive(connection: socket.socket) -> Message:
    """One message and its descriptors. Gone at the end of the connection; an error after PATIENCE_S."""
    wait_readable(connection.fileno())
    try:
        data, control, _, _ = connection.recvmsg(65536, ROOM, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        raise Gone from None
    if not data:
        raise Gone
    fds = [fd for _, _, value in control for (fd,) in struct.iter_unpack("i", value)]
    return unpack(data), fds


def wait_readable(fd: int) -> None:
    """Wait: for a message, for the end of a process behind a pidfd."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(PATIENCE_S * 1000), "nothing came"


def has_ended(pidfd: int) -> bool:
    """Whether the process has, now."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def descriptors(pid: int) -> list[str]:
    """What a process has open, each with what it is."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(f"{name} {os.readlink(f'/proc/{pid}/fd/{name}')}")
        except FileNotFoundError:  # closed meanwhile
            continue
    return sorted(found)


def children(pid: int) -> list[int]:
    """Its children, as they are now."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
