"""Checks of the interpreter, the kernel and what it lets this user do."""

import os
import re
import sys
from collections.abc import Iterator, Mapping

from supervisor.host.check import Check, read
from supervisor.spec import remedies
from supervisor.spec.facts import HostFacts
from supervisor.spec.model import Worker
from supervisor.spec.publish import OUTWARD

OLDEST = (5, 10)
NEWER = (
    ((5, 11), "overlays in user namespaces"),
    ((5, 12), "mount_setattr, which saves each launch some milliseconds"),
    ((5, 14), "whole trees killed by cgroup.kill"),
    ((6, 15), "exit status of adopted workers without a keeper (PIDFD_GET_INFO)"),
)
# The worker's namespace key and the sysctl's middle: user.max_{kind}_namespaces.
SYSCTLS = {"user": "user", "pid": "pid", "mount": "mnt", "uts": "uts", "ipc": "ipc", "cgroup": "cgroup", "time": "time"}


def check_python() -> Check:
    """The interpreter that runs the daemon and the keeper (the package installs on 3.11 and newer only)."""
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", "ok", f"{version} ({sys.executable})")


def check_version(release: str) -> Check:
    """What the running kernel is too old for."""
    match = re.match(r"(\d+)\.(\d+)", release)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    if version < OLDEST:
        return Check("kernel", "fail", release, "boot Linux 5.10 or newer")
    missing = [f"{major}.{minor} for {what}" for (major, minor), what in NEWER if version < (major, minor)]
    if missing:
        return Check("kernel", "warn", release, f"a newer kernel adds: {'; '.join(missing)}")
    return Check("kernel", "ok", release)


def wanted_namespaces(workers: list[Worker]) -> dict[str, int]:
    """How many new namespaces of each kind the workers make together."""
    wanted = dict.fromkeys((*SYSCTLS, "net"), 0)
    for worker in workers:
        for kind in SYSCTLS:
            if getattr(worker.namespaces, kind) is True:
                wanted[kind] += worker.instances
        if worker.network.mode in ("none", *OUTWARD):
            wanted["net"] += worker.instances
    return {kind: count for kind, count in wanted.items() if count}


def check_sysctls(wanted: Mapping[str, int], root: str = "/proc/sys") -> Iterator[Check]:
    """Look for the switches and quotas that stop namespaces from being made."""
    if "user" in wanted and read(f"{root}/kernel/unprivileged_userns_clone") == "0" and os.geteuid() != 0:
        yield Check("kernel.unprivileged_userns_clone", "fail", "0", remedies.ALLOW_USER_NAMESPACES)
    sound = []
    for kind, count in wanted.items():
        middle = SYSCTLS.get(kind, kind)
        name = f"user.max_{middle}_namespaces"
        found = read(f"{root}/user/max_{middle}_namespaces")
        if found is None or not found.isdecimal():
            yield Check(name, "warn", "not there: the kernel was built without it, or /proc/sys is hidden")
        elif int(found) < count:
            fix = remedies.RAISE_NAMESPACES.replace("{kind}", middle)
            yield Check(name, "fail", f"{found}, and the workers need {count}", fix)
        else:
            sound.append(middle)
    if sound:
        yield Check("namespace quotas", "ok", f"enough of {', '.join(sound)}")


def check_chroot(mountinfo: str) -> Iterator[Check]:
    """Say so where the root of this process is no mount: the kernel refuses user namespaces there."""
    points = {fields[4] for line in mountinfo.splitlines() if len(fields := line.split()) > 4}
    if points and "/" not in points:
        fix = "start nsvisor outside the chroot, or enter that root by pivot_root: systemd-nspawn, bwrap"
        yield Check("chroot", "fail", "this process is in a chroot", fix)


def check_user_namespaces(trial: Mapping[str, str], facts: HostFacts, root: str = "/proc/sys") -> Iterator[Check]:
    """What the trial in a child process says; `trial` is what probe() answers."""
    apparmor = read(f"{root}/kernel/apparmor_restrict_unprivileged_userns") == "1" and not facts.privileged
    failed = {phase: answer for phase, answer in trial.items() if answer != "ok" and phase != "mount.proc"}
    if not failed:
        yield Check("user namespaces", "ok", "made one, with " + ", ".join(p[3:] for p in trial if p.startswith("ns.")))
    for phase, answer in failed.items():
        yield Check(f"user namespaces: {phase}", "fail", answer, _namespace_fix(phase, answer, apparmor=apparmor))
        if phase in {"clone", "id.map"}:
            return
    if (answer := trial.get("mount.proc", "ok")) != "ok":
        covered = ", ".join(covered_proc(read("/proc/self/mountinfo") or "")) or "unknown"
        yield Check(
            "fresh proc", "fail", f"{answer}; parts of /proc are covered by mounts: {covered}", remedies.UNMASK_PROC
        )
    elif "mount.proc" in trial:
        yield Check("fresh proc", "ok", "mounted one")


def _namespace_fix(phase: str, answer: str, *, apparmor: bool) -> str:
    if apparmor and answer in {"EPERM", "EACCES"}:
        return remedies.ALLOW_APPARMOR_USER_NAMESPACES
    if phase == "mount.overlay":
        return f"{remedies.LOAD_OVERLAY}; a user namespace needs Linux 5.11 for it, and no security module against it"
    if answer == "ENOSPC":
        kind = {"clone": "user", "ns.mount": "mnt", "ns.network": "net"}.get(phase, phase.rpartition(".")[2])
        return remedies.RAISE_NAMESPACES.replace("{kind}", kind)
    if answer == "EINVAL":
        return "boot a kernel that has this namespace (CONFIG_NAMESPACES and its kinds; time: CONFIG_TIME_NS)"
    if phase == "clone" and answer in {"EPERM", "EACCES"}:
        return f"{remedies.ALLOW_USER_NAMESPACES}; in a container, let its seccomp profile and LSM allow unshare"
    return f"see what holds it back: {remedies.READ_KERNEL_LOG}, and the container's seccomp profile and LSM"


def covered_proc(mountinfo: str) -> list[str]:
    """Mount points below /proc: any of them makes the kernel refuse a fresh proc to a user namespace."""
    points = [fields[4] for line in mountinfo.splitlines() if len(fields := line.split()) > 4]
    return sorted({point for point in points if point.startswith("/proc/")})
