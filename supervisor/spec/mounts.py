"""What a mount table must agree with itself about."""

from collections.abc import Iterator

from supervisor.spec.model import Mount

Flaw = tuple[str, str, str | None]  # key, message, what is allowed

_BIND_ONLY = {"bind", "rbind"}


def flaws(mount: Mount) -> Iterator[Flaw]:
    """Keys that its type excludes or needs, and options that contradict each other."""
    if mount.target == "/":
        yield "target", "the root itself is what rootfs sets", "a path below /"
    if mount.type == "bind":
        if mount.source is None:
            yield "source", 'missing: type = "bind" needs it', "a path on the host"
        if mount.source == "/":
            yield "source", "the root of the host cannot be bound as a whole", "directories below it, one mount each"
        if mount.size_bytes is not None:
            yield "size", 'only for type = "tmpfs"', None
        if mount.mode is not None:
            yield "mode", 'only for type = "tmpfs"', None
    if mount.type == "tmpfs":
        if mount.source is not None:
            yield "source", 'only for type = "bind"', None
        wrong = [option for option in mount.options if option in _BIND_ONLY]
        if wrong:
            yield "options", f'"{wrong[0]}" is only for type = "bind"', None
    for one, other in (("ro", "rw"), ("bind", "rbind")):
        if one in mount.options and other in mount.options:
            yield "options", f'"{one}" and "{other}" exclude each other', None
