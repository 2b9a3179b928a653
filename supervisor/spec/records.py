"""What is remembered of launches and exits: the words that the log, the policy, the API and the CLI share."""

from typing import Literal

import msgspec


class PhaseRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One phase of one launch. Times are CLOCK_MONOTONIC."""

    phase: str
    detail: str
    outcome: Literal["ok", "failed", "skipped", "pending"]
    start_us: int  # since the launch was requested
    duration_us: int
    errno: str | None = None  # "EPERM"
    syscall: str | None = None
    message: str | None = None
    hint: str | None = None


class LaunchRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One incarnation's set-up."""

    instance: str
    incarnation: int
    requested_at: float  # wall clock, seconds since the epoch: for display
    duration_us: int
    outcome: Literal["ok", "failed", "timeout", "interrupted"]
    phases: tuple[PhaseRecord, ...] = ()


class Rusage(msgspec.Struct, frozen=True):
    """getrusage(2) of the incarnation's processes that were waited for."""

    user_s: float
    system_s: float
    max_rss_bytes: int


class CgroupUsage(msgspec.Struct, frozen=True):
    """What a cgroup says of itself. None: it does not have the controller."""

    cpu_s: float | None = None  # with what has ended already
    throttled_s: float | None = None  # by cpu.max
    memory_bytes: int | None = None  # with page cache and kernel memory
    memory_peak_bytes: int | None = None
    memory_max_bytes: int | None = None  # None: no limit, too
    pids: int | None = None
    pids_max: int | None = None
    io_read_bytes: int | None = None
    io_written_bytes: int | None = None
    pressure: dict[str, float] = {}  # cpu, memory, io: percent of the last 10 s in which something waited for it


Cause = Literal["exit", "signal", "network", "setup", "setup-timeout", "interrupted", "unknown"]


class ExitRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one incarnation ended.

    Causes: setup, died while the sandbox was built; interrupted, its daemon died meanwhile; unknown, no keeper;
    network, killed because what connected its network had ended.
    """

    incarnation: int
    cause: Cause
    ended_at: float  # wall clock, seconds since the epoch
    uptime_s: float = 0.0  # since exec
    code: int | None = None  # cause = exit
    signal: str | None = None  # cause = signal: "SIGKILL"
    core_dumped: bool = False
    phase: str | None = None  # cause = setup, setup-timeout
    errno: str | None = None
    hint: str | None = None
    syscall: str | None = None  # signal = SIGSYS: the call that a seccomp filter killed it for, where that is known
    requested_by: str | None = (
        None  # who asked for it: "operator", "reload", "shutdown", "requires:db", "ready-timeout"
    )
    clean: bool = False  # by success_exit, or the stop signal that we sent
    rusage: Rusage | None = None
    oom_killed: bool = False  # the kernel's out-of-memory killer ended it, or a process of it just before
    memory_max_bytes: int | None = None  # of its cgroup; None: no limit, or no memory controller
    memory_peak_bytes: int | None = None
    stderr_tail: tuple[str, ...] = ()
