"""Metrics of a real daemon, over TCP and over its socket, through a reload."""

import socket
import urllib.request
from contextlib import ExitStack

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.e2e.daemons import running, wait_until
from tests.program import Program

FLEET = """
[supervisor.metrics]
listen = "127.0.0.1:{port}"

[worker.web]
command = ["sh", "-c", "echo hello; exec sleep 1000"]

[worker.broken]
command = ["/no/such/program"]
restart = {{ policy = "never" }}

[worker.short]
command = ["sh", "-c", "kill -KILL $$"]
restart = {{ delay = "0.01s", max_delay = "0.02s", max_restarts = 2, window = "10s" }}
"""
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def free_ports() -> tuple[int, int]:
    with ExitStack() as stack:
        first, second = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        return first.getsockname()[1], second.getsockname()[1]


def scrape(port: int) -> Samples:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def test_what_a_fleet_did_and_uses(nsvisor: Program) -> None:
    first, second = free_ports()
    with running(nsvisor, FLEET.format(port=first)) as daemon:
        daemon.wait_state("web", "ready")
        daemon.wait_state("broken", "failed")
        daemon.wait_state("short", "failed")
        found = scrape(first)

        def value(name: str, **labels: str) -> float:
            return found[name, frozenset(labels.items())]

        wait_until(
            lambda: scrape(first)["nsvisor_log_bytes_total", frozenset({("worker", "web"), ("instance", "web")})] == 6,
            "output",
        )
        assert value("nsvisor_instances", worker="web", state="ready") == 1
        assert value("nsvisor_worker_starts_total", worker="short") == 3
        assert value("nsvisor_worker_restarts_total", worker="short") == 2
        assert value("nsvisor_worker_exits_total", worker="short", cause="signal") == 3
        assert value("nsvisor_worker_exits_total", worker="broken", cause="setup") == 1
        assert value("nsvisor_setup_failures_total", phase="exec", errno="ENOENT") == 1
        assert value("nsvisor_setup_phase_duration_seconds_count", phase="clone") == 5
        assert 0 < value("nsvisor_worker_uptime_seconds", worker="web", instance="web") < 60
        assert value("nsvisor_worker_memory_bytes", worker="web", instance="web") > 100_000
        assert value("nsvisor_worker_cpu_seconds_total", worker="web", instance="web") >= 0
        nsvisor.write("nsvisor.toml", FLEET.format(port=second))
        assert nsvisor.run("reload").returncode == 0
        daemon.wait_record("metrics.listening", address=f"127.0.0.1:{second}")
        assert scrape(second)
        with pytest.raises(OSError, match="refused"):
            scrape(first)
        assert daemon.instance("web")["incarnation"] == 1


def test_a_port_that_is_taken_costs_nothing_else(nsvisor: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(
            nsvisor, f'[supervisor.metrics]\nlisten = "127.0.0.1:{port}"\n[worker.web]\ncommand = ["sleep", "9"]\n'
        ) as daemon:
            assert daemon.wait_record("metrics.failed")["errno"] == "EADDRINUSE"
            daemon.wait_state("web", "ready")
            taken.close()
            assert nsvisor.run("reload").returncode == 0
            daemon.wait_record("metrics.listening")
            assert scrape(port)
