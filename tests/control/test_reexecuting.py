import contextlib
import os
from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest
import trio

from supervisor.control.client import ControlClient
from supervisor.control.failures import Refused
from supervisor.control.late_answer import answer
from supervisor.control.models import Names, Reexecuted, VersionView, WaitRequest, WaitResult
from supervisor.control.server import Server, serve
from supervisor.spec.errors import Problem
from tests.control.fakes import FakeFleet, connected, read_all, served


@contextlib.asynccontextmanager
async def serving(fleet: FakeFleet, path: str) -> AsyncIterator[Server]:
    async with trio.open_nursery() as nursery:
        yield await nursery.start(serve, fleet, path)
        nursery.cancel_scope.cancel()


async def test_who_asks_is_answered_on_a_copy_of_the_connection(fleet: FakeFleet, socket_path: str) -> None:
    async with served(fleet, socket_path) as client:
        assert await client.post("/v1/reexec", Names(), Reexecuted) == Reexecuted("1.0", "2.0", os.getpid(), 3)


async def test_a_refusal_is_an_answer_like_any_other(fleet: FakeFleet, socket_path: str) -> None:
    async with served(fleet, socket_path) as client:
        fleet.cannot_reexec = "the daemon is stopping"
        with pytest.raises(Refused, match="cannot re-execute: the daemon is stopping") as refusal:
            await client.post("/v1/reexec", Names(), Reexecuted)
        assert (refusal.value.status, refusal.value.view.code) == (409, "conflict")
        fleet.problems = (Problem("f.toml", 3, "worker.web.x", "unknown key"),)
        with pytest.raises(Refused) as refusal:
            await client.post("/v1/reexec", Names(), Reexecuted)
        assert (refusal.value.status, len(refusal.value.view.problems)) == (422, 1)


async def test_http_2_has_no_answer_of_another_program(fleet: FakeFleet, socket_path: str) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
    headers = bytes.fromhex("83 86 41 01 78 04 0a") + b"/v1/reexec"  # POST, http, x, the path: RFC 7541
    frame = len(headers).to_bytes(3, "big") + b"\x01\x05" + (1).to_bytes(4, "big") + headers
    async with served(fleet, socket_path), connected(socket_path) as stream:
        await stream.send_all(preface + frame)
        with trio.move_on_after(10):
            data = b""
            while b"HTTP/1.1 only" not in data:
                chunk = await stream.receive_some(65536)
                assert chunk, data
                data += chunk
    assert b"HTTP/1.1 only" in data
    assert fleet.asked == []


async def test_shut_it_ends_what_lasts_and_lets_others_wait(fleet: FakeFleet, socket_path: str) -> None:
    client = ControlClient(socket_path)
    async with serving(fleet, socket_path) as server, trio.open_nursery() as nursery:
        refusals: list[tuple[int, str]] = []
        answers: list[VersionView | None] = []

        async def wait() -> None:
            with pytest.raises(Refused) as refusal:
                await client.post("/v1/wait", WaitRequest(), WaitResult)
            refusals.append((refusal.value.status, refusal.value.view.code))

        async def look() -> None:
            answers.append(await client.get("/v1/version", VersionView))

        async def follow() -> None:
            async with client.events() as events:
                async for _ in events:
                    pass
            answers.append(None)

        nursery.start_soon(wait)
        nursery.start_soon(follow)
        await fleet.waiting.wait()
        with trio.fail_after(10):
            await server.shut()
            while len(refusals) + len(answers) < 2:  # noqa: ASYNC110
                await trio.sleep(0.01)
        assert (refusals, answers) == ([(503, "leaving")], [None])
        nursery.start_soon(look)
        await trio.sleep(0.2)  # it is not answered; nor is it refused
        assert len(answers) == 1
        server.reopen()
        with trio.fail_after(10):
            while len(answers) == 1:  # noqa: ASYNC110
                await trio.sleep(0.01)
        assert answers[1] is not None
        fleet.met.set()
        assert (await client.post("/v1/wait", WaitRequest(), WaitResult)).met


async def test_a_client_that_has_gone_misses_the_answer(fleet: FakeFleet, socket_path: str) -> None:
    reader, writer = os.pipe()
    answer(writer, HTTPStatus.OK, Names())  # no socket at all
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writer)
    os.close(reader)
    async with served(fleet, socket_path), connected(socket_path) as stream:
        copy = os.dup(stream.socket.fileno())
        await stream.send_eof()
        await trio.lowlevel.checkpoint()
        answer(copy, HTTPStatus.OK, Names())
        await read_all(stream)
