"""Phases about ids and capabilities."""

import errno
import os
import stat

from supervisor.kernel import files
from supervisor.kernel import process as kernel
from supervisor.kernel.files import write_attribute
from supervisor.kernel.libc import KernelError
from supervisor.nsinit.box import Box
from supervisor.nsinit.operations.parent import arm_death_signal

LARGEST_TABLE = 4 * 1024 * 1024


def write_map(box: Box, method: str, uid_map: str, gid_map: str) -> None:
    """id.map: `self` writes one id's line itself; `outside` has it written by newuidmap or a privileged daemon."""
    if method == "outside":
        box.channel.need("idmap", f"{uid_map};{gid_map}")
        return
    write_attribute("/proc/self/setgroups", "deny")  # before gid_map, which is EPERM otherwise
    box.groups_denied = True
    write_attribute("/proc/self/gid_map", f"{gid_map} {box.outside_gid} 1\n")
    write_attribute("/proc/self/uid_map", f"{uid_map} {box.outside_uid} 1\n")


def become_root(box: Box, uid: str, gid: str, last: str = "") -> str | None:
    """id.root: take the mapped id that will own mounts and files. With every capability: only id 0 keeps them alone.

    last: the kernel's last capability, where the /proc that is seen is not to be believed.
    """
    if (os.geteuid(), os.getegid()) == (int(uid), int(gid)):
        return "skipped"
    kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
    files.setresgid(int(gid), int(gid), int(gid))
    files.setresuid(int(uid), int(uid), int(uid))
    everything = (1 << (int(last) if last else _last_capability()) + 1) - 1
    kernel.capset(everything, everything, 0)  # setresuid to a non-root id empties the effective set
    if not box.hidden:
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # else /proc/self stays root's and the next maps cannot be written
    arm_death_signal(box)  # credentials changed: it was cleared
    return None


def _last_capability() -> int:
    with open("/proc/sys/kernel/cap_last_cap", "rb") as file:
        return int(file.read())


def bound(_box: Box, keep: str, last: str) -> None:
    """cap.bound: without this an id 0 would regain everything by execve."""
    kernel.drop_bounding(int(keep), int(last))


def become_user(box: Box, uid: str, gid: str, name: str, primary: str = "", *given: str) -> str | None:
    """id.user: the worker's user. A name is looked up in the sandbox's own passwd and group.

    primary: a group by number or name, instead of the user's; given: `groups` and supplementary ones, instead of those
    that the group file gives the user.
    """
    groups: list[int] = []
    if name:
        user, group, groups = _lookup(name)
    else:
        user, group = int(uid), int(gid)
    if primary:
        (group,) = _group_numbers((primary,))
    if given:
        groups = _group_numbers(given[1:])
    if box.groups_denied and (os.geteuid(), os.getegid()) == (user, group):
        return _groups_that_stay() or "skipped"
    kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
    note = _groups_that_stay() if box.groups_denied else _set_groups(groups)
    files.setresgid(group, group, group)
    files.setresuid(user, user, user)
    arm_death_signal(box)
    return note


def _set_groups(groups: list[int]) -> str | None:
    """Denied in a user namespace that was joined, and by newgidmap where it maps the user's own group and no other."""
    try:
        files.setgroups(groups)
    except KernelError as error:
        if error.errno != errno.EPERM or groups:
            raise
        return _groups_that_stay()
    return None


def _groups_that_stay() -> str | None:
    """For the record: a sandbox of one mapped id keeps what its caller may do by other groups."""
    others = [group for group in os.getgroups() if group != os.getegid()]
    return f"setgroups is denied: {len(others)} of the caller's supplementary groups stay" if others else None


def _group_numbers(words: tuple[str, ...]) -> list[int]:
    rows = [] if all(map(str.isdecimal, words)) else _table("/etc/group")
    known = {row[0]: int(row[2]) for row in rows if len(row) > 2 and row[2].isdecimal()}
    for word in words:
        if not word.isdecimal() and word not in known:
            raise KernelError(errno.ENOENT, "getgrnam", word, "no such group in the sandbox's /etc/group")
    return [int(word) if word.isdecimal() else known[word] for word in words]


def _lookup(name: str) -> tuple[int, int, list[int]]:
    """Read passwd(5) and group(5) by hand: the C library would load NSS modules from inside the sandbox."""
    for fields in _table("/etc/passwd"):
        if fields[0] == name and len(fields) > 3:
            groups = [int(row[2]) for row in _table("/etc/group") if len(row) > 3 and name in row[3].split(",")]
            return int(fields[2]), int(fields[3]), groups
    raise KernelError(errno.ENOENT, "getpwnam", name, "no such user in the sandbox's /etc/passwd")


def _table(path: str) -> list[list[str]]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    with open(fd, "rb") as file:  # in a writable root the worker may have left anything there
        regular = stat.S_ISREG(os.fstat(fd).st_mode)
        data = file.read(LARGEST_TABLE + 1) if regular else b""
    if not regular or len(data) > LARGEST_TABLE:
        raise KernelError(errno.EINVAL, "openat", path, "not a regular file of at most 4 MiB")
    return [line.split(":") for line in data.decode("utf-8", "surrogateescape").splitlines()]


def drop(_box: Box, permitted: str, inheritable: str, ambient: str) -> None:
    """cap.drop: effective and permitted, inheritable and ambient hold what was asked for and nothing else."""
    mask = int(permitted)
    kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_CLEAR_ALL)
    kernel.capset(mask, mask, int(inheritable))
    mask = int(ambient)
    for capability in range(mask.bit_length()):
        if mask >> capability & 1:
            kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_RAISE, capability)
