"""What a privileged daemon sets for a sandbox: what its plan says, and nothing else."""

import errno
import os
import resource
import subprocess
from collections.abc import Iterator

import msgspec
import pytest

from supervisor.runtime.grants import grant
from supervisor.sandbox.plan import Plan, compile_plan
from supervisor.spec.facts import HostFacts
from supervisor.spec.model import Limits, Security, Worker
from supervisor.spec.model_sandbox import Landlock

FACTS = HostFacts(uid=0, gid=0, user="root", home="/root", privileged=True, view=())
LIMITS = Limits(oom_score_adj=321, nice=3, ionice="idle", scheduling="batch", affinity="0", nofile="10:20")


@pytest.fixture
def plan() -> Plan:
    return compile_plan(Worker("web", ("serve",), limits=LIMITS), 0, FACTS)


@pytest.fixture
def other() -> Iterator[tuple[int, int]]:
    """A process and its pidfd."""
    with subprocess.Popen(["sleep", "60"]) as process:
        pidfd = os.pidfd_open(process.pid)
        yield process.pid, pidfd
        os.close(pidfd)
        process.kill()


def test_each_of_them(plan: Plan, other: tuple[int, int]) -> None:
    pid, pidfd = other
    for what in ("oom_score_adj", "nice", "ionice", "scheduling", "affinity", "rlimit nofile"):
        grant(what, pidfd, plan, FACTS)
    with open(f"/proc/{pid}/oom_score_adj") as file:
        assert file.read() == "321\n"
    assert os.getpriority(os.PRIO_PROCESS, pid) == 3
    assert os.sched_getscheduler(pid) == os.SCHED_BATCH
    assert os.sched_getaffinity(pid) == {0}
    assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (10, 20)


def test_the_limit_that_landlock_sets(other: tuple[int, int]) -> None:
    security = Security(landlock=Landlock(read=()))
    grant(
        "rlimit nofile",
        other[1],
        compile_plan(Worker("web", ("serve",), limits=LIMITS, security=security), 0, FACTS),
        FACTS,
    )
    assert resource.prlimit(other[0], resource.RLIMIT_NOFILE) == (10, 20)


@pytest.mark.parametrize("what", ["rlimit core", "umask", "", "rlimit", "nofile"])
def test_what_the_plan_does_not_say(plan: Plan, other: tuple[int, int], what: str) -> None:
    with pytest.raises(OSError, match="the plan sets no") as caught:
        grant(what, other[1], plan, FACTS)
    assert caught.value.errno == errno.EINVAL


def test_an_ordinary_users_daemon_has_nothing_to_give(plan: Plan, other: tuple[int, int]) -> None:
    with pytest.raises(PermissionError):
        grant("nice", other[1], plan, msgspec.structs.replace(FACTS, privileged=False))


def test_a_process_that_has_ended(plan: Plan, other: tuple[int, int]) -> None:
    pid, pidfd = other
    os.kill(pid, 9)
    os.waitid(os.P_PID, pid, os.WEXITED)
    with pytest.raises(ProcessLookupError):
        grant("nice", pidfd, plan, FACTS)


def test_what_is_no_process(plan: Plan) -> None:
    with open("/dev/null") as file, pytest.raises(ProcessLookupError):
        grant("nice", file.fileno(), plan, FACTS)
