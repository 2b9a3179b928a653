"""Limits as real controllers enforce them: one guest is booted, and each test looks at one thing that it said."""

import os
from pathlib import Path

import pytest

from tests.accounts import Account
from tests.vehicles.uml import Guest, boot, cannot_start

TIMEOUT_S = 180.0  # it takes 25 s on two idle processors, 80 on busy ones
SHOWN = 4000  # characters, for each test
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def guest(unprivileged: Account, program_bin: Path) -> Guest:
    reason = cannot_start()
    if reason is not None:
        pytest.skip(reason)
    if os.geteuid() != 0:
        pytest.skip("needs root: files that the kernel's user cannot read are missing in the guest")
    said = boot(unprivileged, program_bin / "python", TIMEOUT_S)
    if not said.facts.get("done"):
        pytest.fail(f"the guest did not come to its end:\n{said.output[-SHOWN:]}", pytrace=False)
    return said


def test_the_controllers_are_real_and_the_keeper_sits_in_a_leaf(guest: Guest) -> None:
    """Without controllers every limit is ignored without a word."""
    tree = guest.facts["tree"]
    assert tree["name"].startswith("nsvisor-workers-")
    assert tree["cgroup.controllers"].split() == ["cpu", "io", "memory", "pids"]
    assert tree["cgroup.subtree_control"].split() == ["cpu", "io", "memory", "pids"]


def test_a_fresh_cgroup_for_each_incarnation(guest: Guest) -> None:
    assert guest.facts["fresh"] == {"first": "fresh#1", "second": "fresh#2", "first is gone": True}


@pytest.mark.parametrize("worker", ["hog", "group"])
def test_a_worker_over_its_memory_is_killed_as_a_whole_and_the_log_says_why(guest: Guest, worker: str) -> None:
    (exited,) = guest.records("worker.exited", instance=worker)
    assert exited["oom_killed"] is True
    assert exited["clean"] is False
    assert exited["memory_max_bytes"] == 24 * MIB
    assert 20 * MIB <= exited["memory_peak_bytes"] <= 24 * MIB
    (failed,) = guest.records("worker.failed", instance=worker)
    assert failed["reason"] == "out of memory"


def test_explain_gives_the_figures(guest: Guest) -> None:
    assert "ran out of memory (limit 24.0M, peak 24.0M) and was killed" in guest.facts["explain-hog"]


def test_without_oom_group_only_the_greedy_process_dies(guest: Guest) -> None:
    single = guest.facts["single"]
    assert single["state"] == "ready"
    assert single["events"]["oom_kill"] == 1
    assert guest.records("worker.exited", instance="single", oom_killed=True) == []


def test_a_fork_bomb_ends_at_pids(guest: Guest) -> None:
    bomb = guest.facts["bomb"]
    assert bomb["pids.max"] == "12"
    assert int(bomb["pids.current"]) <= 12


def test_a_cpu_quota_is_kept(guest: Guest) -> None:
    spinner = guest.facts["spinner"]
    assert (spinner["cpu.max"], spinner["cpu.weight"]) == ("20000 100000", "50")
    assert spinner["nr_throttled"] / spinner["nr_periods"] > 0.7
    # The clock of a busy machine lets a period run over: the share of one is what the quota promises.
    assert spinner["usage_usec"] / spinner["nr_periods"] < 40_000


def test_stats_come_from_the_cgroup(guest: Guest) -> None:
    cgroup = guest.facts["stats"]["cgroup"]
    assert cgroup["throttled_s"] > 0
    assert cgroup["cpu_s"] > 0
    assert cgroup["memory_bytes"] > 0
    assert cgroup["pids"] == 2  # the shell and PID 1


def test_a_paused_worker_stands_still_over_a_crash_of_the_daemon(guest: Guest) -> None:
    assert guest.facts["paused"] == {"paused": True, "beats meanwhile": 0, "frozen": 1}
    assert guest.facts["paused-after"] == {"paused": True, "state": "ready"}
    assert guest.records("worker.paused", instance="steady")
    assert guest.records("worker.unpaused", instance="steady")


def test_a_paused_worker_hears_that_it_is_to_stop(guest: Guest) -> None:
    """A frozen process gets no signal: it would be killed when its grace is over."""
    stopped = guest.facts["stopped"]
    assert (stopped["exit"]["code"], stopped["exit"]["requested_by"]) == (7, "operator")
    assert stopped["after_s"] < 5


def test_limits_hold_over_a_crash_of_the_daemon(guest: Guest) -> None:
    assert all(guest.facts["adopted"].values())
    assert guest.facts["limits-after"] == {"memory.max": str(24 * MIB), "pids.max": "30", "cpu.max": "20000 100000"}
    (exited,) = guest.records("worker.exited", instance="later")
    assert (exited["oom_killed"], exited["memory_max_bytes"]) == (True, 24 * MIB)


def test_a_controller_that_is_not_there_is_told_once_for_each_daemon(guest: Guest) -> None:
    records = guest.records("cgroup.unavailable")
    assert len(records) == 2  # the daemon was started twice
    for record in records:
        assert record["controllers"] == ["cpuset"]
        assert (record["workers"], record["required_by"]) == (["modest"], ["strict"])
        assert "no cpuset controller" in record["reason"]
        assert "Delegate=cpu cpuset io memory pids" in record["hint"]


def test_limits_required_refuses_to_start(guest: Guest) -> None:
    (failed,) = guest.records("setup.phase", instance="strict", outcome="failed")
    assert (failed["phase"], failed["errno"], failed["detail"]) == ("cgroup.create", "ENODEV", "cpuset.cpus")
    assert "Delegate=cpu cpuset io memory pids" in failed["hint"]


def test_run_enforces_them_too(guest: Guest) -> None:
    run = guest.facts["run"]
    assert run["status"] == 137, run
    absent, killed = run["said"]
    assert absent.startswith("limits not applied: cpuset.cpus (")
    assert killed == "out of memory: limit 24.0M, peak 24.0M"


def test_doctor_names_what_is_delegated(guest: Guest) -> None:
    line = next(line for line in guest.facts["doctor"].splitlines() if "controllers" in line)
    assert "cpu, io, memory, pids" in line
    assert "cpuset" in line


def test_the_service_stops_and_the_scope_goes_with_it(guest: Guest) -> None:
    assert guest.facts["result"] == "success"
    assert guest.records("cgroup.busy") == []
