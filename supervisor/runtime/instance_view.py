"""What others see of an instance: read from what it is made of, and kept nowhere else."""

import time
from collections import deque

from supervisor.policy.health import Health, Said
from supervisor.policy.restart import LIVE, State, Status
from supervisor.runtime.history import History
from supervisor.runtime.incarnation import Incarnation
from supervisor.runtime.monitor import Monitor
from supervisor.runtime.output import OutputWriter
from supervisor.runtime.pausing import Pausing
from supervisor.runtime.standby import Mark, Standby
from supervisor.spec.records import ExitRecord, LaunchRecord, Usual


class InstanceView:
    """The properties of an instance; Instance sets the attributes."""

    status: Status
    incarnation: Incarnation | None
    history: History
    output: OutputWriter
    monitor: Monitor
    pausing: Pausing
    standby: Standby
    leaving: bool

    @property
    def pid(self) -> int | None:
        """On the host, of the sandbox's first process."""
        return self.incarnation.pid if self.incarnation is not None else None

    @property
    def started_at(self) -> float | None:
        """Wall clock, of the running incarnation's exec."""
        return self.incarnation.started_at if self.incarnation is not None else None

    @property
    def uptime_s(self) -> float | None:
        """Of the running incarnation, since its exec."""
        exec_at = self.incarnation.exec_at if self.incarnation is not None else None
        return None if exec_at is None else time.monotonic() - exec_at

    @property
    def cgroup_path(self) -> str | None:
        """The directory of the present incarnation's cgroup, if it has one."""
        cgroup = self.incarnation.cgroup if self.incarnation is not None else None
        return cgroup.path if cgroup is not None else None

    @property
    def launches(self) -> deque[LaunchRecord]:
        """The last launches, oldest first."""
        return self.history.launches

    @property
    def exits(self) -> deque[ExitRecord]:
        """The last exits, oldest first."""
        return self.history.exits

    @property
    def usual(self) -> Usual | None:
        """What to compare the last launch with."""
        return self.history.usual

    @property
    def log_path(self) -> str | None:
        """Where its output goes, if to a file."""
        return self.output.path

    @property
    def health(self) -> Health | None:
        """By its health probe, while it is ready."""
        return self.monitor.health

    @property
    def said(self) -> Said:
        """By sd_notify(3)."""
        return self.monitor.notices.said

    @property
    def probe_seen(self) -> str | None:
        """By the last probe for readiness, until it is ready."""
        return self.monitor.seen

    @property
    def paused(self) -> bool:
        """Whether its processes are frozen."""
        return self.pausing.since is not None

    @property
    def next_sandbox(self) -> Mark | None:
        """Of the next incarnation, built ahead."""
        return self.standby.mark

    @property
    def is_up(self) -> bool:
        """Whether those that require it may run."""
        return self.status.state in (State.READY, State.COMPLETED) and not self.leaving

    @property
    def is_healthy(self) -> bool:
        """Whether it is up, and its health probe succeeds if it has one."""
        health = self.monitor.health
        return self.is_up and (health is None or health.state == "healthy")

    @property
    def may_have_child(self) -> bool:
        """Whether a process of it may live."""
        return self.status.state in LIVE

    @property
    def may_lose_requirements(self) -> bool:
        """Whether it is up or about to be, so that it falls with what it requires."""
        return self.status.state in (State.CREATING, State.RUNNING, State.READY, State.BACKOFF)
