"""What a mount table must agree with itself about."""

from collections.abc import Iterator, Mapping, Sequence

from supervisor.spec.model import Mount
from supervisor.spec.overlays import overlay_flaws

Flaw = tuple[str, str, str | None]  # key, message, what is allowed

# Which types have a key; for all others it is refused.
_OF_TYPES: Mapping[str, tuple[str, ...]] = {
    "source": ("bind", "symlink"),
    "size": ("tmpfs", "overlay"),
    "mode": ("tmpfs", "devpts", "dir", "file"),
    "hidepid": ("proc",),
    "subset": ("proc",),
    "content": ("file",),
    "optional": ("bind", "cgroup"),
    "lower": ("overlay",),
    "upper": ("overlay",),
    "work": ("overlay",),
}
_NEEDED: Mapping[str, Mapping[str, str]] = {
    "bind": {"source": "a path on the host"},
    "symlink": {"source": "the link's text"},
    "file": {"content": "a string"},
}
_BIND_ONLY = ("bind", "rbind", "private", "slave", "shared", "idmap")
_NO_OPTIONS = ("symlink", "dir")
_EXCLUDE_EACH_OTHER = (
    ("ro", "rw"),
    ("bind", "rbind"),
    ("suid", "nosuid"),
    ("dev", "nodev"),
    ("exec", "noexec"),
    ("relatime", "noatime", "strictatime"),
    ("private", "slave", "shared"),
)


def flaws(mount: Mount) -> Iterator[Flaw]:
    """Keys that its type excludes or needs, and options that contradict each other."""
    if mount.target == "/":
        yield "target", "the root itself is what rootfs sets", "a path below /"
    if mount.type == "bind" and mount.source == "/":
        yield "source", "the root of the host cannot be bound as a whole", "directories below it, one mount each"
    written = {"size": mount.size_bytes, **{key: getattr(mount, key) for key in _OF_TYPES if key != "size"}}
    for key, value in written.items():
        allowed = _NEEDED.get(mount.type, {}).get(key)
        if allowed is not None and value is None:
            yield key, f'missing: type = "{mount.type}" needs it', allowed
        if value not in (None, False, ()) and mount.type not in _OF_TYPES[key]:
            yield key, f"only for type = {_listed(_OF_TYPES[key], 'or')}", None
    if mount.type == "overlay":
        yield from overlay_flaws(mount)
    yield from _options(mount)


def _options(mount: Mount) -> Iterator[Flaw]:
    if mount.options and mount.type in _NO_OPTIONS:
        yield "options", f'type = "{mount.type}" mounts nothing that could have options', None
        return
    wrong = [option for option in mount.options if option in _BIND_ONLY and mount.type != "bind"]
    if wrong:
        yield "options", f'"{wrong[0]}" is only for type = "bind"', None
    for group in _EXCLUDE_EACH_OTHER:
        written = [option for option in group if option in mount.options]
        if len(written) > 1:
            yield "options", f"{_listed(written, 'and')} exclude each other", None


def _listed(words: Sequence[str], conjunction: str) -> str:
    *others, last = [f'"{word}"' for word in words]
    return f"{', '.join(others)} {conjunction} {last}" if others else last
