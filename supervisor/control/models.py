"""What the API says, as types: the server encodes them, the client decodes them, the OpenAPI document is made of them.

Times named `_at` are wall clock, seconds since the epoch, and for display only.
"""

from typing import Any, Literal

import msgspec

from supervisor.spec.model import Worker
from supervisor.spec.records import CgroupUsage, ExitRecord, LaunchRecord, Usual

Condition = Literal["ready", "healthy", "stopped", "exited"]


class FailureView(msgspec.Struct, frozen=True):
    """The phase in which the last set-up failed."""

    incarnation: int
    phase: str
    detail: str
    errno: str | None = None
    syscall: str | None = None
    message: str | None = None
    hint: str | None = None


class InstanceView(msgspec.Struct, frozen=True):
    """One instance as it is now."""

    name: str
    worker: str
    state: str
    ready: bool
    wanted: bool  # the operator or the fleet wants it up
    stopped_by: str | None = None
    pid: int | None = None  # on the host, of the sandbox's first process
    incarnation: int = 0  # 0: never launched
    started_at: float | None = None
    uptime_s: float | None = None
    in_state_s: float = 0.0
    restarts: int = 0
    failures: int = 0  # since the last stable run
    crash_loop: bool = False
    next_start_in_s: float | None = None  # in backoff
    deadline_in_s: float | None = None  # of the present state, whatever it is
    last_exit: ExitRecord | None = None
    last_failure: FailureView | None = None  # of the last launch, if it failed
    cpu_percent: float | None = None  # whole tree, since the last sample; 100 is one CPU
    cpu_s: float | None = None
    rss_bytes: int | None = None
    processes: int | None = None
    log_path: str | None = None
    paused: bool = False  # all of its processes are frozen
    health: Literal["starting", "healthy", "unhealthy"] | None = None  # None: it is not probed
    health_seen: str | None = None  # by the last probe; before it is ready, by that for readiness
    status_text: str | None = None  # by sd_notify(3): STATUS=
    notified: Literal["ready", "reloading", "stopping"] | None = None  # the same: what it said of itself last
    main_pid: int | None = None  # the same: MAINPID=, in its own pid namespace
    standby: Literal["no", "building", "ready"] | None = None  # the next incarnation's sandbox; None: not asked for


class InstanceDetail(msgspec.Struct, frozen=True):
    """All that is known of one instance."""

    instance: InstanceView
    spec: Worker
    launches: tuple[LaunchRecord, ...] = ()  # oldest first
    exits: tuple[ExitRecord, ...] = ()  # oldest first
    usual: Usual | None = None  # what to compare the last launch with
    uid_map: tuple[str, ...] = ()  # INSIDE:OUTSIDE:COUNT, while it runs
    gid_map: tuple[str, ...] = ()


class UsageView(msgspec.Struct, frozen=True):
    """What a process tree uses. 100 percent is one CPU."""

    name: str
    pid: int | None = None
    cpu_percent: float | None = None
    cpu_s: float | None = None
    rss_bytes: int | None = None
    processes: int | None = None
    cgroup: CgroupUsage | None = None  # of an instance that has a cgroup


class StatsView(msgspec.Struct, frozen=True):
    """Usage of every running instance and of the daemon alone."""

    sampled_at: float
    instances: tuple[UsageView, ...]
    daemon: UsageView


class VersionView(msgspec.Struct, frozen=True):
    """Who answers."""

    version: str
    pid: int
    started_at: float
    api: Literal["v1"] = "v1"
    files: tuple[str, ...] = ()  # the configuration in use


class Names(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Workers or instances. Empty means all."""

    names: tuple[str, ...] = ()


class KillRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signal by name or number, for the first process of each sandbox."""

    names: tuple[str, ...]
    signal: str = "SIGKILL"


class WaitRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Wait until all names meet the condition. No time-out: for ever."""

    names: tuple[str, ...] = ()
    condition: Condition = "ready"
    timeout_s: float | None = None


class ReloadRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Read the configuration again; dry_run only shows what would change."""

    dry_run: bool = False


class Reexecuted(msgspec.Struct, frozen=True):
    """The daemon is another program now, or the same anew."""

    from_version: str
    version: str
    pid: int  # as before
    workers: int  # that go on


class Accepted(msgspec.Struct, frozen=True):
    """The instances that the request reached. It is accepted, not done: use wait."""

    instances: tuple[str, ...]


class WaitResult(msgspec.Struct, frozen=True):
    """Whether the condition was met in time; if not, who misses it."""

    met: bool
    missing: tuple[str, ...] = ()


class ProblemView(msgspec.Struct, frozen=True):
    """One mistake in the configuration."""

    message: str
    file: str | None = None
    line: int | None = None
    key: str | None = None
    value: str | None = None
    allowed: str | None = None
    nearest: str | None = None
    text: str = ""  # the whole as one line


class ErrorView(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a request was refused. Messages begin with "cannot"."""

    code: str
    message: str
    name: str | None = None  # unknown_name
    nearest: str | None = None  # unknown_name
    problems: tuple[ProblemView, ...] = ()  # config_error


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every answer that is not 2xx."""

    error: ErrorView


class EventView(msgspec.Struct, frozen=True):
    """One event as in the daemon's log."""

    id: int
    time: float
    level: str
    event: str
    fields: dict[str, Any]
