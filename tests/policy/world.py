"""A fake world for `step()`: one clock, one child at most, a status that every step writes and reads back."""

import msgspec

from supervisor.policy.restart import (
    LIVE,
    Action,
    Event,
    Exited,
    KillTree,
    Launch,
    Probe,
    Report,
    Rules,
    Signal,
    State,
    Status,
    initial,
    step,
)
from supervisor.spec.records import ExitRecord


class Child(msgspec.Struct):
    incarnation: int
    executing: bool = False  # set-up is over
    dead: bool = False  # and nobody was told yet
    immortal: bool = False  # survives the kill of its tree


class World:
    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.now = 1000.0
        self.status = initial(self.now)
        self.child: Child | None = None
        self.launched = 0
        self.said: list[str] = []

    def do(self, event: Event, jitter: float = 0.0) -> tuple[Action, ...]:
        before = self.status
        after, actions = step(before, event, self.rules, self.now, jitter)
        self.status = msgspec.json.decode(msgspec.json.encode(after), type=Status)
        assert self.status == after
        if isinstance(event, Exited) and actions:
            self.child = None
        self.said = [action.event for action in actions if isinstance(action, Report)]
        for action in actions:
            self.act(action)
        if after.state in {State.COMPLETED, State.FAILED, State.STOPPED} and after.state is not before.state:
            assert f"worker.{after.state}" in self.said, "given up in silence"
        assert before.state is after.state or self.said or type(event).__name__ == "Adopted", "moved in silence"
        return actions

    def act(self, action: Action) -> None:
        match action:
            case Launch(incarnation=incarnation):
                assert self.child is None, "a second copy"
                assert incarnation == self.launched + 1, "an incarnation's number was used again, or left out"
                self.launched = incarnation
                self.child = Child(incarnation)
            case Signal(incarnation=incarnation) | Probe(incarnation=incarnation):
                assert self.child is not None
                assert self.child.incarnation == incarnation
                assert self.child.executing, "sent to a process that is still building its sandbox"
            case KillTree(incarnation=incarnation):
                assert self.child is not None
                assert self.child.incarnation == incarnation
                self.child.dead |= not self.child.immortal
            case Report(fields=fields):
                assert all(isinstance(value, str | int | float) for value in fields.values())

    def exit(self, record: ExitRecord, jitter: float) -> None:
        """The child is gone, and the news arrives."""
        assert self.child is not None
        self.do(Exited(record.incarnation, record), jitter)

    def check(self) -> None:
        """Everything that holds between two events."""
        status = self.status
        state = status.state
        assert (self.child is not None) == (state in LIVE)
        assert self.child is None or self.child.incarnation == status.incarnation
        timed = {State.RUNNING, State.STOPPING, State.BACKOFF}
        assert status.deadline is not None or state not in timed
        assert status.deadline is None or state in timed | {State.READY}
        if state is State.READY and status.deadline is None:
            assert status.stable
            assert status.failures == 0
        if state is State.WAITING:
            assert self.rules.has_requirements
        if status.wanted:
            assert state is not State.STOPPED, "a wanted instance was lost"
            assert status.stopped_by is None
        else:
            assert state in {State.STOPPED, State.STOPPING, State.UNKILLABLE, State.COMPLETED, State.FAILED}
        if status.again:
            assert status.wanted
            assert state in {State.STOPPING, State.UNKILLABLE}
        assert (status.ready_at is not None) <= (state in {State.READY, State.STOPPING, State.UNKILLABLE})
        assert status.killed <= (state in {State.STOPPING, State.UNKILLABLE})
        assert status.crash_loop == (status.failures >= 5)
        assert len(status.starts) <= (self.rules.max_restarts or 0)
