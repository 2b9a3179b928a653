"""What `nsvisor run` was asked for, as keys of a worker: one validation for both."""

import csv
import os
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from supervisor.spec.forms import FormError
from supervisor.spec.model import Mount, Rootfs, Secret
from supervisor.spec.options import OptionSource, option_error
from supervisor.spec.setting import key_of, value_of, word_of

NAME = "run"
JOINABLE = ("user", "pid", "mount", "uts", "ipc", "cgroup", "time")
# Options with one value, and the key that they set.
_SINGLE = {
    "hostname": ("hostname",),
    "domainname": ("domainname",),
    "workdir": ("working_dir",),
    "uid": ("user",),
    "gid": ("group",),
    "seccomp": ("security", "seccomp"),
}
_LISTS = {
    "group": ("groups",),
    "uid_map": ("uid_map",),
    "gid_map": ("gid_map",),
    "publish": ("network", "publish"),
    "dns": ("network", "dns"),
    "cap": ("security", "capabilities"),
}
_IDS = ("uid", "gid", "group")  # a number or a name
# Docker's words for keys and options of a mount.
_ALIASES = {"src": "source", "dst": "target", "destination": "target", "readonly": "ro"}
_ALIASES |= {"tmpfs-size": "size", "tmpfs-mode": "mode"}
_ALONE = ("optional", "writable", "idmap")  # keys that are true where they stand alone

Given = Mapping[str, Any]  # options by their name in Python, as click gives them


def worker_options(given: Given, environ: Mapping[str, str]) -> OptionSource:
    """All of them. ConfigError."""
    options = OptionSource(given["worker"] or NAME, os.getcwd())
    for text in given["set_"]:
        key, value = _pair(text, "--set")
        path = _key(key, text)
        options.put(path, value_of(path, value), f"--set {text}")
    if given["command_line"]:
        options.put(("command",), list(given["command_line"]), "COMMAND")
    if not given["worker"] and not given["bundle"] and "user" not in options.table:
        options.table["user"] = "root"
    for name, path in _SINGLE.items():
        if given[name] is not None:
            options.put(path, _id_or_word(name, given[name]), f"--{name} {given[name]}")
    for name, path in _LISTS.items():
        for index, word in enumerate(given[name]):
            written = f"--{name.replace('_', '-')} {word}"
            if index == 0:
                options.put(path, [], written)
            options.add(path, _id_or_word(name, word), written)
    if given["auto_id"] and given["keep_id"]:
        raise option_error("--auto-id", "takes the place of --keep-id")
    if given["auto_id"] or given["keep_id"]:
        options.put(("id_map",), *(("auto", "--auto-id") if given["auto_id"] else ("keep-id", "--keep-id")))
    if given["no_init"]:
        options.put(("init",), False, "--no-init")
    for text in given["limit"]:
        key, value = _pair(text, "--limit")
        options.put(("limits", key), value_of(("limits", key), value), f"--limit {text}")
    for text in given["sysctl"]:
        key, value = _pair(text, "--sysctl")
        options.put(("sysctls", key), value, f"--sysctl {text}")
    _environment(options, given, environ)
    _root(options, given)
    _mounts(options, given)
    _namespaces(options, given)
    return options


def _id_or_word(option: str, text: str) -> int | str:
    return int(text) if option in _IDS and text.isdecimal() else text


def _environment(options: OptionSource, given: Given, environ: Mapping[str, str]) -> None:
    if given["keep_env"]:
        for name, value in environ.items():
            options.put(("env", name), value, f"--keep-env: {name}")
    for text in given["env"]:
        name, equals, value = text.partition("=")
        if not equals and name not in environ:
            raise option_error(f"--env {text}", "no such variable here; NAME=VALUE sets one")
        options.put(("env", name), value if equals else environ[name], f"--env {text}")


def _root(options: OptionSource, given: Given) -> None:
    """Of --bundle, of --root, or of --rootfs and --writable."""
    chosen = [name for name in ("bundle", "root", "rootfs") if given[name] is not None]
    if len(chosen) > 1 or (given["writable"] and chosen == ["root"]):
        others = " and ".join(f"--{name}" for name in [*chosen[1:], *(["writable"] if given["writable"] else [])])
        raise option_error(f"--{chosen[0]} {given[chosen[0]]}", f"takes the place of {others}")
    if given["root"] is not None:
        written = f"--root {given['root']}"
        options.put(("rootfs",), _table(Rootfs, given["root"], written), written)
    if given["rootfs"] is not None:
        options.put(("rootfs",), {"kind": "dir", "path": _literal(given["rootfs"])}, f"--rootfs {given['rootfs']}")
    if given["bundle"] is not None:
        options.put(("rootfs",), {"kind": "bundle", "path": _literal(given["bundle"])}, f"--bundle {given['bundle']}")
    if given["writable"]:
        options.put(("rootfs", "writable"), True, "--writable")


def _mounts(options: OptionSource, given: Given) -> None:
    for option, words in (("bind", ()), ("ro_bind", ("ro",))):
        for source, target in given[option]:
            mount = {"type": "bind", "source": _literal(source), "target": target, "options": list(words)}
            options.add(("mounts",), mount, f"--{option.replace('_', '-')} {source} {target}")
    for target in given["tmpfs"]:
        options.add(("mounts",), {"type": "tmpfs", "target": target}, f"--tmpfs {target}")
    for struct, option in ((Mount, "mount"), (Secret, "secret")):
        for text in given[option]:
            options.add((f"{option}s",), _table(struct, text, f"--{option} {text}"), f"--{option} {text}")


def _namespaces(options: OptionSource, given: Given) -> None:
    """The namespaces table and the network's mode."""
    if given["net"] is not None:
        options.put(("network", "mode"), given["net"], f"--net {given['net']}")
    for written, name, target in _wanted_namespaces(given):
        kind = {"net": "network", "mnt": "mount"}.get(name, name)
        if kind == "network":
            options.put(("network", "mode"), "host" if target is False else target, written)
        elif kind in JOINABLE:
            options.put(("namespaces", kind), target, written)
        else:
            raise option_error(written, "no such namespace", f"network, {', '.join(JOINABLE)}")


def _wanted_namespaces(given: Given) -> Iterator[tuple[str, str, str | bool]]:
    for text in given["join"]:
        kind, target = _pair(text, "--join")
        yield f"--join {text}", kind, target
    for kind in given["keep_ns"]:
        yield f"--keep-ns {kind}", kind, False


def _table(struct: type[msgspec.Struct], text: str, written: str) -> dict[str, Any]:
    """Split KEY=VALUE,… as docker does: quotation marks around a whole word keep its commas.

    lower: directories with colons between them. A word alone is an option of a mount.
    """
    try:
        (words,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError):
        words = []
    found: dict[str, Any] = {}
    flags: list[str] = []
    keys = struct.__struct_fields__
    for word in words or [""]:
        name, equals, value = word.partition("=")
        key = _ALIASES.get(name, name) if struct is Mount else name
        if key in found or not key:
            raise option_error(written, "each key once, as KEY=VALUE with commas between them")
        if equals:
            found[key] = value.split(":") if key == "lower" else word_of(struct, key, value)
        elif key in _ALONE and key in keys:
            found[key] = True
        elif struct is Mount:
            flags.append(key)
        else:
            raise option_error(written, f"{key}: no value; KEY=VALUE is what it takes")
    return {**found, "options": flags} if flags else found


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise option_error(f"{option} {text}", "KEY=VALUE is what it takes")
    return name, value


def _key(key: str, text: str) -> tuple[str, ...]:
    try:
        return tuple(str(part) for part in key_of(key))
    except FormError as error:
        raise option_error(f"--set {text}", str(error), error.allowed) from None


def _literal(path: str) -> str:
    """As nsvisor.toml would write it: the shell has replaced what it knows already."""
    return path.replace("$", "$$")
