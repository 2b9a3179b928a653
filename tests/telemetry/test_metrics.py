import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from supervisor import __version__
from supervisor.telemetry.bus import EventBus
from supervisor.telemetry.metrics import BOUNDS_S, METRICS, InstanceSample, Metrics
from supervisor.telemetry.metrics_text import render


class Scrape:
    """The samples of one scrape, by name and labels."""

    def __init__(self, source: Metrics) -> None:
        text, content_type = render(source.snapshot())
        assert content_type.startswith("application/openmetrics-text")
        assert text.endswith(b"# EOF\n")
        families = list(text_string_to_metric_families(text.decode()))  # type: ignore[no-untyped-call]
        self.families = {family.name for family in families}
        self.samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
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
        InstanceSample("web", "web-0", "ready", restarts=2, log_bytes=10, lost_bytes=3, lost_lines=1, uptime_s=2.5),
        InstanceSample("web", "web-1", "ready", restarts=1, healthy=False),
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
    assert found("nsvisor_worker_uptime_seconds", worker="web", instance="web-0") == 2.5
    assert found("nsvisor_worker_uptime_seconds", worker="web", instance="web-1") is None
    assert found("nsvisor_worker_healthy", worker="web", instance="web-1") == 0
    assert found("nsvisor_worker_healthy", worker="web", instance="web-0") is None
    assert found("nsvisor_worker_memory_bytes", worker="web", instance="web-1") is None  # neither cgroup nor process
    del samples[:]
    assert Scrape(counted)("nsvisor_instances", worker="db", state="backoff") is None


def test_usage_is_the_cgroups_and_what_that_does_not_count_the_processes(tmp_path: Path) -> None:
    files = {
        "cpu.stat": "usage_usec 1500000\n",
        "memory.current": "4096\n",
        "memory.pressure": "some avg10=1.50 avg60=0.00 avg300=0.00 total=7000000\nfull avg10=0.50 total=1000000\n",
        "cpu.pressure": "some avg10=12.00 avg60=0.00 avg300=0.00 total=250000\n",
    }
    for path, chosen in (("whole", files), ("v1", {"cpu.stat": files["cpu.stat"]})):
        (tmp_path / path).mkdir()
        for name, text in chosen.items():
            (tmp_path / path / name).write_text(text)
    counted = Metrics()
    pid = os.getpid()
    counted.instances_from(
        lambda: [
            InstanceSample("a", "a", "ready", cgroup=str(tmp_path / "whole"), pid=pid),
            InstanceSample("b", "b", "ready", cgroup=str(tmp_path / "v1"), pid=pid),
            InstanceSample("c", "c", "ready", cgroup=str(tmp_path / "gone")),
            InstanceSample("d", "d", "ready", pid=pid),
        ]
    )
    found = Scrape(counted)

    def used(name: str, worker: str, **labels: str) -> float | None:
        return found(f"nsvisor_worker_{name}", worker=worker, instance=worker, **labels)

    assert used("memory_bytes", "a") == 4096
    assert used("cpu_seconds_total", "a") == used("cpu_seconds_total", "b") == 1.5
    assert used("pressure_seconds_total", "a", resource="memory", share="some") == 7
    assert used("pressure_seconds_total", "a", resource="memory", share="full") == 1
    assert used("pressure_seconds_total", "a", resource="cpu", share="some") == 0.25
    assert used("pressure_seconds_total", "a", resource="io", share="some") is None
    assert (used("memory_bytes", "b") or 0) > 1e6
    assert (used("memory_bytes", "d") or 0) > 1e6
    assert (used("cpu_seconds_total", "d") or 0) > 0
    assert used("memory_bytes", "c") is used("cpu_seconds_total", "c") is None


def test_the_daemon_itself_is_measured() -> None:
    found = Scrape(METRICS)
    assert (found("process_resident_memory_bytes") or 0) > 1e6
    assert found("nsvisor_info", version=__version__) == 1


def test_each_metric_is_in_the_guide() -> None:
    guide = (Path(__file__).parents[2] / "docs/how-to/metrics.md").read_text()
    assert sorted(name for name in Scrape(Metrics()).families if f"`{name}" not in guide) == []


def test_labels_are_escaped() -> None:
    counted = Metrics()
    name = 'a"b\\c\nd'
    counted.instances_from(lambda: [InstanceSample(name, name, "ready", log_bytes=7)])
    assert Scrape(counted)("nsvisor_log_bytes_total", worker=name, instance=name) == 7


def test_prometheus_client_is_not_loaded_before_it_is_needed() -> None:
    program = "import sys, supervisor.control.app; assert 'prometheus_client' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
