"""The daemon that the keeper serves: one at a time; another that connects is told so, and turned away."""

from __future__ import annotations

import _socket
import os
import time

from supervisor.nsinit.link import Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.nsinit.watch import Watch


class Reception:
    """Its connection, where there is one."""

    def __init__(self, watch: Watch, obey: Callable[[list[str], list[int]], None]) -> None:
        """obey: does what a message says, and closes its descriptors."""
        self.link: Link | None = None
        self.alone_since = time.monotonic()
        self._watch = watch
        self._obey = obey

    def listen(self, fd: int) -> None:
        """Await daemons at a listening SOCK_SEQPACKET."""
        listener = _socket.socket(fileno=fd)
        listener.setblocking(False)
        listener.listen(8)  # again, by this process: SO_PEERCRED tells the next daemon whom it talks to
        self._watch.add(fd, lambda: self._accept(listener))

    def connect(self, link: Link) -> None:
        """Serve this one."""
        self.link = link
        self._watch.add(link.fileno(), lambda: self._serve(link))

    def say(self, *tokens: str | int, fds: list[int] | None = None) -> None:
        """Send to the daemon, if there is one; ask poll for room where its buffer is full."""
        if self.link is None:
            return
        try:
            self.link.send(*tokens, fds=fds)
            self._watch.for_room(self.link.fileno(), wanted=bool(self.link.queue))
        except OSError:
            self._disconnect()

    def _accept(self, listener: _socket.socket) -> None:
        try:
            fd, _ = listener._accept()  # type: ignore[attr-defined]
        except OSError:  # it went away meanwhile
            return
        link = Link(_socket.socket(fileno=fd))
        while self.link is not None and self.link.hung_up():
            self._serve(self.link)  # a dead daemon's last messages, and then its end: the next one is there already
        try:
            if link.peer_uid() not in (os.geteuid(), 0):
                link.close()
            elif self.link is not None:
                link.send("busy", os.getpid())
                self._watch.add(link.fileno(), lambda: self._turn_away(link))  # closed unread it would reset: "gone"
            else:
                self.connect(link)
        except OSError:
            link.close()

    def _turn_away(self, link: Link) -> None:
        """Read what a refused one says, to its end."""
        try:
            message = link.receive()
        except BlockingIOError:
            return
        except OSError:
            message = None
        if message is None:
            self._watch.remove(link.fileno())
            link.close()
            return
        for fd in message[1]:
            os.close(fd)

    def _serve(self, link: Link) -> None:
        try:
            if link.queue:
                link.flush()
                self._watch.for_room(link.fileno(), wanted=bool(link.queue))
            message = link.receive()
        except BlockingIOError:
            return
        except OSError:
            message = None
        if message is None:
            self._disconnect()
            return
        self._obey(*message)

    def _disconnect(self) -> None:
        if self.link is not None:
            self._watch.remove(self.link.fileno())
            self.link.close()
            self.link = None
            self.alone_since = time.monotonic()
