"""Phases of the workload's own process, up to execve."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import stat
import struct
import termios

from supervisor.kernel import files
from supervisor.kernel import process as kernel
from supervisor.kernel.libc import KernelError
from supervisor.kernel.rlimits import lower_soft_limit
from supervisor.nsinit.box import Box
from supervisor.nsinit.channel import move_from
from supervisor.nsinit.operations.parent import arm_death_signal
from supervisor.nsinit.operations.static_init import become_init
from supervisor.nsinit.operations.stdio import contain_stdio
from supervisor.nsinit.reaper import reap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TIOCSPTLCK, TIOCGPTPEER = 0x40045431, 0x5441  # asm-generic/ioctls.h


def init_fork(box: Box) -> None:
    """init.fork: the parent stays as PID 1 and never comes back; the child goes on as the workload."""
    parent = os.getpid()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # nothing inside may look into PID 1; execve makes the workload dumpable
    executed, executing = os.pipe2(os.O_CLOEXEC)
    workload = files.fork()
    if workload:
        box.channel.drop_untold()
        os.close(executing)
        if os.read(executed, 1):  # parent.release, which is to be done here too
            kernel.prctl(kernel.PR_SET_PDEATHSIG, 0)
            os.read(executed, 1)
        # execve or death has closed it: until then the workload was to have the processor and the memory
        reap(box, workload)
    box.init_fd = executing
    box.channel.clock_offset_ns += box.clock_offset_ns
    if not box.owns_pid_namespace:  # no namespace would end this one with its parent
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def session(box: Box, terminal: str) -> str | None:
    """session.new: own session and keyring; with a terminal, one of the sandbox's devpts as controlling terminal."""
    files.setsid()
    if terminal == "1":
        _open_terminal(box)
    try:
        kernel.join_anonymous_keyring()
    except KernelError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EDQUOT):  # no keyrings here: none to leak either
            raise
        return f"no session keyring: {error.strerror}"
    return None


def _open_terminal(box: Box) -> None:
    master = files.open_file("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
        slave = fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    except OSError as error:
        raise KernelError(error.errno or 0, "ioctl", "/dev/ptmx") from None
    box.channel.need("terminal", fd=master)
    for number in range(3):
        os.dup2(slave, number, inheritable=True)
    os.close(slave)
    os.close(master)


def enter_directory(_box: Box, path: str) -> None:
    """cwd.enter: and be sure that it lies inside the root (runc CVE-2024-21626)."""
    files.chdir(path)
    if not files.getcwd().startswith("/"):
        raise KernelError(errno.ENOENT, "getcwd", path, "the directory lies outside the sandbox's root")


def close_descriptors(box: Box, soft_limit: str, *passed: str) -> None:
    """fd.close: all but 0-2 and those passed go at execve, which the daemon gives.

    The soft limit, unless "": what the daemon raised is its own affair.
    """
    contain_stdio()
    numbers = tuple(map(int, passed))
    if numbers:
        box.channel.move_from(numbers)
        box.keeper_pidfd = move_from(box.keeper_pidfd, numbers)
        if box.static_init_fd >= 0:
            box.static_init_fd = move_from(box.static_init_fd, numbers)
    for number in numbers:
        given = box.channel.need("fd", str(number))
        if given < 0:  # it did not fit
            raise KernelError(errno.EMFILE, "recvmsg", None, os.strerror(errno.EMFILE))
        if given != number:
            files.dup2(given, number)
            if given not in numbers:
                os.close(given)
    if soft_limit:
        lower_soft_limit("nofile", int(soft_limit))
    # Before Linux 5.11 without that flag; each is close-on-exec from birth anyway.
    with contextlib.suppress(KernelError):
        kernel.close_range(3, 0xFFFFFFFF, kernel.CLOSE_RANGE_CLOEXEC)
    for number in numbers:
        os.set_inheritable(number, True)


def stand_by(box: Box) -> None:
    """standby.wait: until the daemon says that it is this one's turn. Without a daemon that can say so it leaves."""
    box.channel.need("standby")


def execute(box: Box, stays: str, count: str, *words: str) -> None:
    """exec: `count` words of the command, then the environment. Comes back only by an error.

    With stays = 1 this process remains as PID 1: the workload is spawned without a copy of this one's memory, in a
    session of its own, and is what this process has made of itself by now. Any other word: the name of a static init,
    which is opened already and becomes PID 1.
    """
    argv, environment = words[: int(count)], dict(word.split("=", 1) for word in words[int(count) :])
    if not box.filtered:
        arm_death_signal(box)
    if stays not in ("0", "1"):
        _become_init(box, stays, argv, environment)
    start = _spawn if stays == "1" else _replace
    if "/" in argv[0]:
        _try(start, box, argv[0], argv, environment)
    failure: KernelError | None = None
    search = environment.get("PATH", "/usr/local/bin:/usr/bin:/bin")
    for directory in search.split(":"):
        path = f"{directory or '.'}/{argv[0]}"
        if not box.filtered and not os.path.exists(path):  # the common case: no need to try and execute it
            continue
        try:
            _try(start, box, path, argv, environment)
        except KernelError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
                raise
            failure = failure or error
    raise failure or KernelError(errno.ENOENT, "execve", argv[0], f"not found in the sandbox's PATH {search}")


def _become_init(box: Box, name: str, argv: tuple[str, ...], environment: dict[str, str]) -> None:
    """Look for the command first: PID 1 could tell of a failure by its exit code only."""
    search = environment.get("PATH", "/usr/local/bin:/usr/bin:/bin")
    found = [argv[0]] if "/" in argv[0] else [f"{directory or '.'}/{argv[0]}" for directory in search.split(":")]
    if not box.filtered and not any(os.access(path, os.X_OK) and not os.path.isdir(path) for path in found):
        there = any(os.path.exists(path) for path in found)
        text = (
            "not executable"
            if there
            else "not found"
            if "/" in argv[0]
            else f"not found in the sandbox's PATH {search}"
        )
        raise KernelError(errno.EACCES if there else errno.ENOENT, "execve", argv[0], text)
    try:
        become_init(box, name, argv, environment)
    except OSError as error:
        raise KernelError(error.errno or 0, "execve", name, error.strerror) from None


def _replace(box: Box, path: str, argv: tuple[str, ...], environment: dict[str, str]) -> None:
    box.channel.exec(box.index, box.channel.now())
    if not box.filtered:
        kernel.unblock_signals()
    os.execve(path, argv, environment)  # noqa: S606  (there is no shell here)


def _spawn(box: Box, path: str, argv: tuple[str, ...], environment: dict[str, str]) -> None:
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # nothing inside may look into PID 1; execve makes the workload dumpable
    start = box.channel.now()
    workload = os.posix_spawn(path, argv, environment, setsid=True, setsigmask=())
    box.channel.exec(box.index, start)  # only now: this wakes the daemon, and the workload was not to wait for it
    box.channel.drop_untold()
    reap(box, workload)


def _try(start: Callable[..., None], box: Box, path: str, argv: tuple[str, ...], environment: dict[str, str]) -> None:
    try:
        start(box, path, argv, environment)
    except OSError as error:
        text = error.strerror
        try:
            mode = 0 if box.filtered else os.stat(path).st_mode
        except OSError:
            mode = 0
        if error.errno == errno.ENOENT and mode:
            text = "the file is there, its interpreter is not"
        elif error.errno == errno.EACCES and stat.S_ISDIR(mode):
            text = "a directory"
        raise KernelError(error.errno or 0, "execve", path, text) from None
