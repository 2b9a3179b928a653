"""cgroup.create in a plan: what is written where, and what becomes of limits that cannot be set."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from supervisor.sandbox.ids import PlanError
from supervisor.sandbox.plan import Plan, compile_plan
from supervisor.sandbox.steps.cgroup import missing_controllers
from supervisor.spec.facts import CgroupFacts
from supervisor.spec.model import Fleet, Worker
from tests.sandbox.test_plan import FACTS

ALL = CgroupFacts(usable=True, controllers=("cpu", "cpuset", "io", "memory", "pids"), reason="")
BARE = CgroupFacts(usable=True, reason="/x was given no memory controller")
NONE = CgroupFacts(reason="/ is not delegated to this user")


def worker(name: str = "web", **keys: Any) -> Worker:
    return msgspec.convert({"name": name, "command": ["serve"], **keys}, Worker)


def plan(cgroups: CgroupFacts, **keys: Any) -> Plan:
    return compile_plan(worker(**keys), 0, replace(FACTS, cgroups=cgroups))


@pytest.mark.parametrize(
    ("limits", "written"),
    [
        ({"memory": 1 << 26}, ["memory.max", "67108864"]),
        ({"memory": "unlimited", "memory_high": 1 << 25}, ["memory.max", "max", "memory.high", "33554432"]),
        ({"memory_swap": 0}, ["memory.swap.max", "0"]),
        ({"pids": 20}, ["pids.max", "20"]),
        ({"cpu": 0.5}, ["cpu.max", "50000 100000"]),
        ({"cpu": 1.5, "cpu_weight": 50}, ["cpu.max", "150000 100000", "cpu.weight", "50"]),
        ({"io_weight": 200, "cpuset": "0-3"}, ["io.weight", "200", "cpuset.cpus", "0-3"]),
        ({}, []),
    ],
)
def test_limits_as_files(limits: dict[str, object], written: list[str]) -> None:
    step = plan(ALL, limits={"oom_group": False, **limits}).steps[0]
    assert (step.phase, list(step.arguments)) == ("cgroup.create", written)


def test_a_worker_out_of_memory_is_killed_as_a_whole_unless_told_otherwise() -> None:
    assert plan(ALL).steps[0].arguments == ("memory.oom.group", "1")
    assert plan(ALL, limits={"oom_group": False}).steps[0].arguments == ()
    assert plan(BARE).steps[0].arguments == ()


def test_the_daemons_own_step_is_not_the_keepers() -> None:
    assert plan(ALL).ahead == 1
    assert plan(ALL).steps[1].phase == "clone"
    assert plan(NONE).ahead == 0
    assert plan(NONE).steps[0].phase == "clone"


def test_limits_that_cannot_be_set_are_named() -> None:
    partly = replace(BARE, controllers=("pids",))
    step = plan(partly, limits={"pids": 9, "memory": 1 << 26}).steps[0]
    assert step.detail == "pids.max=9; not applied: memory.max (/x was given no memory controller)"
    assert step.arguments == ("pids.max", "9")
    step = plan(NONE, limits={"pids": 9}).steps[0]
    assert step.detail == "not applied: pids.max (/ is not delegated to this user)"
    assert step.arguments == ()


@pytest.mark.parametrize("cgroups", [BARE, NONE])
def test_required_limits_that_cannot_be_set_make_no_plan(cgroups: CgroupFacts) -> None:
    with pytest.raises(PlanError) as refused:
        plan(cgroups, limits={"pids": 9}, limits_required=True)
    assert (refused.value.phase, refused.value.errno_name) == ("cgroup.create", "ENODEV")
    assert cgroups.reason in str(refused.value)
    assert plan(cgroups, limits_required=True).new_pid  # nothing was asked for


def test_a_cgroups_limits_need_no_process_apart_from_pid_1() -> None:
    assert "init.fork" not in [step.phase for step in plan(ALL, limits={"memory": 1 << 26, "pids": 9}).steps]
    assert "init.fork" in [step.phase for step in plan(ALL, limits={"memory": 1 << 26, "nproc": 9}).steps]


def test_missing_controllers_are_told_for_all_workers_at_once() -> None:
    workers = [
        worker("a", limits={"memory": 1 << 26}),
        worker("b", limits={"cpu": 1.0, "pids": 9}, limits_required=True),
        worker("c"),
    ]
    fleet = Fleet(workers={one.name: one for one in workers})
    said = missing_controllers(fleet, replace(BARE, controllers=("pids",)))
    assert said is not None
    assert (said["controllers"], said["workers"], said["required_by"]) == (["cpu", "memory"], ["a"], ["b"])
    assert "Delegate=cpu cpuset" in str(said["hint"])
    assert missing_controllers(fleet, ALL) is None
    assert missing_controllers(Fleet(workers={"c": worker("c")}), NONE) is None
