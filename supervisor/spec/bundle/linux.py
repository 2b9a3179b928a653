"""`linux`: namespaces, id maps, what is hidden, what is limited."""

import os
import stat
from typing import Any

from supervisor.spec.bundle.resources import resources
from supervisor.spec.bundle.translation import Translation, literal, says_nothing, to
from supervisor.spec.locate import Path

_KINDS = ("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time")
_NODES = ("null", "zero", "full", "random", "urandom", "tty", "console", "ptmx")  # every /dev has them


def linux(translation: Translation, value: Any, place: Path) -> None:
    """The whole of it."""
    translation.each(_MEMBERS, value, place)


def namespaces(translation: Translation, value: Any, place: Path) -> None:
    """Those listed are new or joined, the others the host's; a user namespace is always made: there is no root here."""
    if not translation.is_a(list, value, place, "an array of objects"):
        return
    found: dict[str, tuple[Any, Path]] = {}
    for index, item in enumerate(value):
        here = (*place, index)
        kind = item.get("type") if isinstance(item, dict) else None
        if kind not in _KINDS:
            translation.refuse(here, "no such namespace", ", ".join(_KINDS))
            continue
        path = item.get("path")
        found[kind] = (f"path:{literal(os.path.join(translation.directory, path))}" if path else True, here)
    for kind in _KINDS:
        state, here = found.get(kind, (kind == "user", place))
        if kind == "network":
            mode = {True: "none", False: "host"}.get(state, state)
            translation.put(("network", "mode"), mode, here)
        else:
            translation.put(("namespaces", kind), state, here)


def _id_map(key: str) -> Any:
    def handle(translation: Translation, value: Any, place: Path) -> None:
        try:
            lines = [f"{line['containerID']}:{line['hostID']}:{line['size']}" for line in value]
        except (KeyError, TypeError):
            translation.refuse(place, "wrong type", 'an array of objects with "containerID", "hostID" and "size"')
            return
        translation.put((key,), lines, place)

    return handle


def _time_offsets(translation: Translation, value: Any, place: Path) -> None:
    def clock(name: str) -> Any:
        def handle(_: Translation, offset: Any, where: Path) -> None:
            members = {"secs": to("time_offsets", name)}  # our clocks are set in whole seconds
            translation.each(members, offset, where)

        return handle

    translation.each({name: clock(name) for name in ("monotonic", "boottime")}, value, place)


def _devices(translation: Translation, value: Any, place: Path) -> None:
    """Nodes beyond those that every /dev has are bound from the host, where they have to be the same devices."""
    if not translation.is_a(list, value, place, "an array of objects"):
        return
    for index, device in enumerate(value):
        here = (*place, index)
        path = device.get("path") if isinstance(device, dict) else None
        if not isinstance(path, str) or device.get("type") not in ("c", "b", "u"):
            translation.refuse(here, "no device that can be bound", 'an object with "path" and "type" "c", "b" or "u"')
            continue
        if os.path.dirname(path) == "/dev" and os.path.basename(path) in _NODES:
            continue
        try:
            node = os.stat(path)
        except OSError as error:
            translation.refuse((*here, "path"), f"the host's {path}: {error.strerror}")
            continue
        wanted = (device.get("major"), device.get("minor"))
        kind = stat.S_ISBLK if device["type"] == "b" else stat.S_ISCHR
        if not kind(node.st_mode) or wanted != (os.major(node.st_rdev), os.minor(node.st_rdev)):
            translation.refuse(here, f"the host's {path} is another device")
            continue
        mount = {"type": "bind", "source": literal(path), "target": path, "options": ["bind", "dev"]}
        translation.append("mounts", mount, here)


def _propagation(translation: Translation, value: Any, place: Path) -> None:
    if value not in ("private", "rprivate", "slave", "rslave"):  # no set: it may be a list
        translation.refuse(place, allowed='"rslave", "slave", "rprivate" or "private"; it is always slave')


def _personality(translation: Translation, value: Any, place: Path) -> None:
    def domain(_: Translation, name: Any, where: Path) -> None:
        if name == "LINUX32":
            translation.put(("personality",), ["linux32"], where)
        elif name != "LINUX":
            translation.refuse(where, "not known", '"LINUX" or "LINUX32"')

    translation.each({"domain": domain}, value, place)


def _seccomp(translation: Translation, _value: Any, place: Path) -> None:
    """The profile is read where seccomp profiles are: from this file."""
    file = literal(os.path.join(translation.directory, "config.json"))
    translation.put(("security", "seccomp"), file, place)


_MEMBERS = {
    "namespaces": says_nothing,  # also when there are none: config.py calls namespaces() itself
    "uidMappings": _id_map("uid_map"),
    "gidMappings": _id_map("gid_map"),
    "timeOffsets": _time_offsets,
    "devices": _devices,
    "resources": resources,
    "sysctl": to("sysctls"),
    "seccomp": _seccomp,
    "rootfsPropagation": _propagation,
    "maskedPaths": to("masked_paths"),
    "readonlyPaths": to("readonly_paths"),
    "personality": _personality,
}
