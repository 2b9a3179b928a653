"""Limits as files of a cgroup (Documentation/admin-guide/cgroup-v2.rst), and the controllers that have these files."""

from supervisor.spec.model import Limits

CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")
PERIOD_US = 100_000  # cpu.max counts the quota in each tenth of a second


def cgroup_settings(limits: Limits) -> dict[str, str]:
    """What the limits that were asked for mean in files of a cgroup (Documentation/admin-guide/cgroup-v2.rst)."""
    wanted: dict[str, str | int | None] = {
        "memory.max": limits.memory_bytes,
        "memory.high": limits.memory_high_bytes,
        "memory.swap.max": limits.memory_swap_bytes,
        "pids.max": limits.pids,
        "cpu.max": None if limits.cpu is None else f"{round(float(limits.cpu) * PERIOD_US)} {PERIOD_US}",
        "cpu.weight": limits.cpu_weight,
        "io.weight": limits.io_weight,
        "cpuset.cpus": limits.cpuset,
    }
    return {file: "max" if value == "unlimited" else str(value) for file, value in wanted.items() if value is not None}


def controller(file: str) -> str:
    """The controller that a cgroup's file belongs to."""
    return file.partition(".")[0]


def wanted_controllers(limits: Limits) -> set[str]:
    """Name the controllers that these limits need."""
    return {controller(file) for file in cgroup_settings(limits)}
