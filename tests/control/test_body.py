import pytest
import trio

from supervisor.control.body import MAX_BODY_BYTES
from supervisor.control.failures import Refused
from supervisor.control.models import Accepted, Names, VersionView
from tests.control.fakes import FakeFleet, connected, read_all, served


@pytest.mark.parametrize("framing", ["content-length: 1000000000", "transfer-encoding: chunked"])
async def test_huge_body_is_refused_while_it_comes(fleet: FakeFleet, socket_path: str, framing: str) -> None:
    block = b"x" * 65536
    if "chunked" in framing:
        block = b"10000\r\n" + block + b"\r\n"
    sent = 0
    async with served(fleet, socket_path) as client, connected(socket_path) as stream:
        with trio.fail_after(5):
            await stream.send_all(f"POST /v1/start HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n".encode())
            try:
                while sent < 100_000_000:
                    await stream.send_all(block)
                    sent += len(block)
            except trio.BrokenResourceError:
                pass  # it hung up on us
            answer = await read_all(stream)
        assert sent < 10_000_000
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b'"code":"too_large","message":"cannot read the request: the body is longer than' in answer
        assert await client.get("/v1/version", VersionView)
    assert not fleet.asked


async def test_client_gets_the_refusal_of_a_body_too_long(fleet: FakeFleet, socket_path: str) -> None:
    async with served(fleet, socket_path) as client:
        with pytest.raises(Refused, match="cannot read the request: the body is longer") as refusal:
            await client.post("/v1/start", Names(("x" * 5_000_000,)), Accepted)
    assert refusal.value.status == 413


async def test_longest_body_is_taken(fleet: FakeFleet, socket_path: str) -> None:
    body = b'{"names":["web"]}'.ljust(MAX_BODY_BYTES)
    async with served(fleet, socket_path), connected(socket_path) as stream:
        head = f"POST /v1/start HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        await stream.send_all(head.encode() + body)
        assert (await read_all(stream)).startswith(b"HTTP/1.1 200 ")


async def test_body_that_never_comes_is_given_up(
    fleet: FakeFleet, socket_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.control.body.BODY_TIMEOUT_S", 0.1)
    async with served(fleet, socket_path), connected(socket_path) as stream:
        await stream.send_all(b"POST /v1/start HTTP/1.1\r\nhost: a\r\ncontent-length: 20\r\n\r\n{")
        with trio.fail_after(3):
            answer = await read_all(stream)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"did not come within 0.1 s" in answer


async def test_idle_client_is_hung_up_on(fleet: FakeFleet, socket_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.control.server.IDLE_TIMEOUT_S", 0.1)
    async with served(fleet, socket_path), connected(socket_path) as silent, connected(socket_path) as slow:
        await slow.send_all(b"GET /v1/ver")
        with trio.fail_after(3):
            assert await read_all(silent) == b""
            assert await read_all(slow) == b""
