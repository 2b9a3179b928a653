"""Rows of the hint table that neither provocations.py nor tests/e2e/failing_phases.py provokes, and why.

A row is PHASE ERRNO, or PHASE ERRNO SYSCALL for those that only one system call of the phase has.
"""

# Provoked there, with the errno in its text.
ELSEWHERE = {
    "tests/runtime/test_cgroup.py": ["cgroup.create EBUSY"],
    "tests/e2e/test_pasta.py": ["net.attach EADDRINUSE", "net.attach EAFNOSUPPORT", "net.attach EIO"],
    "tests/runtime/test_id_book.py": ["id.map EBUSY", "id.map EIO"],
    "tests/runtime/test_secrets.py": ["mount.secret EFBIG"],
    "tests/runtime/test_monitor.py": ["mount.file EADDRINUSE bind"],
    "tests/nsinit/test_secrets.py": ["mount.secret ESRCH"],
    "tests/nsinit/test_masks.py": ["sysctl.set EXDEV"],
    "tests/nsinit/test_joins.py": ["ns.join ESRCH"],
    "tests/nsinit/test_mounts.py": ["mount.dev ENXIO"],
    "tests/security/test_descriptors.py": ["fd.close EISDIR"],
    "tests/nsinit/test_mount_types.py": ["mount.bind ENODEV"],
    "tests/nsinit/test_overlay.py": [
        f"{phase} {rest}"
        for phase in ("mount.overlay", "rootfs.prepare")
        for rest in ("EAGAIN flock", "EINVAL fsconfig", "ELOOP fsconfig", "ESRCH hold")
    ],
    "tests/e2e/test_id_slices.py": ["mount.bind EINVAL mount.idmap", "rootfs.prepare EINVAL mount.idmap"],
    "tests/nsinit/test_groups.py": ["id.user ENOENT getgrnam"],
    "tests/e2e/test_standby.py": ["standby.wait SIGKILL"],
}
BECAUSE = {
    "it takes a kernel or a machine that lacks something": [
        "clone EINVAL", "clone ENOSYS", "exec ELIBBAD", "fd.close EINVAL", "fd.close ENOSYS", "lock.landlock ENOSYS",
        "lock.landlock ENOTSUP", "lock.seccomp ENOSYS", "lock.seccomp ENOTSUP", "mount.cgroup ENODEV",
        "mount.devpts ENODEV", "mount.mqueue ENODEV", "mount.sysfs ENOENT", "net.attach ENODEV", "net.attach ENXIO",
        "net.loopback ENODEV", "ns.cgroup EINVAL", "ns.ipc EINVAL", "ns.mount EINVAL", "ns.network EINVAL",
        "ns.time EINVAL", "ns.uts EINVAL", "time.offsets ENOENT", "userns.seal ENOENT", "process.personality EINVAL",
        "mount.overlay ENODEV fsopen", "mount.overlay ENODEV mount",
        "rootfs.prepare ENODEV fsopen", "rootfs.prepare ENODEV mount",
    ],
    "it takes a kernel older than this one, which answers otherwise or by another call": [
        "id.root EAGAIN", "id.user EAGAIN", "limit.oom EPERM", "root.pivot EBUSY", "mount.mqueue EPERM move_mount",
        "mount.overlay EINVAL mount", "mount.overlay ELOOP mount",
        "rootfs.prepare EINVAL mount", "rootfs.prepare ELOOP mount",
        "mount.overlay EINVAL move_mount",
    ],
    "it takes a security module, a container or capabilities of files around the tests": [
        "clone EACCES", "exec EPERM", "net.attach EPERM", "mount.bind EPERM open_tree", "mount.bind EPERM move_mount",
        "sysctl.set EPERM", "userns.seal EPERM", "mount.overlay EPERM mkdirat", "rootfs.prepare EPERM mkdirat",
    ],
    "it takes a state of the host that no test may bring about": [
        "cgroup.create EACCES", "cgroup.create EAGAIN", "cgroup.create EINVAL", "cgroup.create ENOENT",
        "cgroup.create ENOSPC", "cgroup.create EPERM", "cgroup.create ERANGE", "cgroup.create EROFS", "clone EBUSY",
        "id.map ENOENT", "id.map ENOSPC", "id.map no subuid line", "mount.cgroup EBUSY", "mount.dev ENOENT",
        "mount.mask ENOSPC", "mount.mask ENXIO", "net.attach EACCES", "net.attach ENOENT", "session.new EDQUOT",
        "parent.release EPERM",
    ],
    "somebody has to end, or a file to shrink, at one moment": [
        "parent.bind ESRCH", "net.attach ESRCH", "mount.secret EIO", "session.new EPERM ioctl",
    ],
    "a check of ours comes before the kernel's": [
        "fd.close EBADF", "fd.close EMFILE", "lock.seccomp E2BIG", "lock.seccomp EPERM", "lock.seccomp SIGSEGV",
        "lock.seccomp SIGSYS",
        "mount.mask EINVAL", "lock.landlock EPERM setrlimit",
    ],
    "it is the same failure as the one of this errno that is provoked, seen by the call that made the target": [
        "mount.bind ELOOP open_tree", "mount.dev EACCES openat2", "mount.file EEXIST mkdirat",
        "mount.file EINVAL move_mount", "mount.file ENOSPC write", "mount.overlay EACCES mkdirat",
        "mount.overlay EACCES openat",
        "mount.overlay EROFS mkdirat", "mount.proc EACCES mkdirat", "mount.proc EACCES openat2",
        "mount.secret EINVAL move_mount", "mount.secret ENOENT openat2", "mount.secret ENOSPC sendfile",
        "rootfs.prepare EACCES mkdirat", "rootfs.prepare EROFS mkdirat", "userns.seal EXDEV",
    ],
}  # fmt: skip
