"""The calls of Landlock, and what they refuse."""

import errno
import os
from collections.abc import Callable

import pytest

from supervisor.kernel import landlock, process
from supervisor.kernel.libc import KernelError
from tests.kernel.apart import apart


def _restricted_write() -> int:
    """Errno of writing where only reading is allowed."""
    process.prctl(process.PR_SET_NO_NEW_PRIVS, 1)
    ruleset = landlock.create_ruleset(landlock.READ_FILE | landlock.WRITE_FILE, 0, 0)
    top = os.open("/", os.O_PATH)
    landlock.allow_beneath(ruleset, top, landlock.READ_FILE)
    landlock.restrict_self(ruleset)
    with open("/etc/passwd", "rb"):
        pass
    try:
        os.open("/dev/null", os.O_WRONLY)
    except OSError as error:
        return error.errno or 0
    return 0


def _unknown_right() -> None:
    landlock.create_ruleset(1 << 63, 0, 0)


def _nothing() -> None:
    landlock.create_ruleset(0, 0, 0)


def _directory_right_on_a_file() -> None:
    ruleset = landlock.create_ruleset(landlock.READ_DIR, 0, 0)
    landlock.allow_beneath(ruleset, os.open("/etc/passwd", os.O_PATH), landlock.READ_DIR)


def _right_not_named() -> None:
    landlock.allow_port(landlock.create_ruleset(landlock.READ_DIR, 0, 0), 80, landlock.BIND_TCP)


def _without_no_new_privs() -> None:
    process.capset(0, 0, 0)
    landlock.restrict_self(landlock.create_ruleset(landlock.READ_DIR, 0, 0))


@pytest.fixture(autouse=True)
def _needs_landlock() -> None:
    try:
        landlock.abi()
    except KernelError as error:
        pytest.skip(f"needs Landlock: {error}")


def test_what_no_rule_allows_is_denied() -> None:
    assert apart(_restricted_write) == errno.EACCES


@pytest.mark.parametrize(
    ("call", "number"),
    [
        (_unknown_right, errno.EINVAL),
        (_nothing, errno.ENOMSG),
        (_directory_right_on_a_file, errno.EINVAL),
        (_right_not_named, errno.EINVAL),
        (_without_no_new_privs, errno.EPERM),
    ],
)
def test_what_is_refused(call: Callable[[], None], number: int) -> None:
    with pytest.raises(KernelError) as caught:
        apart(call)
    assert caught.value.errno == number
    assert caught.value.syscall.startswith("landlock_")
