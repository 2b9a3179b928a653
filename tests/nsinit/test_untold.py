"""What a sandbox leaves behind of phases that it has not told."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from supervisor.nsinit.channel import Channel
from supervisor.nsinit.untold import Untold
from supervisor.wire import UNTOLD_BYTES, WireError, unpack, untold, untold_at

PLAN_BYTES = 70_000


@contextmanager
def plan_file() -> Iterator[int]:
    fd = os.memfd_create("plan")
    os.write(fd, bytes(PLAN_BYTES))
    yield fd
    os.close(fd)


@pytest.fixture
def plan() -> Iterator[int]:
    with plan_file() as fd:
        yield fd


def left_in(plan: int) -> list[str]:
    return untold(os.pread(plan, UNTOLD_BYTES, untold_at(PLAN_BYTES)))


def test_nothing_is_untold_before_it_is_there(plan: int) -> None:
    assert left_in(plan) == []
    Untold(plan, PLAN_BYTES).close()
    assert left_in(plan) == []


def test_what_is_noted_can_be_read_until_it_is_told(plan: int) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel = Channel(theirs.detach())
    channel.untold = Untold(plan, PLAN_BYTES)
    channel.phase(0, 1)
    channel.phase(1, 2, "failed", 13, "openat", "über")
    found = left_in(plan)
    assert found[0] == "phases"
    assert (found[1], found[4], found[8], *found[11:]) == ("0", "ok", "1", "failed", "13", "openat", "über")
    channel.flush()
    assert unpack(ours.recv(4096)) == found
    assert left_in(plan) == []
    channel.drop_untold()
    channel.phase(2, 3)
    assert left_in(plan) == []
    channel.flush()
    assert unpack(ours.recv(4096))[1] == "2"
    ours.close()
    channel.socket.close()


def test_what_a_killed_process_noted_is_there(plan: int) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        channel = Channel(theirs.detach())
        channel.untold = Untold(plan, PLAN_BYTES)
        channel.phase(7, 1)
        os.kill(os.getpid(), signal.SIGKILL)
    theirs.close()
    os.waitpid(child, 0)
    assert ours.recv(4096) == b""
    assert left_in(plan)[:2] == ["phases", "7"]
    ours.close()


def test_where_there_is_no_room_all_is_told_at_once(plan: int) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel = Channel(theirs.detach())
    channel.untold = Untold(plan, PLAN_BYTES)
    for number in range(3):
        channel.phase(number, 0, text="x" * (UNTOLD_BYTES // 2))
    told = unpack(ours.recv(65536))
    assert [told[1], told[8]] == ["0", "1"]
    assert left_in(plan)[1] == "2"
    channel.drop_untold()
    ours.close()
    channel.socket.close()


def test_an_end_beyond_the_place_is_refused() -> None:
    with pytest.raises(WireError, match="outside"):
        untold((5000).to_bytes(4, "little") + bytes(100))
