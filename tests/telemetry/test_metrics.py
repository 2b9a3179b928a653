import subprocess
import sys

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from supervisor.telemetry import metrics
from supervisor.telemetry.bus import EventBus
from supervisor.telemetry.metrics import BOUNDS_S, InstanceSample, Metrics


class Scrape:
    """The samples of one scrape, by name and labels."""

    def __init__(self, source: Metrics) -> None:
        text, content_type = source.render()
        assert content_type.startswith("application/openmetrics-text")
        self.samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text.decode())  # type: ignore[no-untyped-call]
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.samples.get((name, frozenset(labels.items())))


@pytest.fixture
def bus() -> EventBus:
    return EventBus("error")  # metrics count what the level leaves out, too


def test_starts_exits_and_failures(bus: EventBus) -> None:
    counted = Metrics()
    counted.attach(bus)
    for _ in range(3):
        bus.publish("worker.launching", worker="web", instance="web-0", incarnation=1)
    bus.publish("worker.exited", "warning", worker="web", cause="signal", oom_killed=True)
    bus.publish("worker.exited", "warning", worker="web", cause="exit")
    bus.publish("worker.exited", "warning", worker="web", cause="exit")
    bus.publish("setup.phase", "error", phase="mount.bind", outcome="failed", errno="ENOENT", duration_us=3)
    bus.publish("setup.phase", "error", phase="exec", outcome="pending", duration_us=30_000_000)
    found = Scrape(counted)
    assert found("nsvisor_worker_starts_total", worker="web") == 3
    assert found("nsvisor_worker_exits_total", worker="web", cause="exit") == 2
    assert found("nsvisor_worker_exits_total", worker="web", cause="signal") == 1
    assert found("nsvisor_worker_oom_kills_total", worker="web") == 1
    assert found("nsvisor_setup_failures_total", phase="mount.bind", errno="ENOENT") == 1
    assert found("nsvisor_setup_failures_total", phase="exec", errno="") == 1
    assert found("nsvisor_setup_phase_duration_seconds_count", phase="mount.bind") == 1
    assert found("nsvisor_setup_phase_duration_seconds_count", phase="exec") is None  # how long it would have taken


def test_durations_of_phases_at_debug(bus: EventBus) -> None:
    counted = Metrics()
    counted.attach(bus)
    for duration_us in (5, 10, 11, 40_000_000):
        bus.publish("setup.phase", "debug", phase="clone", outcome="ok", duration_us=duration_us)
    bus.publish("setup.phase", "debug", phase="clone", outcome="skipped", duration_us=0)
    found = Scrape(counted)
    name = "nsvisor_setup_phase_duration_seconds"
    assert found(f"{name}_bucket", phase="clone", le="1e-05") == 2
    assert found(f"{name}_bucket", phase="clone", le="3e-05") == 3
    assert found(f"{name}_bucket", phase="clone", le=str(BOUNDS_S[-1])) == 3
    assert found(f"{name}_bucket", phase="clone", le="+Inf") == 4
    assert found(f"{name}_count", phase="clone") == 4
    assert found(f"{name}_sum", phase="clone") == pytest.approx(40.000026)


def test_instances_are_read_at_each_scrape() -> None:
    counted = Metrics()
    samples = [
        InstanceSample(
            "web", "web-0", "ready", restarts=2, log_bytes=10, lost_bytes=3, lost_lines=1, memory_bytes=4096, cpu_s=1.5
        ),
        InstanceSample("web", "web-1", "ready", restarts=1),
        InstanceSample("db", "db", "backoff"),
    ]
    counted.instances_from(lambda: samples)
    found = Scrape(counted)
    assert found("nsvisor_instances", worker="web", state="ready") == 2
    assert found("nsvisor_instances", worker="db", state="backoff") == 1
    assert found("nsvisor_worker_restarts_total", worker="web") == 3
    assert found("nsvisor_log_bytes_total", worker="web", instance="web-0") == 10
    assert found("nsvisor_log_lost_bytes_total", worker="web", instance="web-0") == 3
    assert found("nsvisor_log_lost_lines_total", worker="web", instance="web-0") == 1
    assert found("nsvisor_worker_memory_bytes", worker="web", instance="web-0") == 4096
    assert found("nsvisor_worker_cpu_seconds_total", worker="web", instance="web-0") == 1.5
    assert found("nsvisor_worker_memory_bytes", worker="web", instance="web-1") is None  # no cgroup that counts it
    del samples[:]
    assert Scrape(counted)("nsvisor_instances", worker="db", state="backoff") is None


def test_the_daemon_itself_is_measured() -> None:
    found = Scrape(metrics.METRICS)
    assert (found("process_resident_memory_bytes") or 0) > 1e6
    assert metrics.render()[0].endswith(b"# EOF\n")


def test_prometheus_client_is_not_loaded_before_it_is_needed() -> None:
    program = "import sys, supervisor.telemetry.metrics as m; assert 'prometheus_client' not in sys.modules; m.render()"
    subprocess.run([sys.executable, "-c", program], check=True)
