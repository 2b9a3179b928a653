"""Frames of one launch, joined with its plan: what each phase did, how long it took, why it failed."""

import errno
import time
from typing import Literal

from supervisor.sandbox.hints import SETUP_TIMEOUT, hint
from supervisor.sandbox.ids import PlanError
from supervisor.sandbox.plan import Plan, Step
from supervisor.spec.facts import HostFacts
from supervisor.spec.records import LaunchRecord, PhaseRecord

HOLD = "standby.wait"


class SetupRecord:
    """Grows with each frame. Times: CLOCK_MONOTONIC, ns, from when the launch was requested."""

    def __init__(self, plan: Plan, incarnation: int, facts: HostFacts) -> None:
        self.plan = plan
        self.incarnation = incarnation
        self.facts = facts
        self.requested_ns = time.monotonic_ns()
        self.requested_at = time.time()
        self.phases: list[PhaseRecord] = []
        self.handed_over_ns: int | None = None  # when nsinit was about to call execve
        self.failure: PhaseRecord | None = None
        self._ahead_us: int | None = None  # how long it took up to where a standby waits
        self._held_ns = 0  # how long that waited: in no duration and no start

    def frame(self, tokens: list[str]) -> list[PhaseRecord]:
        """Take a `phases` or an `exec` frame (nsinit/channel.py)."""
        if tokens[0] == "exec":
            self.handed_over_ns = int(tokens[2])
            step = self.plan.steps[self.plan.ahead + int(tokens[1])]
            return [self._add(step, self.handed_over_ns, self.handed_over_ns, "ok")]
        return [self._ended(*tokens[at : at + 7]) for at in range(1, len(tokens), 7)]

    def done(self, step: Step, start: int, outcome: str = "ok") -> PhaseRecord:
        """Record a phase of the daemon's own that has just ended."""
        return self._add(step, start, time.monotonic_ns(), outcome)

    def _ended(
        self, index: str, begun: str, end: str, outcome: str, number: str, syscall: str, message: str
    ) -> PhaseRecord:
        step, start = self.plan.steps[self.plan.ahead + int(index)], int(begun)
        if outcome == "failed":
            name = errno.errorcode.get(int(number), "") if int(number) else ""
            return self.fail(step, start, int(end), name, syscall, message)
        if step.phase == HOLD:
            return self._went_on(step, start, int(end))
        return self._add(step, start, int(end), outcome, message)

    def _went_on(self, step: Step, start: int, end: int) -> PhaseRecord:
        self._ahead_us = (start - self.requested_ns) // 1000
        record = self._add(step, start, start, "ok", f"held for {(end - start) / 1e9:.3f} s; all above was done ahead")
        self._held_ns = end - start
        return record

    def fail(
        self, step: Step, start: int, end: int, errno_name: str, syscall: str, message: str, *, outcome: str = "failed"
    ) -> PhaseRecord:
        """Record the phase at which the launch ended, with its hint."""
        if self.handed_over_ns is not None:  # execve came back: its own frame replaces the one that announced it
            self.phases.pop()
            self.handed_over_ns = None
        found = hint(
            step.phase,
            errno_name or "",
            step.detail,
            self.facts,
            syscall=syscall,
            message=message,
            instance=self.plan.instance,
            root=_root(self.plan),
        )
        self.failure = PhaseRecord(
            phase=step.phase,
            detail=step.detail,
            outcome="pending" if outcome == "pending" else "failed",
            start_us=(start - self.requested_ns - self._held_ns) // 1000,
            duration_us=(end - start) // 1000,
            errno=errno_name or None,
            syscall=syscall or None,
            message=message or None,
            hint=str(found) if found else None,
        )
        self.phases.append(self.failure)
        return self.failure

    def fail_plan(self, error: PlanError) -> PhaseRecord:
        """Record a plan that could not be made, as the failure of the phase it was about."""
        now = time.monotonic_ns()
        return self.fail(Step(error.phase, error.detail), now, now, error.errno_name, "", str(error))

    def fail_call(self, step: Step, errno_name: str, syscall: str, message: str) -> PhaseRecord:
        """Record a call of the daemon's own that failed just now, as the failure of the phase it was for."""
        now = time.monotonic_ns()
        return self.fail(step, now, now, errno_name, syscall, message)

    def fail_unfinished(self, *, errno_name: str, message: str) -> PhaseRecord:
        """Record the phase that was running when the process died (its signal as errno_name) or the time was over."""
        now = time.monotonic_ns()
        done = len(self.phases)
        step = self.plan.steps[min(done, len(self.plan.steps) - 1)]
        last = self.phases[-1] if self.phases else None
        start = self.requested_ns + (last.start_us + last.duration_us) * 1000 if last else self.requested_ns
        outcome = "pending" if errno_name == SETUP_TIMEOUT else "failed"
        return self.fail(step, start, now, errno_name, "", message, outcome=outcome)

    def finished(self) -> LaunchRecord:
        """The record so far, as a whole."""
        if self.failure is None:
            outcome: Literal["ok", "failed", "timeout", "interrupted"]
            outcome = "ok" if self.handed_over_ns is not None else "interrupted"
        else:
            outcome = "timeout" if self.failure.outcome == "pending" else "failed"
        end = self.handed_over_ns or time.monotonic_ns()
        return LaunchRecord(
            instance=self.plan.instance,
            incarnation=self.incarnation,
            requested_at=self.requested_at,
            duration_us=(end - self.requested_ns - self._held_ns) // 1000,
            outcome=outcome,
            phases=tuple(self.phases),
            ahead_us=self._ahead_us,
            held_s=self._held_ns / 1e9,
        )

    def _add(self, step: Step, start: int, end: int, outcome: str, message: str = "") -> PhaseRecord:
        record = PhaseRecord(
            phase=step.phase,
            detail=step.detail,
            outcome="skipped" if outcome == "skipped" else "ok",
            start_us=(start - self.requested_ns - self._held_ns) // 1000,
            duration_us=(end - start) // 1000,
            message=message or None,
        )
        self.phases.append(record)
        return record


def no_plan(instance: str, error: PlanError) -> Plan:
    """What stands for a plan that could not be made: the phase that it was about."""
    return Plan(
        instance=instance,
        steps=(Step(error.phase, error.detail),),
        joins=(),
        new_user=False,
        new_pid=False,
        uid_map=(),
        gid_map=(),
    )


def _root(plan: Plan) -> str | None:
    """Where the host has what the sandbox has at /; None where that is nowhere."""
    for step in plan.steps:
        if step.phase == "rootfs.prepare":
            kind, *arguments = step.arguments
            return {"dir": str(arguments[0]).rstrip("/"), "host": ""}.get(str(kind)) if arguments else None
    return ""
