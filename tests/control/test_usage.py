"""Usage: an answer that is in a hurry does not wait for a sample, and leaves it to those who come later."""

import subprocess
from collections.abc import Iterator

import pytest
import trio

from supervisor.control.usage import Sampler


@pytest.fixture
def pids() -> Iterator[dict[str, int]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield {"w": process.pid}
        process.kill()


async def test_a_sample_is_not_waited_for_longer_than_there_is_patience(pids: dict[str, int]) -> None:
    sampler = Sampler()
    assert await sampler.sample(pids, {}, patience_s=0) == {}
    with trio.fail_after(20):
        assert (await sampler.sample(pids, {}))["w"].processes == 1


async def test_all_who_ask_at_once_are_answered(pids: dict[str, int]) -> None:
    sampler = Sampler()
    answers: list[int | None] = []

    async def ask() -> None:
        answers.append((await sampler.sample(pids, {}))["w"].processes)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask)
    assert answers == [1] * 20
