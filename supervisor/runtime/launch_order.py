"""What is to be launched, and who hears of it."""

from collections.abc import Awaitable, Callable

import msgspec

from supervisor.runtime.cgroup import Cgroup
from supervisor.runtime.child import Child
from supervisor.runtime.setup_record import SetupRecord
from supervisor.sandbox.plan import Plan
from supervisor.spec.records import PhaseRecord

OnPhase = Callable[[PhaseRecord], None]
OnTerminal = Callable[[int], None]
# Answers one kind of need of a child: takes the child, the need's detail and the descriptors that came with it (closed
# by the caller); gives a descriptor for the child, or None. OSError is told to the child, whose phase fails with its
# errno and its words.
Answer = Callable[[Child, str, list[int]], Awaitable[int | None]]


class LaunchOrder(msgspec.Struct):
    """One launch."""

    plan: Plan
    incarnation: int
    stop: tuple[int, float]  # signal number and grace in seconds: the keeper's, should it have to
    stdio: tuple[int, int, int]
    keep: list[int]  # held by the keeper for the next daemon
    timeout_s: float
    on_phase: OnPhase
    on_child: Callable[[Child], None]  # as soon as it is known, which is before it does anything
    on_terminal: OnTerminal | None = None  # takes the pty's master
    # It is built and waits for its turn (standby.wait): takes what lets it go on, and the record so far.
    on_hold: Callable[[Callable[[], None], SetupRecord], None] | None = None
    needs: dict[str, Answer] = msgspec.field(default_factory=dict)  # beside idmap, terminal and hold
    cgroup_fd: int = -1  # the directory of the cgroup to be born in; the caller's still
    cgroup: Cgroup | None = None  # instead: to be made first, as the plan's cgroup.create says; the caller removes it
    hidden: bool = False  # others live in what it joins: nsinit is not dumpable until it executes
    part: str = ""  # of the incarnation: a command executed in it

    @property
    def name(self) -> str:
        """Of the incarnation, or of a part of it."""
        return f"{self.plan.instance}#{self.incarnation}{'/' if self.part else ''}{self.part}"
