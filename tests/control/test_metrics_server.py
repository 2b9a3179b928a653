import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
import trio
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from supervisor.control.metrics_server import MetricsServer
from tests.control.fakes import FakeFleet, read_all


@pytest.fixture
def ports() -> Iterator[list[int]]:
    """Two free ports, and one that is taken."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        free = []
        for _ in range(2):
            with closing(socket.create_server(("127.0.0.1", 0))) as one:
                free.append(one.getsockname()[1])
        yield [*free, taken.getsockname()[1]]


async def get(path: str, port: int, host: str = "127.0.0.1", method: str = "GET") -> tuple[bytes, bytes]:
    """Head and body of an answer."""
    async with await trio.open_tcp_stream(host, port) as stream:
        await stream.send_all(f"{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
        head, _, body = (await read_all(stream)).partition(b"\r\n\r\n")
        return head, body


async def test_metrics_and_nothing_else(fleet: FakeFleet, ports: list[int]) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(MetricsServer(fleet, lambda: f"127.0.0.1:{ports[0]}").run)
        head, body = await get("/metrics", ports[0])
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"content-type: application/openmetrics-text; version=" in head
        families = {
            family.name
            for family in text_string_to_metric_families(body.decode())  # type: ignore[no-untyped-call]
        }
        assert {"nsvisor_instances", "process_cpu_seconds"} <= families
        for path in ("/", "/v1/instances", "/v1/openapi.json", "/v1/version", "/v1/events"):
            assert (await get(path, ports[0]))[0].startswith(b"HTTP/1.1 404 "), path
        for path in ("/metrics", "/v1/shutdown"):
            assert (await get(path, ports[0], method="POST"))[0].startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 405 ")), path
        assert not fleet.shutdown.is_set()
        nursery.cancel_scope.cancel()
    with pytest.raises(OSError, match=r"connect|refused"):
        await trio.open_tcp_stream("127.0.0.1", ports[0])


async def test_the_address_follows_the_configuration(fleet: FakeFleet, ports: list[int]) -> None:
    one, other, taken = (f"127.0.0.1:{port}" for port in ports)
    configured: list[str | None] = [None]
    events = fleet.bus.subscribe()
    server = MetricsServer(fleet, lambda: configured[-1])

    async def follow(address: str | None, event: str | None) -> None:
        configured.append(address)
        server.follow()
        if event is not None:
            with trio.fail_after(5):
                told = await anext(events)
            assert (told.event, told.fields["address"]) == (event, address)

    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        await follow(one, "metrics.listening")
        assert (await get("/metrics", ports[0]))[0].startswith(b"HTTP/1.1 200 ")
        await follow(one, None)  # as before: not touched
        await follow(other, "metrics.listening")
        assert (await get("/metrics", ports[1]))[0].startswith(b"HTTP/1.1 200 ")
        with pytest.raises(OSError, match=r"connect|refused"):
            await trio.open_tcp_stream("127.0.0.1", ports[0])
        await follow(taken, "metrics.failed")
        await follow(taken, "metrics.failed")  # tried again
        await follow("[::1]:" + str(ports[0]), "metrics.listening")
        assert (await get("/metrics", ports[0], "::1"))[0].startswith(b"HTTP/1.1 200 ")
        await follow(None, None)
        with trio.fail_after(5):
            while True:
                try:
                    await (await trio.open_tcp_stream("::1", ports[0])).aclose()
                except OSError:
                    break
                await trio.sleep(0.01)
        assert fleet.bus.last_id == 5
        nursery.cancel_scope.cancel()
