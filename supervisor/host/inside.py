"""Look into a sandbox that does not exist yet: which file of the host a path inside will be."""

import os
from collections.abc import Callable

import msgspec

from supervisor.spec.facts import HostFacts
from supervisor.spec.model import Mount, Rootfs, Worker

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PRIVATE = ("/dev", "/proc")  # mounted fresh in every sandbox; /tmp too, in the host view, which is empty there
MAX_LINKS = 40  # as the kernel


class Layer(msgspec.Struct, frozen=True):
    """One mount or link of the sandbox: below target lies source, or (None) a file system that starts empty."""

    target: str
    source: str | None
    link: bool = False
    lower: tuple[str, ...] = ()  # of an overlay: what shows where source has nothing


def _overlay(target: str, overlay: Rootfs | Mount) -> Layer:
    first, *rest = (*([overlay.upper] if overlay.upper is not None else []), *overlay.lower)
    return Layer(target, first, lower=tuple(rest))


def _layer(mount: Mount) -> Layer:
    target = os.path.normpath(mount.target)
    if mount.type == "overlay":
        return _overlay(target, mount)
    return Layer(target, mount.source, link=mount.type == "symlink")


def _covers(mount: Mount) -> bool:
    """Whether something else lies there then."""
    left_out = mount.optional and mount.source is not None and not os.path.exists(mount.source)
    return mount.type != "dir" and not left_out


class Inside:
    """The sandbox of one worker as its plan will mount it; later mounts hide earlier ones."""

    def __init__(self, worker: Worker, facts: HostFacts) -> None:
        """Read the worker's root and mounts; nothing is touched."""
        self.path = worker.env.get("PATH", DEFAULT_PATH)
        layers: list[Layer] = []
        if worker.namespaces.mount is False:
            layers.append(Layer("/", "/"))
        elif worker.rootfs.kind == "dir":
            layers.append(Layer("/", worker.rootfs.path))
        elif worker.rootfs.kind == "overlay":
            layers.append(_overlay("/", worker.rootfs))
        elif worker.rootfs.kind == "host":
            layers += [Layer(entry.target, entry.source, entry.kind == "symlink") for entry in facts.view]
        if worker.namespaces.mount is True:
            layers += [Layer(target, None) for target in PRIVATE]
            layers += [_layer(mount) for mount in worker.mounts if _covers(mount)]
        self._layers = layers

    def locate(self, path: str) -> str | None:
        """The host's path of what a path inside leads to, links followed inside; None: nothing, or not on the host."""
        rest = [name for name in path.split("/") if name]
        at = "/"
        for _ in range(MAX_LINKS):
            while rest:
                name = rest.pop(0)
                if name in {".", ".."}:
                    at = os.path.dirname(at) if name == ".." else at
                    continue
                at = os.path.join(at, name)
                link = self._link(at)
                if link is not None:
                    rest = [*(part for part in link.split("/") if part), *rest]
                    at = "/" if link.startswith("/") else os.path.dirname(at)
                    break
            else:
                found = self._host(at)
                return found if found is not None and os.path.lexists(found) else None
        return None

    def find_command(self, name: str, present: Callable[[str], bool] = os.path.isfile) -> tuple[str, str] | None:
        """Look a command up as execvp would: (path inside, path on the host); None where it is not there."""
        candidates = [name] if "/" in name else [os.path.join(part or ".", name) for part in self.path.split(":")]
        for candidate in candidates:
            found = self.locate(candidate)
            if found is not None and present(found):
                return candidate, found
        return None

    def _layer(self, path: str) -> Layer | None:
        for layer in reversed(self._layers):
            if path == layer.target or path.startswith(layer.target.rstrip("/") + "/"):
                return layer
        return None

    def _host(self, path: str) -> str | None:
        layer = self._layer(path)
        if layer is None or layer.source is None or layer.link:
            return None
        below = path[len(layer.target) :].lstrip("/")
        found = [os.path.normpath(os.path.join(source, below)) for source in (layer.source, *layer.lower)]
        return next(filter(os.path.lexists, found), found[0])

    def _link(self, path: str) -> str | None:
        layer = self._layer(path)
        if layer is not None and layer.link:
            return layer.source
        if layer is not None and path == layer.target:
            return None  # a mount point; its source was resolved when it was bound
        found = self._host(path)
        return os.readlink(found) if found is not None and os.path.islink(found) else None


def command_problem(worker: Worker, facts: HostFacts) -> str | None:
    """Why the worker's command cannot be executed inside, or None. A joined mount namespace cannot be looked into."""
    if isinstance(worker.namespaces.mount, str):
        return None
    inside = Inside(worker, facts)
    name = worker.command[0]
    if "/" in name and not name.startswith("/"):
        name = os.path.join(worker.working_dir, name)
    found = inside.find_command(name)
    if found is None:
        return f"{name} is not in the sandbox" + ("" if "/" in name else f" (PATH {inside.path})")
    path, source = found
    try:
        with open(source, "rb") as file:
            first = file.readline(256)
    except OSError:  # execute permission without read permission is enough
        first = b""
    if not os.access(source, os.X_OK):
        return f"{path} is not executable"
    if first.startswith(b"#!"):
        words = os.fsdecode(first[2:]).split()
        if words and inside.find_command(words[0]) is None:
            return f"{path} asks for the interpreter {words[0]}, which is not in the sandbox"
    return None
