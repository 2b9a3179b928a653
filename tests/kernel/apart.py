"""Run something in a forked child: as another user, in namespaces of its own, without consequences."""

import os
import pickle
import warnings
from collections.abc import Callable
from typing import TypeVar

from supervisor.kernel import clone, files, namespaces
from supervisor.kernel.libc import KernelError
from supervisor.kernel.process import PR_SET_DUMPABLE, prctl
from tests.accounts import Account

T = TypeVar("T")


def apart(call: Callable[[], T], account: Account | None = None) -> T:
    """What it returns, or the KernelError that it raises. account: to become, for good, before."""
    reader, writer = os.pipe()
    pid = fork()
    if pid == 0:
        answer: tuple[str, object] = ("died", None)
        try:
            if account is not None and not account.is_me:
                os.setgroups([])
                os.setresgid(account.gid, account.gid, account.gid)
                os.setresuid(account.uid, account.uid, account.uid)
                dumpable()
            answer = ("returned", call())
        except KernelError as error:
            answer = ("failed", (error.errno, error.syscall, error.filename, error.strerror))
        except BaseException as error:  # noqa: BLE001  (it is told)
            answer = ("died", repr(error))
        finally:
            os.write(writer, pickle.dumps(answer))
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    how, what = pickle.loads(data)  # noqa: S301  (our own child's)
    if how == "failed":
        raise KernelError(*what)
    assert how == "returned", what
    found: T = what
    return found


def fork() -> int:
    """os.fork; from Python 3.12 on it warns of other tests' idle threads, which the child does not need."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def dumpable() -> None:
    """A change of ids makes a process that cannot write its own maps."""
    prctl(PR_SET_DUMPABLE, 1)


def enter(flags: int = 0, *, inside: int = 0) -> None:
    """A new user namespace with one id, and what else flags ask for."""
    uid, gid = os.geteuid(), os.getegid()
    namespaces.unshare(clone.CLONE_NEWUSER | flags)
    files.write_attribute("/proc/self/setgroups", "deny")
    files.write_attribute("/proc/self/gid_map", f"{inside} {gid} 1")
    files.write_attribute("/proc/self/uid_map", f"{inside} {uid} 1")


def place(path: str) -> int:
    """A descriptor of a path, to mount on."""
    return files.open_file(path, os.O_PATH | os.O_CLOEXEC)
