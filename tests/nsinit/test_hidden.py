"""A process that enters a sandbox in which others live: until it executes, they can do nothing with it.

It is on its way with all capabilities of the sandbox's user namespace, and its executable is the host's interpreter
(runc CVE-2019-5736, CVE-2016-9962).
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor.nsinit import launch
from supervisor.nsinit.child import Descriptors
from supervisor.sandbox.exec_plan import Command, compile_exec
from supervisor.spec.model import Namespaces, Security
from tests.nsinit.attacks import ONE_BY_ONE
from tests.nsinit.keepers import Keeper, close_all
from tests.nsinit.sandboxes import Sandbox, launched, worker

REFUSED = ("Permission denied", "Operation not permitted")
PYTHON = os.path.realpath(sys.executable)


@contextmanager
def attacker(keeper: Keeper, pid_namespace: bool) -> Iterator[tuple[Sandbox, int]]:
    """A worker with CAP_SYS_PTRACE that attacks whom it is told to, and where to tell it."""
    reader, writer = os.pipe()
    security = Security(capabilities=("CAP_SYS_PTRACE",), seccomp="off")
    spaces = Namespaces(pid=pid_namespace)
    what = worker([PYTHON, "-I", "-c", ONE_BY_ONE], security=security, namespaces=spaces)
    try:
        with launched(keeper, what, stdin=reader) as sandbox:
            sandbox.go()
            sandbox.until_end()
            assert sandbox.failure is None
            assert sandbox.line() == "ready"
            yield sandbox, writer
    finally:
        close_all([reader, writer])


def pid_inside(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        (line,) = (line for line in file if line.startswith("NSpid:"))
    return int(line.split()[-1])


def attacked(keeper: Keeper, hidden: bool, pid_namespace: bool = True) -> dict[str, str]:
    """What the attacker could do to a process that joined its sandbox and waits for an answer, half made."""
    with attacker(keeper, pid_namespace) as (box, writer):
        what = worker(["true"], security=Security(seccomp="off"), namespaces=Namespaces(pid=pid_namespace))
        plan = compile_exec(what, 0, keeper.who.facts, Command(("true",), terminal=True))
        with launched(keeper, plan, joined={"box": box}, hidden=hidden) as half_made:
            half_made.go()
            close_all(half_made.until_need()[1])
            # With an init of its own it is below that one, in the same state.
            below = Path(f"/proc/{half_made.pid}/task/{half_made.pid}/children").read_text().split()
            os.write(writer, b"%d\n" % pid_inside(int(below[0]) if below else half_made.pid))
            results: dict[str, str] = json.loads(box.line())
            half_made.signal(signal.SIGKILL)
        return results


@pytest.mark.parametrize("pid_namespace", [True, False], ids=["own-pids", "shared-pids"])
def test_nothing_can_be_had_of_it(keeper: Keeper, pid_namespace: bool) -> None:
    results = attacked(keeper, hidden=True, pid_namespace=pid_namespace)
    had = {name: failure for name, failure in results.items() if failure not in REFUSED}
    assert not had


def test_all_could_be_had_of_one_that_is_not_hidden(keeper: Keeper) -> None:
    """That the attacks are attacks."""
    results = attacked(keeper, hidden=False)
    assert {name for name, failure in results.items() if failure} <= {"process_vm_readv"}, results


def test_it_has_nothing_of_the_keepers(keeper: Keeper) -> None:
    """Not even on its way: its channel, its plan's place, the keeper's pidfd, the report, 0-2."""
    with attacker(keeper, pid_namespace=True) as (box, _):
        plan = compile_exec(worker(["true"]), 0, keeper.who.facts, Command(("true",), terminal=True))
        with launched(keeper, plan, joined={"box": box}, hidden=True) as half_made:
            half_made.go()
            close_all(half_made.until_need()[1])
            links = [os.readlink(f"/proc/{half_made.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{half_made.pid}/fd")]
            half_made.signal(signal.SIGKILL)
    kinds = sorted(link.split(":")[0] for link in links)
    assert kinds.count("socket") == 1, links
    assert set(kinds) <= {"socket", "pipe", "anon_inode", "/dev/null", "/dev/ptmx", "/dev/pts/0", "/dev/pts/ptmx"}, (
        links
    )


def test_one_that_is_stopped_on_its_way_does_not_hold_the_keeper_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom it comes among may be able to stop it, having CAP_KILL where it has gone."""

    def stopped(_request: launch.Request, _writer: int) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    monkeypatch.setattr(launch, "JOIN_TIMEOUT_MS", 50)
    monkeypatch.setattr(launch.Request, "_go_between", stopped)
    given = Descriptors(-1, -1, (0, 1, 2), -1, -1)
    with pytest.raises(launch.Refused, match="was stopped"):
        launch.Request(given, 0, [], None, hidden=True).start()
