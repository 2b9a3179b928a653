"""Ways round the seccomp filter, and calls that reach past namespaces; each is made for real with and without it."""

import os
import pty
import select
import termios
from fcntl import ioctl

from supervisor.spec.model import Security
from tests.nsinit.keepers import Keeper
from tests.security.attempts import attempting, outcomes

UNFILTERED = Security(seccomp="off", nested_userns=True)
# Upper halves of arguments that the kernel cuts off, and numbers that a filter may see otherwise.
CALLS = """
NUMBERS = {"x86_64": {"ioctl": 16, "unshare": 272, "socket": 41, "clone": 56, "io_uring_setup": 425, "setns": 308},
           "aarch64": {"ioctl": 29, "unshare": 97, "socket": 198, "clone": 220, "io_uring_setup": 425, "setns": 268}}
number = NUMBERS[platform.machine()]
HIGH = 0xDEAD << 32
def call(name, *arguments):
    return checked(libc.syscall(number[name], *(ctypes.c_ulong(one) for one in arguments)))
def apart(name, *arguments):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if libc.syscall(number[name], *map(ctypes.c_ulong, arguments)) == 0 else ctypes.get_errno())
    failed = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if failed:
        raise OSError(failed, "")
@attempt
def push_input():
    call("ioctl", 0, HIGH | 0x5412, ctypes.addressof(ctypes.create_string_buffer(b"x")))
@attempt
def user_namespace():
    apart("unshare", 0x10000000)
@attempt
def user_namespace_by_the_upper_half():  # which the kernel does look at
    apart("unshare", HIGH | 0x10000000)
@attempt
def user_namespace_by_clone():
    pid = call("clone", HIGH | 0x10000000 | 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
@attempt
def sockets_of_virtual_machines():
    os.close(call("socket", HIGH | 40, 1, 0))
@attempt
def crypto_sockets():
    os.close(call("socket", HIGH | 38, 5, 0))
@attempt
def ring():
    os.close(call("io_uring_setup", 1, ctypes.addressof(ctypes.create_string_buffer(120))))
@attempt
def keys():
    checked(libc.syscall({"x86_64": 250, "aarch64": 219}[platform.machine()], 0, -3, 1))
@attempt
def kernel_log():
    checked(libc.klogctl(10, None, 0))
@attempt
def faults():
    os.close(checked(libc.syscall({"x86_64": 323, "aarch64": 282}[platform.machine()], 1)))
"""


def test_no_way_round_the_filter(keeper: Keeper) -> None:
    found = outcomes(keeper, attempting(CALLS))
    assert found == {
        "push_input": "EPERM",
        "user_namespace": "EPERM",
        "user_namespace_by_the_upper_half": "EPERM",
        "user_namespace_by_clone": "EPERM",
        "sockets_of_virtual_machines": "EAFNOSUPPORT",
        "crypto_sockets": "EAFNOSUPPORT",
        "ring": "ENOSYS",
        "keys": "EPERM",
        "kernel_log": "EPERM",
        "faults": "EPERM",
    }


def test_without_it_the_kernel_takes_them(keeper: Keeper) -> None:
    """As far as this kernel has them: what matters is that the upper half is no fault of its own."""
    found = outcomes(keeper, attempting(CALLS, security=UNFILTERED))
    assert (found["user_namespace"], found["user_namespace_by_clone"], found["keys"]) == ("", "", "")
    assert found["push_input"] in {"ENOTTY", "EIO"}  # standard input is no terminal; or the kernel has it off


PUSH = """
@attempt
def push_input():
    fcntl.ioctl(0, termios.TIOCSTI, b"x")
@attempt
def take_the_terminal():
    if os.getpid() != os.getsid(0):
        os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
@attempt
def selection():
    fcntl.ioctl(0, 0x541C, b"\\x02")
"""


def test_a_terminal_that_is_inherited_takes_no_input(keeper: Keeper) -> None:
    """CVE-2017-5226, CVE-2023-28100: commands for the shell that waits behind it. Its session is not the sandbox's."""
    master, slave = pty.openpty()
    pid = os.fork()
    if pid == 0:  # the shell: the terminal is its own, and it may push
        os.login_tty(slave)
        try:
            ioctl(0, termios.TIOCSTI, b"y")
        except OSError as error:
            os.write(1, f"E{error.errno}.".encode())
        else:
            os.write(1, b"E0.")
        os.read(0, 1)
        os._exit(0)
    try:
        said = b""
        while not said.endswith(b"."):
            assert select.select([master], [], [], 20)[0]
            said += os.read(master, 100)
        assert said.replace(b"y", b"") in {b"E0.", b"E5."}  # EIO: dev.tty.legacy_tiocsti = 0
        for security in (Security(), UNFILTERED):
            found = outcomes(keeper, attempting(PUSH, security=security), stdin=slave)
            assert set(found.values()) <= {"EPERM", "EIO", "EINVAL", "ENOTTY"}, found
            assert found["push_input"] in {"EPERM", "EIO"}
    finally:
        os.write(master, b"\n")
        os.waitpid(pid, 0)
        os.close(slave)
        os.close(master)
