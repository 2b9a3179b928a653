"""The socket for sd_notify(3), and who sends."""

import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest
import trio

from supervisor.runtime import notify_socket


@pytest.mark.parametrize(
    ("data", "assignments"),
    [
        (b"READY=1", {"READY": "1"}),
        (b"READY=1\nSTATUS=a=b\n\n", {"READY": "1", "STATUS": "a=b"}),
        (b"STATUS=one\nSTATUS=two", {"STATUS": "two"}),
        (b"STATUS=\x1b[1m\xff\0", {"STATUS": "[1m\\xff"}),
        (b"nothing\n=1\n", {}),
        (b"STATUS=" + b"x" * 5000, {"STATUS": "x" * 200}),
    ],
)
def test_messages(data: bytes, assignments: dict[str, str]) -> None:
    assert notify_socket.parse(data) == assignments


async def test_what_was_sent_and_by_whom(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120) / "web-0"  # longer than an address of a socket can be
    held, again = notify_socket.open_socket(), notify_socket.open_socket()
    notify_socket.bind(held, str(path))
    notify_socket.bind(again, str(path))
    os.close(held)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    place = os.open(path.parent, os.O_PATH)
    ours, theirs = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.connect(f"/proc/self/fd/{place}/{path.name}")
        socket.send_fds(one, [b"BARRIER=1"], [theirs])
        os.close(theirs)
        with trio.fail_after(5):
            message = await notify_socket.receive(again)
        assert message == ({"BARRIER": "1"}, os.getpid())
        assert os.read(ours, 1) == b"", "the descriptor that came with it was kept"
    for fd in (place, ours, again):
        os.close(fd)


def test_who_is_below_whom() -> None:
    me = os.getpid()
    child = subprocess.Popen(["sh", "-c", "echo; sleep 1000 & echo $!; wait"], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    grandchild = int(child.stdout.readline())
    try:
        assert notify_socket.is_below(grandchild, child.pid, None)
        assert notify_socket.is_below(child.pid, child.pid, None)
        assert not notify_socket.is_below(me, child.pid, None)
        assert notify_socket.is_below(0, child.pid, None) is False
        assert notify_socket.is_below(me, child.pid, "/sys/fs/cgroup/no-such") is False
    finally:
        os.kill(grandchild, 9)
        child.wait()
        child.stdout.close()
    assert notify_socket.is_below(child.pid, me, None) is None
