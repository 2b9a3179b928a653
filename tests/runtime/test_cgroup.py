"""Cgroups of incarnations, on a real cgroup2 file system without controllers."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from supervisor.kernel.clone import clone
from supervisor.kernel.libc import KernelError
from supervisor.runtime import cgroup as module
from supervisor.runtime.cgroup import Cgroup, Figures, with_figures
from supervisor.runtime.cgroup_tree import CgroupTree, prepare
from supervisor.spec.facts import CgroupFacts
from supervisor.spec.records import ExitRecord
from tests.accounts import me
from tests.cgroups import delegated


@pytest.fixture
def place() -> Iterator[Path]:
    with delegated(me()) as tree:
        yield tree


def born_in(cgroup: Cgroup) -> int:
    """The exit status of a process that is cloned into it: 7 if it came to say so, -9 if it was killed."""
    pid, pidfd = clone(0, cgroup.fd)
    if pid == 0:
        os._exit(7)
    os.close(pidfd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@contextmanager
def sleeper(cgroup: Cgroup) -> "Iterator[subprocess.Popen[bytes]]":
    with subprocess.Popen(["sleep", "1000"]) as process:
        try:
            Path(cgroup.path, "cgroup.procs").write_text(str(process.pid))
            yield process
        finally:
            process.kill()


def made(path: Path) -> Cgroup:
    cgroup = Cgroup(str(path))
    cgroup.create([])
    return cgroup


def killed_cgroup_kills_newcomers(place: Path) -> None:
    cgroup = made(place / "web#1")
    assert born_in(cgroup) == 7
    assert cgroup.kill()
    after_kill = born_in(cgroup)
    assert after_kill in (7, -signal.SIGKILL)  # by kernel
    cgroup.close()
    cgroup.create([])  # one of the same name: what was left of it is removed first
    assert born_in(cgroup) == 7
    cgroup.close()
    assert cgroup.remove()


def test_one_of_the_same_name_is_made_anew(place: Path) -> None:
    killed_cgroup_kills_newcomers(place)


def test_a_name_that_is_still_in_use_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cgroup = made(place / "web#1")
    monkeypatch.setattr(Cgroup, "kill", lambda _: False)  # as if it did not die
    with sleeper(cgroup) as process:
        with pytest.raises(KernelError) as refused:
            Cgroup(cgroup.path).create([])
        process.kill()
    assert (refused.value.errno, refused.value.syscall) == (errno.EBUSY, "rmdir")
    cgroup.close()


@pytest.mark.parametrize(
    ("file", "value", "number"), [("memory.max", "1", errno.ENOENT), ("cgroup.max.depth", "x", errno.EINVAL)]
)
def test_a_setting_that_the_kernel_refuses_leaves_nothing(place: Path, file: str, value: str, number: int) -> None:
    cgroup = Cgroup(str(place / "web#1"))
    with pytest.raises(KernelError) as refused:
        cgroup.create([("cgroup.max.depth", "3"), (file, value)])
    # cgroup2 answers EACCES where a file would have to be made.
    assert refused.value.errno in (number, errno.EACCES)
    assert (refused.value.syscall, refused.value.filename) == ("write", file)
    assert not cgroup.is_there()
    assert cgroup.fd == -1


@contextmanager
def listener(cgroup: Cgroup) -> "Iterator[subprocess.Popen[bytes]]":
    """Leaves with 3 when it hears SIGTERM."""
    code = "import os, signal, sys; signal.signal(15, lambda *_: sys.exit(3)); os.write(1, b'!'); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        try:
            Path(cgroup.path, "cgroup.procs").write_text(str(process.pid))
            assert process.stdout is not None
            assert process.stdout.read(1) == b"!"
            yield process
        finally:
            process.kill()


async def frozen_process_hears_nothing(place: Path) -> None:
    cgroup = made(place / "web#1")
    cgroup.close()
    with listener(cgroup) as process:
        await cgroup.freeze()
        assert cgroup.is_frozen()
        process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
        cgroup.thaw()
        assert process.wait(5) == 3
    assert await cgroup.finish() == Figures()


async def test_freeze_and_thaw(place: Path) -> None:
    await frozen_process_hears_nothing(place)


async def test_the_end_kills_what_is_left_frozen_or_not_and_what_was_made_below(place: Path) -> None:
    cgroup = made(place / "web#1")
    cgroup.close()
    below = Cgroup(str(place / "web#1" / "inner"))
    below.create([])
    below.close()
    with sleeper(cgroup) as one, sleeper(below) as other:
        await cgroup.freeze()
        waiting = trio.Event()

        async def reap() -> None:
            await trio.to_thread.run_sync(one.wait)
            await trio.to_thread.run_sync(other.wait)
            waiting.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reap)
            await cgroup.finish()
            await waiting.wait()
        assert one.returncode == other.returncode == -signal.SIGKILL
    assert not cgroup.is_there()


async def test_one_that_cannot_be_emptied_is_left_in_time(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMOVE_TIMEOUT_S", 0.05)
    monkeypatch.setattr(Cgroup, "kill", lambda _: False)
    cgroup = made(place / "web#1")
    cgroup.close()
    with sleeper(cgroup) as process:
        await cgroup.finish()
        assert cgroup.is_there()
        process.kill()


async def test_one_that_does_not_freeze_goes_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FREEZE_TIMEOUT_S", 0.02)
    monkeypatch.setattr(Cgroup, "_number", lambda *_: 0)
    cgroup = made(place / "web#1")
    with pytest.raises(TimeoutError, match="not frozen within"):
        await cgroup.freeze()
    assert (place / "web#1" / "cgroup.freeze").read_text() == "0\n"
    cgroup.close()


def test_figures(tmp_path: Path) -> None:
    for name, text in (("events", "low 0\noom 1\noom_kill 2\n"), ("max", "max\n"), ("peak", "4096\n")):
        (tmp_path / f"memory.{name}").write_text(text)
    assert Cgroup(str(tmp_path)).figures() == Figures(2, None, 4096)


@pytest.mark.parametrize(
    ("record", "oom_killed"),
    [
        (ExitRecord(1, "signal", 0.0, signal="SIGKILL"), True),
        (ExitRecord(1, "exit", 0.0, code=137), True),
        (ExitRecord(1, "setup", 0.0, errno="SIGKILL"), True),
        (ExitRecord(1, "exit", 0.0, code=0), False),
        (ExitRecord(1, "signal", 0.0, signal="SIGTERM"), False),
    ],
)
def test_a_child_that_was_killed_long_ago_is_not_why_a_workload_ends(record: ExitRecord, oom_killed: bool) -> None:
    found = with_figures(record, Figures(1, 8192, 4096))
    assert (found.oom_killed, found.memory_max_bytes, found.memory_peak_bytes) == (oom_killed, 8192, 4096)
    assert not with_figures(record, Figures()).oom_killed


def cgroup_with_controllers_takes_no_process(place: Path) -> None:
    """So all that is in the delegated scope moves to a leaf."""
    scope = made(place / "nsvisor-workers-1-1.scope")
    scope.close()
    with sleeper(scope) as keeper, sleeper(scope) as spare:
        tree = prepare(keeper.pid)
        assert tree.directory == scope.path
        assert Path(scope.path, "cgroup.procs").read_text() == ""
        in_leaf = Path(scope.path, "keeper", "cgroup.procs").read_text().split()
        assert set(in_leaf) == {str(keeper.pid), str(spare.pid)}
        assert prepare(keeper.pid).directory == tree.directory  # as the next daemon finds it
        keeper.kill()
        spare.kill()
    tree.remove()
    assert scope.remove()


def test_a_scopes_processes_move_to_a_leaf(place: Path) -> None:
    cgroup_with_controllers_takes_no_process(place)


def test_below_our_own_cgroup_only_the_keeper_moves(place: Path) -> None:
    own = made(place / "own")
    own.close()
    dead = made(place / "own" / "nsvisor-4194304")  # more than any pid
    dead.close()
    with sleeper(own) as keeper, sleeper(own) as shell, sleeper(dead) as orphan:
        tree = prepare(keeper.pid)
        assert orphan.wait(5) == -signal.SIGKILL
        assert tree.directory == f"{own.path}/nsvisor-{keeper.pid}"
        assert Path(own.path, "cgroup.procs").read_text().split() == [str(shell.pid)]
        assert (tree.facts.usable, tree.facts.controllers) == (True, ())
        held, stray = made(Path(tree.directory, "a#1")), made(Path(tree.directory, "b#7"))
        held.close()
        stray.close()
        assert tree.sweep(["a#1"]) == ["b#7"]
        assert held.remove()
        keeper.kill()
        shell.kill()
    dead.remove()
    tree.remove()
    assert not Path(tree.directory).exists()


def limits_without_controllers_are_ignored(place: Path) -> None:
    """Nothing but cgroup.controllers says which limits there are."""
    scope = made(place / "nsvisor-workers-1-1.scope")
    scope.close()
    with sleeper(scope) as keeper:
        facts = prepare(keeper.pid).facts
        offered = Path(scope.path, "cgroup.controllers").read_text().split()
        assert set(facts.controllers) == {"cpu", "cpuset", "io", "memory", "pids"} & set(offered)
        assert len(facts.controllers) == 5 or "was given no" in facts.reason
        keeper.kill()
    assert scope.remove()


def test_the_facts_say_which_controllers_are_there(place: Path) -> None:
    limits_without_controllers_are_ignored(place)


def test_no_tree_makes_nothing() -> None:
    tree = CgroupTree(None, CgroupFacts())
    assert tree.cgroup("a#1") is None
    assert tree.sweep([]) == []
    tree.remove()
