import fcntl
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from supervisor.runtime import program
from supervisor.runtime.handover import VARIABLE, Descriptors, Handover, HandoverError
from supervisor.runtime.lock import LockedError, keep_lock, lock
from supervisor.telemetry.bus import EventBus, EventRecord


def handover(pid: int, *fds: int) -> Handover:
    event = EventRecord(7, 1.5, "info", "worker.ready", {"instance": "web"})
    tails = {"web": {"stdout": (b"half a \xff", True)}}
    return Handover("1.0", pid, 12.5, Descriptors(*fds), 7, (event,), tails)  # type: ignore[arg-type]


def test_it_is_taken_once_by_the_process_that_it_is_for() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(null, True)
    left = handover(os.getpid(), null, null, null, null, null)
    fd = left.write()
    environ = {VARIABLE: str(fd), "HOME": "/"}
    assert Handover.take(environ) == left
    assert environ == {"HOME": "/"}  # nobody whom it starts is to see it
    assert Handover.take(environ) is None
    assert not os.get_inheritable(null)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    os.close(null)


def test_nobody_can_change_it() -> None:
    fd = handover(os.getpid(), 1, 1, 1, 1, 1).write()
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)
    os.close(fd)


def test_it_is_for_one_process() -> None:
    fd = handover(os.getpid() + 1, 0, 0, 0, 0, 0).write()
    with pytest.raises(HandoverError, match=f"was meant for process {os.getpid() + 1}"):
        Handover.take({VARIABLE: str(fd)})


@pytest.mark.parametrize("content", [b"", b"\xc1", msgspec.msgpack.encode({"version": 1}), msgspec.msgpack.encode([])])
def test_what_is_none_is_refused(content: bytes) -> None:
    unsealed = os.memfd_create("x")
    os.write(unsealed, content)
    with pytest.raises(HandoverError, match="is not sealed"):
        Handover.take({VARIABLE: str(unsealed)})
    os.close(unsealed)
    sealed = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    os.write(sealed, content)
    fcntl.fcntl(sealed, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | 7)
    with pytest.raises(HandoverError, match="is not for this program"):
        Handover.take({VARIABLE: str(sealed)})


@pytest.mark.parametrize("text", ["", "-1", "seven", "99999999", "1048575"])
def test_no_descriptor_is_refused(text: str) -> None:
    with pytest.raises(HandoverError, match=f"cannot start: {VARIABLE} is set, and .*: unset it"):
        Handover.take({VARIABLE: text})


def test_a_lock_goes_on_with_its_descriptor(tmp_path: Path) -> None:
    path = str(tmp_path / "daemon.lock")
    held = lock(path, "X")
    assert keep_lock(held, path, "X") == held
    with pytest.raises(LockedError):
        lock(path, "X")
    other = os.open(os.devnull, os.O_RDONLY)
    with pytest.raises(LockedError):  # another file's is no lock on this one
        keep_lock(other, path, "X")
    os.close(held)


def test_events_go_on_with_their_ids() -> None:
    bus = EventBus("info", 100)
    for _ in range(1500):  # more than are kept
        bus.publish("worker.ready")
    kept, last = bus.remembered()
    assert [one.id for one in kept] == list(range(last - 999, last + 1))
    following = EventBus("info", last + 1, kept)
    following.publish("worker.ready")
    again, end = following.remembered()
    assert end == last + 1
    assert [one.id for one in again] == list(range(end - 999, end + 1))
    assert again[:-1] == kept[1:]


SHOW = "import sys; sys.path.insert(0, {root!r}); from supervisor.runtime.program import this_program as p; print(p())"


@pytest.mark.parametrize("first", ["#!{python}", "#!/usr/bin/env -S {python} -B"])
def test_a_script_is_executed_by_its_own_first_line(tmp_path: Path, first: str) -> None:
    script = tmp_path / "nsvisor"
    root = str(Path(program.__file__).parents[2])
    script.write_text(f"{first.format(python=sys.executable)}\n{SHOW.format(root=root)}\n")
    script.chmod(0o755)
    called = subprocess.run(["./nsvisor", "daemon"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert called.stdout.strip() == str(program.Program(str(script), (str(script), "daemon")))
    words = [sys.executable, "-B", "nsvisor", "daemon"]
    script.write_text(f"#!/another/python\n{SHOW.format(root=root)}\n")
    started = subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert started.stdout.strip() == str(program.Program(sys.executable, tuple(words)))
