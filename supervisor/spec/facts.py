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
    newuidmap: str | None = None  # path
    newgidmap: str | None = None
    last_cap: int = 40  # /proc/sys/kernel/cap_last_cap
    time_namespace: bool = True
    timezone: str | None = None  # TZ for workers
    device_nodes: tuple[str, ...] = ("null", "zero", "full", "random", "urandom", "tty")
