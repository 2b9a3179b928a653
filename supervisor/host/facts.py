"""Gather what a plan must know of this host."""

import os
import pwd
import shutil
import stat
from collections.abc import Mapping

from supervisor.host.resolver import resolver
from supervisor.host.static_init import find_static_init
from supervisor.host.subid import subordinate_ranges, sufficient_range
from supervisor.host.view import host_view
from supervisor.spec.facts import HostFacts
from supervisor.spec.masks import MASKED_PATHS, READONLY_PATHS

CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN = 6, 7, 21
DEVICE_NODES = ("null", "zero", "full", "random", "urandom", "tty")
ZONEINFO = "/zoneinfo/"


def gather(environ: Mapping[str, str]) -> HostFacts:
    """Read this host as the calling process sees it. environ gives PATH (for newuidmap), HOME and TZ."""
    uid, gid = os.getuid(), os.getgid()
    try:
        entry = pwd.getpwuid(uid)
        user, home = entry.pw_name, entry.pw_dir
    except KeyError:
        user, home = "", environ.get("HOME", "/")
    path = environ.get("PATH") or os.defpath
    subuids, subgids = (subordinate_ranges(f"/etc/sub{kind}", user, uid) for kind in ("uid", "gid"))
    nameservers, resolver_options = resolver()
    return HostFacts(
        uid=uid,
        gid=gid,
        user=user,
        home=home,
        privileged=_privileged(_read("/proc/self/status")),
        view=host_view(),
        subuid=sufficient_range(subuids),
        subgid=sufficient_range(subgids),
        subuids=subuids,
        subgids=subgids,
        newuidmap=shutil.which("newuidmap", path=path),
        newgidmap=shutil.which("newgidmap", path=path),
        last_cap=int(_read("/proc/sys/kernel/cap_last_cap").strip() or 40),
        cpus=_read("/sys/devices/system/cpu/online").strip(),
        machine=os.uname().machine,
        release=os.uname().release,
        time_namespace=os.path.exists("/proc/self/ns/time"),
        timezone=_timezone(environ),
        nameservers=nameservers,
        resolver_options=resolver_options,
        absent=tuple(path for path in (*MASKED_PATHS, *READONLY_PATHS) if not os.path.lexists(path)),
        static_init=find_static_init(),
        device_nodes=tuple(name for name in DEVICE_NODES if _is_device(f"/dev/{name}")),
    )


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:  # a kernel built without it: the caller's default holds
        return ""


def _privileged(status: str) -> bool:
    """Whether CapEff of /proc/self/status has what maps any id and mounts without a user namespace."""
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
            return all(effective >> bit & 1 for bit in (CAP_SETUID, CAP_SETGID, CAP_SYS_ADMIN))
    return False


def _timezone(environ: Mapping[str, str]) -> str | None:
    """TZ as set, else the zone that /etc/localtime names, else what /etc/timezone says (Debian)."""
    if environ.get("TZ"):
        return environ["TZ"]
    target = os.path.realpath("/etc/localtime")
    if ZONEINFO in target:
        return target.rpartition(ZONEINFO)[2]
    return _read("/etc/timezone").strip() or None


def _is_device(path: str) -> bool:
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except OSError:
        return False
