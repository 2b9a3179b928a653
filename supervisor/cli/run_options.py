"""What `nsvisor run` was asked for, as the table of a worker: one validation for both."""

import json
import os
from collections.abc import Mapping, Sequence

from supervisor.spec.errors import ConfigError
from supervisor.spec.load import load_text
from supervisor.spec.model import Worker

NAME = "run"
BARE = ("optional", "writable")  # keys that may stand alone; other words are options
JOINABLE = ("user", "pid", "mount", "uts", "ipc", "cgroup", "time")


class OptionError(Exception):
    """An option that cannot be used; several lines where there are several."""


def toml(value: object) -> str:
    """A value as TOML: JSON but for tables and DEL."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{toml(str(key))} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def worker(table: Mapping[str, object], environ: Mapping[str, str]) -> Worker:
    """Check the table and fill the defaults in. OptionError with every problem."""
    lines = [f"[worker.{NAME}]", *(f"{key} = {toml(value)}" for key, value in table.items() if value not in (None, {}))]
    try:
        return load_text("\n".join(lines), os.path.join(os.getcwd(), "options"), environ).workers[NAME]
    except ConfigError as error:
        problems = []
        for problem in error.problems:
            key = (problem.key or "").removeprefix(f"worker.{NAME}.")
            found = f" = {problem.value}" if problem.value is not None else ""
            allowed = f"; allowed: {problem.allowed}" if problem.allowed else ""
            problems.append(f"cannot run: {key}{found}: {problem.message}{allowed}")
        raise OptionError("\n".join(problems)) from None


def pairs(words: Sequence[str], option: str) -> dict[str, str]:
    """NAME=VALUE words. OptionError."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise OptionError(f"cannot run: {option} {word}: NAME=VALUE is what it takes")
        found[name] = value
    return found


def table(words: str, option: str) -> dict[str, object]:
    """A mount, a secret or a root, as KEY=VALUE with commas; of a mount a word alone is an option. OptionError.

    lower: directories with colons between them.
    """
    found: dict[str, object] = {}
    flags: list[str] = []
    for word in words.split(","):
        key, equals, value = word.partition("=")
        if key in found or not key:
            raise OptionError(f"cannot run: {option} {words}: KEY=VALUE,… is what it takes, each key once")
        if equals or key in BARE:
            found[key] = (value.split(":") if key == "lower" else value) if equals else True
        else:
            flags.append(key)
    return {**found, "options": flags} if flags else found


def root(words: str | None, directory: str | None, *, writable: bool) -> dict[str, object]:
    """The rootfs table: of --root, or of --rootfs and --writable. OptionError where both are there."""
    if words is None:
        return {"kind": "dir", "path": directory, "writable": writable} if directory else {}
    if directory is not None or writable:
        raise OptionError("cannot run: --root takes the place of --rootfs and --writable")
    return table(words, "--root")


def namespaces(join: Sequence[str], keep: Sequence[str], net: str | None) -> tuple[dict[str, object], str]:
    """The namespaces table and the network's mode. OptionError for a kind that there is not."""
    table: dict[str, object] = {}
    network = net or "none"
    wanted: list[tuple[str, object]] = [*pairs(join, "--join").items(), *((kind, False) for kind in keep)]
    for written, target in wanted:
        kind = {"net": "network", "mnt": "mount"}.get(written, written)
        if kind == "network":
            network = "host" if target is False else str(target)
        elif kind in JOINABLE:
            table[kind] = target
        else:
            raise OptionError(f"cannot run: no namespace {written!r}; there are network, {', '.join(JOINABLE)}")
    return table, network
