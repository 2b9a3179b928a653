"""The root file system, up to the pivot into it."""

from supervisor.sandbox.steps.mounts import api_steps, mask_steps, secret_steps, user_steps
from supervisor.sandbox.steps.step import Step
from supervisor.sandbox.view import host_view
from supervisor.spec.facts import HostFacts
from supervisor.spec.model import Worker


def root_steps(worker: Worker, facts: HostFacts) -> list[Step]:
    """Everything that needs a mount namespace of the sandbox's own: none where it has none."""
    if worker.namespaces.mount is not True:
        return []
    return [
        Step("mount.propagation", "/ slave, recursively"),
        _prepare_step(worker, facts),
        *api_steps(worker, facts),
        *user_steps(worker),
        *secret_steps(worker),
        *mask_steps(worker),
        *_seal_steps(worker),
        Step("root.pivot"),
    ]


def _prepare_step(worker: Worker, facts: HostFacts) -> Step:
    rootfs = worker.rootfs
    if rootfs.kind == "dir":
        path = rootfs.path or ""
        return Step("rootfs.prepare", f"dir {path}", ("dir", path, int(rootfs.writable)))
    return Step("rootfs.prepare", "host, a read-only view", ("host", *host_view(facts)))


def _seal_steps(worker: Worker) -> list[Step]:
    if worker.rootfs.kind == "dir" and worker.rootfs.writable:
        return []
    return [Step("rootfs.seal", "/ read-only")]
