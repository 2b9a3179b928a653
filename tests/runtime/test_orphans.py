"""A worker whose keeper died, given to the next one; tests/e2e/test_keeper_scope.py has it with real keepers."""

import os
import signal
import socket
from pathlib import Path

import trio
import trio.testing

from supervisor.runtime.child import Child
from supervisor.runtime.keeper_link import KeeperLink
from supervisor.runtime.keepers import Keepers
from supervisor.runtime.orphans import outlive
from supervisor.telemetry.bus import EventBus
from supervisor.wire import pack, unpack
from tests.runtime.fleets import until


class Next(Keepers):
    """Whose present keeper is this one."""

    def __init__(self, directory: Path, link: KeeperLink) -> None:
        super().__init__(str(directory / "keeper.sock"), {}, 1.0, EventBus("error"))
        self.next = link

    async def current(self) -> KeeperLink:
        await trio.lowlevel.checkpoint()
        return self.next


async def test_the_next_keeper_is_told_the_rule_that_holds_by_then(tmp_path: Path) -> None:
    """A reload may have changed it since the launch."""
    (old, gone), (ours, theirs) = (socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2))
    first, second = KeeperLink(old), KeeperLink(ours)
    rule = (int(signal.SIGTERM), 10.0)
    child = Child("w#1", os.getpid(), os.pidfd_open(os.getpid()), first, os.dup(0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.run)
        nursery.start_soon(second.run)
        nursery.start_soon(outlive, child, [], lambda: rule, Next(tmp_path, second))
        await trio.testing.wait_all_tasks_blocked()
        rule = (int(signal.SIGINT), 3.5)
        gone.close()
        await trio.lowlevel.wait_readable(theirs)
        message, fds, _, _ = socket.recv_fds(theirs, 4096, 8)
        theirs.send(pack("adopted", "w#1"))
        assert unpack(message) == ["adopt", "w#1", str(os.getpid()), str(int(signal.SIGINT)), "3500", "pidfd report"]
        await until(lambda: child.keeper is second, "it to be the new keeper's")
        nursery.cancel_scope.cancel()
    for fd in fds:
        os.close(fd)
    child.close()
    for link in (first, second):
        link.close()
    theirs.close()
