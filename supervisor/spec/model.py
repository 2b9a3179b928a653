"""What a worker is: the spec, parsed and validated, every default filled in. Immutable.

Numbers carry their unit in the Python name; the TOML key is the name without it (`delay = "0.5s"` is `delay_s`).
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

Seconds = Annotated[float, Meta(ge=0, extra_json_schema={"x-unit": "duration"})]
Bytes = Annotated[int, Meta(ge=0, extra_json_schema={"x-unit": "size"})]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=False):
    """The base of every table."""


class Supervisor(Record, frozen=True):
    """[supervisor]: the daemon itself."""

    start_concurrency: Annotated[int, Meta(ge=1, le=1024)] = 8
    adopt_timeout_s: Seconds = field(default=30.0, name="adopt_timeout")
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class Rootfs(Record, frozen=True):
    """Where the sandbox's root comes from: a read-only view of the host, or a directory."""

    kind: Literal["host", "dir"] = "host"
    path: str | None = None  # kind = dir
    writable: bool = False  # kind = dir


# true: a new one; false: the supervisor's own; else "worker:NAME", "pid:N" or "path:FILE": join that one.
Namespace = bool | Annotated[str, Meta(pattern=r"^(worker:.+|pid:[0-9]+|path:/.+)$")]


class Namespaces(Record, frozen=True):
    """Which namespaces are new, shared with the supervisor, or joined. The network has its own key."""

    user: Namespace = True
    pid: Namespace = True
    mount: Namespace = True
    uts: Namespace = True
    ipc: Namespace = True
    cgroup: Namespace = True
    time: Namespace = False


class TimeOffsets(Record, frozen=True):
    """Added to the clocks of a new time namespace."""

    monotonic_s: int = field(default=0, name="monotonic")
    boottime_s: int = field(default=0, name="boottime")


class Network(Record, frozen=True):
    """none (loopback only), host, or an existing namespace: worker:NAME, pid:N, path:FILE."""

    mode: Annotated[str, Meta(pattern=r"^(none|host|worker:.+|pid:[0-9]+|path:/.+)$")] = "none"


class Mount(Record, frozen=True):
    """One mount of the user's, in file order."""

    type: Literal["bind", "tmpfs"]
    target: Annotated[str, Meta(pattern=r"^/")]
    source: str | None = None  # bind
    options: tuple[Literal["ro", "rw", "rbind", "bind", "nosuid", "nodev", "noexec", "create"], ...] = ()
    size_bytes: Bytes | None = field(default=None, name="size")  # tmpfs
    mode: Annotated[str, Meta(pattern=r"^[0-7]{3,4}$")] | None = None  # tmpfs, octal


class Security(Record, frozen=True):
    """What the workload may do. Capabilities by name, with or without CAP_."""

    capabilities: tuple[str, ...] = ()
    no_new_privs: bool = True


Limit = int | Literal["unlimited"]


class Limits(Record, frozen=True):
    """Resource limits (setrlimit(2)); soft and hard alike."""

    nofile: Limit | None = None
    nproc: Limit | None = None
    core: Limit | None = None
    fsize: Limit | None = None
    memlock: Limit | None = None
    stack: Limit | None = None
    data: Limit | None = None
    cpu_s: Limit | None = field(default=None, name="cpu_time")
    address_space: Limit | None = field(default=None, name="as")


class Ready(Record, frozen=True):
    """When a running worker counts as ready."""

    kind: Literal["started", "tcp"] = "started"
    address: str | None = None  # tcp: HOST:PORT
    timeout_s: Seconds = field(default=30.0, name="timeout")
    interval_s: Seconds = field(default=0.1, name="interval")


ExitName = int | str  # an exit code 0-255 or a signal's name


class Restart(Record, frozen=True):
    """What happens after an exit. DESIGN.md section 6."""

    policy: Literal["never", "on-failure", "on-abnormal", "always"] = "on-failure"
    delay_s: Seconds = field(default=0.5, name="delay")
    factor: Annotated[float, Meta(ge=1, le=100)] = 2.0
    max_delay_s: Seconds = field(default=60.0, name="max_delay")
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.1
    reset_after_s: Seconds | None = field(default=None, name="reset_after")  # None: 60 s or max_delay, the longer
    max_restarts: Annotated[int, Meta(ge=1)] | None = None
    window_s: Seconds | None = field(default=None, name="window")
    success_exit: tuple[ExitName, ...] = ()
    never_after: tuple[ExitName, ...] = ()
    always_after: tuple[ExitName, ...] = ()


class Stop(Record, frozen=True):
    """How a worker is asked to leave, and how long it is waited for."""

    signal: str = "SIGTERM"
    grace_s: Seconds = field(default=10.0, name="grace")


class Log(Record, frozen=True):
    """Where the worker's output goes."""

    sink: Literal["file", "null"] = "file"
    max_size_bytes: Bytes = field(default=10 * 1024 * 1024, name="max_size")
    keep: Annotated[int, Meta(ge=0, le=1000)] = 5


class Worker(Record, frozen=True):
    """[worker.NAME]: one command and its sandbox."""

    name: str
    command: tuple[str, ...]
    instances: Annotated[int, Meta(ge=1, le=10000)] = 1
    working_dir: str = "/"
    user: str | int = "self"  # self | root | a name inside the sandbox | a number
    id_map: Literal["self", "keep-id"] = "self"
    uid_map: tuple[str, ...] = ()  # "INSIDE:OUTSIDE:COUNT", instead of id_map
    gid_map: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    env_file: tuple[str, ...] = ()  # their variables are already in env
    after: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    autostart: bool = True
    init: bool = True
    setup_timeout_s: Seconds = field(default=30.0, name="setup_timeout")
    hostname: str | None = None  # None: the instance's name
    domainname: str | None = None
    rootfs: Rootfs = Rootfs()
    namespaces: Namespaces = Namespaces()
    time_offsets: TimeOffsets = TimeOffsets()
    network: Network = Network()
    mounts: tuple[Mount, ...] = ()
    security: Security = Security()
    limits: Limits = Limits()
    ready: Ready = Ready()
    restart: Restart = Restart()
    stop: Stop = Stop()
    log: Log = Log()


class Fleet(Record, frozen=True):
    """All workers of one daemon, by name in file order."""

    supervisor: Supervisor = Supervisor()
    workers: dict[str, Worker] = field(default_factory=dict)
    files: tuple[str, ...] = ()


def instance_names(worker: Worker) -> list[str]:
    """`web` where there is one instance, else `web-0`, `web-1` and so on."""
    if worker.instances == 1:
        return [worker.name]
    return [f"{worker.name}-{index}" for index in range(worker.instances)]
