"""The host view: a root put together from the host, read-only, with nothing of /home, /root, /var or /run."""

from supervisor.spec.facts import HostFacts
from supervisor.spec.model import Worker

EMPTY = ("/dev", "/etc", "/home", "/proc", "/root", "/run", "/tmp", "/var")


def host_view(facts: HostFacts) -> list[str]:
    """Arguments of rootfs.prepare: kind, target, source in turn; directories before what lies in them."""
    directories = set(EMPTY)
    for entry in facts.view:
        parent = entry.target.rpartition("/")[0]
        while parent:
            directories.add(parent)
            parent = parent.rpartition("/")[0]
    directories -= {entry.target for entry in facts.view}
    arguments = [word for path in sorted(directories) for word in ("dir", path, "")]
    arguments += ["symlink", "/var/tmp", "/tmp"]
    for entry in facts.view:
        arguments += [entry.kind, entry.target, entry.source]
    return arguments


def needs_private_tmp(worker: Worker) -> bool:
    """Say whether /tmp is ours to mount: in the host view, unless the user mounts something there."""
    return worker.rootfs.kind == "host" and all(mount.target.rstrip("/") != "/tmp" for mount in worker.mounts)
