"""What a sandbox was built from on the host, and whether a launch would still find the same there.

A bind shows the file or directory that was there when it was made, with all that is written to it since: it is
another where the path leads to another inode. What is copied at the set-up is another where it was written to.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import trio

from supervisor.spec.instances import for_instance
from supervisor.spec.overlays import overlays

if TYPE_CHECKING:
    from supervisor.runtime.services import Services
    from supervisor.spec.model import Worker

NAMES = {"network": "net", "mount": "mnt"}  # below /proc/PID/ns
Seen = tuple[int, ...] | None  # None: nothing is there


class Sources:
    """Of one sandbox. look() comes before it is built."""

    def __init__(self, worker: "Worker", index: int | None, services: "Services") -> None:
        """index: None for the only instance, whose texts stand."""
        self._worker = worker if index is None else for_instance(worker, index)
        self._services = services
        self._paths = dict(_paths(self._worker, services))
        self._seen: dict[str, Seen] = {}
        self._mounts: tuple[int, tuple[str, ...]] = (0, ())
        self._joined = self._joins()

    async def look(self) -> None:
        """Take note of all. In a thread, for a path may lead to a server that is gone: left behind there then."""
        mounts = self._services.host_mounts
        self._mounts = mounts.generation(), mounts.at(self._paths)
        remote = mounts.remote()
        seen = await trio.to_thread.run_sync(_look, self._paths, abandon_on_cancel=True)
        # A server may be gone by the time they are looked at again, when nobody can wait.
        self._seen = {path: found for path, found in seen.items() if found is None or found[0] not in remote}

    def changed(self) -> str | None:
        """What is another now, in words; None where nothing is. Some 2 µs for each source."""
        mounts = self._services.host_mounts
        generation = mounts.generation()
        if generation != self._mounts[0]:
            now = mounts.at(self._paths)
            if now != self._mounts[1]:
                return "mounts of the host that it shows have changed"
            self._mounts = generation, now
        for path, found in self._seen.items():
            if _stat(path, whole=self._paths[path]) != found:
                return f"{path} is another file now"
        return None if self._joins() == self._joined else "what it joins is another now"

    def _joins(self) -> tuple[Seen, ...]:
        """The namespaces that it joins, or none where whose they are does not run."""
        return tuple(self._joined_now(kind, value) for kind, value in _references(self._worker))

    def _joined_now(self, kind: str, reference: str) -> Seen:
        what, _, name = reference.partition(":")
        if what == "path":
            return _stat(name, whole=False)
        try:
            pid = self._services.pids(name)[0] if what == "worker" else int(name)
        except (ProcessLookupError, ValueError, LookupError):
            return None
        return _stat(f"/proc/{pid}/ns/{NAMES.get(kind, kind)}", whole=False)


def _references(worker: "Worker") -> Iterator[tuple[str, str]]:
    spaces = worker.namespaces
    for kind in spaces.__struct_fields__:
        value = getattr(spaces, kind)
        if isinstance(value, str):
            yield kind, value
    if ":" in worker.network.mode:
        yield "network", worker.network.mode


def _paths(worker: "Worker", services: "Services") -> Iterator[tuple[str, bool]]:
    """Each with whether it is copied."""
    root = ""
    if worker.namespaces.mount is True and worker.rootfs.kind == "host":
        for entry in services.facts.view:
            if entry.kind != "symlink":
                yield entry.source, False
    elif worker.rootfs.path is not None:
        root = worker.rootfs.path
        yield root, False
    for mount in worker.mounts:
        if mount.type == "bind" and mount.source is not None:
            yield mount.source, False
    for _, overlay in overlays(worker):
        for path in overlay.lower:
            yield path, False
    for secret in worker.secrets:
        if secret.source is not None:
            yield secret.source, True
        elif secret.credential is not None and (directory := os.environ.get("CREDENTIALS_DIRECTORY")):
            yield os.path.join(directory, secret.credential), True
    for name in ("passwd", "group"):  # where the worker's user is looked up
        yield f"{root}/etc/{name}", True


def _look(paths: dict[str, bool]) -> dict[str, Seen]:
    return {path: _stat(path, whole=whole) for path, whole in paths.items()}


def _stat(path: str, *, whole: bool) -> Seen:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino, *((found.st_mtime_ns, found.st_size) if whole else ()))
