"""`step()` over several events, and what the table does not show: late events, races, the next daemon."""

import msgspec
import pytest
from msgspec.structs import replace

from supervisor.policy.restart import (
    CRASH_LOOP_FAILURES,
    Action,
    Adopted,
    BecameReady,
    Deadline,
    Event,
    Exited,
    HandedOver,
    IllegalMove,
    Kill,
    Launch,
    Probe,
    Report,
    Rules,
    Signal,
    Start,
    State,
    Status,
    Stop,
    initial,
    step,
)
from supervisor.spec.records import Cause, ExitRecord
from tests.policy.examples.base import (
    BACKOFF,
    CREATING,
    NOW,
    PLAIN,
    PROBED,
    READY,
    RUNNING,
    STOPPED,
    STOPPING,
    UNKILLABLE,
    WAITING,
)


class Driver:
    """One instance and its clock."""

    def __init__(self, rules: Rules, status: Status | None = None) -> None:
        self.rules = rules
        self.now = NOW
        self.status = initial(NOW) if status is None else status
        self.actions: tuple[Action, ...] = ()
        self.reports: list[str] = []

    def do(self, event: Event, after_s: float = 0.0) -> State:
        self.now += after_s
        self.status, self.actions = step(self.status, event, self.rules, self.now, 0.0)
        self.reports += [action.event for action in self.actions if isinstance(action, Report)]
        return self.status.state

    def fail(self, after_s: float = 1.0, cause: Cause = "exit", uptime_s: float = 1.0) -> State:
        incarnation = self.status.incarnation
        return self.do(Exited(incarnation, ExitRecord(incarnation, cause, 0.0, code=1, uptime_s=uptime_s)), after_s)

    def delay_s(self) -> float:
        assert self.status.deadline is not None
        return self.status.deadline - self.now

    def wait(self) -> State:
        return self.do(Deadline(), self.delay_s())


def test_a_first_launch_that_fails_waits_and_waits_longer_each_time() -> None:
    driver = Driver(Rules(delay_s=1.0, max_delay_s=6.0))
    driver.do(Start("fleet"))
    delays = []
    for _ in range(5):
        assert driver.fail(cause="setup") is State.BACKOFF
        delays.append(driver.delay_s())
        assert driver.wait() is State.CREATING
    assert delays == [1.0, 2.0, 4.0, 6.0, 6.0]
    assert driver.status.restarts == 5
    assert driver.status.incarnation == 6


def test_after_a_stable_run_the_first_restart_is_immediate_then_the_backoff_begins() -> None:
    driver = Driver(PLAIN)
    driver.do(Start("fleet"))
    driver.fail()
    driver.wait()
    assert driver.do(HandedOver(2)) is State.READY
    driver.wait()
    assert driver.status.failures == 0
    assert driver.fail(after_s=5000.0) is State.CREATING
    assert driver.status.deadline is None
    assert driver.fail() is State.BACKOFF
    assert driver.delay_s() == 1.0
    driver.wait()
    driver.fail()
    assert driver.delay_s() == 2.0


def test_a_run_shorter_than_reset_after_does_not_end_the_series() -> None:
    driver = Driver(PLAIN)
    driver.do(Start("fleet"))
    for expected in (1.0, 2.0, 4.0):
        driver.do(HandedOver(driver.status.incarnation))
        driver.fail(after_s=59.0)
        assert driver.delay_s() == expected
        driver.wait()


def test_crash_loop_is_said_once_and_ends_with_a_stable_run() -> None:
    driver = Driver(PLAIN)
    driver.do(Start("fleet"))
    for _ in range(CRASH_LOOP_FAILURES - 1):
        driver.fail()
        assert not driver.status.crash_loop
        driver.wait()
    for _ in range(3):
        assert driver.fail() is State.BACKOFF
        assert driver.status.crash_loop
        driver.wait()
    assert driver.reports.count("worker.crash_loop") == 1
    driver.do(HandedOver(driver.status.incarnation))
    driver.wait()
    assert not driver.status.crash_loop
    assert driver.reports[-1] == "worker.stable"


def test_the_limit_counts_restarts_within_the_window_only() -> None:
    driver = Driver(Rules(delay_s=1.0, factor=1.0, max_restarts=2, window_s=10.0))
    driver.do(Start("fleet"))
    driver.fail()
    driver.wait()
    driver.fail(after_s=9.0)
    driver.wait()
    assert driver.fail(after_s=1.0) is State.BACKOFF  # the first restart is more than 10 s ago
    driver.wait()
    assert driver.fail(after_s=1.0) is State.FAILED
    assert driver.do(Start("op")) is State.CREATING
    assert driver.status.starts == ()


def test_without_a_window_the_limit_counts_since_the_last_stable_run() -> None:
    driver = Driver(Rules(delay_s=1.0, max_restarts=1))
    driver.do(Start("fleet"))
    driver.fail()
    driver.wait()
    driver.do(HandedOver(2))
    driver.wait()
    assert driver.fail(after_s=1e6, uptime_s=1e6) is State.CREATING
    assert driver.fail() is State.FAILED
    assert isinstance(report := driver.actions[-1], Report)
    assert report.fields == {"reason": "exit code 1; 1 restarts since the last stable run are the limit"}


def test_a_ready_timeout_is_a_failure_even_if_the_worker_leaves_with_0() -> None:
    driver = Driver(PROBED)
    driver.do(Start("fleet"))
    driver.do(HandedOver(1))
    assert Probe(1) in driver.actions
    assert driver.wait() is State.STOPPING
    assert driver.status.requested_by == "ready-timeout"
    assert driver.do(BecameReady(1)) is State.STOPPING
    clean = ExitRecord(1, "exit", 0.0, code=0, clean=True)
    assert driver.do(Exited(1, clean)) is State.BACKOFF
    assert driver.status.failures == 1


def test_an_operators_stop_comes_before_always_after_and_always() -> None:
    driver = Driver(Rules(policy="always", always_after=(1,)), READY)
    driver.do(Stop("op"))
    assert driver.fail() is State.STOPPED
    assert driver.status.stopped_by == "op"
    assert not driver.status.wanted


def test_a_killed_worker_is_treated_like_any_other_exit() -> None:
    driver = Driver(PLAIN, READY)
    driver.do(Kill("op", "SIGKILL"))
    assert driver.actions == (Signal(3, "SIGKILL"),)
    assert driver.status.wanted
    record = ExitRecord(3, "signal", 0.0, signal="SIGKILL")
    assert driver.do(Exited(3, record)) is State.BACKOFF
    assert driver.status.requested_by is None


def test_no_second_copy_beside_an_unkillable_one() -> None:
    driver = Driver(PLAIN, UNKILLABLE)
    for event in (Start("op"), Deadline(), Adopted(3, ready=True), Exited(2, ExitRecord(2, "exit", 0.0, code=0))):
        assert driver.do(event, after_s=100.0) is State.UNKILLABLE
        assert not any(isinstance(action, Launch) for action in driver.actions)
    assert driver.fail() is State.CREATING
    assert Launch(4) in driver.actions


def test_a_stable_run_counts_even_if_its_timer_loses_the_race_against_the_exit() -> None:
    driver = Driver(PLAIN, READY)
    assert driver.fail(after_s=60.0, uptime_s=70.0) is State.CREATING
    assert driver.reports == ["worker.stable", "worker.launching"]
    driver = Driver(PLAIN, READY)
    driver.do(Stop("op"), after_s=60.0)
    assert driver.reports == ["worker.stable", "worker.stopping"]


def test_an_exit_that_was_missed_by_a_dead_daemon_is_no_stable_run() -> None:
    driver = Driver(PLAIN, READY)
    assert driver.fail(after_s=5000.0, uptime_s=12.0) is State.BACKOFF
    assert driver.status.failures == 3


@pytest.mark.parametrize("status", [STOPPED, WAITING, BACKOFF, CREATING, RUNNING, READY, STOPPING, UNKILLABLE])
def test_late_events_of_dead_incarnations_change_nothing(status: Status) -> None:
    exit_ = ExitRecord(2, "exit", 0.0, code=1)
    for event in (Exited(2, exit_), HandedOver(1), BecameReady(2), Adopted(2, ready=True)):
        assert step(status, event, PLAIN, 1e9, 0.0) == (status, ())


@pytest.mark.parametrize("status", [STOPPED, WAITING, BACKOFF])
def test_late_events_of_the_incarnation_that_has_just_ended_change_nothing(status: Status) -> None:
    exit_ = ExitRecord(3, "exit", 0.0, code=1)
    for event in (Exited(3, exit_), HandedOver(3), BecameReady(3), Adopted(3, ready=True)):
        assert step(status, event, PLAIN, 1e9, 0.0) == (status, ())


@pytest.mark.parametrize("status", [STOPPED, WAITING, CREATING, UNKILLABLE, replace(READY, deadline=None)])
def test_a_deadline_where_no_timer_runs_changes_nothing(status: Status) -> None:
    assert step(status, Deadline(), PLAIN, 1e9, 0.0) == (status, ())


def test_an_illegal_move_says_what_and_why() -> None:
    with pytest.raises(IllegalMove, match=r"^cannot send SIGHUP in state backoff$") as caught:
        step(BACKOFF, Kill("op", "SIGHUP"), PLAIN, NOW, 0.0)
    assert caught.value.state is State.BACKOFF
    assert caught.value.event == Kill("op", "SIGHUP")
    with pytest.raises(IllegalMove, match=r"^cannot take the event HandedOver in state ready: incarnation 9 was never"):
        step(READY, HandedOver(9), PLAIN, NOW, 0.0)


@pytest.mark.parametrize(
    "status", [BACKOFF, STOPPING, RUNNING, replace(READY, starts=(1.0, 2.5), kill_signal="SIGHUP")]
)
def test_a_status_goes_on_in_the_next_daemon(status: Status) -> None:
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(status), type=Status)
    assert kept == status
    assert msgspec.json.decode(msgspec.json.encode(status), type=Status) == status
    assert status.deadline is not None
    after, actions = step(kept, Deadline(), PROBED, status.deadline, 0.0)
    assert after != kept
    assert actions


def test_a_worker_that_a_new_daemon_finds_goes_on_with_its_time_to_become_ready() -> None:
    driver = Driver(PROBED, RUNNING)
    driver.do(Adopted(3, ready=False), after_s=1.0)
    assert driver.delay_s() == 24.0


def test_what_became_ready_without_a_daemon_has_time_to_be_probed() -> None:
    driver = Driver(PROBED, RUNNING)
    driver.do(Adopted(3, ready=False), after_s=3600.0)
    assert driver.do(Deadline()) is State.RUNNING
    assert driver.delay_s() == 5.0


def test_an_instance_that_was_never_seen() -> None:
    assert initial(5.0) == Status(state=State.STOPPED, since=5.0)
    assert initial(5.0, incarnation=8).incarnation == 8
