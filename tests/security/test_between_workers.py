"""Two sandboxes of one user, and a sandbox and the host: signals, memory, sockets, System V IPC, ids."""

import ctypes
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from supervisor.spec.model import Namespaces, Network, Security
from tests.nsinit.keepers import Keeper
from tests.nsinit.sandboxes import Sandbox, launched, worker
from tests.security.attempts import attempting, outcomes

PROCESSES = """
victim = {victim}
class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
@attempt
def is_there():
    os.kill(victim, 0)
@attempt
def freeze():
    import signal
    os.kill(victim, signal.SIGSTOP)
    os.kill(victim, signal.SIGCONT)
@attempt
def priority():
    os.setpriority(os.PRIO_PROCESS, victim, 5)
@attempt
def memory():
    opened(f"/proc/{{victim}}/mem", os.O_RDWR)
@attempt
def root():
    os.listdir(f"/proc/{{victim}}/root/")
@attempt
def trace():
    checked(libc.ptrace(0x4206, ctypes.c_long(victim), None, None))
@attempt
def read_memory():
    here = ctypes.create_string_buffer(8)
    ours, theirs = Iovec(ctypes.addressof(here), 8), Iovec(0x1000, 8)
    checked(libc.process_vm_readv(victim, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0))
@attempt
def descriptor():
    checked(libc.syscall(438, os.pidfd_open(victim), 0, 0))
"""
OPEN = Security(capabilities=("CAP_SYS_PTRACE", "CAP_KILL"), seccomp="off")


@contextmanager
def victim(keeper: Keeper, **keys: object) -> Iterator[tuple[Sandbox, int]]:
    """A worker that lives, and its workload's pid on the host."""
    with launched(keeper, worker("echo up; exec sleep 60", name="victim", **keys)) as sandbox:
        sandbox.go()
        sandbox.until_end()
        assert sandbox.line() == "up"
        with open(f"/proc/{sandbox.pid}/task/{sandbox.pid}/children") as file:
            yield sandbox, int(file.read())


def test_processes_of_others_cannot_be_named(keeper: Keeper) -> None:
    with victim(keeper) as (_, pid):
        found = outcomes(keeper, attempting(PROCESSES.format(victim=pid), security=OPEN))
    # Whatever process has that number inside, if any, it is not the victim: there are two or three.
    assert set(found.values()) <= {"ESRCH", "ENOENT"}


def test_where_pids_are_shared_signals_go_and_memory_does_not(keeper: Keeper) -> None:
    """Without pid namespaces: the same uid may send signals, and lacks CAP_SYS_PTRACE in the other's user namespace."""
    shared = Namespaces(pid=False)
    with victim(keeper, namespaces=shared) as (_, pid):
        found = outcomes(keeper, attempting(PROCESSES.format(victim=pid), namespaces=shared, security=OPEN))
    open_ = {name for name, errno in found.items() if not errno}
    assert open_ == {"is_there", "freeze", "priority"}
    assert set(found.values()) <= {"", "EPERM", "EACCES", "EROFS"}  # the last: /proc of the host's root


def test_a_process_of_the_host_is_neither_seen_nor_traced(keeper: Keeper) -> None:
    """The keeper itself, of the same uid; with a process of the sandbox's own the attacks work (test_first_process)."""
    found = outcomes(keeper, attempting(PROCESSES.format(victim=keeper.pid), security=OPEN))
    assert set(found.values()) <= {"ESRCH", "ENOENT"}


@pytest.mark.parametrize(("mode", "expected"), [("host", ""), ("none", "ECONNREFUSED")])
def test_abstract_sockets_of_the_host(keeper: Keeper, mode: str, expected: str) -> None:
    """CVE-2020-15257: they belong to the network namespace, and no file mode guards them."""
    name = f"nsvisor-test-{os.getpid()}"
    source = f"@attempt\ndef connect():\n    socket.socket(socket.AF_UNIX).connect('\\0{name}')\n"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"\0{name}")
        listening.listen(8)
        assert outcomes(keeper, attempting(source, network=Network(mode))) == {"connect": expected}


@pytest.mark.parametrize(("ipc", "expected"), [(False, ""), (True, "ENOENT")])
def test_shared_memory_of_the_host(keeper: Keeper, ipc: bool, expected: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    key = 0x4E53_0000 | os.getpid() & 0xFFFF
    segment = libc.shmget(key, 4096, 0o1666)  # IPC_CREAT
    assert segment >= 0
    try:
        source = f"@attempt\ndef attach():\n    checked(libc.shmget({key}, 4096, 0))\n"
        assert outcomes(keeper, attempting(source, namespaces=Namespaces(ipc=ipc))) == {"attach": expected}
    finally:
        libc.shmctl(segment, 0, None)  # IPC_RMID


FLOOD = """
import signal
for number in (*range(1, 32), 64):
    if number not in (9, 17, 19):
        signal.signal(number, signal.SIG_IGN)
for number in (1, 2, 15, 19, 9, 64):
    os.kill(1, number)
@attempt
def limits_of_pid_1():
    import resource
    resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))
os.kill(0, 0)
"""


def test_pid_1_survives_its_workload_and_tells_its_status(keeper: Keeper) -> None:
    """Signals to PID 1 come back to the workload, SIGKILL and SIGSTOP from inside do nothing, nor do limits."""
    source = FLOOD + "\nprint(json.dumps(found), flush=True)\nos._exit(7)\n"
    with launched(keeper, attempting(source, security=Security(seccomp="off"))) as sandbox:
        sandbox.go()
        sandbox.until_end()
        assert os.waitstatus_to_exitcode(sandbox.wait()[0]) == 7
