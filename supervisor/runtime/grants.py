"""What a sandbox may not set of itself, and a privileged daemon can: scheduling, OOM scores, hard limits.

The values are the plan's; a sandbox only says which of them it was refused.
"""

import errno
import os

from supervisor.kernel.files import write_attribute
from supervisor.kernel.rlimits import set_limit
from supervisor.kernel.scheduling import serve
from supervisor.sandbox.plan import Plan
from supervisor.spec.facts import HostFacts


def grant(what: str, pidfd: int, plan: Plan, facts: HostFacts) -> None:
    """Set it for the process that waits behind the pidfd: `oom_score_adj`, `nice`, `rlimit memlock`. OSError."""
    if not facts.privileged:
        raise OSError(errno.EPERM, "the daemon has no more rights")
    value = _values(plan).get(what)
    if value is None:
        raise OSError(errno.EINVAL, f"the plan sets no {what}")
    pid = _number(pidfd)
    if what == "oom_score_adj":
        write_attribute(f"/proc/{pid}/oom_score_adj", value)
    elif what.startswith("rlimit "):
        set_limit(what.removeprefix("rlimit "), value, pid)
    else:
        serve(pid, what, value)


def _values(plan: Plan) -> dict[str, str]:
    found = {}
    for step in plan.steps:
        words = [str(word) for word in step.arguments]
        if step.phase == "limit.oom":
            found["oom_score_adj"] = words[0]
        elif step.phase == "lock.landlock":
            found |= {"rlimit nofile": words[1]} if words[1] else {}
        elif step.phase in {"limit.sched", "limit.rlimit"}:
            prefix = "rlimit " if step.phase == "limit.rlimit" else ""
            found |= {f"{prefix}{words[at]}": words[at + 1] for at in range(0, len(words), 2)}
    return found


def _number(pidfd: int) -> int:
    """Read the process's number in the daemon's pid namespace (proc_pid_fdinfo(5))."""
    with open(f"/proc/self/fdinfo/{pidfd}") as file:
        fields = dict(line.split(":", 1) for line in file if ":" in line)
    pid = int(fields.get("Pid", "-1"))
    if pid <= 0:
        raise OSError(errno.ESRCH, os.strerror(errno.ESRCH))
    return pid
