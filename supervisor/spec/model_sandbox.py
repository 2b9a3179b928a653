"""The tables that shape a worker's sandbox. See model.py for how keys are named."""

from typing import Annotated, Literal

from msgspec import Meta, field

from supervisor.spec.fields import DURATION, LONGEST_S, Bytes, HostPath, InnerPath, Record


class Rootfs(Record, frozen=True):
    """Where the sandbox's root comes from: a read-only view of the host, or a directory."""

    kind: Literal["host", "dir"] = "host"
    path: HostPath | None = None  # kind = dir
    writable: bool = False  # kind = dir


# true: a new one; false: the supervisor's own; else "worker:NAME", "pid:N" or "path:FILE": join that one.
Namespace = (
    bool
    | Annotated[
        str,
        Meta(
            pattern=r"^(worker:.+|pid:[1-9][0-9]{0,9}|path:.+)$",
            description='true, false, "worker:NAME", "pid:N" or "path:FILE"',
            extra_json_schema={"x-form": "reference"},
        ),
    ]
)


class Namespaces(Record, frozen=True):
    """Which namespaces are new, shared with the supervisor, or joined. The network has its own key."""

    user: Namespace = True
    pid: Namespace = True
    mount: Namespace = True
    uts: Namespace = True
    ipc: Namespace = True
    cgroup: Namespace = True
    time: Namespace = False


OffsetSeconds = Annotated[int, Meta(ge=-LONGEST_S, le=LONGEST_S, extra_json_schema=DURATION)]


class TimeOffsets(Record, frozen=True):
    """Added to the clocks of a new time namespace."""

    monotonic_s: OffsetSeconds = field(default=0, name="monotonic")
    boottime_s: OffsetSeconds = field(default=0, name="boottime")


class Network(Record, frozen=True):
    """none (loopback only), host, or an existing namespace: worker:NAME, pid:N, path:FILE."""

    mode: Annotated[
        str,
        Meta(
            pattern=r"^(none|host|worker:.+|pid:[1-9][0-9]{0,9}|path:.+)$",
            description='"none", "host", "worker:NAME", "pid:N" or "path:FILE"',
            extra_json_schema={"x-form": "reference"},
        ),
    ] = "none"


class Mount(Record, frozen=True):
    """One mount of the user's, in file order."""

    type: Literal["bind", "tmpfs"]
    target: InnerPath
    source: HostPath | None = None  # bind
    options: tuple[Literal["ro", "rw", "rbind", "bind", "nosuid", "nodev", "noexec"], ...] = ()
    size_bytes: Bytes | None = field(default=None, name="size")  # tmpfs
    mode: Annotated[str, Meta(pattern=r"^[0-7]{3,4}$", description='an octal mode, such as "1777"')] | None = (
        None  # tmpfs
    )


CapabilityName = Annotated[
    str,
    Meta(
        description='a capability\'s name, such as "CAP_CHOWN" or "chown"', extra_json_schema={"x-form": "capability"}
    ),
]


class Security(Record, frozen=True):
    """What the workload may do. Capabilities by name, with or without CAP_."""

    capabilities: tuple[CapabilityName, ...] = ()
    no_new_privs: bool = True


RLIM_MAX = 2**63 - 1
Limit = Annotated[int, Meta(ge=0, le=RLIM_MAX)] | Literal["unlimited"]
SizeLimit = Bytes | Literal["unlimited"]
TimeLimit = Annotated[int, Meta(ge=0, le=LONGEST_S, extra_json_schema=DURATION)] | Literal["unlimited"]


class Limits(Record, frozen=True):
    """Resource limits (setrlimit(2)); soft and hard alike."""

    nofile: Limit | None = None  # None: the hard limit as inherited, the soft one at most 1024
    nproc: Limit | None = None
    core: SizeLimit | None = None
    fsize: SizeLimit | None = None
    memlock: SizeLimit | None = None
    stack: SizeLimit | None = None
    data: SizeLimit | None = None
    cpu_s: TimeLimit | None = field(default=None, name="cpu_time")
    address_space: SizeLimit | None = field(default=None, name="as")
