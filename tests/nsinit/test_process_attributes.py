"""Scheduling, OOM score, resource limits, umask and personality of the workload."""

import errno
import json
import os
from typing import Any

import pytest

from supervisor.sandbox.hints import hint
from supervisor.sandbox.ids import PlanError
from supervisor.sandbox.plan import compile_plan
from supervisor.spec.capabilities import CAPABILITIES
from supervisor.spec.limit_forms import format_cpus
from supervisor.spec.model import Limits
from tests.nsinit.keepers import Keeper, running_keeper
from tests.nsinit.people import Who
from tests.nsinit.probes import python
from tests.nsinit.sandboxes import Failure, output_of, run, worker

# What the kernel says of the process. ioprio_get(2) of itself: class in the upper bits.
SHOW = """
import ctypes, json, os, platform
number = {"x86_64": 252, "i686": 252}.get(platform.machine(), 31)
mask = os.umask(0)
print(json.dumps({
    "oom": int(open("/proc/self/oom_score_adj").read()),
    "nice": os.nice(0),
    "policy": os.sched_getscheduler(0),
    "priority": os.sched_getparam(0).sched_priority,
    "affinity": sorted(os.sched_getaffinity(0)),
    "io": ctypes.CDLL(None).syscall(number, 1, 0),
    "umask": mask,
    "personality": ctypes.CDLL(None).personality(0xffffffff),
    "machine": os.uname().machine,
}))
"""


def shown(keeper: Keeper, **keys: Any) -> dict[str, Any]:
    """Of a worker with these keys."""
    found: dict[str, Any] = json.loads(output_of(keeper, python(SHOW, **keys)))
    return found


def may(keeper: Keeper, capability: str) -> bool:
    """Whether its daemon would have the capability on the host: in a container even root may lack it."""
    with open("/proc/self/status") as file:
        effective = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff"))
    return keeper.who.facts.privileged and bool(effective >> CAPABILITIES.index(capability) & 1)


def failure_of(keeper: Keeper, **limits: Any) -> Failure:
    failure = run(keeper, worker("true", limits=Limits(**limits))).failure
    assert failure is not None
    return failure


def test_what_is_inherited_and_what_is_not(who: Who) -> None:
    """Workers are as nice as the daemon, and on its processors; its umask is its own affair."""
    cpu = min(os.sched_getaffinity(0))
    wrapper = ["nice", "-n", "3", "taskset", "-c", str(cpu)]
    with running_keeper(who, wrapper=wrapper, umask=0o077) as keeper:
        found = shown(keeper)
    assert (found["nice"], found["affinity"], found["umask"], found["personality"]) == (3, [cpu], 0o022, 0)


def test_all_at_once(keeper: Keeper) -> None:
    cpu = max(os.sched_getaffinity(0))
    limits = Limits(oom_score_adj=500, nice=5, ionice="best-effort:6", scheduling="batch", affinity=str(cpu))
    found = shown(keeper, limits=limits, umask="0027", personality=("ADDR_NO_RANDOMIZE",))
    assert (found["oom"], found["nice"], found["policy"], found["affinity"]) == (500, 5, os.SCHED_BATCH, [cpu])
    assert (found["io"], found["umask"], found["personality"]) == (2 << 13 | 6, 0o027, 0x0040000)


def test_idle(keeper: Keeper) -> None:
    found = shown(keeper, limits=Limits(ionice="idle", scheduling="idle"))
    assert (found["io"] >> 13, found["policy"]) == (3, os.SCHED_IDLE)


def test_a_32_bit_machine(keeper: Keeper) -> None:
    names = {"x86_64": "i686", "aarch64": "armv8l"}
    found = shown(keeper, personality=("LINUX32",))
    assert found["machine"] == names[os.uname().machine]


def test_what_takes_rights_on_the_host(keeper: Keeper) -> None:
    """A privileged daemon sets it from outside; an ordinary user's is refused it."""
    wanted: dict[str, tuple[str, Any, dict[str, Any]]] = {
        "oom_score_adj": ("CAP_SYS_RESOURCE", -500, {"oom": -500}),
        "nice": ("CAP_SYS_NICE", -5, {"nice": -5}),
        "scheduling": ("CAP_SYS_NICE", "fifo:10", {"policy": os.SCHED_FIFO, "priority": 10}),
        "ionice": ("CAP_SYS_NICE", "realtime:3", {"io": 1 << 13 | 3}),
    }
    for key, (capability, value, seen) in wanted.items():
        if may(keeper, capability):
            assert shown(keeper, limits=Limits(**{key: value})).items() >= seen.items()
            continue
        failure = failure_of(keeper, **{key: value})
        phase = "limit.oom" if key == "oom_score_adj" else "limit.sched"
        assert failure.phase == phase
        assert failure.number in {errno.EACCES, errno.EPERM}
        assert hint(phase, errno.errorcode[failure.number]) is not None


def test_hard_limits_over_the_daemons_own(who: Who) -> None:
    """Nofile of 5000, and the daemon's is 4000: root's may give more than it has."""
    with running_keeper(who, wrapper=["prlimit", "--nofile=4000:4000"]) as keeper:
        if may(keeper, "CAP_SYS_RESOURCE"):
            box = worker("ulimit -Sn; ulimit -Hn", limits=Limits(nofile="4500:5000"))
            assert output_of(keeper, box).split() == ["4500", "5000"]
        else:
            failure = failure_of(keeper, nofile=5000)
            assert (failure.phase, failure.number) == ("limit.rlimit", errno.EPERM)
            assert failure.text == "nofile: nofile=5000 is over the hard limit 4000"


def test_every_limit(keeper: Keeper) -> None:
    """Soft and hard apart, each in its own unit."""
    wanted: dict[str, tuple[str, Any]] = {
        "cpu_s": ("Max cpu time", "60:120"),
        "fsize": ("Max file size", "1000:2000"),
        "data": ("Max data size", "1000000000:unlimited"),
        "stack": ("Max stack size", "4194304:8388608"),
        "core": ("Max core file size", "0:4096"),
        "rss": ("Max resident set", "1000000:2000000"),
        "nproc": ("Max processes", "100:200"),
        "nofile": ("Max open files", "64:128"),
        "memlock": ("Max locked memory", "4096:8192"),
        "address_space": ("Max address space", "1000000000:unlimited"),
        "locks": ("Max file locks", "10:20"),
        "sigpending": ("Max pending signals", "30:40"),
        "msgqueue": ("Max msgqueue size", "5000:6000"),
        "rlimit_nice": ("Max nice priority", "0:0"),
        "rtprio": ("Max realtime priority", "0:0"),
        "rttime_us": ("Max realtime timeout", "900000:950000"),
    }
    found = output_of(
        keeper, worker(["cat", "/proc/self/limits"], limits=Limits(**{k: v for k, (_, v) in wanted.items()}))
    )
    for title, value in wanted.values():
        row = next(line for line in found.splitlines() if line.startswith(title))
        assert row[len(title) :].split()[:2] == value.split(":"), title


def test_only_what_pid_1_must_not_have_takes_a_process_of_its_own(keeper: Keeper) -> None:
    facts = keeper.who.facts

    def forks(**keys: Any) -> bool:
        plan = compile_plan(worker("true", **keys), 0, facts)
        return "init.fork" in [step.phase for step in plan.steps]

    gentle = Limits(oom_score_adj=1, nice=1, ionice="idle", scheduling="batch", affinity="0", memory_bytes=1 << 30)
    assert not forks(limits=gentle, umask="0077", personality=("ADDR_NO_RANDOMIZE",))
    assert forks(limits=Limits(core=0))


def test_a_processor_that_is_not_there(keeper: Keeper) -> None:
    with pytest.raises(PlanError, match="no processor 4000, only") as caught:
        compile_plan(worker("true", limits=Limits(affinity="0,4000")), 0, keeper.who.facts)
    assert (caught.value.phase, caught.value.errno_name) == ("limit.sched", "EINVAL")


def test_processors_as_a_list() -> None:
    assert format_cpus({5, 0, 1, 2, 7}) == "0-2,5,7"
