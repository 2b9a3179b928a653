"""What idle workers cost in memory, themselves left out."""

from context import Context
from daemon import Daemon, checked, running
from figures import Report, Target
from launch import sandbox
from processes import children, command, pss_bytes

BASE_BYTES, EACH_BYTES = 50_000_000, 30_000
PID1_BYTES, STATIC_BYTES = 700_000, 350_000

FLEET = """
[supervisor]
start_concurrency = 8
[worker.idle]
command    = ["/stamp"]
instances  = {count}
init       = {init}
{sandbox}
"""


def start(daemon: Daemon, count: int) -> None:
    daemon.ask("POST", "/v1/wait", {"names": [], "condition": "ready", "timeout_s": 120})
    states = [one["state"] for one in daemon.ask("GET", "/v1/instances")]
    if states.count("ready") != count:
        raise SystemExit(f"{states.count('ready')} of {count} workers are ready")


def accepted(context: Context, init: str) -> str | None:
    """Why an init cannot be had. None: it can."""
    config = FLEET.format(count=1, init=init, sandbox=sandbox(context.workload))
    return checked(context.fresh(), config)


def measure(context: Context) -> list[Report]:
    scale, workload = context.scale, context.workload
    report = Report(
        "memory", "proportional set size at rest, output captured, the workloads left out", "MB", {}, base=""
    )
    with running(context.fresh(), FLEET.format(count=scale.memory, init="false", sandbox=sandbox(workload))) as daemon:
        start(daemon, scale.memory)
        pids = daemon.pids()
        found = {name: pss_bytes(pid) or 0 for name, pid in pids.items()}
        spare = sum(pss_bytes(pid) or 0 for pid in children(pids["keeper"]) if command(pid) != "stamp")
    total = sum(found.values()) + spare
    for name, value in (*found.items(), ("keeper's spare child", spare), ("all", total)):
        report.samples[f"{scale.memory} workers, init = false: {name}"] = [value / 1e6]
    limit = (BASE_BYTES + EACH_BYTES * scale.memory) / 1e6
    report.targets.append(Target(f"{scale.memory} idle workers, init = false", total / 1e6, limit, "MB"))
    for init, each in (("true", PID1_BYTES), ('"static"', STATIC_BYTES)):
        if why := accepted(context, init):
            report.notes.append(f"left out: init = {init}: {why}")
            continue
        count = scale.memory_init
        with running(context.fresh(), FLEET.format(count=count, init=init, sandbox=sandbox(workload))) as daemon:
            start(daemon, count)
            keeper = daemon.pids()["keeper"]
            first = [found for pid in children(keeper) if children(pid) and (found := pss_bytes(pid))]
        if not first:
            report.notes.append(f"left out: init = {init}: only root may look at such a PID 1, which is not dumpable")
            continue
        mean = sum(first) / len(first) / 1e6
        report.samples[f"{count} workers, init = {init}: each PID 1"] = [mean]
        report.targets.append(Target(f"PID 1 of a worker, init = {init}", mean, each / 1e6, "MB"))
    return [report]
