"""The plan of a command executed beside a worker."""

import pytest
from msgspec.structs import replace

from supervisor.phases import PHASES
from supervisor.sandbox.exec_plan import Command, compile_exec
from supervisor.sandbox.ids import PlanError
from supervisor.sandbox.plan import Plan, compile_plan
from supervisor.spec.model import Limits, Namespaces, Network, Security, Worker
from tests.sandbox.test_plan import FACTS

WEB = Worker(name="web", command=("serve", "{index}"), env={"A": "{index}"}, instances=2, working_dir="/srv")
SHELL = Command(("sh", "{index}"))


def joins(plan: Plan) -> list[str]:
    return [f"{'owner of ' if join.owner else ''}{join.kind}" for join in plan.joins]


def arguments(plan: Plan, phase: str) -> tuple[str | int, ...]:
    return next(step.arguments for step in plan.steps if step.phase == phase)


def test_namespaces_then_what_the_worker_is_made_of() -> None:
    plan = compile_exec(WEB, 1, FACTS, SHELL)
    assert joins(plan) == ["user", "uts", "ipc", "network", "cgroup", "pid", "mount"]
    assert {join.reference for join in plan.joins} == {"worker:web-1"}
    phases = [step.phase for step in plan.steps]
    assert phases[len(plan.joins) : len(plan.joins) + 3] == ["clone", "parent.bind", "id.root"]
    assert phases == sorted(phases, key=list(PHASES).index)
    own = compile_plan(WEB, 1, FACTS)
    for phase in ("cap.bound", "id.user", "cap.drop", "fd.close", "lock.seccomp", "cwd.enter"):
        assert arguments(plan, phase) == arguments(own, phase)
    assert (plan.new_user, plan.new_pid, plan.uid_map) == (False, False, ())


def test_the_commands_words_are_taken_as_they_are_and_the_workers_environment_is_kept() -> None:
    stays, count, *words = arguments(compile_exec(WEB, 1, FACTS, replace(SHELL, env={"B": "{index}"})), "exec")
    assert (stays, count, words[:2]) == (0, 2, ["sh", "{index}"])
    assert {"A=1", "B={index}"} <= set(words[2:])


def test_what_differs_from_the_worker() -> None:
    plan = compile_exec(WEB, 0, FACTS, Command(("sh",), working_dir="/tmp", user=7, terminal=True))
    assert arguments(plan, "cwd.enter") == ("/tmp",)
    assert arguments(plan, "id.user")[:3] == (7, 7, "")
    assert arguments(plan, "session.new") == (1,)


@pytest.mark.parametrize(
    ("spaces", "network", "expected"),
    [
        (Namespaces(), "host", ["user", "uts", "ipc", "cgroup", "pid", "mount"]),
        (Namespaces(pid=False, ipc=False), "none", ["user", "uts", "network", "cgroup", "mount"]),
        (
            Namespaces(),
            "worker:db",
            ["owner of network", "network", "user", "uts", "ipc", "cgroup", "pid", "mount"],
        ),
        (
            Namespaces(user="worker:db", mount="worker:db"),
            "none",
            ["user", "mount", "uts", "ipc", "network", "cgroup", "pid"],
        ),
        (Namespaces(time=True), "none", ["user", "uts", "ipc", "network", "cgroup", "time", "pid", "mount"]),
    ],
)
def test_joins(spaces: Namespaces, network: str, expected: list[str]) -> None:
    """What the worker joined comes before its own user namespace, from which it could not be entered."""
    plan = compile_exec(replace(WEB, namespaces=spaces, network=Network(network)), 0, FACTS, SHELL)
    assert joins(plan) == expected


def test_an_init_of_its_own_where_no_pid_namespace_ends_what_it_leaves() -> None:
    def forks(worker: Worker) -> bool:
        return "init.fork" in [step.phase for step in compile_exec(worker, 0, FACTS, SHELL).steps]

    assert forks(replace(WEB, namespaces=Namespaces(pid=False)))
    assert not forks(replace(WEB, limits=Limits(nofile=64), security=Security(capabilities=("CAP_CHOWN",))))


def test_ids_that_cannot_be_had() -> None:
    with pytest.raises(PlanError):
        compile_exec(replace(WEB, user="postgres"), 0, FACTS, SHELL)
