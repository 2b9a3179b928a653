"""seccomp(2) and the kernel's log, as the kernel answers."""

import errno
import os
from pathlib import Path

import pytest

from supervisor.kernel.klog import last_messages
from supervisor.kernel.libc import KernelError
from supervisor.kernel.process import PR_SET_NO_NEW_PRIVS, prctl
from supervisor.kernel.seccomp import install_filter
from tests.accounts import Account
from tests.kernel.apart import apart

ALLOW_ALL = bytes.fromhex("060000000000ff7f")


def test_a_filter() -> None:
    def install() -> None:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        install_filter(ALLOW_ALL, 0)
        with open("/proc/self/status") as file:
            assert "Seccomp:\t2\n" in file.readlines()

    apart(install)


@pytest.mark.parametrize(("program", "flags"), [(b"", 0), (ALLOW_ALL, 1 << 30), (b"\xff" * 8, 0)])
def test_what_the_kernel_does_not_take(program: bytes, flags: int) -> None:
    def install() -> None:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        with pytest.raises(KernelError) as caught:
            install_filter(program, flags)
        assert (caught.value.errno, caught.value.syscall) == (errno.EINVAL, "seccomp")

    apart(install)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_kernels_log() -> None:
    assert len(last_messages(4096)) <= 4096


def test_the_kernels_log_is_closed(unprivileged: Account) -> None:
    if Path("/proc/sys/kernel/dmesg_restrict").read_text() != "1\n":
        pytest.skip("needs kernel.dmesg_restrict = 1")
    with pytest.raises(KernelError) as caught:
        apart(lambda: last_messages(4096), unprivileged)
    assert (caught.value.errno, caught.value.syscall) == (errno.EPERM, "syslog")
