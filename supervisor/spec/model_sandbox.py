"""The tables that shape a worker's sandbox. See model.py for how keys are named."""

from typing import Annotated, Literal

from msgspec import Meta, field

from supervisor.spec.fields import DURATION, LONGEST_S, Bytes, HostPath, InnerPath, PositiveSeconds, Record
from supervisor.spec.model_cgroup import CgroupLimits
from supervisor.spec.seccomp import Profile


class Rootfs(Record, frozen=True):
    """Where the sandbox's root comes from: a read-only view of the host, a directory, an overlay, or an empty tmpfs."""

    kind: Literal["host", "dir", "overlay", "tmpfs", "bundle"] = "host"  # a bundle is loaded as what it says
    path: HostPath | None = None  # kind = dir, bundle
    writable: bool = False  # kind = dir, tmpfs
    idmap: bool = False  # kind = dir, bundle: owners translated by the id map; of a privileged daemon
    lower: tuple[HostPath, ...] = ()  # kind = overlay: the topmost first
    upper: HostPath | None = None  # kind = overlay; None: what is written is thrown away
    work: HostPath | None = None  # kind = overlay; None: beside upper
    size_bytes: Bytes | None = field(default=None, name="size")  # kind = tmpfs; kind = overlay without upper


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


Address = Annotated[str, Meta(description="an IPv4 or IPv6 address", extra_json_schema={"x-form": "ip-address"})]
InterfaceAddress = Annotated[
    str, Meta(description='an IPv4 address, such as "10.0.0.2/24"', extra_json_schema={"x-form": "ip-interface"})
]
Published = Annotated[
    str,
    Meta(
        description='"HOST_IP:HOST_PORT:PORT/PROTOCOL", such as "127.0.0.1:8080:80", "8080:80/udp" or "8080"',
        extra_json_schema={"x-form": "publish"},
    ),
]
Subnet = Annotated[
    str, Meta(description='an IPv4 network, such as "10.89.0.0/24"', extra_json_schema={"x-form": "ip-network"})
]
InterfaceName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$", description="an interface's name")]


class Network(Record, frozen=True):
    """none (loopback only), host, pasta (a user-mode process), bridge, or a present one: worker:, pid:, path:."""

    mode: Annotated[
        str,
        Meta(
            pattern=r"^(none|host|pasta|bridge|worker:.+|pid:[1-9][0-9]{0,9}|path:.+)$",
            description='"none", "host", "pasta", "bridge", "worker:NAME", "pid:N" or "path:FILE"',
            extra_json_schema={"x-form": "reference"},
        ),
    ] = "none"
    publish: tuple[Published, ...] = ()  # mode = pasta; without HOST_IP on 127.0.0.1
    address: InterfaceAddress | None = None  # pasta, bridge; None: the host's own, one of the bridge's network
    gateway: Address | None = None  # pasta, bridge; None: the host's own, the bridge
    dns: tuple[Address, ...] = ()  # pasta, bridge; empty: the host's
    interface: InterfaceName | None = None  # pasta, bridge; None: as the host's, eth0
    bridge: InterfaceName | None = None  # mode = bridge; None: nsvisor0
    subnet: Subnet | None = None  # mode = bridge; None: that of address, or one that the host does not use
    host_loopback: bool = False  # mode = pasta: whether it may reach what listens there
    timeout_s: PositiveSeconds = field(default=10.0, name="timeout")  # until the interface is there


MountOption = Literal[
    "ro", "rw", "rbind", "bind", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "relatime", "noatime",
    "strictatime", "nodiratime", "nosymfollow", "private", "slave", "shared", "idmap",
]  # fmt: skip
Mode = Annotated[str, Meta(pattern=r"^[0-7]{3,4}$", description='an octal mode, such as "1777"')]


class Mount(Record, frozen=True):
    """One mount of the user's, in file order; those of the kernel's own file systems come before the others."""

    type: Literal["bind", "tmpfs", "proc", "sysfs", "mqueue", "devpts", "cgroup", "overlay", "symlink", "dir", "file"]
    target: InnerPath
    source: HostPath | None = None  # bind; of a symlink its text
    options: tuple[MountOption, ...] = ()
    size_bytes: Bytes | None = field(default=None, name="size")  # tmpfs; overlay without upper
    mode: Mode | None = None  # tmpfs, devpts, dir, file
    optional: bool = False  # bind, cgroup
    hidepid: Literal["off", "noaccess", "invisible", "ptraceable"] | None = None  # proc
    subset: Literal["pid"] | None = None  # proc
    content: Annotated[str, Meta(max_length=65536)] | None = None  # file
    lower: tuple[HostPath, ...] = ()  # overlay: the topmost first
    upper: HostPath | None = None  # overlay; None: what is written is thrown away, or nothing can be (ro)
    work: HostPath | None = None  # overlay; None: beside upper


SECRETS = "/run/secrets"
SecretId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,254}$",
        description="a file name of letters, digits, dots, hyphens and underscores",
    ),
]
VariableName = Annotated[str, Meta(pattern=r"^[^=]+$", description="a variable of the supervisor's environment")]
CredentialName = Annotated[
    str, Meta(pattern=r"^[^/]+$", description="a file's name in the supervisor's $CREDENTIALS_DIRECTORY")
]


class Secret(Record, frozen=True):
    """A file in a private file system of the worker's; its content is read at each launch and kept nowhere."""

    id: SecretId
    target: InnerPath | None = None  # None: /run/secrets/ID
    source: HostPath | None = None
    env: VariableName | None = None
    credential: CredentialName | None = None
    mode: Mode = "0400"
    optional: bool = False

    @property
    def place(self) -> str:
        """Where it is inside."""
        return self.target or f"{SECRETS}/{self.id}"


CapabilityName = Annotated[
    str,
    Meta(
        description='a capability\'s name, such as "CAP_CHOWN" or "chown", or "ALL"',
        extra_json_schema={"x-form": "capability"},
    ),
]
Capabilities = tuple[CapabilityName, ...]
Port = Annotated[int, Meta(ge=0, le=65535)]


class Landlock(Record, frozen=True):
    """What landlock(7) leaves of a kind of access: a key that is not written restricts nothing."""

    read: tuple[InnerPath, ...] | None = None
    write: tuple[InnerPath, ...] | None = None  # and read
    execute: tuple[InnerPath, ...] | None = None  # and read
    connect_tcp: tuple[Port, ...] | None = None
    bind_tcp: tuple[Port, ...] | None = None
    abstract_sockets: bool = True  # false: those of the sandbox only
    signals: bool = True  # false: to the sandbox's processes only
    required: bool = False  # true: fail where the kernel knows a part of it not


SeccompChoice = Annotated[
    str,
    Meta(
        description='"default", "off" or the path of an OCI profile, such as "./seccomp.json"',
        extra_json_schema={"x-form": "seccomp"},
    ),
]


class Security(Record, frozen=True):
    """What the workload may do. Capabilities by name, with or without CAP_."""

    capabilities: Capabilities = ()  # permitted and effective
    bounding: Capabilities | None = None  # None: as capabilities
    inheritable: Capabilities | None = None  # None: as ambient
    ambient: Capabilities | None = None  # None: the capabilities that are inheritable
    no_new_privs: bool = True
    nested_userns: bool = False
    seccomp: SeccompChoice = "default"
    seccomp_profile: Profile | None = None  # what the file says; not a key
    landlock: Landlock = Landlock()


def _limit(form: str, description: str) -> Meta:
    return Meta(description=description, extra_json_schema={"x-form": form})


_PAIR = '"unlimited", or both limits as "SOFT:HARD"'
Limit = Annotated[int | str, _limit("limit", f"a number, {_PAIR}")]
SizeLimit = Annotated[int | str, _limit("size-limit", f'"256MiB", "10MB" or a number of bytes, {_PAIR}')]
TimeLimit = Annotated[int | str, _limit("time-limit", f'"10s", "5m" or a number of seconds, {_PAIR}')]
MicrosecondLimit = Annotated[int | str, _limit("microsecond-limit", f'"950ms" or a number of microseconds, {_PAIR}')]

IoPriority = Annotated[
    str, _limit("io-priority", '"idle", "best-effort:0" to "best-effort:7", "realtime:0" to "realtime:7"')
]
Processors = Annotated[str | tuple[int, ...], _limit("processors", 'numbers of processors, as [0, 1] or "0-3,5"')]


class Limits(CgroupLimits, frozen=True):
    """Resource limits (setrlimit(2)), soft and hard alike unless written as SOFT:HARD; and how it is scheduled."""

    nofile: Limit | None = None  # None: the hard limit as inherited, the soft one at most 1024
    nproc: Limit | None = None
    core: SizeLimit | None = None
    fsize: SizeLimit | None = None
    memlock: SizeLimit | None = None
    stack: SizeLimit | None = None
    data: SizeLimit | None = None
    cpu_s: TimeLimit | None = field(default=None, name="cpu_time")
    address_space: SizeLimit | None = field(default=None, name="as")
    rss: SizeLimit | None = None
    locks: Limit | None = None
    msgqueue: SizeLimit | None = None
    rlimit_nice: Limit | None = None  # 20 less the lowest nice value
    rtprio: Limit | None = None
    rttime_us: MicrosecondLimit | None = field(default=None, name="rttime")
    sigpending: Limit | None = None
    oom_score_adj: Annotated[int, Meta(ge=-1000, le=1000)] | None = None
    nice: Annotated[int, Meta(ge=-20, le=19)] | None = None
    ionice: IoPriority | None = None
    scheduling: Annotated[str, _limit("scheduling", '"other", "batch", "idle", "fifo:10" or "rr:10"')] | None = None
    affinity: Processors | None = None
