"""What a process says about itself, and the namespaces it enters."""

import ctypes
import errno
import fcntl
import os
import socket
import struct
from pathlib import Path

import pytest

from supervisor.kernel import clone, namespaces, process
from supervisor.kernel.clocks import monotonic_offset_ns
from supervisor.kernel.files import write_attribute
from supervisor.kernel.libc import KernelError, checked, libc, raw
from supervisor.kernel.loopback import loopback_up
from supervisor.kernel.setns import setns
from supervisor.kernel.title import set_title
from tests.accounts import Account
from tests.kernel.apart import apart, enter


def status() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def failing(call: object, account: Account | None = None) -> tuple[int | None, str]:
    assert callable(call)
    with pytest.raises(KernelError) as caught:
        apart(call, account)
    return caught.value.errno, caught.value.syscall


def test_capabilities_as_masks(account: Account) -> None:
    high, low = 1 << 40, 1 << 5

    def inside() -> list[int]:
        enter()
        process.capset(low, low | high, 0)
        return [int(status()[f"Cap{kind}"], 16) for kind in ("Eff", "Prm", "Inh")]

    assert apart(inside, account) == [low, low | high, 0]


def test_more_capabilities_than_permitted(account: Account) -> None:
    def inside() -> None:
        enter()
        process.capset(0, 0, 0)
        process.capset(1, 1, 0)

    assert failing(inside, account) == (errno.EPERM, "capset")


def test_prctl_passes_all_five_arguments() -> None:
    assert libc.prctl.argtypes is not None
    assert len(libc.prctl.argtypes) == 5

    def locked() -> str:
        process.prctl(process.PR_SET_NO_NEW_PRIVS, 1)
        return status()["NoNewPrivs"]

    assert apart(locked) == "1"
    assert failing(lambda: process.prctl(process.PR_SET_NO_NEW_PRIVS, 1, 1)) == (errno.EINVAL, "prctl")


def test_names_are_cut_to_what_the_kernel_keeps() -> None:
    def named() -> str:
        process.set_name("a-name-that-is-too-long")
        return Path("/proc/self/comm").read_text()

    assert apart(named) == "a-name-that-is-\n"


@pytest.mark.parametrize("title", ["nsinit: x", "nsinit: " + "x" * 100_000, "ü"])
def test_the_title_takes_the_room_there_is(title: str) -> None:
    def titled() -> tuple[bytes, int]:
        before = len(Path("/proc/self/cmdline").read_bytes())
        set_title("first")
        set_title(title)
        return Path("/proc/self/cmdline").read_bytes(), before

    shown, before = apart(titled)
    assert len(shown) <= before
    expected = title.encode()[: before - 1]
    assert shown.rstrip(b"\0") == expected


def test_descriptors_are_closed_from_one_to_another() -> None:
    def close() -> list[bool]:
        fds = [os.dup(0) for _ in range(5)]
        process.close_range(fds[1], fds[3])
        process.close_range(fds[4], fds[4], process.CLOSE_RANGE_CLOEXEC)
        return [os.path.exists(f"/proc/self/fd/{fd}") for fd in fds]

    assert apart(close) == [True, False, False, False, True]


def test_a_keyring_of_its_own() -> None:
    def joined() -> bool:
        get = raw("keyctl", ctypes.c_int, ctypes.c_int, ctypes.c_int)
        process.join_anonymous_keyring()
        first = get(0, -3, 0)
        process.join_anonymous_keyring()
        return first != get(0, -3, 0)

    assert apart(joined)


def test_names_of_a_uts_namespace(account: Account) -> None:
    def inside() -> tuple[str, str]:
        enter(clone.CLONE_NEWUTS)
        namespaces.sethostname("x" * 64)
        namespaces.setdomainname("nis")
        return os.uname().nodename, Path("/proc/sys/kernel/domainname").read_text().strip()

    assert apart(inside, account) == ("x" * 64, "nis")
    assert os.uname().nodename != "x" * 64


def test_the_owner_of_a_namespace(account: Account) -> None:
    def inside() -> bool:
        enter(clone.CLONE_NEWNET)
        net = os.open("/proc/self/ns/net", os.O_RDONLY)
        owner = namespaces.owner(net)
        assert not os.get_inheritable(owner)
        return os.fstat(owner).st_ino == os.stat("/proc/self/ns/user").st_ino

    def outside() -> None:
        net = os.open("/proc/self/ns/net", os.O_RDONLY)
        enter()
        namespaces.owner(net)

    assert apart(inside, account)
    assert failing(outside, account) == (errno.EPERM, "ioctl(NS_GET_USERNS)")


def test_setns(account: Account) -> None:
    def back() -> bool:
        enter(clone.CLONE_NEWUTS)
        first = os.open("/proc/self/ns/uts", os.O_RDONLY)
        namespaces.unshare(clone.CLONE_NEWUTS)
        namespaces.sethostname("other")
        setns(first, clone.CLONE_NEWUTS)
        return os.uname().nodename != "other"

    def wrong_kind() -> None:
        setns(os.open("/proc/self/ns/uts", os.O_RDONLY), clone.CLONE_NEWNET)

    assert apart(back, account)
    assert failing(wrong_kind, account) == (errno.EINVAL, "setns")


def test_loopback(account: Account) -> None:
    def inside() -> tuple[int, int]:
        enter(clone.CLONE_NEWNET)
        with socket.socket() as one:

            def flags() -> int:
                answer = fcntl.ioctl(one, 0x8913, struct.pack("16sh22x", b"lo", 0))  # SIOCGIFFLAGS
                return int(struct.unpack("16sh22x", answer)[1])

            before = flags()
            loopback_up()
            return before & 1, flags() & 1

    def of_the_host() -> None:
        enter()
        loopback_up()

    assert apart(inside, account) == (0, 1)
    assert failing(of_the_host, account) == (errno.EPERM, "ioctl(SIOCSIFFLAGS)")


def test_the_monotonic_offset(account: Account) -> None:
    def inside() -> tuple[int, int]:
        before = monotonic_offset_ns()
        enter(clone.CLONE_NEWTIME)
        write_attribute("/proc/self/timens_offsets", "monotonic 60 500")
        return before, monotonic_offset_ns()

    assert apart(inside, account) == (0, 60_000_000_500)


def test_signals_are_unblocked() -> None:
    def inside() -> str:
        process.unblock_signals()
        return status()["SigBlk"]

    assert apart(inside) == "0" * 16


def test_a_call_that_this_machine_has_no_number_for() -> None:
    with pytest.raises(KernelError) as caught:
        raw("no_such_call", ctypes.c_int)(0, subject="it")
    assert (caught.value.errno, caught.value.syscall, caught.value.filename) == (errno.ENOSYS, "no_such_call", "it")


def test_an_error_is_an_oserror_with_its_call() -> None:
    ctypes.set_errno(errno.ENOENT)
    with pytest.raises(OSError, match=r"No such file or directory: '/x'") as caught:
        checked(-1, "open", "/x")
    assert (type(caught.value), caught.value.errno) == (KernelError, errno.ENOENT)
    assert checked(0, "open") == 0
