"""A storm's work in small portions: first come, first served, and others in between."""

import time

import trio
import trio.testing

from supervisor.runtime.turns import AT_ONCE, PORTION_S, Portions, Turns


async def test_turns_are_few_at_a_time_and_in_order() -> None:
    turns = Turns()
    order: list[int] = []
    most = 0

    async def work(number: int) -> None:
        await turns.take()
        order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(20 * AT_ONCE):
            nursery.start_soon(work, number)
        while len(order) < 20 * AT_ONCE:
            before = len(order)
            await trio.lowlevel.checkpoint()
            most = max(most, len(order) - before)
    assert sorted(order) == list(range(20 * AT_ONCE))
    assert most <= 2 * AT_ONCE  # this task may have its own turn before those of one round, and after those of the next


async def test_first_come_first_served() -> None:
    turns = Turns()
    order: list[int] = []

    async def work(number: int) -> None:
        await turns.take()
        order.append(number)

    async with trio.open_nursery() as nursery, turns._free, turns._free, turns._free:
        for number in range(5 * AT_ONCE):
            nursery.start_soon(work, number)
            await trio.testing.wait_all_tasks_blocked()
    rounds = [sorted(order[at : at + AT_ONCE]) for at in range(0, len(order), AT_ONCE)]  # Trio shuffles within one
    assert [number for one in rounds for number in one] == list(range(5 * AT_ONCE))


async def test_others_run_while_many_wait_for_their_turn() -> None:
    turns = Turns()
    done = 0

    async def work() -> None:
        nonlocal done
        await turns.take()
        done += 1

    async with trio.open_nursery() as nursery:
        for _ in range(300):
            nursery.start_soon(work)
        while done == 0:
            await trio.lowlevel.checkpoint()
        for _ in range(10):  # a request takes a few such steps
            await trio.lowlevel.checkpoint()
        assert done <= 12 * AT_ONCE


async def test_a_long_loop_lets_others_run_and_is_not_cut_short() -> None:
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        with trio.CancelScope() as scope:
            scope.cancel()
            portions = Portions()
            for _ in range(5):
                until = time.monotonic() + 2 * PORTION_S
                while time.monotonic() < until:
                    pass
                await portions.rest()
        assert not scope.cancelled_caught
        assert others >= 3
        nursery.cancel_scope.cancel()
