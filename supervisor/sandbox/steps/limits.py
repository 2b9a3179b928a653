"""What limits the workload's process, and how the kernel serves it."""

from supervisor.sandbox.ids import PlanError
from supervisor.sandbox.steps.step import Step
from supervisor.spec.facts import HostFacts
from supervisor.spec.limit_forms import format_cpus, parse_cpus
from supervisor.spec.locks import restricts
from supervisor.spec.model import Limits, Worker

# By setrlimit(2)'s names: the fields.
RLIMITS = {
    "cpu": "cpu_s",
    "as": "address_space",
    "nofile": "nofile",
    "nproc": "nproc",
    "core": "core",
    "fsize": "fsize",
    "memlock": "memlock",
    "stack": "stack",
    "data": "data",
    "rss": "rss",
    "locks": "locks",
    "msgqueue": "msgqueue",
    "nice": "rlimit_nice",
    "rtprio": "rtprio",
    "rttime": "rttime_us",
    "sigpending": "sigpending",
}


def rlimits(limits: Limits) -> dict[str, int | str]:
    """Those that are set: a number, "unlimited" or "SOFT:HARD". PID 1 must not have them: some would end it."""
    found = {name: getattr(limits, field) for name, field in RLIMITS.items()}
    return {name: value for name, value in found.items() if value is not None}


def oom_steps(worker: Worker) -> list[Step]:
    """Before a change of ids makes the file another's."""
    score = worker.limits.oom_score_adj
    return [] if score is None else [Step("limit.oom", f"{score}", (score,))]


def limit_steps(worker: Worker, facts: HostFacts) -> list[Step]:
    """After every descriptor that later phases need is open."""
    steps = _schedule_steps(worker.limits, facts)
    pairs = rlimits(worker.limits)
    if restricts(worker):
        pairs.pop("nofile", None)  # set by lock.landlock, which has paths to open first
    if pairs:
        detail = " ".join(f"{key}={value}" for key, value in pairs.items())
        steps.append(Step("limit.rlimit", detail, tuple(item for pair in pairs.items() for item in pair)))
    return steps


def _schedule_steps(limits: Limits, facts: HostFacts) -> list[Step]:
    """Affinity first: a real-time process should not begin on a processor that it is to leave."""
    wanted = {
        "affinity": limits.affinity,
        "nice": limits.nice,
        "ionice": limits.ionice,
        "scheduling": limits.scheduling,
    }
    pairs = {key: str(value) for key, value in wanted.items() if value is not None}
    if not pairs:
        return []
    detail = " ".join(f"{key}={value}" for key, value in pairs.items())
    if "affinity" in pairs and facts.cpus:
        absent = parse_cpus(pairs["affinity"]) - parse_cpus(facts.cpus)
        if absent:
            message = f"affinity: this host has no processor {format_cpus(absent)}, only {facts.cpus}"
            raise PlanError("limit.sched", "EINVAL", detail, message)
    return [Step("limit.sched", detail, tuple(item for pair in pairs.items() for item in pair))]
