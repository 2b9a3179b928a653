"""What the design knows and this release does not build.

Written down, it is refused as such: never ignored, and never called unknown. Paths leave out array indexes; `worker`
stands for [defaults], too.
"""

Path = tuple[str, ...]


KEYS: frozenset[Path] = frozenset(
    {
        ("supervisor", "state_dir"),
        ("supervisor", "runtime_dir"),
        ("worker", "tty"),
        ("worker", "stdin"),
    }
)


def key(path: Path) -> bool:
    """Whether this key belongs to a later release."""
    return path in KEYS
