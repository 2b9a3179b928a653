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
    ahead_us: int | None = None  # of the duration, what was done before its turn; None: it was no standby
    held_s: float = 0.0  # in between, and in neither


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


Cause = Literal["exit", "signal", "unhealthy", "network", "setup", "setup-timeout", "interrupted", "unknown"]


class ExitRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one incarnation ended.

    Causes: setup, died while the sandbox was built; interrupted, its daemon died meanwhile; unknown, no keeper;
    network, killed because what connected its network had ended; unhealthy, stopped for what its probe saw.
    """

    incarnation: int
    cause: Cause
    ended_at: float  # wall clock, seconds since the epoch
    uptime_s: float = 0.0  # since exec
    code: int | None = None  # cause = exit, unhealthy
    signal: str | None = None  # cause = signal, unhealthy: "SIGKILL"
    core_dumped: bool = False
    or_signal: str | None = None  # code = 128 + n below an init = "static": it may as well have been killed by this one
    phase: str | None = None  # cause = setup, setup-timeout
    errno: str | None = None
    hint: str | None = None
    syscall: str | None = None  # signal = SIGSYS: the call that a seccomp filter killed it for, where that is known
    requested_by: str | None = (
        None  # who asked for it: "operator", "reload", "shutdown", "requires:db", "ready-timeout"
    )
    probe: str | None = None  # what the readiness or health probe saw last: cause = unhealthy, or not ready in time
    clean: bool = False  # by success_exit, or the stop signal that we sent
    rusage: Rusage | None = None
    oom_killed: bool = False  # the kernel's out-of-memory killer ended it, or a process of it just before
    memory_max_bytes: int | None = None  # of its cgroup; None: no limit, or no memory controller
    memory_peak_bytes: int | None = None
    reason: str | None = None  # cause = network: what had become of it
    stderr_tail: tuple[str, ...] = ()


class Timings(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long the phases of launches that succeeded took; all of them had the same phases (supervisor.spec.usual)."""

    phases: tuple[str, ...] = ()  # names, in order
    rows: tuple[bytes, ...] = ()  # oldest first: of each phase, then of the whole, in µs as native unsigned 32 bits


class Usual(msgspec.Struct, frozen=True):
    """What a launch is compared with: the medians of earlier ones that had the same phases and succeeded."""

    launches: int  # how many they were
    duration_us: int
    phases_us: tuple[int, ...]  # of the first phases of the launch, as many as were the same


class Remembered(msgspec.Struct, omit_defaults=True):
    """What is kept of one instance, in STATE/history/NAME.json."""

    incarnation: int = 0  # the highest number given out
    launches: tuple[LaunchRecord, ...] = ()  # oldest first: the last one that failed, the last one
    exits: tuple[ExitRecord, ...] = ()  # oldest first
    timings: Timings = Timings()
