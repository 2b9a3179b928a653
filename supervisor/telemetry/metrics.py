"""What the metrics are made of: counted off published events, read off the instances at each scrape.

Counting is plain Python; prometheus_client (40 ms and 2.5 MB, or more) is loaded by metrics_text.py alone, when
somebody asks for the first time.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from supervisor.telemetry.bus import EventBus

# Upper bounds of phase durations in seconds: a phase takes some 10 µs, one that waits for others up to seconds.
BOUNDS_S = (0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class InstanceSample(NamedTuple):
    """What is read off an instance at each scrape."""

    worker: str
    instance: str
    state: str
    restarts: int = 0
    log_bytes: int = 0  # what the worker wrote
    lost_bytes: int = 0  # of that, what could not be kept
    lost_lines: int = 0
    uptime_s: float | None = None
    cgroup: str | None = None  # its directory
    pid: int | None = None
    healthy: bool | None = None  # None: it has no health probe, or no answer of it yet
    standby: bool | None = None  # whether the next incarnation's sandbox is ready; None: not asked for


class Snapshot(NamedTuple):
    """All counters at one moment: to be read by another thread while these go on."""

    starts: Counter[str]  # by worker
    exits: Counter[tuple[str, str]]  # by worker and cause
    out_of_memory: Counter[str]  # by worker
    failures: Counter[tuple[str, str]]  # by phase and errno
    phases: dict[str, list[float]]  # by phase: counts by BOUNDS_S, those above, the sum
    instances: list[InstanceSample]
    standbys: Counter[str]  # by worker: launches that went on in a sandbox built ahead


class Metrics:
    """The counters of one daemon."""

    def __init__(self) -> None:
        self._starts: Counter[str] = Counter()
        self._exits: Counter[tuple[str, str]] = Counter()
        self._out_of_memory: Counter[str] = Counter()
        self._failures: Counter[tuple[str, str]] = Counter()
        self._phases: dict[str, list[float]] = {}
        self._standbys: Counter[str] = Counter()
        self._instances: Callable[[], Iterable[InstanceSample]] = tuple

    def attach(self, bus: EventBus) -> None:
        """Count what this bus publishes from now on."""
        bus.observe("worker.launching", self._launching)
        bus.observe("worker.exited", self._exited)
        bus.observe("setup.phase", self._phase)
        bus.observe("standby.used", self._standby_used)

    def instances_from(self, source: Callable[[], Iterable[InstanceSample]]) -> None:
        """Read the instances off this function at each scrape."""
        self._instances = source

    def snapshot(self) -> Snapshot:
        """Everything as it is now."""
        return Snapshot(
            self._starts.copy(),
            self._exits.copy(),
            self._out_of_memory.copy(),
            self._failures.copy(),
            {phase: counts.copy() for phase, counts in self._phases.items()},
            list(self._instances()),
            self._standbys.copy(),
        )

    def _launching(self, fields: dict[str, Any]) -> None:
        self._starts[fields.get("worker", "")] += 1

    def _standby_used(self, fields: dict[str, Any]) -> None:
        self._standbys[fields.get("worker", "")] += 1

    def _exited(self, fields: dict[str, Any]) -> None:
        self._exits[fields.get("worker", ""), fields.get("cause", "unknown")] += 1
        if fields.get("oom_killed"):
            self._out_of_memory[fields.get("worker", "")] += 1

    def _phase(self, fields: dict[str, Any]) -> None:
        outcome = fields["outcome"]
        if outcome in {"failed", "pending"}:
            self._failures[fields["phase"], fields.get("errno", "")] += 1
        if outcome not in {"ok", "failed"}:
            return
        seconds = fields["duration_us"] / 1e6
        counts = self._phases.get(fields["phase"])
        if counts is None:
            counts = self._phases[fields["phase"]] = [0.0] * (len(BOUNDS_S) + 2)
        counts[bisect_left(BOUNDS_S, seconds)] += 1
        counts[-1] += seconds


METRICS = Metrics()  # of this process
