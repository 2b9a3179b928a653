"""What the kernel does to who does not know it: each to be called `apart`."""

import ctypes
import os
import platform
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.kernel import clone, files, mounts, namespaces, process
from supervisor.kernel.libc import KernelError, raw
from supervisor.kernel.setns import setns
from tests.accounts import Account
from tests.kernel.apart import apart, enter, place

PR_GET_PDEATHSIG = 2
GET_KEYRING_ID, SESSION_KEYRING = 0, -3
ADD_KEY = {"x86_64": 248, "aarch64": 217}[platform.machine()]
OTHER_ID = 12345


def refusal(call: Callable[[], object], account: Account) -> int:
    """The errno that it ends in."""
    with pytest.raises(KernelError) as caught:
        apart(call, account)
    return caught.value.errno or 0


def death_signal() -> int:
    """Of this process."""
    found = ctypes.c_int()
    ctypes.CDLL(None).prctl(PR_GET_PDEATHSIG, ctypes.byref(found), 0, 0, 0)
    return found.value


def death_signal_after_a_change_of_ids() -> int:
    """For root."""
    process.prctl(process.PR_SET_PDEATHSIG, 9)
    os.setresuid(OTHER_ID, OTHER_ID, OTHER_ID)
    return death_signal()


def capabilities_after_a_change_of_ids() -> int:
    """For root."""
    os.setresuid(OTHER_ID, OTHER_ID, OTHER_ID)
    return int(Path("/proc/self/status").read_text().partition("CapPrm:\t")[2][:16], 16)


def draws_alike_after_a_raw_clone3() -> bool:
    """Parent and child, of a generator that both had."""
    random.seed(1)
    reader, writer = os.pipe()
    arguments = (ctypes.c_uint64 * 11)(0, 0, 0, 0, clone.SIGCHLD)
    pid = ctypes.PyDLL(None).syscall(435, arguments, ctypes.sizeof(arguments))
    if pid == 0:
        os.write(writer, repr(random.random()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    return float(os.read(reader, 100)) == random.random()


def after_a_child() -> None:
    """A child that was, and is no more."""
    pid = files.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def fork_into_a_dead_pid_namespace() -> None:
    enter(clone.CLONE_NEWPID)
    after_a_child()
    files.fork()


def gid_map_first() -> None:
    gid = os.getegid()
    namespaces.unshare(clone.CLONE_NEWUSER)
    files.write_attribute("/proc/self/gid_map", f"0 {gid} 1")


def map_of_two_ids() -> None:
    uid = os.geteuid()
    namespaces.unshare(clone.CLONE_NEWUSER)
    files.write_attribute("/proc/self/uid_map", f"0 {uid} 2")


def map_of_the_undumpable() -> None:
    uid = os.geteuid()
    namespaces.unshare(clone.CLONE_NEWUSER)
    process.prctl(process.PR_SET_DUMPABLE, 0)
    files.write_attribute("/proc/self/uid_map", f"0 {uid} 1")


def join_too_late() -> None:
    uts = os.open("/proc/self/ns/uts", os.O_RDONLY)
    enter()
    setns(uts, clone.CLONE_NEWUTS)


def create_on_a_node(mode: str) -> int:
    """In a tmpfs of that mode: the errno, or 0."""
    enter(clone.CLONE_NEWNS)
    mounts.attach(mounts.new_filesystem("tmpfs", {"mode": mode}, 0), place("/mnt"))
    os.close(os.open("/mnt/null", os.O_CREAT))
    mounts.attach(mounts.open_tree("/dev/null", recursive=False), place("/mnt/null"))
    try:
        os.open("/mnt/null", os.O_WRONLY | os.O_CREAT, 0o666)
    except OSError as error:
        return error.errno or 0
    return 0


def make_a_node() -> None:
    enter(clone.CLONE_NEWNS)
    mounts.attach(mounts.new_filesystem("tmpfs", {}, 0), place("/mnt"))
    files.named("mknod", os.mknod)("/mnt/null", 0o020666, os.makedev(1, 3))


def devpts_with_a_group() -> None:
    enter(clone.CLONE_NEWNS)
    mounts.new_filesystem("devpts", {"gid": "5"}, 0)


def offsets_too_late() -> None:
    enter(clone.CLONE_NEWTIME)
    after_a_child()
    files.write_attribute("/proc/self/timens_offsets", "monotonic 5 0")


def prctl_with_garbage() -> None:
    process.prctl(process.PR_SET_NO_NEW_PRIVS, 1, 1)


def session_keyring() -> int:
    """Its serial number; 0 where there is none."""
    try:
        return raw("keyctl", ctypes.c_int, ctypes.c_int, ctypes.c_int)(GET_KEYRING_ID, SESSION_KEYRING, 0)
    except KernelError:
        return 0


def keyring_in_a_new_user_namespace() -> tuple[int, int]:
    """Of one's own before, and then."""
    process.join_anonymous_keyring()
    before = session_keyring()
    enter()
    return before, session_keyring()


def take_every_key() -> None:
    """All that the user may have, until this process ends and a few seconds longer."""
    process.join_anonymous_keyring()
    libc = ctypes.CDLL(None)
    while libc.syscall(ADD_KEY, b"user", os.urandom(8).hex().encode(), b"x", 1, SESSION_KEYRING) > 0:
        pass


def tmpfs_without_swap() -> None:
    enter(clone.CLONE_NEWNS)
    mounts.new_filesystem("tmpfs", {"noswap": ""}, 0)
