"""Launch slots: bounded, in the order in which they were asked for, lost by who is cancelled."""

import pytest
import trio
import trio.testing

from supervisor.runtime.slots import Slots


async def test_in_the_order_of_the_queue_and_never_more_than_there_are() -> None:
    slots = Slots(3)
    began: list[int] = []
    most = 0

    async def launch(number: int) -> None:
        nonlocal most
        await slots.acquire_on_behalf_of(number)
        began.append(number)
        most = max(most, slots.borrowed_tokens)
        await trio.testing.wait_all_tasks_blocked()
        slots.release_on_behalf_of(number)

    async with trio.open_nursery() as nursery:
        for number in range(60):
            slots.enqueue(number)
            nursery.start_soon(launch, number)  # Trio starts them in any order
    assert most == 3
    rounds = [sorted(began[at : at + 3]) for at in range(0, 60, 3)]
    assert [number for one in rounds for number in one] == list(range(60))
    assert slots.borrowed_tokens == 0


async def test_who_is_cancelled_loses_the_place_or_the_slot() -> None:
    slots = Slots(1)
    for name in "abc":
        slots.enqueue(name)
    for name in "ab":  # a has the slot already, b waits
        with trio.CancelScope() as scope:
            scope.cancel()
            await slots.acquire_on_behalf_of(name)
        assert scope.cancelled_caught
    await slots.acquire_on_behalf_of("c")
    assert slots.borrowed_tokens == 1
    slots.release_on_behalf_of("c")
    with pytest.raises(KeyError):
        slots.release_on_behalf_of("c")


async def test_another_number_counts_at_once() -> None:
    slots = Slots(1)
    for name in "abc":
        slots.enqueue(name)
    assert slots.borrowed_tokens == 1
    slots.total_tokens = 2
    assert slots.borrowed_tokens == 2
    slots.total_tokens = 1
    slots.release_on_behalf_of("a")
    assert slots.borrowed_tokens == 1
    slots.release_on_behalf_of("b")
    assert slots.borrowed_tokens == 1
