"""What the tables of a root and of an overlay must agree with, themselves and each other."""

from collections.abc import Mapping

from supervisor.spec.instances import for_instance
from supervisor.spec.locate import Path
from supervisor.spec.model import Mount, Rootfs, Worker, instance_names
from supervisor.spec.origin import Origin
from supervisor.spec.overlays import overlay_flaws, overlays, work_of

# Which kinds have a key; for all others it is refused.
_OF_KINDS: Mapping[str, tuple[str, ...]] = {
    "path": ("dir", "bundle"),
    "writable": ("dir", "tmpfs"),
    "idmap": ("dir", "bundle"),
    "lower": ("overlay",),
    "upper": ("overlay",),
    "work": ("overlay",),
    "size": ("overlay", "tmpfs"),
}


def check_rootfs(worker: Worker, origin: Origin) -> None:
    """Report keys that the kind excludes or needs."""
    rootfs = worker.rootfs
    written = {key: getattr(rootfs, key) for key in _OF_KINDS if key != "size"} | {"size": rootfs.size_bytes}
    for key, kinds in _OF_KINDS.items():
        if written[key] not in (None, (), False) and rootfs.kind not in kinds:
            either = " or ".join(f'"{kind}"' for kind in kinds)
            origin.add(("rootfs", key), f"only for kind = {either}", involves=("rootfs.kind",))
    if rootfs.kind in {"dir", "bundle"} and rootfs.path is None:
        origin.add(("rootfs", "path"), f'missing: kind = "{rootfs.kind}" needs it', allowed="a path on the host",
                   involves=("rootfs.kind",))  # fmt: skip
    if rootfs.kind == "overlay":
        for key, message, allowed in overlay_flaws(rootfs):
            origin.add(("rootfs", key), message, allowed=allowed, involves=("rootfs.kind",))
    if rootfs.kind != "host" and worker.namespaces.mount is not True:
        reason = "needs a mount namespace of its own, and namespaces.mount is not true"
        origin.add(("rootfs", "kind"), reason, involves=("namespaces.mount",))


def check_uppers(workers: Mapping[str, Worker], origins: Mapping[str, Origin]) -> None:
    """Report what two sandboxes would write to by two overlays: the kernel allows it, and the data is lost."""
    owners: dict[str, tuple[str, Path]] = {}  # directory -> instance, where it is named
    for worker in workers.values():
        told: set[Path] = set()
        for index, instance in enumerate(instance_names(worker)):
            for place, overlay in overlays(for_instance(worker, index)):
                for key, directory in (("upper", overlay.upper), ("work", work_of(overlay))):
                    if directory is None:
                        continue
                    first, where = owners.setdefault(directory, (instance, (*place, key)))
                    if (first, where) == (instance, (*place, key)) or (*place, "upper") in told:
                        continue
                    told.add((*place, "upper"))
                    _shared(origins[worker.name], worker, place, key, overlay, first, instance)


def _shared(
    origin: Origin, worker: Worker, place: Path, key: str, overlay: Rootfs | Mount, first: str, instance: str
) -> None:
    named = key if getattr(overlay, key) is not None else "upper"
    among = first in instance_names(worker) and first != instance
    message = (
        f"{first} and {instance} would both write to it" if first != instance else "two overlays would write to it"
    )
    allowed = 'a directory of its own for each instance, such as ".../{index}"' if among else "a directory of its own"
    origin.add((*place, named), message, allowed=allowed, involves=("instances",) if among else ())
