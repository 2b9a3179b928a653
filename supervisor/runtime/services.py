"""What every instance uses of its daemon."""

import os
from typing import TYPE_CHECKING

import trio
from msgspec.structs import replace

from supervisor.runtime.host_mounts import HostMounts
from supervisor.runtime.joins import Pids
from supervisor.runtime.keepers import Keepers
from supervisor.runtime.memory_pressure import MemoryPressure
from supervisor.runtime.slots import Slots
from supervisor.runtime.state import StateFile
from supervisor.runtime.turns import Turns
from supervisor.runtime.unwritten import UnwrittenFile
from supervisor.spec.facts import HostFacts
from supervisor.spec.records import ExitRecord
from supervisor.telemetry.bus import EventBus

if TYPE_CHECKING:
    from supervisor.runtime.instance import Instance


class Services:
    """One for the fleet. facts and slots change at a reload."""

    def __init__(
        self,
        bus: EventBus,
        keepers: Keepers,
        state: StateFile,
        facts: HostFacts,
        nursery: trio.Nursery,
        state_directory: str,
        start_concurrency: int,
        pids: Pids,
    ) -> None:
        """pids: of the first process of a worker's sandbox, for joins."""
        self.bus = bus
        self.keepers = keepers
        self.state = state
        self._facts = facts
        self.nursery = nursery
        self.pids = pids
        self.slots = Slots(start_concurrency)
        self.turns = Turns()
        self.host_mounts = HostMounts()
        self.pressure = MemoryPressure(nursery)
        self.log_directory = os.path.join(state_directory, "logs")
        self.history_directory = os.path.join(state_directory, "history")
        self._notify_directory = os.path.join(os.path.dirname(keepers.path), "notify")
        self.unwritten = UnwrittenFile(os.path.join(os.path.dirname(keepers.path), "unwritten"), bus)
        self.null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)

    @property
    def facts(self) -> HostFacts:
        """The host's, with what the present keeper's place offers of cgroups."""
        cgroups = self.keepers.cgroups.facts
        if self._facts.cgroups is not cgroups or self._facts.notify_directory != self._notify_directory:
            self._facts = self.placed(self._facts)
        return self._facts

    @facts.setter
    def facts(self, facts: HostFacts) -> None:
        self._facts = facts

    def placed(self, facts: HostFacts) -> HostFacts:
        """Facts with what is known here only."""
        return replace(
            facts,
            cgroups=self.keepers.cgroups.facts,
            outlives_keeper=self.keepers.ends_orphans,
            notify_directory=self._notify_directory,
        )

    def publish_exit(self, instance: "Instance", record: ExitRecord) -> None:
        """worker.exited."""
        expected = record.clean or record.requested_by is not None
        usage = record.rusage
        fields: dict[str, object] = {
            "worker": instance.worker.name,
            "instance": instance.name,
            "incarnation": record.incarnation,
            "cause": record.cause,
            "uptime_s": round(record.uptime_s, 3),
            "clean": record.clean,
        }
        optional = ("code", "signal", "or_signal", "probe", "phase", "errno", "syscall", "hint", "requested_by")
        fields |= {key: value for key in optional if (value := getattr(record, key)) is not None}
        if record.core_dumped:
            fields["core_dumped"] = True
        if record.oom_killed:
            fields["oom_killed"] = True
        if record.memory_peak_bytes is not None:
            fields["memory_peak_bytes"] = record.memory_peak_bytes
        if record.memory_max_bytes is not None:
            fields["memory_max_bytes"] = record.memory_max_bytes
        if usage is not None:
            fields |= {"user_s": usage.user_s, "system_s": usage.system_s, "max_rss_bytes": usage.max_rss_bytes}
        self.bus.publish("worker.exited", "info" if expected else "warning", **fields)

    def publish_history_error(self, instance: "Instance", error: OSError) -> None:
        """history.failed: exits are remembered by this daemon only."""
        self.bus.publish("history.failed", "error", instance=instance.name, error=str(error))

    def close(self) -> None:
        """Let go of the descriptors, and of what the next daemon would go on with."""
        os.close(self.null_fd)
        self.unwritten.close()
        self.host_mounts.close()
