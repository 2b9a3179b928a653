"""Checks of what surrounds the daemon: directories, the service manager, cgroups, its own limits."""

import os
import resource
import socket
import stat
from collections.abc import Iterator, Mapping
from typing import Literal

from supervisor.host.check import Check, read
from supervisor.spec import paths, remedies
from supervisor.spec.cgroup_files import CONTROLLERS, wanted_controllers
from supervisor.spec.descriptors import of_fleet
from supervisor.spec.facts import HostFacts
from supervisor.spec.model import Fleet, Worker

MIN_FREE_BYTES = 64 * 1024 * 1024
CGROUPS = "/sys/fs/cgroup"


def check_runtime_dir(environ: Mapping[str, str], uid: int) -> Check:
    """Where the sockets go: the user's own directory, closed to others."""
    name = "runtime directory"
    given = environ.get("XDG_RUNTIME_DIR")
    target = paths.runtime_dir(environ, uid)
    if not given and uid != 0:
        fix = f"export XDG_RUNTIME_DIR=/run/user/{uid} (pam_systemd sets it at login)"
        return Check(
            name, "warn", f"XDG_RUNTIME_DIR is not set; {target} is used, and other tools will not look there", fix
        )
    if not given:
        return Check(name, "ok", target)
    try:
        status = os.stat(given)
    except OSError as error:
        return Check(name, "fail", f"{given}: {error.strerror}", "log in anew, or unset XDG_RUNTIME_DIR")
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid:
        return Check(
            name, "fail", f"{given} is not a directory of uid {uid}", "unset XDG_RUNTIME_DIR, or log in as that user"
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        return Check(name, "fail", f"{given} has mode {stat.S_IMODE(status.st_mode):04o}", f"chmod 0700 {given}")
    return Check(name, "ok", target)


def check_state_dir(environ: Mapping[str, str], uid: int) -> Check:
    """Where the logs go: writable, with room."""
    name = "state directory"
    target = paths.state_dir(environ, uid)
    present = target
    while not os.path.lexists(present):
        present = os.path.dirname(present)
    if not os.path.isdir(present) or not os.access(present, os.W_OK | os.X_OK):
        fix = f"sudo install -d -o $(id -u) -g $(id -g) {target}"
        return Check(name, "fail", f"{target}: cannot write in {present}", fix)
    space = os.statvfs(present)
    free = space.f_bavail * space.f_frsize
    if free < MIN_FREE_BYTES:
        return Check(
            name, "warn", f"{target}: {free // 1024 // 1024} MiB free", f"make room: du -xh {present} | sort -h | tail"
        )
    return Check(name, "ok", f"{target}, {free // 1024 // 1024} MiB free")


def check_systemd(environ: Mapping[str, str], facts: HostFacts, root: str = "/") -> Iterator[Check]:
    """The manager that would give the workers a scope, and whether it outlives the login."""
    name = "service manager"
    if not os.path.isdir(os.path.join(root, "run/systemd/system")) and not environ.get("XDG_RUNTIME_DIR"):
        yield Check(name, "ok", "no systemd here: workers end with their keeper")
        return
    if facts.uid == 0:
        yield Check(name, "ok", "systemd, system manager")
        return
    address = os.path.join(environ.get("XDG_RUNTIME_DIR", f"/run/user/{facts.uid}"), "systemd/private")
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address)
        except OSError as error:
            found = f"no systemd user manager ({address}: {error.strerror}): workers get no scope of their own"
            yield Check(name, "warn", found, f"sudo systemctl start user@{facts.uid}.service")
            return
    yield Check(name, "ok", "systemd, user manager")
    if os.path.exists(os.path.join(root, "var/lib/systemd/linger", facts.user)):
        yield Check("lingering", "ok", "on: the workers outlive the login")
    else:
        fix = remedies.ENABLE_LINGER.replace("{user}", facts.user)
        yield Check("lingering", "warn", "off: everything ends when you log out", fix)


def check_cgroup(own: str, mounted: str = CGROUPS) -> Check:
    """The v2 hierarchy and what of it is delegated to this process. own: the text of /proc/self/cgroup."""
    name = "cgroup v2"
    lines = [line[3:] for line in own.splitlines() if line.startswith("0::")]
    if not lines or not os.path.exists(os.path.join(mounted, "cgroup.controllers")):
        fix = "boot with systemd.unified_cgroup_hierarchy=1"
        return Check(name, "warn", f"not mounted at {mounted}: workers are ended by their pid namespace alone", fix)
    here = os.path.join(mounted, lines[0].lstrip("/"))
    if not os.access(here, os.W_OK):
        fix = f"run under systemctl --user, or: {remedies.DELEGATED_SCOPE}"
        return Check(name, "warn", f"{lines[0]} is not delegated to this user", fix)
    return Check(name, "ok", f"{lines[0]} is ours")


def check_controllers(
    workers: list[Worker], facts: HostFacts, own: str = "", mounted: str = CGROUPS
) -> Iterator[Check]:
    """What the service manager delegates, or else this process's place, against the limits that are asked for.

    own: the text of /proc/self/cgroup.
    """
    manager = os.path.join(mounted, f"user.slice/user-{facts.uid}.slice/user@{facts.uid}.service")
    place = next((line[3:] for line in own.splitlines() if line.startswith("0::")), "/")
    found = read(os.path.join(manager, "cgroup.controllers"))
    if found is None:
        found = read(os.path.join(mounted, place.lstrip("/"), "cgroup.controllers")) or ""
    offered = [one for one in CONTROLLERS if one in found.split()]
    lacking = [one for one in CONTROLLERS if one not in offered]
    wanted = {controller for worker in workers for controller in wanted_controllers(worker.limits)}
    required = {
        controller for worker in workers if worker.limits_required for controller in wanted_controllers(worker.limits)
    }
    said = f"{', '.join(offered) or 'none'} delegated"
    if lacking:
        said += f", not {', '.join(lacking)}"
    if not wanted.intersection(lacking):
        yield Check("cgroup controllers", "ok", said)
        return
    asked = ", ".join(sorted(wanted.intersection(lacking)))
    status: Literal["warn", "fail"] = "fail" if required.intersection(lacking) else "warn"
    fix = remedies.DELEGATE_CONTROLLERS if offered else "boot with systemd.unified_cgroup_hierarchy=1"
    yield Check("cgroup controllers", status, f"{said}; limits ask for {asked}", fix)


def check_descriptors(fleet: Fleet, limits: tuple[int, int] | None = None) -> Check:
    """RLIMIT_NOFILE against what the fleet needs. limits: (soft, hard), default this process's."""
    name = "open files"
    soft, hard = limits or resource.getrlimit(resource.RLIMIT_NOFILE)
    need = of_fleet(fleet).most
    instances = sum(worker.instances for worker in fleet.workers.values())
    if hard != resource.RLIM_INFINITY and hard < need:
        return Check(
            name, "fail", f"at most {hard}, {instances} instances need {need}", f"LimitNOFILE={need} in nsvisor.service"
        )
    allowed = "unlimited" if hard == resource.RLIM_INFINITY else hard
    return Check(name, "ok", f"{soft}, which the daemon raises to {allowed}; {need} needed")


def check_keys(instances: int, uid: int, root: str = "/proc") -> Iterator[Check]:
    """Every sandbox has a session keyring of its own, counted against the user's quota (keyrings(7))."""
    kind = "root_maxkeys" if uid == 0 else "maxkeys"
    quota = read(f"{root}/sys/kernel/keys/{kind}")
    if quota is None or not quota.isdecimal():
        return  # a kernel without keys
    name = f"kernel.keys.{kind}"
    used = 0
    for line in (read(f"{root}/key-users") or "").splitlines():
        owner, _, counts = line.partition(":")
        if owner.strip() == str(uid) and len(counts.split()) == 4:
            used = int(counts.split()[2].partition("/")[0])
    if int(quota) - used < instances // 10 + 1 or int(quota) < instances:
        found = (
            f"{quota}, {used} in use, {instances} instances want one each; the others share nsvisor's session keyring"
        )
        yield Check(name, "warn", found, remedies.RAISE_KEYS)
    else:
        yield Check(name, "ok", f"{quota}, {used} in use")
