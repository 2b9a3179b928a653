"""A small static PID 1 of the host's, for workers with init = "static"."""

import os
import stat
import struct
from collections.abc import Sequence

from supervisor.spec.errors import ConfigError, Problem
from supervisor.spec.model import Fleet
from supervisor.spec.places import place, sources_of

# Debian, Ubuntu, Arch; Fedora (podman's own); Debian's tini. Tini's dynamic build would need the sandbox's C library.
PLACES = (
    "/usr/bin/catatonit",
    "/usr/libexec/catatonit/catatonit",
    "/usr/libexec/podman/catatonit",
    "/usr/bin/tini-static",
)
REMEDY = "true or false; or install the package catatonit, or tini where it has tini-static"
PT_INTERP = 3


def find_static_init(places: Sequence[str] = PLACES) -> str:
    """The path of the first that can be used, "" without one."""
    return next((path for path in places if is_static_init(path)), "")


def is_static_init(path: str) -> bool:
    """Whether it is a program that needs no other file, root's, and nobody else can change it."""
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            mode = found.st_mode
            trusted = stat.S_ISREG(mode) and found.st_uid == 0 and not mode & 0o022 and mode & 0o111 == 0o111
            return trusted and is_static(file.read(4096))
    except OSError:
        return False


def is_static(head: bytes) -> bool:
    """Whether an ELF file of 64 bits that begins so names no interpreter (elf(5))."""
    if len(head) < 64 or head[:5] != b"\x7fELF\x02" or head[5] not in (1, 2):
        return False
    order = "<" if head[5] == 1 else ">"
    (at,) = struct.unpack_from(f"{order}Q", head, 32)  # e_phoff
    size, count = struct.unpack_from(f"{order}HH", head, 54)  # e_phentsize, e_phnum
    if size < 4 or at + size * count > len(head):
        return False
    kinds = [struct.unpack_from(f"{order}I", head, at + size * number)[0] for number in range(count)]
    return bool(kinds) and PT_INTERP not in kinds


def with_static_init(fleet: Fleet) -> Fleet:
    """Refuse workers with init = "static" where this host has none. ConfigError."""
    asking = [name for name, worker in fleet.workers.items() if worker.init == "static"]
    if not asking or find_static_init():
        return fleet
    message = f"this host has no static init ({', '.join(PLACES)})"
    places = [place(sources_of(fleet), fleet, name, ("init",)) for name in asking]
    raise ConfigError([Problem(*found, message, '"static"', REMEDY) for found in dict.fromkeys(places)])
