"""The overlays of a worker: its root, and mounts of that type."""

from collections.abc import Iterator

from supervisor.spec.locate import Path
from supervisor.spec.model import Mount, Rootfs, Worker

_MOST_LOWER = 500  # OVL_MAX_STACK


def overlays(worker: Worker) -> Iterator[tuple[Path, Rootfs | Mount]]:
    """Each with the path of its table."""
    if worker.rootfs.kind == "overlay":
        yield ("rootfs",), worker.rootfs
    for index, mount in enumerate(worker.mounts):
        if mount.type == "overlay":
            yield ("mounts", index), mount


def work_of(overlay: Rootfs | Mount) -> str | None:
    """The kernel's work directory: beside the upper one, on its file system, unless another is named."""
    if overlay.upper is None:
        return None
    return overlay.work or overlay.upper.rstrip("/") + ".work"


def overlay_flaws(overlay: Rootfs | Mount) -> Iterator[tuple[str, str, str | None]]:
    """Key, message, what is allowed: of an overlay's own keys."""
    of = f'{"kind" if isinstance(overlay, Rootfs) else "type"} = "overlay"'
    read_only = isinstance(overlay, Mount) and "ro" in overlay.options
    if not overlay.lower:
        yield "lower", f"missing: {of} needs it", "an array of directories on the host, the topmost first"
    elif len(overlay.lower) > _MOST_LOWER:
        yield "lower", f"{len(overlay.lower)} directories", f"at most {_MOST_LOWER}"
    elif read_only and overlay.upper is None and len(overlay.lower) < 2:
        message = "a read-only overlay without an upper directory needs two of them"
        yield "lower", message, 'two or more; one alone is type = "bind" with options = ["ro"]'
    for index, path in enumerate(overlay.lower):
        if path in overlay.lower[:index]:
            yield "lower", f"{path} is there twice", None
    if overlay.work is not None and overlay.upper is None:
        yield "work", "needs upper", None
    if overlay.size_bytes is not None and (overlay.upper is not None or read_only):
        what = "nothing is with upper" if overlay.upper is not None else "nothing can be written"
        message = f"bounds what is written and thrown away, and {what}"
        yield "size", message, None
    if overlay.upper is None:
        return
    work = work_of(overlay) or ""
    for key, path, others in (
        ("upper", overlay.upper, (*overlay.lower, work)),
        ("work", work, (*overlay.lower, overlay.upper)),
    ):
        for other in others:
            if _within(path, other):
                yield (key if getattr(overlay, key) else "upper"), f"{path} lies in {other}", "directories apart"
                return


def _within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")
