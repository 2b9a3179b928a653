"""PID 1 and half-made processes: the host's interpreter, the keeper's memory and the host's root stay out of reach.

runc CVE-2019-5736 and CVE-2016-9962.
"""

import json
import os
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from supervisor.spec.model import Limits, Namespaces, Security
from supervisor.spec.model_sandbox import Secret
from tests.nsinit.attacks import ATTACK
from tests.nsinit.keepers import Keeper, close_all
from tests.nsinit.probes import python
from tests.nsinit.sandboxes import launched, output_of, run, worker
from tests.nsinit.test_hidden import REFUSED, attacker, pid_inside

# PID 1, and a process of the attacker's own, on which each of the attacks works.
BOTH = (
    ATTACK
    + """
import signal
child = os.fork()
if child == 0:
    signal.pause()
print(json.dumps([attack(1), attack(child)]))
os.kill(child, signal.SIGKILL)
"""
)


def test_pid_1_gives_nothing_away(keeper: Keeper) -> None:
    """Not to a workload of its own uid with every capability that could help."""
    capabilities = ("CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH")
    security = Security(capabilities=capabilities, seccomp="off")
    first, own = json.loads(output_of(keeper, python(BOTH, user="root", security=security)))
    assert set(own.values()) == {""}
    assert set(first.values()) <= {*REFUSED, "No such file or directory"}  # the last: a descriptor that it has closed


@pytest.mark.parametrize("protected", [False, True])
def test_who_joins_a_sandbox_cannot_be_looked_at_while_it_is_made(keeper: Keeper, protected: bool) -> None:
    """Its /proc/PID/root is the host's until it has pivoted; the one who watches has CAP_SYS_PTRACE over it."""
    hidden = None if protected else False
    spaces = Namespaces(user="worker:box", pid="worker:box")
    joining = worker("true", name="joining", namespaces=spaces, secrets=(Secret("key", env="KEY"),))
    with ExitStack() as stack:
        box, writer = stack.enter_context(attacker(keeper, pid_namespace=True))
        half_made = stack.enter_context(launched(keeper, joining, joined={"box": box}, hidden=hidden))
        half_made.go()
        close_all(half_made.until_need()[1])
        os.write(writer, b"%d\n" % pid_inside(half_made.pid))
        results: dict[str, str] = json.loads(box.line())
        half_made.signal(9)
    if protected:
        assert set(results.values()) <= set(REFUSED)
    else:
        assert (results["root"], results["mem"], results["exe to write"]) == ("", "", "")


def test_who_joins_is_made_all_the_same(keeper: Keeper) -> None:
    spaces = Namespaces(user="worker:box", pid="worker:box")
    with attacker(keeper, pid_namespace=True) as (box, _):
        joining = worker("readlink /proc/self/ns/pid", name="joining", namespaces=spaces)
        (child,) = Path(f"/proc/{box.pid}/task/{box.pid}/children").read_text().split()
        assert output_of(keeper, joining, joined={"box": box}) == os.readlink(f"/proc/{child}/ns/pid")


def test_what_a_hidden_process_may_not_write_is_said(keeper: Keeper) -> None:
    """The price of it, without a privileged daemon."""
    spaces = Namespaces(user="worker:box", pid="worker:box")
    with attacker(keeper, pid_namespace=True) as (box, _):
        joining = worker("cat /proc/self/oom_score_adj", namespaces=spaces, limits=Limits(oom_score_adj=500))
        ran = run(keeper, joining, joined={"box": box})
    if keeper.who.privileged:
        assert ran.out == "500\n"
    else:
        assert ran.failure is not None
        assert ran.failure.phase == "limit.oom"
        assert "not dumpable" in ran.failure.text


# What the daemon starts to look whether a worker answers (supervisor/nsinit/probe.py), held where it has got in.
PROBE = """
import sys
sys.path.insert(0, sys.argv[1])
from supervisor.kernel import process
{before}
from supervisor.nsinit import probe
probe.enter(sys.argv[2])
print("in", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("protected", [False, True])
def test_the_readiness_probe_cannot_be_looked_at(keeper: Keeper, protected: bool) -> None:
    """It joins the worker's user and network namespace, its root is the host's, and here its pid is seen."""
    program = PROBE.format(before="" if protected else "process.prctl = lambda *_: None")
    with attacker(keeper, pid_namespace=False) as (box, writer):
        (child,) = Path(f"/proc/{box.pid}/task/{box.pid}/children").read_text().split()
        words = [keeper.who.python, "-I", "-S", "-c", program, keeper.who.package_parent, child]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, **keeper.who.account.identity()}
        with subprocess.Popen(words, **pipes) as probe:  # type: ignore[call-overload]
            assert probe.stdout.readline() == b"in\n"
            os.write(writer, b"%d\n" % probe.pid)
            results: dict[str, str] = json.loads(box.line())
            probe.stdin.close()
    if protected:
        assert set(results.values()) <= set(REFUSED)
    else:
        assert (results["root"], results["mem"]) == ("", "")
