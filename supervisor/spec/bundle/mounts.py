"""`mounts`: those that every sandbox has are left to it, the others are the worker's mounts."""

import os
from typing import Any

from supervisor.spec.bundle.translation import Translation, literal
from supervisor.spec.locate import Path

# Each sandbox has a /dev with these and a /proc of its own, whatever config.json says.
_OWN = {("/proc", "proc"), ("/dev", "tmpfs"), ("/dev/pts", "devpts")}
_TYPES = {"tmpfs", "proc", "sysfs", "mqueue", "devpts", "cgroup"}
_KNOWN = {
    "ro", "rw", "bind", "rbind", "nosuid", "nodev", "noexec", "suid", "dev", "exec", "relatime", "noatime",
    "strictatime", "nodiratime", "nosymfollow", "private", "slave", "shared",
}  # fmt: skip
_RECURSIVE = {"rprivate": "private", "rslave": "slave", "rshared": "shared", "rro": "ro", "rrw": "rw"}
_RECURSIVE |= {f"r{name}": name for name in ("nosuid", "nodev", "noexec", "suid", "dev", "exec")}
_DEFAULTS = {"defaults", "async", "atime", "diratime", "symfollow", "newinstance", "loud", "nomand", "norelatime"}
# Left out for these types: their group 5 is not mapped, and the others are what is done anyway.
_IMPLIED = {"devpts": ("gid=", "ptmxmode=", "mode="), "mqueue": ("mode=",)}


def mounts(translation: Translation, value: Any, place: Path) -> None:
    """The whole array."""
    if not translation.is_a(list, value, place, "an array of objects"):
        return
    for index, mount in enumerate(value):
        if translation.is_a(dict, mount, (*place, index), "an object"):
            _mount(translation, mount, (*place, index))


def _mount(translation: Translation, mount: dict[str, Any], place: Path) -> None:
    target, kind, options = mount.get("destination"), mount.get("type"), mount.get("options") or []
    known = isinstance(kind, str | None) and isinstance(options, list)
    if not (isinstance(target, str) and known and all(isinstance(one, str) for one in options)):
        translation.refuse(place, "wrong type", 'an object with "destination", "type", "source" and "options"')
        return
    for name in mount.keys() - {"destination", "type", "source", "options"}:
        if mount[name]:
            translation.refuse((*place, name))
    if {"bind", "rbind"} & set(options) or kind == "bind":
        kind = "bind"
    kind = {"cgroup2": "cgroup"}.get(str(kind), kind)
    target = os.path.normpath(os.path.join("/", target))
    if (target, kind) in _OWN:
        return
    if kind not in {*_TYPES, "bind"}:
        translation.refuse((*place, "type"), allowed=", ".join(sorted({*_TYPES, "bind"})))
        return
    table: dict[str, Any] = {"type": kind, "target": target}
    if kind == "bind":
        source = mount.get("source")
        if not isinstance(source, str):
            translation.refuse((*place, "source"), "missing", "a path")
            return
        table["source"] = literal(os.path.join(translation.directory, source))
    if kind == "cgroup":
        table["optional"] = True  # runtimes leave it out where there is none
    _options(translation, table, options, (*place, "options"))
    translation.append("mounts", table, place)


def _options(translation: Translation, table: dict[str, Any], options: list[str], place: Path) -> None:
    kind, kept = table["type"], []
    for index, written in enumerate(options):
        option = _RECURSIVE.get(written, written)
        name, equals, value = option.partition("=")
        if option in _KNOWN:
            kept.append(option)
        elif equals and kind == "tmpfs" and name == "size" and not value.endswith("%"):
            table["size"] = _size(value)
        elif equals and kind == "tmpfs" and name == "mode":
            table["mode"] = value.removeprefix("0") if len(value) > 3 else value
        elif equals and kind == "proc" and name in {"hidepid", "subset"}:
            table[name] = value
        elif option not in _DEFAULTS and not option.startswith(_IMPLIED.get(kind, "\0")):
            translation.refuse((*place, index), f'"{written}" is not supported for {kind}')
    if kind != "bind":
        kept = [option for option in kept if option not in {"bind", "rbind", "private", "slave", "shared"}]
    if kept:
        table["options"] = list(dict.fromkeys(kept))


def _size(text: str) -> str | int:
    """Like tmpfs(5): k, m and g are powers of 1024."""
    unit = {"k": "KiB", "m": "MiB", "g": "GiB"}.get(text[-1:].lower())
    return f"{text[:-1]}{unit}" if unit else int(text) if text.isdigit() else text
