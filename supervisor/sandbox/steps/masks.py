"""Kernel settings of the sandbox's namespaces, and what it is not to see or change of the kernel."""

from supervisor.sandbox.ids import identify
from supervisor.sandbox.steps.step import Step
from supervisor.spec.facts import HostFacts
from supervisor.spec.masks import READONLY_PATHS
from supervisor.spec.model import Mount, Worker
from supervisor.spec.sysctls import path_of


def sysctl_steps(worker: Worker) -> list[Step]:
    """One each, while /proc/sys can still be written to."""
    return [
        Step("sysctl.set", f"{name} = {value}", (f"sys/{path_of(name)}", value))
        for name, value in worker.sysctls.items()
    ]


def mask_steps(worker: Worker, facts: HostFacts) -> list[Step]:
    """mount.mask, unless nothing is to be hidden.

    Of a worker that is the host's root all of /proc is read-only by default, wherever it is mounted: the kernel asks
    for that id in many more places, and for no capability.
    """
    whole = set(READONLY_PATHS) <= set(worker.readonly_paths) and _is_host_root(worker, facts)
    masked = _there(worker.masked_paths, worker, facts)
    read_only = [
        path for path in _there(worker.readonly_paths, worker, facts) if not (whole and path.startswith("/proc/"))
    ]
    if whole:
        read_only += [mount.target for mount in worker.mounts if _is_another_proc(mount)]
    if not (masked or read_only or whole):
        return []
    detail = "; ".join(
        f"{word} {' '.join(paths)}"
        for word, paths in (("hide", masked), ("read-only", [*(["/proc"] if whole else []), *read_only]))
        if paths
    )
    return [Step("mount.mask", detail, (int(whole), len(masked), *masked, *read_only))]


def _there(paths: tuple[str, ...], worker: Worker, facts: HostFacts) -> list[str]:
    """Without those that cannot be there: what the kernel lacks, and /sys where the host view has none."""
    shows_sys = worker.rootfs.kind != "host" or any(
        mount.target == "/sys" or mount.target.startswith("/sys/") for mount in worker.mounts
    )
    return [path for path in paths if path not in facts.absent and (shows_sys or not path.startswith("/sys/"))]


def _is_another_proc(mount: Mount) -> bool:
    """Whether it shows kernel settings at a place of its own; a bind that says `rw` means it."""
    if mount.type == "proc":
        return mount.target != "/proc"
    return mount.type == "bind" and f"{mount.source}/".startswith("/proc/") and "rw" not in mount.options


def _is_host_root(worker: Worker, facts: HostFacts) -> bool:
    """Whether the workload has the host's uid 0, or may take it."""
    identity = identify(worker, facts)
    if facts.uid != 0:
        return False
    if not identity.mapped:
        return identity.uid == 0 or identity.name != ""
    return identity.by_itself or any(outside == 0 for _, outside, _ in identity.uid_map)
