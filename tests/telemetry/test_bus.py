import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supervisor.telemetry.bus import KEPT, EventBus, EventRecord, Subscription


async def take(subscription: Subscription, count: int) -> list[EventRecord]:
    with trio.fail_after(5):
        return [await anext(subscription) for _ in range(count)]


def numbers(records: list[EventRecord]) -> list[object]:
    return [record.fields["n"] for record in records]


async def test_subscribers_get_what_is_kept_then_what_comes() -> None:
    bus = EventBus()
    bus.publish("test.one", n=1)
    early = bus.subscribe()
    late = bus.subscribe(after=bus.last_id)
    bus.publish("test.two", "warning", n=2)
    assert numbers(await take(early, 2)) == [1, 2]
    [record] = await take(late, 1)
    assert (record.id, record.level, record.event, record.fields) == (2, "warning", "test.two", {"n": 2})


async def test_a_waiting_subscriber_is_woken_by_each_event() -> None:
    bus = EventBus()
    got: list[object] = []

    async def follow() -> None:
        async for record in bus.subscribe():
            got.append(record.fields["n"])  # noqa: PERF401 each by itself, as it comes

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(follow)
        for number in range(3):
            await wait_all_tasks_blocked()
            bus.publish("test.event", n=number)
        bus.close()
    assert sorted(got, key=str) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


async def test_a_slow_subscriber_loses_the_oldest_and_is_told_how_many() -> None:
    bus = EventBus()
    subscription = bus.subscribe()
    bus.publish("test.event", n=0)
    await take(subscription, 1)
    for number in range(1, KEPT + 8):
        bus.publish("test.event", n=number)
    lost, *kept = await take(subscription, KEPT + 1)
    assert (lost.event, lost.level, lost.fields["lost"]) == ("events.lost", "warning", 7)
    assert numbers(kept) == list(range(8, KEPT + 8))
    assert lost.id == kept[0].id - 1
    assert [one.id for one in kept] == list(range(9, KEPT + 9))


async def test_resuming() -> None:
    bus = EventBus()
    for number in range(1, 6):
        bus.publish("test.event", n=number)
    assert numbers(await take(bus.subscribe(after=3), 2)) == [4, 5]
    assert numbers(await take(bus.subscribe(after=bus.before_last(2)), 2)) == [4, 5]
    assert numbers(await take(bus.subscribe(after=bus.before_last(9)), 5)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("after", [1, 99, 102 + KEPT])
async def test_what_followed_an_id_of_another_daemons_is_not_known(after: int) -> None:
    bus = EventBus(first_id=101)
    quiet = bus.subscribe(after=after)
    assert quiet.is_behind(0)
    [gap] = await take(quiet, 1)
    assert (gap.event, gap.fields["lost"], gap.id) == ("events.lost", None, 100)
    assert not bus.subscribe(after=gap.id).is_behind(bus.last_id)  # who resumes after it lost nothing
    bus.publish("test.event", n=1)
    bus.publish("test.event", n=2)
    assert numbers(await take(quiet, 2)) == [1, 2]
    late = await take(bus.subscribe(after=after), 3)
    assert [(one.id, one.fields.get("n")) for one in late] == [(100, None), (101, 1), (102, 2)]


async def test_ids_begin_where_they_are_told_to() -> None:
    bus = EventBus(first_id=5000)
    for number in range(KEPT + 3):
        bus.publish("test.event", n=number)
    assert bus.last_id == 5000 + KEPT + 2
    first = (await take(bus.subscribe(), 1))[0]
    assert (first.id, first.fields) == (5003, {"n": 3})
    assert numbers(await take(bus.subscribe(after=bus.before_last(1)), 1)) == [KEPT + 2]
    assert (await take(bus.subscribe(after=5000), 1))[0].fields["lost"] == 2


async def test_from_the_beginning_nothing_is_called_lost() -> None:
    bus = EventBus()
    for number in range(KEPT + 5):
        bus.publish("test.event", n=number)
    assert numbers(await take(bus.subscribe(), 1)) == [5]
    assert (await take(bus.subscribe(after=2), 1))[0].fields["lost"] == 3


async def test_what_is_below_the_level_is_neither_kept_nor_delivered_but_observed() -> None:
    bus = EventBus("info")
    seen: list[object] = []
    bus.observe("test.quiet", lambda fields: seen.append(fields["n"]))
    bus.publish("test.quiet", "debug", n=1)
    assert bus.last_id == 0
    assert seen == [1]
    bus.set_level("debug")
    bus.publish("test.quiet", "debug", n=2)
    assert bus.last_id == 1
    assert seen == [1, 2]
    with pytest.raises(ValueError, match="observed already"):
        bus.observe("test.quiet", seen.append)


async def test_a_cancelled_reader_loses_nothing() -> None:
    bus = EventBus()
    subscription = bus.subscribe()
    with trio.move_on_after(0.01):
        await anext(subscription)
    bus.publish("test.event", n=1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await anext(subscription)
    assert numbers(await take(subscription, 1)) == [1]


async def test_close_of_one_and_of_all() -> None:
    bus = EventBus()
    one, other = bus.subscribe(), bus.subscribe()
    ended: list[str] = []

    async def follow(subscription: Subscription, name: str) -> None:
        async for _ in subscription:
            pass
        ended.append(name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow, one, "one")
        nursery.start_soon(follow, other, "other")
        await wait_all_tasks_blocked()
        one.close()
        await wait_all_tasks_blocked()
        assert ended == ["one"]
        bus.publish("test.last")
        bus.close()
    assert ended == ["one", "other"]


def test_publishing_needs_no_event_loop() -> None:
    bus = EventBus()
    bus.publish("test.event", n=1)
    assert bus.last_id == 1


def test_an_unknown_level_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        EventBus().publish("test.event", "loud")
