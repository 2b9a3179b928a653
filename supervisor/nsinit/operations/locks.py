"""Phases that take rights from the workload: further user namespaces, privileges by execve, Landlock, seccomp."""

from __future__ import annotations

import errno
import os
import stat

from supervisor.kernel import files, process
from supervisor.kernel import landlock as kernel
from supervisor.kernel.libc import KernelError
from supervisor.kernel.seccomp import install_filter
from supervisor.nsinit.box import Box
from supervisor.nsinit.operations.parent import arm_death_signal
from supervisor.nsinit.operations.service import limits

USER_NAMESPACES = "sys/user/max_user_namespaces"  # below a proc: of the user namespace of who opens it
READ = kernel.READ_FILE | kernel.READ_DIR
MAKE = (
    kernel.MAKE_CHAR | kernel.MAKE_DIR | kernel.MAKE_REG | kernel.MAKE_SOCK
    | kernel.MAKE_FIFO | kernel.MAKE_BLOCK | kernel.MAKE_SYM
)  # fmt: skip
REMOVE = kernel.REMOVE_DIR | kernel.REMOVE_FILE
WRITE = kernel.WRITE_FILE | MAKE | REMOVE | kernel.REFER | kernel.TRUNCATE | kernel.IOCTL_DEV
OF_FILES = kernel.EXECUTE | kernel.WRITE_FILE | kernel.READ_FILE | kernel.TRUNCATE | kernel.IOCTL_DEV
RIGHTS = {"read": READ, "write": WRITE, "execute": kernel.EXECUTE}
NETWORK = {"bind_tcp": kernel.BIND_TCP, "connect_tcp": kernel.CONNECT_TCP}
SCOPES = {"abstract_sockets": kernel.SCOPE_ABSTRACT_UNIX_SOCKET, "signals": kernel.SCOPE_SIGNAL}
NEWER_RIGHTS = ((2, kernel.REFER, ""), (3, kernel.TRUNCATE, "truncating files"), (5, kernel.IOCTL_DEV, "device ioctls"))


def seal(_box: Box, mounts_of: str) -> None:
    """userns.seal: no user namespace below this one. Whoever has CAP_SYS_RESOURCE in it could undo that.

    mounts_of: `host`, or `worker` where the /proc that is seen is one that a worker may have mounted.
    """
    path = f"/proc/{USER_NAMESPACES}"
    fd = files.open_file(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if mounts_of == "worker" and files.filesystem_type(fd) != files.PROC_SUPER_MAGIC:
            raise KernelError(errno.EXDEV, "fstatfs", path, "not a file of proc")
        files.write(fd, b"0\n")
    finally:
        os.close(fd)


def no_new_privileges(_box: Box) -> None:
    """lock.no_new_privs."""
    process.prctl(process.PR_SET_NO_NEW_PRIVS, 1)


def landlock(box: Box, required: str, nofile: str, *pairs: str) -> str | None:
    """lock.landlock: pairs of kind and value, with "" for the kind itself. It is for ever, so it comes late.

    nofile: RLIMIT_NOFILE, which would keep the rules' paths from being opened if it had been set earlier.
    """
    rules = [(pairs[at], pairs[at + 1]) for at in range(0, len(pairs), 2)]
    version = kernel.abi()
    of_files, net, scopes, lacking = handled(version, {kind for kind, _ in rules})
    if lacking and (required == "1" or not of_files | net | scopes):
        text = f"Landlock of this kernel (ABI {version}) knows nothing of {', '.join(lacking)}"
        raise KernelError(errno.EOPNOTSUPP, "landlock_create_ruleset", None, text)
    ruleset = kernel.create_ruleset(of_files, net, scopes)
    for kind, value in rules:
        if value and kind in RIGHTS:
            _allow(ruleset, value, (RIGHTS[kind] | READ) & of_files)
        elif value and NETWORK[kind] & net:
            kernel.allow_port(ruleset, int(value), NETWORK[kind])
    _allow_always(ruleset, of_files)
    opened = of_files & (kernel.EXECUTE | kernel.READ_FILE)
    if box.static_init_fd >= 0 and opened:
        kernel.allow_beneath(ruleset, box.static_init_fd, opened, subject="init")
    if nofile:
        limits(box, "nofile", nofile)
    kernel.restrict_self(ruleset)
    os.close(ruleset)
    return f"not restricted, for the kernel has Landlock ABI {version} only: {', '.join(lacking)}" if lacking else None


def handled(version: int, kinds: set[str]) -> tuple[int, int, int, list[str]]:
    """Rights on files, on TCP ports and scopes that are denied unless allowed; and what this version cannot deny."""
    of_files = 0
    lacking = []
    for kind in RIGHTS.keys() & kinds:
        of_files |= RIGHTS[kind]
    if of_files:
        of_files |= kernel.REFER  # denied by any ruleset on files whether it names it or not
    for since, right, words in NEWER_RIGHTS:
        if version < since and of_files & right:
            of_files &= ~right
            lacking += [words] if words else []
    net = sum(right for kind, right in NETWORK.items() if kind in kinds)
    if version < 4 and net:
        net, lacking = 0, [*lacking, "TCP ports"]
    scopes = sum(scope for kind, scope in SCOPES.items() if kind in kinds)
    if version < 6 and scopes:
        scopes, lacking = 0, [*lacking, *sorted(kind.replace("_", " ") for kind in SCOPES.keys() & kinds)]
    return of_files, net, scopes, lacking


def _allow(ruleset: int, path: str, rights: int) -> None:
    fd = files.open_file(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= OF_FILES
        if rights:
            kernel.allow_beneath(ruleset, fd, rights, subject=path)
    finally:
        os.close(fd)


def _allow_always(ruleset: int, of_files: int) -> None:
    """Renames where writing is nobody's concern, and /dev/null."""
    if of_files & kernel.REFER and not of_files & kernel.WRITE_FILE:
        _allow(ruleset, "/", kernel.REFER)
    if of_files & (READ | kernel.WRITE_FILE):
        try:
            _allow(ruleset, "/dev/null", (READ | kernel.WRITE_FILE | kernel.TRUNCATE) & of_files)
        except KernelError as error:
            if error.errno not in (errno.ENOENT, errno.EACCES, errno.ENOTDIR):  # a root without it
                raise


def seccomp(box: Box, flags: str, strict: str, program: str) -> None:
    """lock.seccomp. strict: what the filter may forbid is done, or told, before it."""
    instructions = bytes.fromhex(program)
    if strict == "1":
        arm_death_signal(box)
        process.unblock_signals()
        box.channel.flush()
        box.channel.drop_untold()
        box.filtered = True
    install_filter(instructions, int(flags))
