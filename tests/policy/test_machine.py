"""`step()` against a fake world in which anything may happen at any time."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from supervisor.policy.restart import (
    LIVE,
    READY_TIMEOUT,
    Adopted,
    BecameReady,
    Deadline,
    Exited,
    Extend,
    HandedOver,
    IllegalMove,
    Kill,
    Requirements,
    Restart,
    Rules,
    Start,
    State,
    Stop,
    Unhealthy,
    complete_exit,
    initial,
)
from supervisor.spec.records import ExitRecord
from tests.policy.world import World

RULES = st.builds(
    Rules,
    policy=st.sampled_from(["never", "on-failure", "on-abnormal", "always"]),
    delay_s=st.sampled_from([0.0, 0.5, 5.0]),
    max_restarts=st.sampled_from([None, None, 1, 3]),
    window_s=st.sampled_from([None, 30.0]),
    never_after=st.sampled_from([(), (3,)]),
    always_after=st.sampled_from([(), (4, "SIGSEGV")]),
    grace_s=st.sampled_from([0.0, 10.0]),
    probed=st.booleans(),
    has_requirements=st.booleans(),
)
ENDS = st.sampled_from(
    [("exit", 0), ("exit", 3), ("exit", 4), ("exit", 143), ("signal", "SIGSEGV"), ("signal", "SIGTERM")]
)
BY = st.sampled_from(["operator", "fleet"])
JITTER = st.floats(0.0, 0.99)
UP = {State.RUNNING, State.READY}


def has_child(machine: "Machine") -> bool:
    return machine.world.child is not None


class Machine(RuleBasedStateMachine):
    @initialize(rules=RULES, as_far_as=st.sampled_from(["stopped", "launched", "executing", "executing", "ready"]))
    def begin(self, rules: Rules, as_far_as: str) -> None:
        self.world = World(rules)
        if as_far_as != "stopped":
            self.start("fleet")
            if rules.has_requirements:
                self.requirements(met=True)
        if as_far_as in {"executing", "ready"}:
            self.handed_over()
        if as_far_as == "ready":
            self.became_ready()

    @property
    def state(self) -> State:
        return self.world.status.state

    @rule(by=BY)
    def start(self, by: str) -> None:
        up = self.state in UP | {State.CREATING}
        before = self.world.status
        self.world.do(Start(by))
        assert self.world.status.wanted
        assert not up or (self.state, self.world.status.incarnation) == (before.state, before.incarnation)

    @rule(by=BY)
    def stop(self, by: str) -> None:
        self.world.do(Stop(by))
        assert not self.world.status.wanted
        assert self.world.status.stopped_by is not None
        once = self.world.status
        assert self.world.do(Stop("shutdown")) == ()
        assert self.world.status == once

    @rule(by=BY)
    def restart(self, by: str) -> None:
        failures = self.world.status.failures
        self.world.do(Restart(by))
        assert self.world.status.wanted
        assert self.world.status.failures == failures or self.state in UP | {State.STOPPING}
        assert self.world.status.again or self.state in {State.CREATING, State.WAITING}

    @rule(signal=st.sampled_from(["SIGKILL", "SIGHUP", "SIGTERM"]))
    def kill(self, signal: str) -> None:
        before = self.world.status
        gentle = before.state in UP | {State.STOPPING} and not before.killed
        possible = before.state in LIVE and (gentle or signal == "SIGKILL")
        if possible:
            self.world.do(Kill("operator", signal))
            assert self.world.status.wanted == before.wanted
        else:
            with pytest.raises(IllegalMove):
                self.world.do(Kill("operator", signal))
            assert self.world.status is before

    @precondition(lambda self: self.world.rules.has_requirements)
    @rule(met=st.booleans())
    def requirements(self, met: bool) -> None:
        self.world.do(Requirements(met, "" if met else "requires:db"))
        assert met or self.state not in UP | {State.CREATING, State.BACKOFF}

    @precondition(lambda self: self.world.child is not None and not self.world.child.executing)
    @rule()
    def handed_over(self) -> None:
        assert self.world.child is not None
        self.world.child.executing = True
        self.world.do(HandedOver(self.world.child.incarnation))

    @precondition(lambda self: self.world.child is not None and self.world.child.executing)
    @rule()
    def became_ready(self) -> None:
        assert self.world.child is not None
        self.world.do(BecameReady(self.world.child.incarnation))

    @precondition(lambda self: self.world.child is not None and self.world.child.executing)
    @rule()
    def unhealthy(self) -> None:
        assert self.world.child is not None
        self.world.do(Unhealthy(self.world.child.incarnation, "HTTP 503"))
        assert self.state in {State.STOPPING, State.UNKILLABLE}

    @precondition(lambda self: self.world.child is not None and self.world.child.executing)
    @rule(seconds=st.sampled_from([0.0, 10.0, 1e9]))
    def extends(self, seconds: float) -> None:
        assert self.world.child is not None
        before = self.world.status.deadline
        self.world.do(Extend(self.world.child.incarnation, seconds))
        if self.state is not State.READY:  # there it is when the run is stable, which it may just have become
            assert (self.world.status.deadline or 0) >= (before or 0)

    @precondition(has_child)
    @rule(end=ENDS, ran_s=st.sampled_from([0.0, 1.0, 100.0]), jitter=JITTER)
    def child_ends(self, end: tuple[str, str | int], ran_s: float, jitter: float) -> None:
        world = self.world
        assert world.child is not None
        world.now += ran_s
        cause, how = end
        if not world.child.executing:
            record = ExitRecord(world.child.incarnation, "setup", 0.0, phase="mount.bind")
        elif cause == "exit":
            record = ExitRecord(world.child.incarnation, "exit", 0.0, code=int(how), uptime_s=ran_s)
        else:
            record = ExitRecord(world.child.incarnation, "signal", 0.0, signal=str(how), uptime_s=ran_s)
        before = world.status
        record = complete_exit(before, record, world.rules)
        world.exit(record, jitter)
        if not before.wanted:
            assert self.state is State.STOPPED
        elif before.again:
            assert self.state in {State.CREATING, State.WAITING}
            assert world.status.failures == before.failures
        elif self.state in {State.CREATING, State.BACKOFF}:
            settled = before.state is State.READY and world.status.failures == 1
            assert settled or world.status.failures == before.failures + 1
            assert not record.clean or world.rules.policy == "always" or 4 in world.rules.always_after
        assert record.requested_by != READY_TIMEOUT or self.state is not State.COMPLETED

    @precondition(has_child)
    @rule()
    def child_becomes_immortal(self) -> None:
        assert self.world.child is not None
        self.world.child.immortal = True

    @precondition(lambda self: self.world.status.deadline is not None)
    @rule(late_s=st.sampled_from([0.0, 0.0, 7.0]), jitter=JITTER)
    def timer_fires(self, late_s: float, jitter: float) -> None:
        world = self.world
        assert world.status.deadline is not None
        world.now = max(world.now, world.status.deadline + late_s)
        before = world.status
        assert world.do(Deadline(), jitter)
        assert world.status != before

    @rule()
    def timer_fires_too_early(self) -> None:
        before = self.world.status
        if before.deadline is None or self.world.now < before.deadline:
            assert self.world.do(Deadline()) == ()
            assert self.world.status is not before
            assert self.world.status == before

    @rule(seconds=st.sampled_from([0.1, 5.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds

    @rule(which=st.integers(0, 9), ago=st.integers(0, 2))
    def late_event(self, which: int, ago: int) -> None:
        dead = self.world.launched - ago - (self.world.child is not None)
        if dead >= 1:
            before = self.world.status
            record = ExitRecord(dead, "exit", 0.0, code=which)
            for event in (Exited(dead, record), HandedOver(dead), BecameReady(dead), Adopted(dead, ready=which > 4)):
                assert self.world.do(event) == ()
                assert self.world.status == before

    @rule(ready=st.booleans(), away_s=st.sampled_from([0.0, 3.0, 500.0]), kept=st.booleans())
    def daemon_dies_and_the_next_adopts(self, ready: bool, away_s: float, kept: bool) -> None:
        """The status was kept (or lost, where no exit is awaited); what was not handed over dies with its daemon."""
        world = self.world
        world.now += away_s
        child = world.child
        if child is None:
            return
        if not child.executing:
            before = world.status
            record = complete_exit(before, ExitRecord(child.incarnation, "interrupted", 0.0), world.rules)
            world.exit(record, 0.0)
            if before.state is State.CREATING:
                assert self.state is State.CREATING
                assert world.status.failures == before.failures
            return
        lost = not kept and self.state in UP
        if lost:
            world.status = initial(world.now)
        world.do(Adopted(child.incarnation, ready))
        assert world.status.incarnation == child.incarnation
        assert not lost or self.state in UP

    @invariant()
    def everything_holds(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        """Left to itself, with what it needs at hand, every wanted instance gets up, every unwanted one down."""
        if not hasattr(self, "world"):
            return
        world = self.world
        for _ in range(6):
            match self.state:
                case State.WAITING:
                    world.do(Requirements(met=True, why=""))
                case State.BACKOFF | State.STOPPING if world.child is None or not world.child.dead:
                    assert world.status.deadline is not None
                    world.now = max(world.now, world.status.deadline)
                    world.do(Deadline())
                    if world.child is not None:
                        world.child.immortal = False
                case State.STOPPING | State.UNKILLABLE:
                    assert world.child is not None
                    world.exit(ExitRecord(world.child.incarnation, "signal", 0.0, signal="SIGKILL"), 0.0)
                case State.CREATING | State.RUNNING | State.READY:
                    assert world.status.wanted
                    break
                case State.STOPPED | State.COMPLETED | State.FAILED:
                    break
            world.check()
        else:
            raise AssertionError(f"stuck in {self.state}")


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
