"""Where mounts land in a root that others write to: below it, whatever is swapped in meanwhile."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor.spec.model import Mount, Rootfs, Secret
from tests.nsinit.keepers import Keeper
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import run, worker

ROUNDS = 15
# Exchanges a directory and a link that leads out of the root, as fast as it can (renameat2, RENAME_EXCHANGE).
SWAPPER = """
import ctypes, sys
libc = ctypes.CDLL(None)
one, other = (word.encode() for word in sys.argv[1:3])
print("on", flush=True)
while True:
    libc.renameat2(-100, one, -100, other, 2)
"""


@contextmanager
def swapping(one: Path, other: Path) -> Iterator[None]:
    """Two paths, for as long as it takes."""
    command = [sys.executable, "-I", "-S", "-c", SWAPPER, str(one), str(other)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


@pytest.mark.parametrize("link", ["absolute", "upwards"])
def test_a_link_that_is_swapped_in_leads_nowhere_outside(keeper: Keeper, folder: Folder, link: str) -> None:
    outside = folder.directory("outside")
    root = folder.rootfs()
    folder.directory("root/srv/place")
    (root / "srv/link").symlink_to(outside if link == "absolute" else "../../../../../../../.." + str(outside))
    mounts = (
        *folder.programs(),
        Mount("tmpfs", "/srv/place/tmpfs"),
        Mount("bind", "/srv/place/bind", "/etc/passwd"),
        Mount("symlink", "/srv/place/text", "x"),
        Mount("dir", "/srv/place/dir", mode="0777"),
        Mount("file", "/srv/place/file", content="x"),
    )
    secrets = (Secret("one", env="ONE", target="/srv/place/secret"),)
    keys = {"mounts": mounts, "secrets": secrets, "masked_paths": ("/srv/place/secret",)}
    what = worker("true", rootfs=Rootfs("dir", str(root), writable=True), **keys)
    phases = set()
    with swapping(root / "srv/place", root / "srv/link"):
        for _ in range(ROUNDS):
            ran = run(keeper, what, secrets={"one": b"text"})
            phases.add(ran.failure.phase if ran.failure is not None else "")
            assert os.listdir(outside) == []
    assert phases <= {"", "mount.tmpfs", "mount.bind", "mount.file", "mount.secret", "mount.mask"}
