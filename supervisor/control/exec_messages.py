"""What is said on the exec socket: one JSON object in each SOCK_SEQPACKET message.

The client begins with a Request, which carries its standard input, output and error (SCM_RIGHTS), and may send signals
after. The daemon answers Started or Failed, and Exited in the end; Terminal carries the master of a pseudo-terminal.
A client that closes the connection hangs up: its command gets SIGHUP, and a second later SIGKILL with all below it.
"""

import socket
import struct
from typing import Any

import msgspec

MAX_MESSAGE_BYTES = 192 * 1024  # below net.core.wmem_max's default
MAX_FDS = 3


class Request(msgspec.Struct, frozen=True, tag_field="kind", tag="exec", forbid_unknown_fields=True):
    """Execute a command in the sandbox of an instance."""

    instance: str  # or a worker that has one
    command: tuple[str, ...]
    env: dict[str, str] = msgspec.field(default_factory=dict)
    working_dir: str | None = None
    user: str | int | None = None
    terminal: bool = False


class Signal(msgspec.Struct, frozen=True, tag_field="kind", tag="signal", forbid_unknown_fields=True):
    """Send a signal to the command."""

    number: int


class Started(msgspec.Struct, frozen=True, tag_field="kind", tag="started"):
    """It executes."""

    instance: str
    incarnation: int
    exec: int  # counts this daemon's
    pid: int  # on the host


class Terminal(msgspec.Struct, frozen=True, tag_field="kind", tag="terminal"):
    """Carries the master of the command's terminal."""


class Failed(msgspec.Struct, frozen=True, tag_field="kind", tag="failed", omit_defaults=True):
    """It was not executed. code: as the API's errors have it, or `setup` with the phase that failed."""

    code: str
    message: str
    phase: str | None = None
    detail: str | None = None
    errno: str | None = None
    syscall: str | None = None
    hint: str | None = None


class Exited(msgspec.Struct, frozen=True, tag_field="kind", tag="exited"):
    """It has ended. Neither code nor signal: the keeper died, and nobody knows."""

    instance: str
    incarnation: int
    exec: int
    code: int | None
    signal: str | None
    duration_s: float
    why: str | None = None  # it did not end by itself: worker, hangup


FromClient = Request | Signal
FromDaemon = Started | Terminal | Failed | Exited


def send(connection: socket.socket, message: "FromClient | FromDaemon", fds: tuple[int, ...] = ()) -> None:
    """Send one message. OSError: EMSGSIZE where it is too long, EPIPE, EAGAIN."""
    rights: list[Any] = []
    if fds:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))]
    connection.sendmsg([msgspec.json.encode(message)], rights, socket.MSG_NOSIGNAL)


def receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """One message and its descriptors, which are the caller's; empty at the end. OSError."""
    room = socket.CMSG_SPACE(MAX_FDS * 4)
    data, control, _, _ = connection.recvmsg(MAX_MESSAGE_BYTES, room, socket.MSG_CMSG_CLOEXEC)
    fds = [fd for _, _, value in control for (fd,) in struct.iter_unpack("i", value[: len(value) & ~3])]
    return data, fds
