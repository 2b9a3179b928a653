"""Arguments of an overlay, for the root and for a mount."""

from supervisor.sandbox.steps.step import Step
from supervisor.spec.model import Mount, Rootfs, Worker
from supervisor.spec.overlays import work_of


def layers(worker: Worker, overlay: Rootfs | Mount) -> tuple[str, ...]:
    """As nsinit's overlay.Layers takes them. Only a user namespace needs the attributes that any user may set."""
    size = "" if overlay.size_bytes is None else str(overlay.size_bytes)
    userxattr = str(int(worker.namespaces.user is not False))
    return (userxattr, size, overlay.upper or "", work_of(overlay) or "", *overlay.lower)


def described(overlay: Rootfs | Mount, *, read_only: bool = False) -> str:
    """The upper first: it is what a failure is about, if there is one."""
    above = overlay.upper or ("read-only" if read_only else "thrown away")
    return f"{above} over {' '.join(overlay.lower)}"


def overlay_step(mount: Mount, worker: Worker) -> Step:
    """mount.overlay."""
    said = " ".join((f"{mount.target}: {described(mount, read_only='ro' in mount.options)}", *mount.options))
    return Step("mount.overlay", said, (mount.target, len(mount.lower), *layers(worker, mount), *mount.options))
