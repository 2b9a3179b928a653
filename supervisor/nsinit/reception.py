"""The daemon that the keeper serves: one at a time; another that connects is told so, and turned away."""

from __future__ import annotations

import _socket
import errno
import os
import time

from supervisor.nsinit.link import Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.nsinit.watch import Watch

GREET_S = 2.0  # who has not said hello after so long makes room for the next one
TURNED_AWAY = 16  # at most so many are there at once
SHORT_PAUSE_S = 0.05  # there is no descriptor for who connects: poll reports it at once, and for ever


class Reception:
    """Its connection, where there is one."""

    def __init__(self, watch: Watch, obey: Callable[[list[str], list[int]], None]) -> None:
        """obey: does what a message says, and closes its descriptors."""
        self.link: Link | None = None
        self.is_served = False  # by one that has said who it is: until then the time that it waited goes on
        self.alone_since = time.monotonic()
        self._watch = watch
        self._obey = obey
        self._connected_at = 0.0
        self._turned_away: list[Link] = []  # the oldest first

    def listen(self, fd: int) -> None:
        """Await daemons at a listening SOCK_SEQPACKET."""
        listener = _socket.socket(fileno=fd)
        listener.setblocking(False)
        listener.listen(8)  # again, by this process: SO_PEERCRED tells the next daemon whom it talks to
        self._watch.add(fd, lambda: self._accept(listener))

    def connect(self, link: Link, *, greeted: bool = True) -> None:
        """Serve this one. greeted: it need not say hello to stay."""
        self.link = link
        self._connected_at, self.is_served = time.monotonic(), greeted
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
        except OSError as error:  # else it went away meanwhile
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                time.sleep(SHORT_PAUSE_S)
            return
        link = Link(_socket.socket(fileno=fd))
        while self.link is not None and self.link.hung_up():
            self._serve(self.link)  # a dead daemon's last messages, and then its end: the next one is there already
        if self.link is not None and not self.is_served and time.monotonic() - self._connected_at > GREET_S:
            self._disconnect()  # whoever it is, it is no daemon
        try:
            if link.peer_uid() not in (os.geteuid(), 0):
                link.close()
            elif self.link is not None:
                link.send("busy", os.getpid())
                self._watch.add(link.fileno(), lambda: self._turn_away(link))  # closed unread it would reset: "gone"
                self._turned_away.append(link)
                if len(self._turned_away) > TURNED_AWAY:
                    self._forget(self._turned_away[0])
            else:
                self.connect(link, greeted=False)
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
            self._forget(link)
            return
        for fd in message[1]:
            os.close(fd)

    def _forget(self, link: Link) -> None:
        self._turned_away.remove(link)
        self._watch.remove(link.fileno())
        link.close()

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
        self.is_served = self.is_served or message[0][0] == "hello"
        self._obey(*message)

    def _disconnect(self) -> None:
        if self.link is not None:
            self._watch.remove(self.link.fileno())
            self.link.close()
            self.link = None
            if self.is_served:
                self.is_served = False
                self.alone_since = time.monotonic()
