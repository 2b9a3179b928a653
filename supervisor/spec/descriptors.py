"""How many file descriptors a fleet needs, in the daemon and in its keeper; and whether a limit allows them.

Pure: the limit (RLIMIT_NOFILE) is the caller's to find out. tests/e2e/test_descriptors.py compares this with a fleet
that runs.
"""

from typing import NamedTuple

from supervisor.spec.errors import ConfigError, Problem
from supervisor.spec.instances import notify_variables
from supervisor.spec.model import Fleet, Worker
from supervisor.spec.overlays import overlays
from supervisor.spec.places import place, sources_of
from supervisor.spec.publish import OUTWARD

OWN = 128  # sockets, files and clients of a process, and the 64 that it leaves free for what cannot be refused
PROBE = 8  # sockets made in its network ahead, of which one is in use (SOCKETS_AT_ONCE of runtime/probe_network.py)
LAUNCH = 10  # more for each launch under way: both ends of a channel and of two pipes, plan, cgroup, joins


class Descriptors(NamedTuple):
    """So many open at once, by process."""

    daemon: int
    keeper: int

    @property
    def most(self) -> int:
        """Of one process: both have the same limit."""
        return max(self)


def of_instance(worker: Worker) -> Descriptors:
    """Of one instance that is up: at most.

    In the daemon: its pidfd, the reading ends of two output pipes, its log, and the pipe by which PID 1 reports where
    it may outlive the keeper. In the keeper: the same without the log. More for sd_notify, probes in its network, pasta
    and the locks of overlays.
    """
    daemon, keeper = 3 + (worker.log.sink != "null") + (worker.namespaces.pid is True), 4
    if notify_variables(worker) is not None:
        daemon, keeper = daemon + 1, keeper + 1
    if {worker.ready.kind, worker.health.kind} & {"tcp", "http"}:
        daemon += PROBE
    if worker.network.mode in OUTWARD:
        daemon, keeper = daemon + 2, keeper + 3  # pasta's pidfd and what it says
    keeper += sum(overlay.upper is not None for _, overlay in overlays(worker))
    if worker.restart.standby:  # as much again, and the channel by which it waits
        return Descriptors(2 * daemon + 1, 2 * keeper)
    return Descriptors(daemon, keeper)


def of_fleet(fleet: Fleet) -> Descriptors:
    """Of all instances, up at once."""
    launches = LAUNCH * fleet.supervisor.start_concurrency
    daemon = keeper = OWN + launches
    for worker in fleet.workers.values():
        each = of_instance(worker)
        daemon += each.daemon * worker.instances
        keeper += each.keeper * worker.instances
    return Descriptors(daemon, keeper)


def check_descriptors(fleet: Fleet, limit: int | None) -> None:
    """Refuse a fleet that cannot be up as a whole. ConfigError.

    limit: the hard RLIMIT_NOFILE, to which the daemon raises its soft one and the keeper's; None: there is none.
    """
    need = of_fleet(fleet)
    instances = sum(worker.instances for worker in fleet.workers.values())
    if limit is None or need.most <= limit or not instances:
        return
    own = OWN + LAUNCH * fleet.supervisor.start_concurrency
    fit = max(0, (limit - own) * instances // (need.most - own))
    greatest = max(fleet.workers.values(), key=lambda worker: of_instance(worker).most * worker.instances)
    enough = max(need.most, 1024)
    message = (
        f"all workers together ({instances} instances) need {need.daemon} file descriptors in the daemon and "
        f"{need.keeper} in its keeper; the hard limit of open files (RLIMIT_NOFILE) is {limit}, enough for {fit}; "
        f"raise it: LimitNOFILE={enough} in the unit (systemctl --user edit nsvisor), or a line "
        f'"* hard nofile {enough}" in /etc/security/limits.conf'
    )
    path = ("instances",)
    file, line, key = place(sources_of(fleet), fleet, greatest.name, path)
    raise ConfigError([Problem(file, line, key, message, str(greatest.instances))])
