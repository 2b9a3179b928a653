"""Keepers with a socket of their own, and the connections of one daemon after another."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.nsinit.keepers import Keeper, running_keeper
from tests.nsinit.people import Who, acting_as
from tests.nsinit.roots import Folder

LONG_S = 60.0


class Listening:
    """A keeper that daemons come to and leave."""

    def __init__(self, keeper: Keeper, path: str) -> None:
        self.keeper = keeper
        self.path = path

    def connect(self) -> Keeper:
        """The same keeper, as a further connection sees it. The caller disconnects."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with acting_as(self.keeper.who.account):
            connection.connect(self.path)
        return Keeper(self.keeper.who, self.keeper.process, connection)

    @contextmanager
    def daemon(self) -> Iterator[Keeper]:
        """One that connects, says hello, and is gone in the end."""
        daemon = self.connect()
        try:
            yield daemon
        finally:
            if daemon.connection is not None:
                daemon.disconnect()


@contextmanager
def listening_keeper(who: Who, folder: Folder, *, adopt_timeout_s: float = 1e9) -> Iterator[Listening]:
    """One with a listener and nothing else, as the daemon starts it."""
    path = str(folder.top / "keeper.sock")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen(8)
    os.chmod(path, 0o666)  # noqa: S103  (who may connect is the keeper's to say)
    with listener, running_keeper(who, adopt_timeout_s=adopt_timeout_s, listener=listener) as keeper:
        listener.close()
        if adopt_timeout_s >= LONG_S:  # else the first daemon is there from the start
            keeper.settle()
            keeper.disconnect()
        yield Listening(keeper, path)
