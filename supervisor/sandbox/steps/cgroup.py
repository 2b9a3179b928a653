"""The cgroup that an incarnation is born in, and the limits that are set there."""

from msgspec.structs import fields, replace

from supervisor.sandbox.ids import PlanError
from supervisor.sandbox.steps.step import Step
from supervisor.spec import remedies
from supervisor.spec.cgroup_files import cgroup_settings, controller, wanted_controllers
from supervisor.spec.facts import CgroupFacts, HostFacts
from supervisor.spec.model import Fleet, Limits, Worker
from supervisor.spec.model_cgroup import CgroupLimits


def cgroup_steps(worker: Worker, facts: HostFacts) -> list[Step]:
    """cgroup.create, the daemon's own step: its arguments are files and what is written to them.

    None where no cgroup can be made and no limit is asked for. PlanError where one is required and cannot be set.
    """
    offered = facts.cgroups
    settings = cgroup_settings(worker.limits)
    absent = {file: value for file, value in settings.items() if controller(file) not in offered.controllers}
    if absent and worker.limits_required:
        lacking = ", ".join(sorted({controller(file) for file in absent}))
        message = f"limits_required, and there is no {lacking} controller: {offered.reason}"
        raise PlanError("cgroup.create", "ENODEV", " ".join(absent), message)
    if not offered.usable and not settings:
        return []
    applied = {file: value for file, value in settings.items() if file not in absent}
    if worker.limits.oom_group and offered.usable and "memory" in offered.controllers:
        applied["memory.oom.group"] = "1"
    detail = " ".join(f"{file}={value.replace(' ', '/')}" for file, value in applied.items())
    if absent:
        detail = "; ".join(filter(None, (detail, f"not applied: {' '.join(absent)} ({offered.reason})")))
    return [Step("cgroup.create", detail, tuple(word for pair in applied.items() for word in pair))]


def missing_controllers(fleet: Fleet, offered: CgroupFacts) -> dict[str, object] | None:
    """The fields of cgroup.unavailable: what workers ask for and nobody can give; None where it is all there."""
    lacking: set[str] = set()
    workers: list[str] = []
    required: list[str] = []
    for worker in fleet.workers.values():
        wanted = wanted_controllers(worker.limits) - set(offered.controllers)
        if wanted:
            lacking |= wanted
            (required if worker.limits_required else workers).append(worker.name)
    if not lacking:
        return None
    return {
        "controllers": sorted(lacking),
        "workers": workers,
        "required_by": required,
        "reason": offered.reason,
        "hint": remedies.DELEGATE_CONTROLLERS if offered.usable else remedies.DELEGATED_SCOPE,
    }


def of_each_process(limits: Limits) -> Limits:
    """Return the rest of the limits: those that a process carries, not its cgroup."""
    return replace(limits, **{field.name: field.default for field in fields(CgroupLimits)})
