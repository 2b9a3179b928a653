"""Time namespaces: the workload's clocks are moved, the frames' are not."""

import errno
import os
import time

import pytest

from supervisor.spec.model import Namespaces, TimeOffsets
from tests.nsinit.keepers import Keeper, running_keeper
from tests.nsinit.people import Who
from tests.nsinit.probes import python
from tests.nsinit.sandboxes import Sandbox, launched, run, worker

CLOCK = "import time; print(time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))"
DAY_S = 86400


def clocks(ran: str) -> tuple[int, int]:
    monotonic, boottime = map(int, ran.split())
    return monotonic, boottime


def frame_times(sandbox: Sandbox) -> list[int]:
    return [int(word) for tokens in sandbox.frames for word in (tokens[2:4] if tokens[0] == "phase" else tokens[2:3])]


@pytest.mark.parametrize("init", [True, False], ids=["init", "no-init"])
def test_offsets_of_a_time_namespace(keeper: Keeper, init: bool) -> None:
    """The workload's clocks are moved, the frames' are the host's."""
    offsets = TimeOffsets(monotonic_s=DAY_S, boottime_s=-1)
    box = python(CLOCK, init=init, namespaces=Namespaces(time=True), time_offsets=offsets)
    before = time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    with launched(keeper, box) as sandbox:
        sandbox.go()
        sandbox.until_end()
        monotonic, boottime = clocks(sandbox.output())
        sandbox.wait()
    after = time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert before[0] + DAY_S * 10**9 <= monotonic <= after[0] + DAY_S * 10**9
    assert before[1] - 10**9 <= boottime <= after[1] - 10**9
    assert all(before[0] <= moment <= after[0] for moment in frame_times(sandbox))
    assert frame_times(sandbox) == sorted(frame_times(sandbox))


def test_frames_below_pid_1_of_a_time_namespace(keeper: Keeper) -> None:
    """With a workload's process of its own, which lives in the new time namespace before it executes."""
    before = time.monotonic_ns()
    box = worker("true", namespaces=Namespaces(time=True), time_offsets=TimeOffsets(monotonic_s=DAY_S))
    with launched(keeper, box, terminal=True) as sandbox:
        sandbox.go()
        _, (master,) = sandbox.until_need()
        os.close(master)
        sandbox.answer("terminal")
        sandbox.until_end()
        sandbox.wait()
    times = frame_times(sandbox)
    assert times == sorted(times)
    assert before <= times[0] < times[-1] <= time.monotonic_ns()


def test_a_time_namespace_that_is_joined(keeper: Keeper) -> None:
    offsets = TimeOffsets(monotonic_s=DAY_S)
    owner = worker("echo up; exec sleep 60", name="db", namespaces=Namespaces(time=True), time_offsets=offsets)
    with launched(keeper, owner) as db:
        db.go()
        db.until_end()
        assert db.line() == "up"
        before = time.monotonic_ns()
        box = python(CLOCK, namespaces=Namespaces(time="worker:db"))
        with launched(keeper, box, joined={"db": db}) as sandbox:
            sandbox.go()
            sandbox.until_end()
            assert sandbox.failure is None
            monotonic, _ = clocks(sandbox.output())
            sandbox.wait()
        after = time.monotonic_ns()
    assert before + DAY_S * 10**9 <= monotonic <= after + DAY_S * 10**9
    times = frame_times(sandbox)
    assert times == sorted(times)
    assert before <= times[0] < times[-1] <= after


def test_a_keeper_in_a_time_namespace(who: Who) -> None:
    """Offsets are the host's; the frames' times are the keeper's, as its daemon would live beside it."""
    wrapper = ["unshare", "-UrT", "--monotonic", str(DAY_S), "--"]
    with running_keeper(who, wrapper=wrapper) as keeper:
        box = python(
            CLOCK, user="root", namespaces=Namespaces(time=True), time_offsets=TimeOffsets(monotonic_s=2 * DAY_S)
        )
        before = time.monotonic_ns() + DAY_S * 10**9
        with launched(keeper, box, terminal=True) as sandbox:
            sandbox.go()
            _, (master,) = sandbox.until_need()
            sandbox.answer("terminal")
            sandbox.until_end()
            monotonic, _ = clocks(os.read(master, 4096).decode())
            os.close(master)
            sandbox.wait()
        after = time.monotonic_ns() + DAY_S * 10**9
        assert before + DAY_S * 10**9 <= monotonic <= after + DAY_S * 10**9
        times = frame_times(sandbox)
        assert times == sorted(times)
        assert before <= times[0] < times[-1] <= after


def test_an_offset_that_is_impossible(keeper: Keeper) -> None:
    offsets = TimeOffsets(monotonic_s=-999_999_999)
    failure = run(keeper, worker("true", namespaces=Namespaces(time=True), time_offsets=offsets)).failure
    assert failure is not None
    assert (failure.phase, failure.number, failure.syscall) == ("time.offsets", errno.ERANGE, "write")
