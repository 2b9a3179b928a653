"""What one incarnation tells of itself, on the daemon's bus."""

from typing import TYPE_CHECKING

from supervisor.spec.records import LaunchRecord, PhaseRecord

if TYPE_CHECKING:
    from supervisor.runtime.instance import Instance


class IncarnationEvents:
    """Verbose: after a failure, and at an instance's first launch, each phase is told."""

    def __init__(self, instance: "Instance", number: int) -> None:
        self._instance = instance
        self._number = number
        self._verbose = instance.status.failures > 0 or not instance.launches or instance.launches[-1].outcome != "ok"

    def publish(self, event: str, level: str = "info", **fields: object) -> None:
        """Any event of an incarnation."""
        worker, name = self._instance.worker.name, self._instance.name
        self._instance.services.bus.publish(
            event, level, worker=worker, instance=name, incarnation=self._number, **fields
        )

    def phase(self, phase: PhaseRecord, *, doomed: bool, ahead: bool = False) -> None:
        """setup.phase. doomed: it was killed, and is to fail. ahead: of a standby, whose failure harms nobody."""
        level = "debug"
        if phase.outcome in ("failed", "pending"):
            level = "info" if doomed else "warning" if ahead else "error"
        elif self._verbose:
            level = "info"
        optional = {key: value for key in ("errno", "syscall", "message", "hint") if (value := getattr(phase, key))}
        if ahead:
            optional["standby"] = True
        self.publish(
            "setup.phase",
            level,
            phase=phase.phase,
            detail=phase.detail,
            duration_us=phase.duration_us,
            outcome=phase.outcome,
            **optional,
        )

    def launched(self, record: LaunchRecord, *, doomed: bool) -> None:
        """setup.completed, or setup.failed."""
        event, level = ("setup.completed", "info") if record.outcome == "ok" else ("setup.failed", "error")
        self.publish(
            event,
            "info" if doomed else level,
            duration_us=record.duration_us,
            phases_us={phase.phase: phase.duration_us for phase in record.phases},
        )
