"""The launch's channel: frames out, `go` and `done` in. One SOCK_SEQPACKET message each.

phases {INDEX START END OUTCOME ERRNO SYSCALL MESSAGE}...   these ended (times: CLOCK_MONOTONIC of the host, ns)
exec INDEX START                                       about to call execve, or spawned; EOF after it means handed over
need WHAT DETAIL                                       something from outside; answered by `done ERRNO MESSAGE` [fd]

Ended phases wait to be told together, for each message wakes the daemon; before a phase that may block on something
outside (a path on a dead server, an answer), before a fork and before execve they are sent. If this process is killed
meanwhile, the daemon reads them where they wait (untold.py).
"""

import _socket
import os
import struct
import time

from supervisor.kernel.libc import KernelError
from supervisor.nsinit.untold import Untold
from supervisor.wire import pack, unpack

_RIGHTS = _socket.CMSG_SPACE(4)


class Channel:
    """The sandbox's end."""

    def __init__(self, fd: int) -> None:
        """Take the descriptor over."""
        self.socket = _socket.socket(fileno=fd)
        self.clock_offset_ns = 0  # of the time namespace this process lives in
        self.untold: Untold | None = None  # from when the plan is known
        self._ended: list[bytes] = []
        self._given = -1  # the descriptor of the last message

    def move_from(self, numbers: tuple[int, ...]) -> None:
        """Leave these to others."""
        self.socket = _socket.socket(fileno=move_from(self.socket.detach(), numbers))

    def now(self) -> int:
        """CLOCK_MONOTONIC of the host, ns."""
        return time.monotonic_ns() - self.clock_offset_ns

    def phase(
        self, index: int, start: int, outcome: str = "ok", number: int = 0, syscall: str = "", text: str = ""
    ) -> None:
        """Note that a phase ended now."""
        words = f"\0{index}\0{start}\0{self.now()}\0{outcome}\0{number}\0{syscall}\0{text}"
        ended = words.encode("utf-8", "surrogateescape")
        self._ended.append(ended)
        if self.untold is not None and not self.untold.add(ended):
            self.flush()

    def flush(self) -> None:
        """Tell what has ended."""
        if self._ended:
            self._send(b"".join((b"phases", *self._ended)))
            self._ended.clear()
            if self.untold is not None:
                self.untold.clear()

    def exec(self, index: int, start: int) -> None:
        """Say that execve comes next, or that it has been called: when that phase began."""
        self.flush()
        self.send("exec", index, start)

    def send(self, *tokens: str | int, fd: int = -1) -> None:
        """Send one frame; leave where nobody listens any more: a sandbox that no daemon knows must not live."""
        self._send(pack(*tokens), fd)

    def drop_untold(self) -> None:
        """Another process speaks from here on, or a death from here on is this phase's."""
        if self.untold is not None:
            self.untold.close()
            self.untold = None

    def _send(self, message: bytes, fd: int = -1) -> None:
        try:
            if fd < 0:
                os.write(self.socket.fileno(), message)  # of all calls the one that no seccomp profile can forbid
            else:
                rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", fd))]
                self.socket.sendmsg([message], rights, _socket.MSG_NOSIGNAL)
        except OSError:
            os._exit(125)

    def wait_go(self) -> None:
        """Wait for the daemon's word; without it there is no launch."""
        if self._receive()[0] != "go":
            os._exit(125)

    def need(self, what: str, detail: str = "", fd: int = -1) -> int:
        """Ask for something from outside and wait for it: the descriptor that came with the answer, or -1.

        KernelError with the errno that the other side met.
        """
        self.flush()
        self.send("need", what, detail, fd=fd)
        _, number, text = self._receive()
        if int(number):
            raise KernelError(int(number), what, None, text)
        given, self._given = self._given, -1
        return given

    def _receive(self) -> list[str]:
        try:
            message, control, _, _ = self.socket.recvmsg(65536, _RIGHTS, _socket.MSG_CMSG_CLOEXEC)
        except OSError:
            message, control = b"", []
        if not message:
            os._exit(125)
        if control:
            (self._given,) = struct.unpack("i", control[0][2])
        return unpack(message)


def move_from(fd: int, numbers: tuple[int, ...]) -> int:
    """The descriptor, or a copy of it under another number where it has one of these, which is to be closed by dup2."""
    while fd in numbers:
        fd = os.dup(fd)
    return fd
