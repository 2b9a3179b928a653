"""clone3(2), with CLONE_PIDFD, as a fork that Python knows of; clone(2) where an outer seccomp hides clone3."""

import ctypes
import errno
import os

from supervisor.kernel.libc import SYS, KernelError

CLONE_NEWTIME = 0x00000080
CLONE_PIDFD = 0x00001000
CLONE_PARENT = 0x00008000
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000
SIGCHLD = 17

# PyDLL keeps the interpreter lock: the hooks need it, and the child must come back holding it.
_python = ctypes.PyDLL(None, use_errno=True)
_python.syscall.restype = ctypes.c_long
for _hook in (_python.PyOS_BeforeFork, _python.PyOS_AfterFork_Parent, _python.PyOS_AfterFork_Child):
    _hook.restype = None
    _hook.argtypes = []


class CloneArgs(ctypes.Structure):
    """struct clone_args (linux/sched.h), version 2."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("pidfd", ctypes.c_uint64),
        ("child_tid", ctypes.c_uint64),
        ("parent_tid", ctypes.c_uint64),
        ("exit_signal", ctypes.c_uint64),
        ("stack", ctypes.c_uint64),
        ("stack_size", ctypes.c_uint64),
        ("tls", ctypes.c_uint64),
        ("set_tid", ctypes.c_uint64),
        ("set_tid_size", ctypes.c_uint64),
        ("cgroup", ctypes.c_uint64),
    )


def _forked(*words: object) -> tuple[int, int]:
    """A system call that may return twice, between Python's fork hooks: its result and errno."""
    _python.PyOS_BeforeFork()
    pid = int(_python.syscall(*words))
    number = ctypes.get_errno()  # before the hooks, which run whatever was registered with them
    if pid == 0:
        _python.PyOS_AfterFork_Child()
    else:
        _python.PyOS_AfterFork_Parent()
    return pid, number


def clone(flags: int, cgroup_fd: int | None = None) -> tuple[int, int]:
    """Fork into new namespaces: (pid, pidfd) in the parent, (0, -1) in the child.

    With CLONE_PARENT the pidfd is the caller's, the child its parent's. Errors: EPERM user namespaces are off or the
    caller is in a chroot; ENOSPC user.max_*_namespaces or nesting; EAGAIN pids.max or RLIMIT_NPROC. See clone(2).
    """
    pidfd = ctypes.c_int(-1)
    arguments = CloneArgs(flags=flags | CLONE_PIDFD, pidfd=ctypes.addressof(pidfd))
    # clone3 refuses an exit signal with CLONE_PARENT: the child takes over the caller's.
    arguments.exit_signal = 0 if flags & CLONE_PARENT else SIGCHLD
    if cgroup_fd is not None:
        arguments.flags |= CLONE_INTO_CGROUP
        arguments.cgroup = cgroup_fd
    name = "clone3"
    size = ctypes.c_size_t(ctypes.sizeof(arguments))
    pid, number = _forked(ctypes.c_long(SYS["clone3"]), ctypes.byref(arguments), size)
    if pid == -1 and number == errno.ENOSYS and "clone" in SYS:
        name = "clone"
        word = flags | CLONE_PIDFD | SIGCHLD
        zero = ctypes.c_long(0)
        pid, number = _forked(ctypes.c_long(SYS["clone"]), ctypes.c_long(word), zero, ctypes.byref(pidfd), zero, zero)
        if pid == 0 and cgroup_fd is not None:
            _enter(cgroup_fd)
    if pid == -1:
        raise KernelError(number, name)
    return pid, pidfd.value if pid else -1


def _enter(cgroup_fd: int) -> None:
    """Move this process, just born by clone(2), into the cgroup. It must not live outside, nor go on as its parent."""
    try:
        fd = os.open("cgroup.procs", os.O_WRONLY | os.O_CLOEXEC, dir_fd=cgroup_fd)
        os.write(fd, b"0")
        os.close(fd)
    except OSError:
        os._exit(125)
