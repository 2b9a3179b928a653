"""Which function does which phase. ns.join and clone come before the interpreter: launch.py does them."""

from __future__ import annotations

from supervisor.nsinit.operations import ids, mounts, namespaces, parent, process, root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

OPERATIONS: dict[str, Callable[..., str | None]] = {
    "parent.bind": parent.bind,
    "id.map": ids.write_map,
    "id.root": ids.become_root,
    "ns.mount": namespaces.mount,
    "ns.uts": namespaces.uts,
    "ns.ipc": namespaces.ipc,
    "ns.network": namespaces.network,
    "ns.cgroup": namespaces.cgroup,
    "ns.time": namespaces.time,
    "time.offsets": namespaces.time_offsets,
    "net.loopback": namespaces.loopback,
    "uts.hostname": namespaces.hostname,
    "uts.domainname": namespaces.domainname,
    "mount.propagation": root.propagation,
    "rootfs.prepare": root.prepare,
    "mount.dev": mounts.dev,
    "mount.proc": mounts.proc,
    "mount.bind": mounts.bind,
    "mount.tmpfs": mounts.tmpfs,
    "rootfs.seal": root.seal,
    "root.pivot": root.pivot,
    "init.fork": process.init_fork,
    "session.new": process.session,
    "cwd.enter": process.enter_directory,
    "limit.rlimit": process.limits,
    "cap.bound": ids.bound,
    "id.user": ids.become_user,
    "cap.drop": ids.drop,
    "fd.close": process.close_descriptors,
    "lock.no_new_privs": process.no_new_privileges,
    "exec": process.execute,
}
