"""What the design knows and this release does not build.

Written down, it is refused as such: never ignored, and never called unknown. Paths leave out array indexes; `worker`
stands for [defaults], too.
"""

from collections.abc import Mapping

Path = tuple[str, ...]


def _keys(table: str, names: str) -> frozenset[Path]:
    return (
        frozenset((*table.split("."), name) for name in names.split())
        if table
        else frozenset((name,) for name in names.split())
    )


KEYS: frozenset[Path] = (
    _keys("", "metrics")
    | _keys("supervisor", "state_dir runtime_dir journal")
    | _keys(
        "worker",
        "tty stdin publish metrics",
    )
    | _keys("worker.rootfs", "keep")
    | _keys("worker.security", "seccomp")
    | _keys(
        "worker.limits",
        "required limits_required",
    )
    | _keys("worker.restart", "standby")
    | _keys("worker.mounts", "gid propagation")
)

VALUES: Mapping[Path, frozenset[object]] = {
    ("worker", "init"): frozenset({"static"}),
    ("worker", "mounts", "type"): frozenset({"secret", "mask", "readonly"}),
    ("worker", "mounts", "options"): frozenset({"create"}),
}


def key(path: Path) -> bool:
    """Whether this key belongs to a later release."""
    return path in KEYS


def value(path: Path, found: object) -> bool:
    """Whether this value of a key that exists belongs to a later release."""
    return isinstance(found, str) and found in VALUES.get(path, ())
