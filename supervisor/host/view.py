"""The host view: the read-only root that a sandbox sees where it brings none of its own.

/usr, the directories beside it, and of /etc only what programs misbehave without: each bind costs a launch some 20 µs,
and /etc holds secrets. A file that says nothing (comments only) and a directory that holds nothing are left out.
"""

import glob
import os
from collections.abc import Iterable

from supervisor.spec.facts import HostEntry

SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")

# Relative to /etc; "*" as in glob(7). A directory is listed only where every file in it is meant for everyone:
# of ssl and pki the public halves, never `private`.
ETC = (
    # the loader and Debian's links
    "ld.so.cache",
    "ld-musl-*.path",
    "alternatives",
    # names: users, hosts, services
    "passwd",
    "group",
    "nsswitch.conf",
    "hosts",
    "resolv.conf",
    "gai.conf",
    "protocols",
    "services",
    # who and where we are; these are symbolic links, which cost next to nothing
    "os-release",
    "localtime",
    "mtab",
    # certificates
    "ssl/certs",
    "ssl/cert.pem",
    "ssl/openssl.cnf",
    "pki/ca-trust",
    "pki/tls/certs",
    "pki/tls/cert.pem",
    "pki/tls/openssl.cnf",
    "ca-certificates/extracted",
    "crypto-policies",
    # programs that fail or misbehave without their part
    "mime.types",
    "fonts",
    "magic",
    "terminfo",
    "bash.bashrc",
    "java-*-openjdk",
)

MAX_LINKS = 40


def host_view(root: str = "/") -> tuple[HostEntry, ...]:
    """What of the host below root exists and this process may read, as entries to bind or link."""
    wanted = [f"/{name}" for name in SYSTEM]
    for pattern in ETC:
        found = glob.glob(os.path.join(root, "etc", pattern)) if "*" in pattern else [_at(root, f"/etc/{pattern}")]
        wanted += sorted("/" + os.path.relpath(path, root) for path in found)
    listed = ("/usr", "/proc", *(target for target in wanted if target.startswith("/etc/")))
    entries = (_entry(root, target, listed) for target in wanted)
    return tuple(entry for entry in entries if entry is not None)


def _at(root: str, path: str) -> str:
    return os.path.join(root, path.lstrip("/"))


def _entry(root: str, target: str, listed: tuple[str, ...]) -> HostEntry | None:
    """One entry: a link as it is where all it leads through is in the view, else what it leads to; None: leave it."""
    path = _at(root, target)
    if os.path.islink(path) and _stays_inside(root, target, listed):
        return HostEntry(target=target, kind="symlink", source=os.readlink(path))
    source = os.path.realpath(path)
    needed = os.R_OK | os.X_OK if os.path.isdir(source) else os.R_OK
    if not os.access(source, needed) or (target.startswith("/etc/") and _says_nothing(source)):
        return None
    return HostEntry(target=target, kind="bind", source=source)


def _stays_inside(root: str, path: str, listed: Iterable[str]) -> bool:
    """Follow a link hop by hop: no hop and no end outside what is listed, and something at the end."""
    for _ in range(MAX_LINKS):
        if not os.path.islink(_at(root, path)):
            return os.path.lexists(_at(root, path)) or path.startswith("/proc/")
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(_at(root, path))))
        if not any(path == name or path.startswith(name + "/") for name in listed):
            return False
    return False


def _says_nothing(path: str) -> bool:
    """A directory with nothing but a README in it, or a small text that is all comments."""
    try:
        if os.path.isdir(path):
            return not set(os.listdir(path)) - {"README"}
        if not os.path.isfile(path) or os.path.getsize(path) > 64 * 1024:
            return False
        with open(path, "rb") as file:
            return all(not line.strip() or line.lstrip().startswith(b"#") for line in file)
    except OSError:  # not ours to read after all: os.access judges by the real id, open by the effective one
        return True
