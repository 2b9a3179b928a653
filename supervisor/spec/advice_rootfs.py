"""What of roots and overlays will hardly work as the disk is now, and what nothing keeps apart."""

import os
from collections.abc import Iterator, Mapping

from supervisor.spec.instances import for_instance
from supervisor.spec.locate import Path
from supervisor.spec.model import Mount, Rootfs, Worker, instance_names
from supervisor.spec.overlays import overlays

Advice = tuple[Path, object, str]


def rootfs_advice(worker: Worker) -> Iterator[Advice]:
    """Directories that are not there."""
    for index in range(worker.instances):
        one = for_instance(worker, index)
        if one.rootfs.path is not None:
            yield from _directory(("rootfs", "path"), one.rootfs.path)
        for place, overlay in overlays(one):
            for number, path in enumerate(overlay.lower):
                yield from _directory((*place, "lower", number), path)
            if overlay.upper is not None:
                yield from _directory((*place, "upper"), overlay.upper)
                yield from _work(place, overlay, overlay.upper)
        if one is worker:
            return  # the others are the same


def _directory(key: Path, path: str) -> Iterator[Advice]:
    if not os.path.isdir(path):
        yield key, path, "is no directory" if os.path.lexists(path) else "does not exist"


def _work(place: Path, overlay: Rootfs | Mount, upper: str) -> Iterator[Advice]:
    """It is made where it is missing."""
    if overlay.work is None:
        return
    if os.path.lexists(overlay.work):
        yield from _directory((*place, "work"), overlay.work)
    parent = overlay.work if os.path.isdir(overlay.work) else os.path.dirname(overlay.work)
    if os.path.isdir(parent) and os.path.isdir(upper) and os.stat(parent).st_dev != os.stat(upper).st_dev:
        yield (*place, "work"), overlay.work, "lies on another file system than upper"


def shared_roots(workers: Mapping[str, Worker]) -> Iterator[tuple[str, Advice]]:
    """Directories that several sandboxes write to, each with the later one's name: allowed, and seldom meant."""
    writers: dict[str, str] = {}
    instances = [
        (name, worker.name, for_instance(worker, index))
        for worker in workers.values()
        for index, name in enumerate(instance_names(worker))
    ]
    for name, worker_name, one in instances:
        path = one.rootfs.path
        if path is not None and one.rootfs.writable:
            first = writers.setdefault(os.path.realpath(path), name)
            if first != name:
                text = f"{first} writes to it too, and nothing keeps them apart: give each a directory or an overlay"
                yield worker_name, (("rootfs", "path"), path, text)
        for _, overlay in overlays(one):
            if overlay.upper is not None:
                writers.setdefault(os.path.realpath(overlay.upper), name)
    for name, worker_name, one in instances:
        for place, overlay in overlays(one):
            for number, path in enumerate(overlay.lower):
                writer = writers.get(os.path.realpath(path), name)
                if writer != name:
                    text = f"{writer} writes to it while it is a layer here: what is seen then is undefined"
                    yield worker_name, ((*place, "lower", number), path, text)
