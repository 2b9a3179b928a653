"""What a plan must know of the host. `host/` gathers it; `sandbox/` only reads it."""

from typing import Literal

import msgspec


class HostEntry(msgspec.Struct, frozen=True):
    """One entry of the host view: bound from source, or a symbolic link with source as its text."""

    target: str
    kind: Literal["bind", "symlink"]
    source: str


class IdRange(msgspec.Struct, frozen=True):
    """Ids outside that the user may map (subuid(5))."""

    start: int
    count: int


class IdSlice(msgspec.Struct, frozen=True):
    """Ids outside of users and, as many, of groups: one worker's own, or where such slices come from."""

    uid: int
    gid: int
    count: int


class CgroupFacts(msgspec.Struct, frozen=True):
    """What the keeper's place in the cgroup v2 tree offers. The runtime finds it, once there is a keeper."""

    usable: bool = False  # cgroups can be made, with what needs no controller: kill, freeze, events, pressure
    controllers: tuple[str, ...] = ()  # enabled for the workers' cgroups
    reason: str = "there is no keeper yet"  # why there are no more


class BridgePort(msgspec.Struct, frozen=True):
    """An instance's place on a bridge."""

    bridge: str
    address: str  # its own, with the prefix length: 10.89.0.2/24
    bridge_address: str  # the bridge's, likewise


class HostFacts(msgspec.Struct, frozen=True):
    """Gathered once at start and at each reload."""

    uid: int
    gid: int
    user: str  # "" where /etc/passwd does not name the uid
    home: str
    privileged: bool  # CAP_SETUID, CAP_SETGID and CAP_SYS_ADMIN in the supervisor's own user namespace
    view: tuple[HostEntry, ...]  # the host view: /usr, the links beside it, what is needed of /etc
    subuid: IdRange | None = None
    subgid: IdRange | None = None
    subuids: tuple[IdRange, ...] = ()  # all of the user's ranges; subuid is the one that keep-id maps
    subgids: tuple[IdRange, ...] = ()
    slices: dict[str, IdSlice] = msgspec.field(default_factory=dict)  # by worker, for id_map = "auto"
    slice_errors: dict[str, tuple[str, str]] = msgspec.field(default_factory=dict)  # why there is none: errno, words
    ports: dict[str, BridgePort] = msgspec.field(default_factory=dict)  # by instance, for network.mode = "bridge"
    port_errors: dict[str, tuple[str, str]] = msgspec.field(default_factory=dict)  # why there is none: errno, words
    bridge_owner: str = ""  # whose ports they are, told apart from those of another nsvisor
    newuidmap: str | None = None  # path
    newgidmap: str | None = None
    last_cap: int = 40  # /proc/sys/kernel/cap_last_cap
    cpus: str = ""  # those that there are, such as "0-3"; "" where that is unknown
    machine: str = "x86_64"  # uname -m
    release: str = "5.10"  # of the kernel, as uname -r
    time_namespace: bool = True
    timezone: str | None = None  # TZ for workers
    nameservers: tuple[str, ...] = ()  # of resolv.conf
    resolver_options: tuple[str, ...] = ()  # its lines search, domain and options
    absent: tuple[str, ...] = ()  # of spec/masks.py: what this host's kernel does not have
    device_nodes: tuple[str, ...] = ("null", "zero", "full", "random", "urandom", "tty")
    cgroups: CgroupFacts = CgroupFacts()
    outlives_keeper: bool = False  # a service manager's scope, and the next daemon, end workers that their keeper left
    static_init: str = ""  # path of a catatonit or tini-static, for init = "static"; "": there is none
    notify_directory: str = ""  # where the daemon makes its workers' sockets for sd_notify(3); "": there is no daemon
