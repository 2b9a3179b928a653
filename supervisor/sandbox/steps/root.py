"""The root file system, up to the pivot into it."""

from supervisor.sandbox.notify import notify_steps
from supervisor.sandbox.steps.locks import seal_steps
from supervisor.sandbox.steps.masks import mask_steps, sysctl_steps
from supervisor.sandbox.steps.mounts import api_steps, user_steps
from supervisor.sandbox.steps.network import resolver_steps
from supervisor.sandbox.steps.overlay import described, layers
from supervisor.sandbox.steps.secrets import secret_steps
from supervisor.sandbox.steps.step import Step
from supervisor.sandbox.view import host_view
from supervisor.spec.facts import HostFacts
from supervisor.spec.model import Worker


def root_steps(worker: Worker, facts: HostFacts, own: list[Step]) -> list[Step]:
    """The mount namespace and all that needs one of the sandbox's own: none where it has none.

    own: what differs between instances. It comes after what does not, which can be done ahead (nsinit/ahead.py).
    """
    if worker.namespaces.mount is not True:
        return [*seal_steps(worker), *own]
    return [
        Step("ns.mount"),
        Step("mount.propagation", "/ slave, recursively"),
        _prepare_step(worker, facts),
        *api_steps(worker, facts),
        *seal_steps(worker),
        *own,
        *resolver_steps(worker, facts),
        *user_steps(worker),
        *notify_steps(worker, facts),
        *secret_steps(worker, facts),
        *sysctl_steps(worker),
        *mask_steps(worker, facts),
        *_seal_steps(worker),
        Step("root.pivot"),
    ]


def _prepare_step(worker: Worker, facts: HostFacts) -> Step:
    rootfs = worker.rootfs
    if rootfs.kind == "dir":
        path = rootfs.path or ""
        words = ("idmap",) if rootfs.idmap else ()
        return Step("rootfs.prepare", f"dir {path}", ("dir", path, int(rootfs.writable), *words))
    if rootfs.kind == "overlay":
        return Step("rootfs.prepare", f"overlay {described(rootfs)}", ("overlay", *layers(worker, rootfs)))
    if rootfs.kind == "tmpfs":
        size = "" if rootfs.size_bytes is None else str(rootfs.size_bytes)
        return Step("rootfs.prepare", f"tmpfs{' size ' + size if size else ''}", ("tmpfs", size))
    return Step("rootfs.prepare", "host, a read-only view", ("host", *host_view(facts)))


def _seal_steps(worker: Worker) -> list[Step]:
    """What an overlay takes is for nobody else: it is always writable."""
    if worker.rootfs.writable or worker.rootfs.kind == "overlay":
        return []
    return [Step("rootfs.seal", "/ read-only")]
