"""The process cloned ahead of the next launch."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from supervisor.nsinit import ahead
from supervisor.sandbox.plan import compile_plan
from supervisor.spec.model import Namespaces, Network, Security, Worker
from supervisor.wire import decode_plan, encode_plan
from tests.nsinit.keepers import Keeper, children, wait_readable
from tests.nsinit.listeners import Listening, listening_keeper
from tests.nsinit.people import Who, wait_for_room
from tests.nsinit.probes import census
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import launched, output_of, run, worker


@pytest.fixture
def listening(who: Who, folder: Folder) -> Iterator[Listening]:
    with listening_keeper(who, folder) as listening:
        yield listening


@pytest.fixture
def daemon(listening: Listening) -> Iterator[Keeper]:
    with listening.daemon() as daemon:
        daemon.settle()
        yield daemon


def spare_of(daemon: Keeper) -> int:
    """Its pid, as soon as there is one."""
    while True:
        for pid in children(daemon.pid):
            with suppress(FileNotFoundError, ProcessLookupError):  # a workload that has just ended
                if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"nsinit: spare"):
                    return pid
        os.sched_yield()


def test_the_next_launch_takes_it(daemon: Keeper) -> None:
    for _ in range(3):
        spare = spare_of(daemon)
        with launched(daemon, worker("echo here")) as sandbox:
            assert sandbox.pid == spare
            sandbox.go()
            sandbox.until_end()
            assert sandbox.frames[0][7] == "done ahead"
            assert sandbox.output() == "here\n"
            assert sandbox.wait()[0] == 0


def test_what_it_becomes_is_like_any_other(daemon: Keeper, who: Who) -> None:
    wait_for_room(who)
    spare_of(daemon)
    ahead, fresh = (census(daemon, security=Security(seccomp="off")) for _ in range(2))
    for part in ("environ", "ids", "limits", "death_signal", "terminal"):
        assert ahead[part] == fresh[part]
    assert ahead["fds"].keys() == fresh["fds"].keys() == {"0", "1", "2"}
    assert ahead["keyring"] != fresh["keyring"]


def test_it_holds_nothing_of_a_worker(daemon: Keeper) -> None:
    with launched(daemon, worker("echo up; exec sleep 60"), hold=True) as sandbox:
        sandbox.go()
        sandbox.until_end()
        assert sandbox.line() == "up"
        spare = spare_of(daemon)
        held = [os.readlink(entry) for entry in entries_of(spare)]
        assert held.count("anon_inode:[pidfd]") == 1  # the keeper's
        assert not set(held) & {os.readlink(f"/proc/self/fd/{fd}") for fd in (sandbox.stdout, sandbox.stderr)}


def entries_of(spare: int) -> list[Path]:
    """Its descriptors, once it has done all that it does ahead and waits: no more of them come or go then."""
    folder = Path(f"/proc/{spare}/fd")
    while True:
        entries = sorted(folder.iterdir())
        waits = "State:\tS" in Path(f"/proc/{spare}/status").read_text()
        if waits and entries == sorted(folder.iterdir()):
            return entries
        os.sched_yield()


def done_ahead(daemon: Keeper, what: Worker) -> list[str]:
    """Launch it: the phases that were done ahead, as the spare is there."""
    spare_of(daemon)
    with launched(daemon, what) as sandbox:
        sandbox.go()
        sandbox.until_end()
        assert sandbox.output() == "here\n", sandbox.errors()
        sandbox.wait()
        frames = [one for one in sandbox.frames if one[0] == "phase" and "done ahead" in one[7]]
        return [sandbox.plan.steps[int(one[1])].phase for one in frames]


def wait_for_another(daemon: Keeper, spare: int) -> None:
    while spare_of(daemon) == spare:
        os.sched_yield()


def test_it_begins_as_the_last_plans_did(daemon: Keeper) -> None:
    usual, other = worker("echo here"), worker("echo here", hostname="box", network=Network("host"))
    assert done_ahead(daemon, usual) == ["clone"]  # nobody knows yet what is usual
    assert done_ahead(daemon, usual) == ["clone", *ahead_in(daemon, usual)]
    assert done_ahead(daemon, replace(usual, hostname="box")) == ["clone", *ahead_in(daemon, usual)]
    spare = spare_of(daemon)
    assert done_ahead(daemon, other) == []
    wait_for_another(daemon, spare)
    both = ["parent.bind", "id.map", "ns.uts", "ns.ipc"]
    assert done_ahead(daemon, usual) == ["clone", *both]
    assert done_ahead(daemon, usual) == ["clone", *both]  # the last two of them were not alike
    assert done_ahead(daemon, usual) == ["clone", *ahead_in(daemon, usual)]


def ahead_in(daemon: Keeper, what: Worker) -> list[str]:
    """What can be done ahead of its launch, and says so: an id that stays is skipped."""
    plan = compile_plan(what, 0, daemon.who.facts)
    steps = decode_plan(encode_plan([(step.phase, step.arguments) for step in plan.steps]))[1:]
    return [phase for phase, _ in ahead.leading(steps) if phase != "id.root"]


def test_it_goes_once_the_host_has_other_mounts(daemon: Keeper, folder: Folder) -> None:
    if not daemon.who.privileged:  # an ordinary user cannot mount for all of the host
        return
    assert "rootfs.prepare" not in done_ahead(daemon, worker("echo here"))
    pidfd = os.pidfd_open(spare_of(daemon))
    subprocess.run(["mount", "-t", "tmpfs", "spare", folder.top], check=True)
    try:
        wait_readable(pidfd)
    finally:
        os.close(pidfd)
        subprocess.run(["umount", folder.top], check=True)
    assert output_of(daemon, worker("echo here")) == "here"
    assert "rootfs.prepare" in done_ahead(daemon, worker("echo here"))


def test_a_file_that_was_replaced_is_another(tmp_path: Path) -> None:
    file, absent = tmp_path / "resolv.conf", tmp_path / "hosts"
    file.write_text("old")
    view = ["host", "dir", "/etc", "", "symlink", "/tmp", "/var/tmp"]
    view += ["bind", "/etc/resolv.conf", str(file), "bind", "/etc/hosts", str(absent)]
    sources = ahead.Sources([("ns.mount", []), ("rootfs.prepare", view)])
    file.write_text("written to")
    assert sources.are_the_same()
    absent.touch()
    assert not sources.are_the_same()
    absent.unlink()
    (tmp_path / "new").write_text("new")
    (tmp_path / "new").rename(file)
    assert not sources.are_the_same()


def test_what_asks_or_is_the_users_is_not_done_ahead() -> None:
    steps = [("parent.bind", []), ("id.map", ["self", "1", "1"]), ("ns.mount", []), ("rootfs.prepare", ["dir", "/srv"])]
    assert ahead.leading(steps) == steps[:3]
    assert ahead.leading([steps[0], ("id.map", ["outside", "0:0:1", "0:0:1"]), *steps[2:]]) == steps[:1]
    assert ahead.leading([*steps[:2], ("net.attach", ["pasta"])]) == steps[:2]
    assert ahead.common(steps, [*steps[:1], ("id.map", ["self", "2", "2"])]) == steps[:1]


def test_a_launch_of_another_kind_leaves_it(daemon: Keeper) -> None:
    spare = spare_of(daemon)
    assert output_of(daemon, worker("echo here", namespaces=Namespaces(pid=False, mount=False))) == "here"
    assert spare_of(daemon) == spare


def test_one_that_died_is_not_missed(daemon: Keeper) -> None:
    spare = spare_of(daemon)
    pidfd = os.pidfd_open(spare)
    os.kill(spare, signal.SIGKILL)
    wait_readable(pidfd)
    os.close(pidfd)
    assert run(daemon, worker("exit 5")).status == 5 << 8
    daemon.settle()
    assert spare not in children(daemon.pid)


def test_one_that_stopped_is_ended(daemon: Keeper) -> None:
    """It cannot say that it is taken; the launch goes on once it is continued."""
    spare = spare_of(daemon)
    os.kill(spare, signal.SIGSTOP)
    with launched(daemon, worker("exit 5")) as sandbox:
        assert sandbox.pid == spare
        sandbox.signal(signal.SIGCONT)
        sandbox.go()
        sandbox.until_end()
        assert sandbox.wait()[0] == 5 << 8


@pytest.mark.parametrize("how", ["killed", "left"])
def test_it_goes_with_the_keeper(daemon: Keeper, how: str) -> None:
    pidfd = os.pidfd_open(spare_of(daemon))
    if how == "killed":
        daemon.kill()
    else:
        daemon.send("leave")
        assert daemon.process.wait(20) == 0
    wait_readable(pidfd)
    os.close(pidfd)


def test_a_keeper_of_one_launch_needs_none(own_keeper: Keeper) -> None:
    with launched(own_keeper, worker("echo up; exec sleep 60")) as sandbox:
        sandbox.go()
        sandbox.until_end()
        assert sandbox.line() == "up"
        assert children(own_keeper.pid) == [sandbox.pid]
