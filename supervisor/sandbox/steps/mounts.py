"""What is mounted into the root: the kernel's file systems first, then the user's, then what hides."""

from supervisor.sandbox.steps.step import Step
from supervisor.sandbox.view import needs_private_tmp
from supervisor.spec.facts import HostFacts
from supervisor.spec.model import Mount, Worker


def api_steps(worker: Worker, facts: HostFacts) -> list[Step]:
    """First, so that a user's bind below them is not hidden."""
    steps = [Step("mount.dev", "/dev", facts.device_nodes), _proc_step(worker)]
    if needs_private_tmp(worker):
        steps.append(Step("mount.tmpfs", "/tmp", ("/tmp", "", "1777")))
    return steps


def user_steps(worker: Worker) -> list[Step]:
    """In file order, one phase each."""
    return [_user_mount(mount) for mount in worker.mounts]


def secret_steps(_worker: Worker) -> list[Step]:
    """mount.secret."""
    return []


def mask_steps(_worker: Worker) -> list[Step]:
    """sysctl.set, mount.mask."""
    return []


def _proc_step(worker: Worker) -> Step:
    """A fresh one shows the pid namespace, and may be mounted by those who own it: the host's is bound instead."""
    if worker.namespaces.pid is False and worker.namespaces.user is not False:
        return Step("mount.proc", "/proc, the host's", ("host",))
    return Step("mount.proc", "/proc")


def _user_mount(mount: Mount) -> Step:
    options = "".join(f",{option}" for option in mount.options)
    if mount.type == "bind":
        detail = f"{mount.source} -> {mount.target}{' ' + options[1:] if options else ''}"
        return Step("mount.bind", detail, (mount.source or "", mount.target, *mount.options))
    size = "" if mount.size_bytes is None else str(mount.size_bytes)
    detail = f"{mount.target}{' size ' + size if size else ''}{' ' + options[1:] if options else ''}"
    return Step("mount.tmpfs", detail, (mount.target, size, mount.mode or "755", *mount.options))
