import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio

from supervisor.control.client import ControlClient
from supervisor.control.failures import ControlError, NoDaemon, NotPermitted
from supervisor.control.models import VersionView
from supervisor.control.sockets import listen, peer_pid
from tests.control.fakes import FakeFleet, served


async def test_no_socket_is_no_daemon(socket_path: str) -> None:
    with pytest.raises(
        NoDaemon, match=r"^cannot reach the daemon at .*: is it running\? start it with `nsvisor daemon`"
    ):
        await ControlClient(socket_path).get("/v1/version", VersionView)


async def test_dead_socket_is_no_daemon(socket_path: str) -> None:
    listen(socket_path).close()
    with pytest.raises(NoDaemon, match="is it running"):
        await ControlClient(socket_path).get("/v1/version", VersionView)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_socket_of_somebody_else_is_not_permitted(socket_path: str) -> None:
    def ask_as_somebody() -> str:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setresuid(12345, 12345, 12345)
                try:
                    anyio.run(ControlClient(socket_path).get_raw, "/v1/version", backend="asyncio")
                except NotPermitted as error:
                    os.write(writer, str(error).encode())
            finally:
                os._exit(0)
        os.close(writer)
        os.waitpid(child, 0)
        with open(reader, encoding="utf-8") as answer:
            return answer.read()

    anyio.run(anyio.sleep, 0, backend="asyncio")  # its modules are loaded as root
    with listen(socket_path):
        Path(socket_path).parent.chmod(0o711)  # he may look, and gets no further
        assert "permission denied (it answers to its own user only)" in ask_as_somebody()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "the daemon hung up"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "cannot understand the answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort", "cannot"),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 4\r\n\r\noh!\n", "status 500 without an error in JSON"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", "is the daemon of another version"),
    ],
)
async def test_strange_answers_are_control_errors(socket_path: str, answer: bytes, words: str) -> None:
    async def talk(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            if answer:
                await stream.send_all(answer)

    with listen(socket_path) as listening:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, talk, [listener])
            with trio.fail_after(3), pytest.raises(ControlError, match=words):
                await ControlClient(socket_path).get("/v1/version", VersionView)
            nursery.cancel_scope.cancel()


async def test_client_works_under_asyncio_too(fleet: FakeFleet, socket_path: str) -> None:
    def ask() -> Any:
        return anyio.run(ControlClient(socket_path).get, "/v1/version", VersionView, backend="asyncio")

    question: Callable[[], VersionView] = ask
    async with served(fleet, socket_path):
        assert (await trio.to_thread.run_sync(question)).pid == os.getpid()


async def test_names_are_quoted(fleet: FakeFleet, socket_path: str) -> None:
    async with served(fleet, socket_path) as client:
        with pytest.raises(ControlError, match="cannot find 'a b%/é'"):
            await client.get_raw("/v1/instances", [("name", "a b%/é")])


def test_peer_pid_is_the_listeners(socket_path: str) -> None:
    with listen(socket_path), socket.socket(socket.AF_UNIX) as client:
        client.connect(socket_path)
        assert peer_pid(client) == os.getpid()
