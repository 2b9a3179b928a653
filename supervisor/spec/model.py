"""What a worker is: the spec, parsed and validated, every default filled in. Immutable.

Numbers carry their unit in the Python name; the TOML key is the name without it (`delay = "0.5s"` is `delay_s`).
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from supervisor.spec.fields import SIZE, HostPath, InnerPath, PositiveSeconds, Record, Seconds, SignalName, UtsName
from supervisor.spec.masks import MASKED_PATHS, READONLY_PATHS
from supervisor.spec.model_probes import Health, Ready
from supervisor.spec.model_sandbox import Limits, Mount, Namespaces, Network, Rootfs, Secret, Security, TimeOffsets

__all__ = [
    "ExitName",
    "Fleet",
    "Health",
    "Limits",
    "Log",
    "MetricsListener",
    "Mount",
    "Namespaces",
    "Network",
    "Ready",
    "Restart",
    "Rootfs",
    "Secret",
    "Security",
    "Stop",
    "Supervisor",
    "TimeOffsets",
    "Worker",
    "instance_name",
    "instance_names",
]


LoopbackAddress = Annotated[
    str,
    Meta(
        description='an address of the loopback interface and a port, such as "127.0.0.1:9464" or "[::1]:9464"',
        extra_json_schema={"x-form": "loopback-address"},
    ),
]


class MetricsListener(Record, frozen=True):
    """[supervisor.metrics]: for a Prometheus, which cannot read unix sockets."""

    listen: LoopbackAddress | None = None


class Supervisor(Record, frozen=True):
    """[supervisor]: the daemon itself."""

    start_concurrency: Annotated[int, Meta(ge=1, le=1024)] = 8
    adopt_timeout_s: Seconds = field(default=30.0, name="adopt_timeout")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    metrics: MetricsListener = MetricsListener()


ExitCode = Annotated[int, Meta(ge=0, le=255)]
ExitName = (
    ExitCode
    | Annotated[str, Meta(description="an exit code 0-255 or a signal's name", extra_json_schema={"x-form": "exit"})]
)


class Restart(Record, frozen=True):
    """What happens after an exit (docs/reference/restart.md)."""

    policy: Literal["never", "on-failure", "on-abnormal", "always"] = "on-failure"
    delay_s: Seconds = field(default=0.5, name="delay")
    factor: Annotated[float, Meta(ge=1, le=100)] = 2.0
    max_delay_s: Seconds = field(default=60.0, name="max_delay")
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.1
    reset_after_s: Seconds | None = field(default=None, name="reset_after")  # None: 60 s or max_delay, the longer
    max_restarts: Annotated[int, Meta(ge=1)] | None = None
    window_s: PositiveSeconds | None = field(default=None, name="window")
    success_exit: tuple[ExitName, ...] = ()
    never_after: tuple[ExitName, ...] = ()
    always_after: tuple[ExitName, ...] = ()
    standby: bool = False  # the next incarnation's sandbox is built while this one runs


class Stop(Record, frozen=True):
    """How a worker is asked to leave, and how long it is waited for."""

    signal: SignalName = "SIGTERM"
    grace_s: Seconds = field(default=10.0, name="grace")


class Log(Record, frozen=True):
    """Where the worker's output goes."""

    sink: Literal["file", "journald", "null"] = "file"
    max_size_bytes: Annotated[int, Meta(ge=4096, le=2**63 - 1, extra_json_schema=SIZE)] = field(
        default=10 * 1024 * 1024, name="max_size"
    )
    max_age_s: PositiveSeconds | None = field(default=None, name="max_age")  # of a file's first line
    keep: Annotated[int, Meta(ge=0, le=1000)] = 5
    when_full: Literal["block", "drop"] = "block"  # the file is slower than the worker, or rate_limit is reached
    rate_limit_bytes: Annotated[int, Meta(ge=1024, le=2**40, extra_json_schema=SIZE)] | None = field(
        default=None, name="rate_limit"
    )  # a second


UserName = Annotated[str, Meta(min_length=1, description='"self", "root", a name inside the sandbox or a number')]
UserId = Annotated[int, Meta(ge=0, le=2**32 - 2)]
Persona = Literal[  # personality(2)
    "ADDR_COMPAT_LAYOUT",
    "ADDR_LIMIT_32BIT",
    "ADDR_LIMIT_3GB",
    "ADDR_NO_RANDOMIZE",
    "LINUX32",
    "MMAP_PAGE_ZERO",
    "READ_IMPLIES_EXEC",
    "UNAME26",
]
Mask = Annotated[str, Meta(pattern=r"^0?[0-7]{3}$", description='an octal mask, such as "0027"')]
GroupName = Annotated[str, Meta(min_length=1, description="a group's name inside the sandbox, or a number")]
GroupId = UserId
IdMapLine = Annotated[str, Meta(description='"INSIDE:OUTSIDE:COUNT", three numbers')]


class Worker(Record, frozen=True):
    """[worker.NAME]: one command and its sandbox."""

    name: str
    command: tuple[str, ...]
    instances: Annotated[int, Meta(ge=1, le=10000)] = 1
    working_dir: InnerPath = "/"
    user: UserName | UserId = "self"  # self | root | a name inside the sandbox | a number
    umask: Annotated[str, Meta(pattern=r"^[0-7]{3,4}$", description='an octal mask, such as "0027"')] | None = (
        None  # 0022
    )
    personality: tuple[Persona, ...] = ()
    group: GroupName | GroupId | None = None  # None: the user's own
    groups: tuple[GroupName | GroupId, ...] | None = None  # None: those of a user by name, inside; else none
    id_map: Literal["self", "keep-id", "auto"] = "self"
    id_count: Annotated[int, Meta(ge=1, le=2**31)] | None = None  # id_map = auto; None: 1024, of root 65536
    uid_map: tuple[IdMapLine, ...] = ()  # instead of id_map
    gid_map: tuple[IdMapLine, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    env_file: tuple[HostPath, ...] = ()  # their variables are already in env
    after: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    autostart: bool = True
    init: bool | Literal["static"] = True  # static: a program of the host's, which folds signals into exit codes
    setup_timeout_s: PositiveSeconds = field(default=30.0, name="setup_timeout")
    hostname: UtsName | None = None  # None: the instance's name
    domainname: UtsName | None = None
    rootfs: Rootfs = Rootfs()
    namespaces: Namespaces = Namespaces()
    time_offsets: TimeOffsets = TimeOffsets()
    network: Network = Network()
    mounts: tuple[Mount, ...] = ()
    secrets: tuple[Secret, ...] = ()
    sysctls: dict[str, str] = field(default_factory=dict)
    masked_paths: tuple[InnerPath, ...] = MASKED_PATHS
    readonly_paths: tuple[InnerPath, ...] = READONLY_PATHS
    security: Security = Security()
    limits: Limits = Limits()
    limits_required: bool = False  # refuse to start where a cgroup limit cannot be set
    ready: Ready = Ready()
    health: Health = Health()
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
    return [instance_name(worker, index) for index in range(worker.instances)]


def instance_name(worker: Worker, index: int) -> str:
    """The name of one of them, from 0."""
    return worker.name if worker.instances == 1 else f"{worker.name}-{index}"
