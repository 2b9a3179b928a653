"""The socket for sd_notify(3) of one incarnation: opened where it is asked for, listened to, drained."""

import os
from functools import partial
from typing import TYPE_CHECKING

import trio

from supervisor.runtime import notify_socket
from supervisor.runtime.child import Child
from supervisor.sandbox.notify import socket_path
from supervisor.spec.instances import notify_variables

if TYPE_CHECKING:
    from supervisor.runtime.instance import Instance


class IncarnationNotify:
    """The descriptor is among those that the keeper holds, and is closed with them."""

    def __init__(self, instance: "Instance", number: int) -> None:
        self._instance = instance
        self._number = number
        self._fd = -1

    def open(self) -> list[int]:
        """For a worker that has NOTIFY_SOCKET: the descriptor. OSError."""
        worker = self._instance.worker
        if notify_variables(worker) is None:
            return []
        fd = notify_socket.open_socket()
        try:
            if worker.namespaces.mount is not True:
                notify_socket.bind(fd, socket_path(self._instance.services.facts, self._instance.name))
        except OSError:
            os.close(fd)
            raise
        self._fd = fd
        return [fd]

    def adopt(self, fd: int) -> None:
        """Take over an earlier daemon's."""
        self._fd = fd

    async def answer(self, _child: Child, _detail: str, _fds: list[int]) -> int:
        """The need `notify`: nsinit binds it inside the sandbox. OSError."""
        await trio.lowlevel.checkpoint()
        return os.dup(self._fd)

    def listen(self, nursery: trio.Nursery, pid: int | None) -> None:
        """Hear what is said, if there is a socket. pid: of the sandbox's first process."""
        if self._fd >= 0 and pid is not None:
            private = self._instance.worker.namespaces.mount is True
            listen = partial(self._instance.monitor.notices.listen, private=private)
            nursery.start_soon(listen, self._fd, self._number, pid)

    async def drain(self) -> None:
        """Once the incarnation has ended, and before the keeper closes it."""
        if self._fd >= 0:
            await notify_socket.drain(self._fd)
