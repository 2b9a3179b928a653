import logging
import os
import signal
import stat

import pytest
import trio

from supervisor.control.failures import NoDaemon
from supervisor.control.models import InstanceView, VersionView
from supervisor.control.server import GRACE_S, LINGER_S, Server, serve
from supervisor.control.sockets import SocketTaken
from tests.control.fakes import FakeFleet, connected, read_all, served


async def test_started_means_that_a_client_is_served(fleet: FakeFleet, socket_path: str) -> None:
    async with served(fleet, socket_path) as client:
        answer = await client.get("/v1/version", VersionView)
        assert answer.pid == os.getpid()
        assert answer.files == fleet.spec.files
        assert stat.S_IMODE(os.lstat(socket_path).st_mode) == 0o600
    assert not os.listdir(os.path.dirname(socket_path))
    with pytest.raises(NoDaemon):
        await client.get("/v1/version", VersionView)


async def test_second_server_is_refused_and_the_first_goes_on(fleet: FakeFleet, socket_path: str) -> None:
    async with served(fleet, socket_path) as client:
        with pytest.raises(SocketTaken, match=f"pid {os.getpid()}"):
            await serve(fleet, socket_path)
        assert len(await client.get("/v1/instances", list[InstanceView])) == 3


async def test_nothing_is_printed_and_no_signal_handler_touched(
    fleet: FakeFleet, socket_path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    async with served(fleet, socket_path) as client:
        await client.get("/v1/version", VersionView)
        async with connected(socket_path) as stream:
            await stream.send_all(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
            await read_all(stream)
        assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before
    assert capfd.readouterr() == ("", "")
    assert not logging.getLogger("hypercorn.error").handlers


GARBAGE = (
    b"\x00\xff\xfe\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /v1/version HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot frames at all, not at all, not at all",
    b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: !!\r\n\r\n",
    (
        b"GET /v1/events HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: YWJjZGVmZ2hpamtsbW5vcA==\r\n\r\n"
    ),
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"POST /v1/start HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"\r\n" * 50_000,
)


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_ends_its_own_connection_only(fleet: FakeFleet, socket_path: str, garbage: bytes) -> None:
    async with served(fleet, socket_path) as client:
        async with connected(socket_path) as stream:
            with trio.move_on_after(5):
                try:
                    await stream.send_all(garbage)
                    await stream.send_eof()
                except trio.BrokenResourceError:
                    pass  # hung up on early
            with trio.fail_after(LINGER_S + 2):
                await read_all(stream)
        assert (await client.get("/v1/version", VersionView)).pid == os.getpid()


async def test_server_ends_in_time_though_an_event_reader_does_not_read(fleet: FakeFleet, socket_path: str) -> None:
    ended = trio.Event()
    stop = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        await nursery.start(run_server, fleet, socket_path, stop, ended)
        async with connected(socket_path) as stream:
            await stream.send_all(b"GET /v1/events HTTP/1.1\r\nhost: a\r\n\r\n")
            assert b"200" in await stream.receive_some(100)
            for number in range(900):
                fleet.bus.publish("worker.exited", instance="web-0", text="x" * 4000, number=number)
            await trio.sleep(0.3)  # its buffers are full: the server waits to send
            stop.cancel()
            with trio.fail_after(GRACE_S + 2):
                await ended.wait()


async def test_event_readers_are_let_go_at_once_when_the_server_ends(fleet: FakeFleet, socket_path: str) -> None:
    ended = trio.Event()
    stop = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        await nursery.start(run_server, fleet, socket_path, stop, ended)
        async with connected(socket_path) as stream, connected(socket_path) as idle:
            await stream.send_all(b"GET /v1/events HTTP/1.1\r\nhost: a\r\n\r\n")
            assert b"200" in await stream.receive_some(1000)
            stop.cancel()
            with trio.fail_after(GRACE_S):
                assert (await read_all(stream)).endswith(b"0\r\n\r\n")
                assert await read_all(idle) == b""
                await ended.wait()


async def test_answers_under_way_are_delivered_when_the_server_ends(fleet: FakeFleet, socket_path: str) -> None:
    ended = trio.Event()
    stop = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        await nursery.start(run_server, fleet, socket_path, stop, ended)
        async with connected(socket_path) as stream:
            await stream.send_all(b"POST /v1/wait HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}")
            await fleet.waiting.wait()
            stop.cancel()
            await trio.sleep(0.05)
            fleet.met.set()
            assert b'{"met":true' in await read_all(stream)
        await ended.wait()


async def test_too_many_connections_are_refused_and_said(
    fleet: FakeFleet, socket_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.control.server.MAX_CONNECTIONS", 1)
    events = fleet.bus.subscribe()
    async with served(fleet, socket_path), connected(socket_path) as first:
        await first.send_all(b"POST /v1/wait HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}")
        await fleet.waiting.wait()
        async with connected(socket_path) as second:
            assert await read_all(second) == b""
        fleet.met.set()
        await read_until(first, b'{"met":true')
    told = await anext(events)
    assert (told.event, told.fields) == ("control.refused", {"connections": 1, "closed": 0, "refused": 1})


async def test_who_asks_for_nothing_makes_room(
    fleet: FakeFleet, socket_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.control.server.MAX_CONNECTIONS", 2)
    events = fleet.bus.subscribe()
    async with served(fleet, socket_path), connected(socket_path) as busy, connected(socket_path) as idle:
        await busy.send_all(b"POST /v1/wait HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}")
        await fleet.waiting.wait()
        async with connected(socket_path) as third:
            await third.send_all(b"GET /v1/version HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            assert b"200" in await read_all(third)
        assert await read_all(idle) == b""
        fleet.met.set()
        await read_until(busy, b'{"met":true')
    told = await anext(events)
    assert (told.event, told.fields) == ("control.refused", {"connections": 1, "closed": 1, "refused": 0})


async def test_followers_leave_room_for_others(
    fleet: FakeFleet, socket_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.control.server.MAX_LASTING", 1)
    async with served(fleet, socket_path) as client, connected(socket_path) as first:
        await first.send_all(b"GET /v1/events HTTP/1.1\r\nhost: a\r\n\r\n")
        assert b"200" in await first.receive_some(1000)
        async with connected(socket_path) as second:
            await second.send_all(b"GET /v1/events HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            refused = await read_all(second)
        assert b"HTTP/1.1 503" in refused
        assert b"too_many" in refused
        assert (await client.get("/v1/version", VersionView)).pid == os.getpid()


async def read_until(stream: trio.SocketStream, what: bytes) -> None:
    with trio.fail_after(20):
        said = b""
        while what not in said:
            chunk = bytes(await stream.receive_some(1000))
            assert chunk, said
            said += chunk


async def run_server(
    fleet: FakeFleet,
    path: str,
    stop: trio.CancelScope,
    ended: trio.Event,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
) -> None:
    with stop:
        await serve(fleet, path, task_status=task_status)
    ended.set()
