"""Metrics as text in OpenMetrics. docs/how-to/metrics.md lists them."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

from supervisor import __version__
from supervisor.telemetry.cgroup_usage import ScrapedUsage, scraped_usage
from supervisor.telemetry.metrics import BOUNDS_S, InstanceSample, Snapshot

INSTANCE = ("worker", "instance")


def render(snapshot: Snapshot) -> tuple[bytes, str]:
    """The text and its content type. Reads cgroups, and /proc where these do not count memory: some 0.1 ms each."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Collector(snapshot))
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return text, CONTENT_TYPE_LATEST


class _Collector:
    """One scrape."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._now = snapshot

    def collect(self) -> Iterator[Metric]:
        """For prometheus_client."""
        yield InfoMetricFamily("nsvisor", "The daemon", value={"version": __version__})
        yield from self._counted()
        yield from self._instances()
        yield from self._logs()
        yield from _used(self._now.instances)

    def _counted(self) -> Iterator[Metric]:
        now = self._now
        starts = CounterMetricFamily("nsvisor_worker_starts", "Launches, whoever asked", labels=("worker",))
        for worker, count in now.starts.items():
            starts.add_metric((worker,), count)
        ahead = CounterMetricFamily(
            "nsvisor_worker_standby_starts", "Launches that went on in a sandbox built ahead", labels=("worker",)
        )
        for worker, count in now.standbys.items():
            ahead.add_metric((worker,), count)
        exits = CounterMetricFamily("nsvisor_worker_exits", "Ends of incarnations", labels=("worker", "cause"))
        for exit_labels, count in now.exits.items():
            exits.add_metric(exit_labels, count)
        memory = CounterMetricFamily(
            "nsvisor_worker_oom_kills", "Incarnations that ended for want of memory", labels=("worker",)
        )
        for worker, count in now.out_of_memory.items():
            memory.add_metric((worker,), count)
        failures = CounterMetricFamily(
            "nsvisor_setup_failures",
            "Failed set-ups; errno is empty where the phase did not come to an end",
            labels=("phase", "errno"),
        )
        for failure_labels, count in now.failures.items():
            failures.add_metric(failure_labels, count)
        phases = HistogramMetricFamily(
            "nsvisor_setup_phase_duration_seconds", "Time of one set-up phase", labels=("phase",), unit="seconds"
        )
        for phase, counts in now.phases.items():
            phases.add_metric((phase,), _buckets(counts), counts[-1])
        yield from (starts, ahead, exits, memory, failures, phases)

    def _instances(self) -> Iterator[Metric]:
        states: Counter[tuple[str, str]] = Counter()
        restarts: Counter[str] = Counter()
        uptime = GaugeMetricFamily(
            "nsvisor_worker_uptime_seconds", "Since the present incarnation's exec", labels=INSTANCE, unit="seconds"
        )
        healthy = GaugeMetricFamily(
            "nsvisor_worker_healthy", "1 while its health probe succeeds, else 0; none without one", labels=INSTANCE
        )
        standby = GaugeMetricFamily(
            "nsvisor_standby_ready",
            "1 while the next incarnation's sandbox is ready, else 0; none where it is not asked for",
            labels=INSTANCE,
        )
        for one in self._now.instances:
            if one.standby is not None:
                standby.add_metric((one.worker, one.instance), int(one.standby))
            states[one.worker, one.state] += 1
            restarts[one.worker] += one.restarts
            if one.healthy is not None:
                healthy.add_metric((one.worker, one.instance), int(one.healthy))
            if one.uptime_s is not None:
                uptime.add_metric((one.worker, one.instance), one.uptime_s)
        instances = GaugeMetricFamily("nsvisor_instances", "Instances in this state", labels=("worker", "state"))
        for state_labels, count in states.items():
            instances.add_metric(state_labels, count)
        again = CounterMetricFamily("nsvisor_worker_restarts", "Restarts by policy", labels=("worker",))
        for worker, count in restarts.items():
            again.add_metric((worker,), count)
        yield from (instances, again, uptime, healthy, standby)

    def _logs(self) -> Iterator[Metric]:
        written = CounterMetricFamily(
            "nsvisor_log_bytes", "Bytes that were written by the worker", labels=INSTANCE, unit="bytes"
        )
        lost = CounterMetricFamily(
            "nsvisor_log_lost_bytes", "Bytes of output that could not be kept", labels=INSTANCE, unit="bytes"
        )
        lines = CounterMetricFamily("nsvisor_log_lost_lines", "Lines of output that could not be kept", labels=INSTANCE)
        for one in self._now.instances:
            written.add_metric((one.worker, one.instance), one.log_bytes)
            lost.add_metric((one.worker, one.instance), one.lost_bytes)
            lines.add_metric((one.worker, one.instance), one.lost_lines)
        yield from (written, lost, lines)


def _used(instances: list[InstanceSample]) -> Iterator[Metric]:
    memory = GaugeMetricFamily(
        "nsvisor_worker_memory_bytes",
        "Memory by the cgroup; where that does not count it, the resident memory of all processes",
        labels=INSTANCE,
        unit="bytes",
    )
    cpu = CounterMetricFamily(
        "nsvisor_worker_cpu_seconds", "CPU time of the present incarnation", labels=INSTANCE, unit="seconds"
    )
    pressure = CounterMetricFamily(
        "nsvisor_worker_pressure_seconds",
        "Time in which some, or all, of the present incarnation's processes waited for a resource (PSI)",
        labels=(*INSTANCE, "resource", "share"),
        unit="seconds",
    )
    for one, used in zip(instances, _usage(instances), strict=True):
        labels = (one.worker, one.instance)
        if used.memory_bytes is not None:
            memory.add_metric(labels, used.memory_bytes)
        if used.cpu_s is not None:
            cpu.add_metric(labels, used.cpu_s)
        for resource, share, seconds in used.pressure_s:
            pressure.add_metric((*labels, resource, share), seconds)
    yield from (memory, cpu, pressure)


def _usage(instances: list[InstanceSample]) -> list[ScrapedUsage]:
    """By the cgroup, which costs least; by its processes what that does not count."""
    found = [scraped_usage(one.cgroup) if one.cgroup is not None else ScrapedUsage() for one in instances]
    roots = [
        one.pid
        for one, used in zip(instances, found, strict=True)
        if one.pid is not None and (used.memory_bytes is None or used.cpu_s is None)
    ]
    if not roots:
        return found
    from supervisor.telemetry.usage import sample  # noqa: PLC0415 psutil is loaded where it is needed

    trees = sample(roots)
    for at, (one, used) in enumerate(zip(instances, found, strict=True)):
        tree = trees.get(one.pid) if one.pid is not None else None
        if tree is not None:
            found[at] = used._replace(
                cpu_s=tree.cpu_s if used.cpu_s is None else used.cpu_s,
                memory_bytes=tree.rss_bytes if used.memory_bytes is None else used.memory_bytes,
            )
    return found


def _buckets(counts: list[float]) -> list[tuple[str, float]]:
    cumulative, total = [], 0.0
    for bound, count in zip((*(str(bound) for bound in BOUNDS_S), "+Inf"), counts, strict=False):
        total += count
        cumulative.append((bound, total))
    return cumulative
