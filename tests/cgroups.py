"""A cgroup v2 subtree given to a user for a test. The machine's own hierarchy stays as it is."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.accounts import Account

DELEGATED = ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads")  # what systemd's Delegate= gives away


def own_place() -> Path | None:
    """The directory of this process's cgroup in a cgroup2 file system; None where there is none."""
    own = next(
        (line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")), None
    )
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        fields, _, rest = line.partition(" - ")
        root, point = fields.split()[3:5]
        if own is not None and rest.startswith("cgroup2 ") and root == "/":
            return Path(point) / own.lstrip("/")
    return None


@contextmanager
def hierarchy() -> Iterator[Path]:
    """The same directory, in a mount for the test alone where none can be written to."""
    place = own_place()
    if os.geteuid() != 0:
        pytest.skip("needs root, to give a cgroup away")
    if place is not None and os.access(place, os.W_OK):
        yield place
        return
    point = Path(tempfile.mkdtemp(prefix="nsvisor-cgroup2-"))
    point.chmod(0o755)
    try:
        subprocess.run(["mount", "-t", "cgroup2", "none", point], check=True)
        try:
            place = own_place()
            assert place is not None
            yield place
        finally:
            subprocess.run(["umount", point], check=True)
    finally:
        point.rmdir()


@contextmanager
def delegated(user: Account) -> Iterator[Path]:
    """A cgroup of this user's own, which is gone afterwards; an AssertionError where something was left in it."""
    with hierarchy() as place:
        yield from _subtree(place, user)


def _subtree(place: Path, user: Account) -> Iterator[Path]:
    tree = Path(tempfile.mkdtemp(prefix="test-", dir=place))
    try:
        for name in DELEGATED:
            user.owns(tree / name)
        yield tree
    finally:
        deadline = time.monotonic() + 5
        while tree.exists():
            for directory, _, _ in os.walk(tree, topdown=False):
                try:
                    Path(directory).rmdir()
                except OSError:
                    assert time.monotonic() < deadline, (
                        f"left in {directory}: {Path(directory, 'cgroup.procs').read_text()}"
                    )
                    time.sleep(0.02)


@contextmanager
def inside(cgroup: Path) -> Iterator[None]:
    """What this process starts meanwhile is born in that cgroup."""
    place = own_place()
    assert place is not None
    (cgroup / "cgroup.procs").write_text("0")
    try:
        yield
    finally:
        (place / "cgroup.procs").write_text("0")
