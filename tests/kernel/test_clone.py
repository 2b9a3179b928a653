"""clone3 as a fork that Python knows of."""

import errno
import os
import random
import signal
from pathlib import Path

import pytest

from supervisor.kernel import clone as module
from supervisor.kernel import files
from supervisor.kernel.clone import CLONE_NEWPID, CLONE_NEWUSER, CLONE_PARENT, clone
from supervisor.kernel.libc import SYS, KernelError
from tests.accounts import Account, me
from tests.cgroups import delegated
from tests.kernel.apart import apart, enter
from tests.nsinit.keepers import has_ended, wait_readable


def cloned(flags: int = 0) -> tuple[int, int]:
    """A child that ends with code 7, or by the signal that it is sent before."""
    pid, pidfd = clone(flags)
    if pid == 0:
        os._exit(7)
    return pid, pidfd


def test_pid_and_pidfd_of_one_child() -> None:
    pid, pidfd = cloned()
    wait_readable(pidfd)
    assert os.get_inheritable(pidfd) is False
    assert f"Pid:\t{pid}\n" in Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    assert os.waitpid(pid, 0) == (pid, 7 << 8)
    os.close(pidfd)


@pytest.mark.parametrize("flags", [CLONE_NEWUSER, CLONE_NEWUSER | CLONE_NEWPID])
def test_new_namespaces(account: Account, flags: int) -> None:
    def inside() -> tuple[int, bool]:
        reader, writer = os.pipe()
        pid, pidfd = clone(flags)
        if pid == 0:
            os.write(writer, f"{os.getpid()} {os.readlink('/proc/self/ns/user')}".encode())
            os._exit(0)
        os.waitpid(pid, 0)
        os.close(pidfd)
        seen = os.read(reader, 100).decode().split()
        return int(seen[0]), seen[1] != os.readlink("/proc/self/ns/user")

    own_pid, other_user = apart(inside, account)
    assert (own_pid == 1) == bool(flags & CLONE_NEWPID)
    assert other_user


def test_the_hooks_run() -> None:
    """In the child the random stream is another one, and thread bookkeeping is the child's."""

    def draw() -> tuple[float, float]:
        random.seed(1)
        reader, writer = os.pipe()
        pid, pidfd = clone(0)
        if pid == 0:
            os.write(writer, repr(random.random()).encode())
            os._exit(0)
        os.waitpid(pid, 0)
        os.close(pidfd)
        return random.random(), float(os.read(reader, 100))

    ours, childs = apart(draw)
    assert ours != childs


def test_hooks_do_not_spoil_the_errno() -> None:
    def with_a_hook() -> None:
        os.register_at_fork(after_in_parent=lambda: os.path.exists("/nonexistent"))
        clone(CLONE_NEWUSER | module.CLONE_NEWNS | 0x200)  # CLONE_FS with a new user namespace is EINVAL

    with pytest.raises(KernelError) as caught:
        apart(with_a_hook)
    assert (caught.value.errno, caught.value.syscall) == (errno.EINVAL, "clone3")


def test_a_child_for_ones_parent() -> None:
    """By CLONE_PARENT: the grandparent waits for it, and is told by SIGCHLD."""

    def between() -> tuple[int, int]:
        reader, writer = os.pipe()
        go_between = files.fork()
        if go_between == 0:
            pid, _ = cloned(CLONE_PARENT)
            os.write(writer, str(pid).encode())
            os._exit(0)
        os.waitpid(go_between, 0)
        pid = int(os.read(reader, 100))
        return pid, os.waitpid(pid, 0)[0]

    pid, waited = apart(between)
    assert pid == waited


def test_the_older_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where clone3's number leads nowhere the kernel says ENOSYS, as a container's filter does."""
    monkeypatch.setitem(SYS, "clone3", 100_000)
    pid, pidfd = clone(0)
    if pid == 0:
        signal.pause()
        os._exit(0)
    assert not has_ended(pidfd)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert os.waitpid(pid, 0) == (pid, signal.SIGKILL)
    os.close(pidfd)


def test_the_older_call_goes_into_a_cgroup_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SYS, "clone3", 100_000)
    with delegated(me()) as place:
        (place / "inner").mkdir()
        inner = os.open(place / "inner", os.O_RDONLY | os.O_DIRECTORY)
        reader, writer = os.pipe()
        pid, pidfd = clone(CLONE_NEWUSER, cgroup_fd=inner)
        if pid == 0:
            os.write(writer, Path("/proc/self/cgroup").read_bytes())
            os._exit(0)
        os.waitpid(pid, 0)
        for fd in (inner, writer, pidfd):
            os.close(fd)
        with open(reader) as file:
            assert f"/{place.name}/inner\n" in file.read()


def test_the_older_call_never_leaves_a_child_outside_its_cgroup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SYS, "clone3", 100_000)
    pid, pidfd = clone(0, cgroup_fd=99_999)
    if pid == 0:
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 125
    os.close(pidfd)


def test_a_descriptor_that_is_no_cgroup() -> None:
    with pytest.raises(KernelError) as caught:
        clone(0, cgroup_fd=99_999)
    assert caught.value.errno == errno.EBADF


def test_no_child_no_zombie(account: Account) -> None:
    def over_quota() -> None:
        enter()
        files.write_attribute("/proc/sys/user/max_user_namespaces", "0")
        try:
            clone(CLONE_NEWUSER)
        finally:
            with pytest.raises(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)

    with pytest.raises(KernelError) as caught:
        apart(over_quota, account)
    assert (caught.value.errno, caught.value.syscall) == (errno.ENOSPC, "clone3")
