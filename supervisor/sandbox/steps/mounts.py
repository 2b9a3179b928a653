"""What is mounted into the root: the kernel's file systems first, then the user's, then what hides."""

from collections.abc import Callable, Mapping

from supervisor.sandbox.steps.network import has_own_network
from supervisor.sandbox.steps.overlay import overlay_step
from supervisor.sandbox.steps.step import Step
from supervisor.sandbox.view import needs_private_tmp
from supervisor.spec.facts import HostFacts
from supervisor.spec.model import Mount, Worker

SHM_BYTES = 64 * 1024 * 1024  # docker's and podman's default
# The kernel's own file systems, in the order of the vocabulary.
API_TYPES = ("proc", "sysfs", "cgroup", "mqueue", "devpts")


def api_steps(worker: Worker, facts: HostFacts) -> list[Step]:
    """First, so that a user's bind below them is not hidden."""
    targets = {mount.target for mount in worker.mounts}
    steps = [Step("mount.dev", "/dev", ("" if "/dev/shm" in targets else SHM_BYTES, *facts.device_nodes))]
    if not any(mount.type == "proc" and mount.target == "/proc" for mount in worker.mounts):
        steps.append(_proc_step(worker))
    early = sorted(_early(worker), key=lambda mount: API_TYPES.index(mount.type))
    steps += [_user_mount(mount, worker) for mount in early]
    return steps


def user_steps(worker: Worker) -> list[Step]:
    """In file order, one phase each; a /tmp of its own first, where the user has none."""
    early = _early(worker)
    own_tmp = [Step("mount.tmpfs", "/tmp", ("/tmp", "", "1777"))] if needs_private_tmp(worker) else []
    return [*own_tmp, *(_user_mount(mount, worker) for mount in worker.mounts if mount not in early)]


def _early(worker: Worker) -> list[Mount]:
    """Those of the kernel's file systems that do not lie in another mount of the user's."""
    others: list[str] = []
    early = []
    for mount in worker.mounts:
        if mount.type in API_TYPES and not any(mount.target.startswith(other + "/") for other in others):
            early.append(mount)
        else:
            others.append(mount.target)
    return early


def _proc_step(worker: Worker) -> Step:
    """A fresh one shows the pid namespace, and may be mounted by those who own it: the host's is bound instead."""
    if worker.namespaces.pid is False and worker.namespaces.user is not False:
        return Step("mount.proc", "/proc, the host's", ("/proc", "host"))
    return Step("mount.proc", "/proc", ("/proc",))


def _user_mount(mount: Mount, worker: Worker) -> Step:
    return _STEPS[mount.type](mount, worker)


def _bind(mount: Mount, _worker: Worker) -> Step:
    words = _words(mount)
    return Step(
        "mount.bind", _said(f"{mount.source} -> {mount.target}", *words), (mount.source or "", mount.target, *words)
    )


def _tmpfs(mount: Mount, _worker: Worker) -> Step:
    size = "" if mount.size_bytes is None else str(mount.size_bytes)
    detail = _said(mount.target, f"size {size}" if size else "", *mount.options)
    return Step("mount.tmpfs", detail, (mount.target, size, mount.mode or "755", *mount.options))


def _proc(mount: Mount, _worker: Worker) -> Step:
    settings = [f"{key}={value}" for key in ("hidepid", "subset") if (value := getattr(mount, key)) is not None]
    return Step(
        "mount.proc", _said(mount.target, *settings, *mount.options), (mount.target, "fresh", *settings, *mount.options)
    )


def _sysfs(mount: Mount, worker: Worker) -> Step:
    """A fresh one shows the network namespace, and may be mounted by those who own it."""
    own = has_own_network(worker)
    where = mount.target if own else f"{mount.target}, the host's"
    return Step("mount.sysfs", _said(where, *mount.options), (mount.target, "fresh" if own else "host", *mount.options))


def _cgroup(mount: Mount, _worker: Worker) -> Step:
    words = _words(mount)
    return Step("mount.cgroup", _said(mount.target, *words), (mount.target, *words))


def _mqueue(mount: Mount, _worker: Worker) -> Step:
    return Step("mount.mqueue", _said(mount.target, *mount.options), (mount.target, *mount.options))


def _devpts(mount: Mount, _worker: Worker) -> Step:
    return Step(
        "mount.devpts", _said(mount.target, *mount.options), (mount.target, mount.mode or "620", *mount.options)
    )


def _symlink(mount: Mount, _worker: Worker) -> Step:
    return Step("mount.file", f"{mount.target} -> {mount.source}", ("symlink", mount.target, mount.source or ""))


def _dir(mount: Mount, _worker: Worker) -> Step:
    mode = mount.mode or "755"
    return Step("mount.file", f"{mount.target} directory {mode}", ("dir", mount.target, mode))


def _file(mount: Mount, _worker: Worker) -> Step:
    mode, content = mount.mode or "644", mount.content or ""
    detail = _said(mount.target, f"{len(content.encode())} bytes", *mount.options)
    return Step("mount.file", detail, ("file", mount.target, mode, content, *mount.options))


_STEPS: Mapping[str, Callable[[Mount, Worker], Step]] = {
    "bind": _bind,
    "tmpfs": _tmpfs,
    "proc": _proc,
    "sysfs": _sysfs,
    "cgroup": _cgroup,
    "mqueue": _mqueue,
    "devpts": _devpts,
    "overlay": overlay_step,
    "symlink": _symlink,
    "dir": _dir,
    "file": _file,
}


def _words(mount: Mount) -> tuple[str, ...]:
    return (*mount.options, *(("optional",) if mount.optional else ()))


def _said(subject: str, *words: str) -> str:
    """A detail: what it is about, then what else is asked for."""
    return " ".join((subject, *filter(None, words)))
