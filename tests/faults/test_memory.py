"""No memory for a launch, or a disk that fails under a book: it is said, the others live, the next one works."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from supervisor.kernel.clone import CLONE_NEWPID, CLONE_NEWUSER
from tests.accounts import Account, me
from tests.e2e.belongings import added
from tests.e2e.bridged import Bridged, bridged
from tests.e2e.daemons import running, wait_until
from tests.e2e.failing_phases import FORK
from tests.e2e.test_fail_every_phase import KERNEL, Intercepted, Victim
from tests.kernel.intercepted_calls import Call, Fault, Interceptor
from tests.program import Program

WORKERS = """
[defaults]
autostart = false
restart = { policy = "never" }
namespaces = { pid = false }  # not the process that was cloned ahead

[worker.steady]
command = ["sleep", "1000"]
autostart = true

[worker.good]
command = ["true"]

[worker.victim]
command = ["true"]
mounts = [{ type = "bind", source = "/usr/share", target = "/srv" }]

[worker.ahead]
command = ["true"]
namespaces = { pid = true }
limits = { core = 0 }  # the workload has a process of its own
"""
BOOKS = {
    "ids": '[worker.{name}]\ncommand = ["true"]\nid_map = "auto"\n',
    "address": '[worker.{name}]\ncommand = ["true"]\nnetwork.mode = "bridge"\n',
}
NO_MEMORY = "no memory left"
CALLS = ("clone3", FORK, "memfd_create", "socketpair", "pipe2", "fsopen", "fsmount", "open_tree", "move_mount")


@dataclass(frozen=True)
class Case:
    """A system call without memory, and the phase that is told."""

    call: str
    phase: str
    worker: str = "victim"
    of_daemon: bool = False


CASES = {
    "clone": Case("clone3", "clone"),
    "plan": Case("memfd_create", "clone", of_daemon=True),
    "channel": Case("socketpair", "clone", of_daemon=True),
    "pipes": Case("pipe2", "clone", of_daemon=True),
    "fsopen": Case("fsopen", "rootfs.prepare"),
    "fsmount": Case("fsmount", "rootfs.prepare"),
    "open_tree": Case("open_tree", "mount.bind"),
    "move_mount": Case("move_mount", "rootfs.prepare"),
    "fork": Case(FORK, "init.fork", "ahead"),
}


def _name(call: str) -> str:
    return call.partition(":")[0]


@contextmanager
def intercepted(user: Account, program_bin: Path, network: Bridged | None, *calls: str) -> Iterator[Intercepted]:
    """The program of this user, whose daemon makes these calls as the test likes."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    program = Intercepted(user, program_bin)
    numbers = [f"{KERNEL[_name(call)]}{call.removeprefix(_name(call))}" for call in calls]
    program.interceptor = Interceptor(str(program_bin / "python"), *numbers)
    program.wrapper = program.interceptor.wrapper
    if network is not None:
        network.wrap(program)
        program.wrapper = [*program.wrapper, *program.interceptor.wrapper]
    else:
        setpriv = shutil.which("setpriv") or "setpriv"
        program.wrapper = [*program.wrapper, setpriv, f"--reuid={user.uid}", f"--regid={user.gid}", "--init-groups"]
        program.wrapper.append("--")
        program.identity = {}
    yield program
    program.interceptor.close()
    program.remove()


@pytest.fixture(scope="module")
def victim(unprivileged: Account, program_bin: Path) -> Iterator[Victim]:
    """The ordinary user's daemon."""
    with intercepted(unprivileged, program_bin, None, *CALLS) as program, running(program, WORKERS) as daemon:
        victim = Victim(daemon, program.interceptor, None)
        daemon.wait_state("steady", "ready")
        for name in ("good", "victim", "ahead", "ahead", "good"):  # what is made once for all is there then
            victim.ends(name, "worker.exited")
        _clone_ahead(victim)
        victim.at_first = victim.belongings("")
        yield victim


def _is(victim: Victim, case: Case) -> Callable[[Call], bool]:
    """Whether a call is the one that is meant."""

    def clones(call: Call) -> bool:
        flags = int.from_bytes(call.memory(call.arguments[0], 8), "little")
        return flags & (CLONE_NEWUSER | CLONE_NEWPID) == CLONE_NEWUSER

    if case.call == "clone3":
        return clones
    if case.call == FORK:
        return lambda call: call.arguments[0] & 0xFFFFFFFF == int(FORK.partition("=")[2])
    if case.call == "open_tree":
        return lambda call: call.memory(call.arguments[1], 11) == b"/usr/share\0"
    return lambda call: not case.of_daemon or call.pid == victim.daemon.pid


@pytest.mark.parametrize("name", CASES)
def test_a_launch_without_memory(victim: Victim, name: str) -> None:
    case = CASES[name]
    steady = victim.daemon.instance("steady")
    fault = Fault(KERNEL[_name(case.call)], errno.ENOMEM, _is(victim, case))
    records = victim.ends(case.worker, "worker.failed", fault)
    (failed,) = [one for one in records if one["event"] == "setup.phase" and one["outcome"] == "failed"]
    syscall = "fork" if case.call == FORK else case.call
    assert (failed["phase"], failed["errno"], failed.get("syscall")) == (case.phase, "ENOMEM", syscall), failed
    assert "[Errno" not in failed["message"]
    assert NO_MEMORY in failed["hint"]
    (exited,) = [one for one in records if one["event"] == "worker.exited"]
    assert (exited["cause"], exited["phase"], exited["errno"]) == ("setup", case.phase, "ENOMEM")
    assert f"Failed in {case.phase}" in victim.explained(case.worker)
    (again,) = [one for one in victim.ends(case.worker, "worker.exited") if one["event"] == "worker.exited"]
    assert (again["cause"], again["code"]) == ("exit", 0), again
    now = victim.daemon.instance("steady")
    assert (now["pid"], now["incarnation"], now["state"]) == (steady["pid"], steady["incarnation"], "ready")
    _check_leftovers(victim)


def _check_leftovers(victim: Victim) -> None:
    left: list[str] = []

    def nothing() -> bool:
        left[:] = added(victim.at_first, victim.belongings(""))
        return not left

    try:
        wait_until(nothing, "nothing to be left")
    except AssertionError:
        raise AssertionError(left) from None


def _clone_ahead(victim: Victim) -> None:
    """After a launch, as one from before is gone if the host's mounts have changed since."""
    victim.ends("ahead", "worker.exited")
    wait_until(lambda: "nsinit: spare" in victim.belongings("")["processes of the keeper"], "a process cloned ahead")


def test_the_process_cloned_ahead_without_memory(victim: Victim) -> None:
    """Nobody waits for it: the launch after does without."""
    _clone_ahead(victim)

    def clones(call: Call) -> bool:
        both = CLONE_NEWUSER | CLONE_NEWPID
        return int.from_bytes(call.memory(call.arguments[0], 8), "little") & both == both

    fault = Fault(KERNEL["clone3"], errno.ENOMEM, clones)
    assert victim.interceptor is not None
    victim.interceptor.fault = fault
    victim.daemon.post("/v1/start", names=["ahead"])
    assert fault.met.wait(20)
    assert victim.daemon.wait_state("ahead", "completed", "failed")["last_exit"].get("errno") in (None, "ENOMEM")
    (again,) = [one for one in victim.ends("ahead", "worker.exited") if one["event"] == "worker.exited"]
    assert (again["cause"], again["code"]) == ("exit", 0), again
    _check_leftovers(victim)


@pytest.fixture(scope="module")
def books(program_bin: Path) -> Iterator[Victim]:
    """Root's daemon, which gives out ids and addresses, in a network of its own."""
    with (
        bridged(me()) as network,
        intercepted(me(), program_bin, network, "fsync") as program,
        running(program, WORKERS) as daemon,
    ):
        daemon.wait_state("steady", "ready")
        yield Victim(daemon, program.interceptor, None)


@pytest.mark.parametrize(
    ("book", "worker", "error"),
    [
        ("ids", "ids", "EROFS"),
        ("ids", "ids", "EIO"),
        ("addresses", "address", "EIO"),
        ("addresses", "address", "ENOSPC"),
    ],
)
def test_a_book_that_cannot_be_written(books: Victim, book: str, worker: str, error: str) -> None:
    """fsync(2) has all three errors."""
    daemon, interceptor = books.daemon, books.interceptor
    assert interceptor is not None
    program, steady = daemon.program, daemon.instance("steady")
    event, told = f"{book}.failed", len(daemon.records(f"{book}.failed"))
    before = _contents(program, book)

    def is_book(call: Call) -> bool:
        return os.readlink(f"/proc/{call.pid}/fd/{call.arguments[0]}").endswith(f"/{book}.json.new")

    name = f"{worker}-{error.lower()}"
    fault = interceptor.fault = Fault(KERNEL["fsync"], getattr(errno, error), is_book)
    program.write("nsvisor.toml", WORKERS + BOOKS[worker].format(name=name))
    daemon.post("/v1/reload")
    assert fault.met.is_set()
    failed = daemon.wait_record(event, after=told)
    assert (failed["level"], f"{book}.json: {os.strerror(fault.error)}" in failed["error"]) == ("error", True), failed
    assert _contents(program, book) == before
    records = books.ends(name, "worker.failed")
    (phase,) = [one for one in records if one["event"] == "setup.phase" and one["outcome"] == "failed"]
    assert phase["errno"] == "EIO"
    assert f"cannot write {program.state}" in phase["message"]
    assert phase["hint"]
    daemon.post("/v1/reload")
    (exited,) = [one for one in books.ends(name, "worker.exited") if one["event"] == "worker.exited"]
    assert (exited["cause"], exited["code"]) == ("exit", 0), exited
    assert (daemon.instance("steady")["pid"], daemon.instance("steady")["restarts"]) == (steady["pid"], 0)


def _contents(program: Program, book: str) -> dict[str, str]:
    """Of the book, and of what might be left beside it."""
    return {file.name: file.read_text() for file in program.state.rglob(f"{book}.json*")}
