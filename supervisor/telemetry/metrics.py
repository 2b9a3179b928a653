"""Metrics in OpenMetrics, fed by published events.

Counting is plain Python; prometheus_client (40 ms and 2.5 MB, or more) is loaded when somebody asks for the first time.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from supervisor.telemetry.bus import EventBus

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

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
    memory_bytes: int | None = None  # of its cgroup, where that counts them
    cpu_s: float | None = None


class Metrics:
    """The counters of one daemon."""

    def __init__(self) -> None:
        self._starts: Counter[str] = Counter()
        self._exits: Counter[tuple[str, str]] = Counter()
        self._out_of_memory: Counter[str] = Counter()
        self._failures: Counter[tuple[str, str]] = Counter()
        self._phases: dict[str, list[float]] = {}  # counts by BOUNDS_S, those above, the sum
        self._instances: Callable[[], Iterable[InstanceSample]] = tuple
        self._registry: CollectorRegistry | None = None

    def attach(self, bus: EventBus) -> None:
        """Count what this bus publishes from now on."""
        bus.observe("worker.launching", self._launching)
        bus.observe("worker.exited", self._exited)
        bus.observe("setup.phase", self._phase)

    def instances_from(self, source: Callable[[], Iterable[InstanceSample]]) -> None:
        """Read the instances off this function at each scrape."""
        self._instances = source

    def _launching(self, fields: dict[str, Any]) -> None:
        self._starts[fields.get("worker", "")] += 1

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

    def render(self) -> tuple[bytes, str]:
        """The text and its content type."""
        from prometheus_client import CollectorRegistry, ProcessCollector  # noqa: PLC0415 slow: see above
        from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest  # noqa: PLC0415

        if self._registry is None:
            self._registry = CollectorRegistry()
            ProcessCollector(registry=self._registry)
            self._registry.register(self)
        text: bytes = generate_latest(self._registry)  # type: ignore[no-untyped-call]
        return text, CONTENT_TYPE_LATEST

    def collect(self) -> "Iterable[Metric]":
        """For prometheus_client."""
        from prometheus_client.core import (  # noqa: PLC0415 slow: see above
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        starts = CounterMetricFamily("nsvisor_worker_starts", "Launches, whoever asked", labels=("worker",))
        for worker, count in self._starts.items():
            starts.add_metric((worker,), count)
        exits = CounterMetricFamily("nsvisor_worker_exits", "Ends of incarnations", labels=("worker", "cause"))
        for exit_labels, count in self._exits.items():
            exits.add_metric(exit_labels, count)
        memory = CounterMetricFamily(
            "nsvisor_worker_oom_kills", "Incarnations that ended for want of memory", labels=("worker",)
        )
        for worker, count in self._out_of_memory.items():
            memory.add_metric((worker,), count)
        failures = CounterMetricFamily(
            "nsvisor_setup_failures",
            "Failed set-ups; errno is empty where the phase did not come to an end",
            labels=("phase", "errno"),
        )
        for failure_labels, count in self._failures.items():
            failures.add_metric(failure_labels, count)
        phases = HistogramMetricFamily(
            "nsvisor_setup_phase_duration_seconds", "Time of one set-up phase", labels=("phase",), unit="seconds"
        )
        for phase, counts in self._phases.items():
            phases.add_metric((phase,), _buckets(counts), counts[-1])
        yield from (starts, exits, memory, failures, phases)

        states: Counter[tuple[str, str]] = Counter()
        restarts: Counter[str] = Counter()
        labels = ("worker", "instance")
        kept = CounterMetricFamily("nsvisor_log_bytes", "Bytes that were written by the worker", labels=labels)
        lost = CounterMetricFamily("nsvisor_log_lost_bytes", "Bytes of output that could not be kept", labels=labels)
        lines = CounterMetricFamily("nsvisor_log_lost_lines", "Lines of output that could not be kept", labels=labels)
        used = GaugeMetricFamily(
            "nsvisor_worker_memory_bytes", "Memory that the cgroup counts", labels=labels, unit="bytes"
        )
        spent = CounterMetricFamily(
            "nsvisor_worker_cpu_seconds", "CPU time of the present incarnation's cgroup", labels=labels, unit="seconds"
        )
        for one in self._instances():
            if one.memory_bytes is not None:
                used.add_metric((one.worker, one.instance), one.memory_bytes)
            if one.cpu_s is not None:
                spent.add_metric((one.worker, one.instance), one.cpu_s)
            states[one.worker, one.state] += 1
            restarts[one.worker] += one.restarts
            kept.add_metric((one.worker, one.instance), one.log_bytes)
            lost.add_metric((one.worker, one.instance), one.lost_bytes)
            lines.add_metric((one.worker, one.instance), one.lost_lines)
        instances = GaugeMetricFamily("nsvisor_instances", "Instances in this state", labels=("worker", "state"))
        for state_labels, count in states.items():
            instances.add_metric(state_labels, count)
        again = CounterMetricFamily("nsvisor_worker_restarts", "Restarts by policy", labels=("worker",))
        for worker, count in restarts.items():
            again.add_metric((worker,), count)
        yield from (instances, again, kept, lost, lines, used, spent)


def _buckets(counts: list[float]) -> list[tuple[str, float]]:
    cumulative, total = [], 0.0
    for bound, count in zip((*(str(bound) for bound in BOUNDS_S), "+Inf"), counts, strict=False):
        total += count
        cumulative.append((bound, total))
    return cumulative


METRICS = Metrics()  # of this process


def render() -> tuple[bytes, str]:
    """This process's metrics as text, and its content type."""
    return METRICS.render()
