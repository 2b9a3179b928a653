import pytest
import trio

from supervisor.control.client import ControlClient, Query
from supervisor.control.failures import Refused
from supervisor.control.models import EventView
from tests.control.fakes import FakeFleet, connected, served


async def take(client: ControlClient, count: int | None, query: Query = ()) -> list[EventView]:
    """The first events; all of a stream that ends, with count None."""
    found: list[EventView] = []
    with trio.fail_after(5):
        async with client.events(query) as events:
            async for event in events:
                found.append(event)
                if len(found) == count:
                    break
    return found


def publish(fleet: FakeFleet, count: int) -> None:
    for number in range(count):
        name = ("web-0", "web-1", "job")[number % 3]
        fleet.bus.publish("worker.exited", instance=name, worker=name.partition("-")[0], number=number)


async def test_remembered_events_come_first_then_the_new_ones(fleet: FakeFleet, socket_path: str) -> None:
    publish(fleet, 3)
    found: list[EventView] = []
    async with served(fleet, socket_path) as client:
        with trio.fail_after(5):
            async with client.events() as events:
                async for event in events:
                    found.append(event)
                    if len(found) == 3:
                        fleet.bus.publish("worker.ready", instance="job", text="two\nlines \u2028 and \x00")
                    if len(found) == 4:
                        break
    assert [event.id for event in found] == [1, 2, 3, 4]
    assert found[0].fields == {"instance": "web-0", "worker": "web", "number": 0}
    assert (found[3].event, found[3].level, found[3].fields["text"]) == (
        "worker.ready",
        "info",
        "two\nlines \u2028 and \x00",
    )


async def test_stream_resumes_after_last_event_id(fleet: FakeFleet, socket_path: str) -> None:
    publish(fleet, 5)
    async with served(fleet, socket_path) as client, connected(socket_path) as stream:
        await stream.send_all(b"GET /v1/events HTTP/1.1\r\nhost: a\r\nlast-event-id: 4\r\n\r\n")
        data = b""
        with trio.fail_after(5):
            while b"data: " not in data:
                data += await stream.receive_some()
        assert b"id: 5\nevent: worker.exited\ndata: {" in data
        assert b"id: 4" not in data
        assert [event.id for event in await take(client, None, [("after", "3"), ("follow", "false")])] == [4, 5]
        assert [event.id for event in await take(client, None, [("last", "1"), ("follow", "false")])] == [5]
        assert await take(client, None, [("last", "0"), ("follow", "false")]) == []


async def test_names_choose_instances_and_workers(fleet: FakeFleet, socket_path: str) -> None:
    publish(fleet, 6)
    end = ("follow", "false")
    async with served(fleet, socket_path) as client:
        job = await take(client, None, [("name", "job"), end])
        web = await take(client, None, [("name", "web"), end])
        one = await take(client, None, [("name", "web-1"), end])
    assert [event.id for event in job] == [3, 6]
    assert [event.id for event in web] == [1, 2, 4, 5]
    assert [event.id for event in one] == [2, 5]


async def test_stream_ends_with_the_server(fleet: FakeFleet, socket_path: str) -> None:
    publish(fleet, 1)
    async with served(fleet, socket_path) as client, trio.open_nursery() as nursery:
        ended = trio.Event()

        async def read() -> None:
            await take(client, None)
            ended.set()

        nursery.start_soon(read)
        await trio.sleep(0.1)
        assert not ended.is_set()
        fleet.bus.close()
        with trio.fail_after(2):
            await ended.wait()


async def test_client_that_goes_leaves_nothing_behind(fleet: FakeFleet, socket_path: str) -> None:
    async with served(fleet, socket_path) as client:
        for _ in range(5):
            async with connected(socket_path) as stream:
                await stream.send_all(b"GET /v1/events HTTP/1.1\r\nhost: a\r\n\r\n")
                await stream.receive_some()
        with trio.fail_after(3):
            while fleet.bus._readers:
                fleet.bus.publish("worker.ready", instance="job")
                await trio.sleep(0.02)
        events = await take(client, None, [("follow", "false")])
    assert {event.event for event in events} <= {"worker.ready"}


async def test_sign_of_life_in_a_quiet_stream(
    fleet: FakeFleet, socket_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.control.streaming.KEEPALIVE_S", 0.05)
    async with served(fleet, socket_path), connected(socket_path) as stream:
        await stream.send_all(b"GET /v1/events HTTP/1.1\r\nhost: a\r\n\r\n")
        data = b""
        with trio.fail_after(3):
            while data.count(b": still here") < 2:
                data += await stream.receive_some()


@pytest.mark.parametrize(
    "query", [("after", "x"), ("after", "-1"), ("last", "1e3"), ("follow", "maybe"), ("after", "9" * 40)]
)
async def test_wrong_query_is_400(fleet: FakeFleet, socket_path: str, query: tuple[str, str]) -> None:
    async with served(fleet, socket_path) as client:
        with pytest.raises(Refused, match=f"^cannot read {query[0]} ") as refusal:
            await take(client, None, [query])
    assert refusal.value.status == 400


async def test_slow_reader_is_told_what_it_lost(fleet: FakeFleet, socket_path: str) -> None:
    publish(fleet, 1500)
    async with served(fleet, socket_path) as client:
        events = await take(client, 2, [("after", "10")])
    assert [(event.event, event.id) for event in events] == [("events.lost", 500), ("worker.exited", 501)]


async def test_a_gap_is_told_whatever_names_are_chosen_and_without_following(
    fleet: FakeFleet, socket_path: str
) -> None:
    publish(fleet, 4)
    end = ("follow", "false")
    async with served(fleet, socket_path) as client:
        unknown = await take(client, None, [("after", "77"), ("name", "job"), end])
        assert [(one.event, one.id, one.fields.get("lost")) for one in unknown] == [
            ("events.lost", 0, None),
            ("worker.exited", 3, None),
        ]
        assert [one.id for one in await take(client, None, [("last", "9999"), end])] == [1, 2, 3, 4]
