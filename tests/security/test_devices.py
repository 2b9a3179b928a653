"""The host's device nodes are the sandbox's, too: what can be done to them, and to others."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from supervisor.spec.model import Mount, Security
from tests.nsinit.keepers import Keeper, running_keeper
from tests.nsinit.people import Who
from tests.nsinit.sandboxes import run, worker
from tests.security.attempts import attempting, outcomes, without

# A null device that is nobody's but this test's, in a mount namespace that ends with the keeper.
PRIVATE = """
mount --make-rprivate / && mount -t tmpfs -o mode=755,dev tmpfs /mnt && mknod -m 666 /mnt/null c 1 3 &&
mknod -m 666 /mnt/other c 1 3 && mount --bind /mnt/null /dev/null && exec "$@" </dev/null
"""
MNT_IS_PRIVATE = ["unshare", "--mount", "sh", "-c", PRIVATE, "sh"]


@pytest.fixture
def private(root: Who) -> Iterator[Keeper]:
    """Of root, who owns the host's devices."""
    with privately(root) as keeper:
        yield keeper


@contextmanager
def privately(root: Who) -> Iterator[Keeper]:
    """A keeper with a null device of its own."""
    before = os.stat("/dev/null")
    with running_keeper(root, wrapper=MNT_IS_PRIVATE) as keeper:
        keeper.settle()  # the wrapper has become the keeper
        inside = os.stat(f"/proc/{keeper.pid}/root/dev/null")
        assert (inside.st_dev, inside.st_ino) != (before.st_dev, before.st_ino)
        yield keeper
    assert os.stat("/dev/null").st_mode == before.st_mode


MODES = """
@attempt
def mode():
    os.chmod("/dev/null", 0o600)
@attempt
def mode_of_a_cover():
    os.chmod("/srv/covered", 0o600)
@attempt
def mode_of_standard_input():
    os.fchmod(0, 0o600)
@attempt
def times():
    os.utime("/dev/null")
@attempt
def mode_of_one_that_is_given():
    os.chmod("/srv/other", 0o644)
@attempt
def writing():
    open("/dev/null", "w").write("x")
"""


def test_the_hosts_null_device_keeps_its_mode(private: Keeper) -> None:
    """The host's root owns it inside as outside: mode 000 there would be the end of most programs."""
    keys = {
        "mounts": (
            Mount("bind", "/srv/other", "/mnt/other", ("rw", "dev")),
            Mount("file", "/srv/covered", content="x"),
        ),
        "masked_paths": ("/srv/covered",),
    }
    null = os.open(f"/proc/{private.pid}/root/dev/null", os.O_RDWR)
    try:
        closed = outcomes(private, attempting(MODES, **keys), stdin=null)
        assert closed == {
            "mode": "EROFS",
            "mode_of_a_cover": "EROFS",
            "mode_of_standard_input": "EROFS",
            "times": "EROFS",
            "mode_of_one_that_is_given": "",
            "writing": "",
        }
        assert os.fstat(null).st_mode & 0o777 == 0o666
        open_ = outcomes(private, without(private, attempting(MODES, **keys), "fd.close"), stdin=null)
        assert open_["mode_of_standard_input"] == ""
        assert os.fstat(null).st_mode & 0o777 == 0o600
    finally:
        os.close(null)


@pytest.mark.parametrize(("words", "expected"), [((), "EACCES"), (("dev",), "")], ids=["nodev", "dev"])
def test_a_node_in_a_directory_is_no_device(private: Keeper, words: tuple[Any, ...], expected: str) -> None:
    source = "@attempt\ndef node():\n    opened('/srv/other')\n"
    mounts = (Mount("bind", "/srv", "/mnt", words),)
    assert outcomes(private, attempting(source, mounts=mounts)) == {"node": expected}


def test_no_node_can_be_made(keeper: Keeper) -> None:
    """With every capability of the sandbox; a FIFO is none, and is made."""
    source = """
@attempt
def device():
    os.mknod("/tmp/sda", 0o60600, os.makedev(8, 0))
@attempt
def null():
    os.mknod("/tmp/null", 0o20600, os.makedev(1, 3))
@attempt
def fifo():
    os.mkfifo("/tmp/fifo")
"""
    security = Security(capabilities=("ALL",), nested_userns=True, seccomp="off")
    found = outcomes(keeper, attempting(source, user="root", security=security))
    assert found == {"device": "EPERM", "null": "EPERM", "fifo": ""}


def test_the_null_device_can_still_be_created_over(keeper: Keeper) -> None:
    ran = run(keeper, worker("echo x > /dev/null && echo y >> /dev/null && cat /dev/null && : <> /dev/null"))
    assert (ran.failure, ran.code, ran.err) == (None, 0, "")
