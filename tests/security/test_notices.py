"""A worker's socket for sd_notify(3): what comes with a message does not hold the daemon up."""

import os
import socket
import struct
import time
from pathlib import Path

import pytest
import trio

from supervisor.runtime import notify_socket

LINGER_S = 1


def lingering() -> socket.socket:
    """A connection whose last close waits for data to be sent that nobody will ever read."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        one = socket.create_connection(listening.getsockname())
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGER_S))
        other, _ = listening.accept()
    one.setblocking(False)
    try:
        while True:
            one.send(b"x" * 65536)
    except BlockingIOError:
        OTHERS.append(other)
        return one


OTHERS: list[socket.socket] = []


async def test_a_socket_that_lingers_stops_nobody_but_its_sender(tmp_path: Path) -> None:
    start = time.monotonic()
    lingering().close()
    assert time.monotonic() - start >= LINGER_S  # so long would the daemon stand still
    receiver = notify_socket.open_socket()
    notify_socket.bind(receiver, str(tmp_path / "notify"))
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(str(tmp_path / "notify"))
            with lingering() as sent:
                socket.send_fds(sender, [b"BARRIER=1"], [sent.fileno()])
        start = time.monotonic()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(notify_socket.receive, receiver)
            for _ in range(5):
                await trio.sleep(0.02)
            assert time.monotonic() - start < LINGER_S
        assert time.monotonic() - start >= LINGER_S
    finally:
        os.close(receiver)
        while OTHERS:
            OTHERS.pop().close()


async def test_what_was_not_read_holds_up_nobody_who_closes_the_socket(tmp_path: Path) -> None:
    receiver = notify_socket.open_socket()
    notify_socket.bind(receiver, str(tmp_path / "notify"))
    keepers = os.dup(receiver)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(str(tmp_path / "notify"))
            for _ in range(3):
                with lingering() as sent:
                    socket.send_fds(sender, [b"BARRIER=1"], [sent.fileno()])
            start = time.monotonic()
            await notify_socket.drain(receiver)
            os.close(receiver)
            os.close(keepers)
            assert time.monotonic() - start < LINGER_S
    finally:
        while OTHERS:
            OTHERS.pop().close()


async def test_a_drained_socket_takes_no_more(tmp_path: Path) -> None:
    receiver = notify_socket.open_socket()
    notify_socket.bind(receiver, str(tmp_path / "notify"))
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(str(tmp_path / "notify"))
            sender.send(b"")  # an empty message is not the end
            sender.send(b"STATUS=unread")
            await notify_socket.drain(receiver)
            with pytest.raises(BrokenPipeError):
                sender.send(b"STATUS=late")
        with socket.socket(fileno=os.dup(receiver)) as one, pytest.raises(BlockingIOError):
            one.recv(1, socket.MSG_DONTWAIT)
    finally:
        os.close(receiver)
