"""What the design knows and this release does not build.

Written down, it is refused as such: never ignored, and never called unknown. Paths leave out array indexes; `worker`
stands for [defaults], too.
"""

from collections.abc import Mapping

Path = tuple[str, ...]


KEYS: frozenset[Path] = frozenset(
    {
        ("supervisor", "state_dir"),
        ("supervisor", "runtime_dir"),
        ("worker", "tty"),
        ("worker", "stdin"),
        ("worker", "restart", "standby"),
    }
)

VALUES: Mapping[Path, frozenset[object]] = {("worker", "init"): frozenset({"static"})}


def key(path: Path) -> bool:
    """Whether this key belongs to a later release."""
    return path in KEYS


def value(path: Path, found: object) -> bool:
    """Whether this value of a key that exists belongs to a later release."""
    return isinstance(found, str) and found in VALUES.get(path, ())
