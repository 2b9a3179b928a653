import os
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.runtime.lock import LockedError, lock
from tests.runtime.fleets import descriptors

HOLDER = """
import sys
from supervisor.runtime.lock import lock
lock(sys.argv[1], "XDG_STATE_HOME")
print("locked", flush=True)
sys.stdin.read()
"""


def test_it_names_its_owner_and_the_way_out(tmp_path: Path) -> None:
    path = str(tmp_path / "daemon.lock")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        before = descriptors()
        with pytest.raises(LockedError, match=rf"pid {holder.pid}, {path}.*nsvisor shutdown.*XDG_STATE_HOME"):
            lock(path, "XDG_STATE_HOME")
        assert descriptors() == before
        holder.kill()
    fd = lock(path, "XDG_STATE_HOME")
    assert (tmp_path / "daemon.lock").read_text() == f"{os.getpid()}\n"
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_an_owner_that_wrote_nothing(tmp_path: Path) -> None:
    path = tmp_path / "daemon.lock"
    held = lock(str(path), "X")
    path.write_text("")
    with pytest.raises(LockedError, match="pid unknown"):
        lock(str(path), "X")
    os.close(held)


def test_a_file_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(LockedError, match=r"cannot make .*No such file"):
        lock(str(tmp_path / "gone" / "daemon.lock"), "X")
