"""Limits as real controllers enforce them: one guest is booted, and each test looks at one thing that it said."""

import json
from typing import Any

import pytest

from tests.vehicles.booted import SHOWN, Booted
from tests.vehicles.guests.runner import UML, names

MIB = 1024 * 1024


class Said:
    """What limits_fleet.py printed: facts, and the daemon's log."""

    def __init__(self, text: str) -> None:
        self.facts: dict[str, Any] = {}
        self.log: list[dict[str, Any]] = []
        for line in text.splitlines():
            kind, _, rest = line.partition(" ")
            if kind == "fact":
                name, _, value = rest.partition(" ")
                self.facts[name] = json.loads(value)
            elif kind == "log" and rest.startswith("{"):
                self.log.append(json.loads(rest))

    def records(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """The daemon's records of this event and with these fields."""
        return [
            one
            for one in self.log
            if one["event"] == event and all(one.get(key) == value for key, value in fields.items())
        ]


@pytest.fixture(scope="module")
def guest(uml_system: Booted) -> Said:
    text = uml_system.said.get("limits", "")
    said = Said(text)
    if not said.facts.get("done"):
        pytest.fail(f"it did not come to its end:\n{text[-SHOWN:]}\n{uml_system.logs()}", pytrace=False)
    return said


@pytest.mark.parametrize("check", names(UML))
def test_with_real_controllers(uml_system: Booted, check: str) -> None:
    uml_system.judge(check)


def test_the_controllers_are_real_and_the_keeper_sits_in_a_leaf(guest: Said) -> None:
    """Without controllers every limit is ignored without a word."""
    tree = guest.facts["tree"]
    assert tree["name"].startswith("nsvisor-workers-")
    assert tree["cgroup.controllers"].split() == ["cpu", "io", "memory", "pids"]
    assert tree["cgroup.subtree_control"].split() == ["cpu", "io", "memory", "pids"]


def test_a_fresh_cgroup_for_each_incarnation(guest: Said) -> None:
    assert guest.facts["fresh"] == {"first": "fresh#1", "second": "fresh#2", "first is gone": True}


@pytest.mark.parametrize("worker", ["hog", "group"])
def test_a_worker_over_its_memory_is_killed_as_a_whole_and_the_log_says_why(guest: Said, worker: str) -> None:
    (exited,) = guest.records("worker.exited", instance=worker)
    assert exited["oom_killed"] is True
    assert exited["clean"] is False
    assert exited["memory_max_bytes"] == 24 * MIB
    assert 20 * MIB <= exited["memory_peak_bytes"] <= 24 * MIB
    (failed,) = guest.records("worker.failed", instance=worker)
    assert failed["reason"] == "out of memory"


def test_explain_gives_the_figures(guest: Said) -> None:
    assert "ran out of memory (limit 24.0M, peak 24.0M) and was killed" in guest.facts["explain-hog"]


def test_without_oom_group_only_the_greedy_process_dies(guest: Said) -> None:
    single = guest.facts["single"]
    assert single["state"] == "ready"
    assert single["events"]["oom_kill"] == 1
    assert guest.records("worker.exited", instance="single", oom_killed=True) == []


def test_a_fork_bomb_ends_at_pids(guest: Said) -> None:
    bomb = guest.facts["bomb"]
    assert bomb["pids.max"] == "12"
    assert int(bomb["pids.current"]) <= 12


def test_a_cpu_quota_is_kept(guest: Said) -> None:
    spinner = guest.facts["spinner"]
    assert (spinner["cpu.max"], spinner["cpu.weight"]) == ("20000 100000", "50")
    assert spinner["nr_throttled"] / spinner["nr_periods"] > 0.7
    # The clock of a busy machine lets a period run over: the share of one is what the quota promises.
    assert spinner["usage_usec"] / spinner["nr_periods"] < 40_000


def test_stats_come_from_the_cgroup(guest: Said) -> None:
    cgroup = guest.facts["stats"]["cgroup"]
    assert cgroup["throttled_s"] > 0
    assert cgroup["cpu_s"] > 0
    assert cgroup["memory_bytes"] > 0
    assert cgroup["pids"] == 2  # the shell and PID 1


def test_a_paused_worker_stands_still_over_a_crash_of_the_daemon(guest: Said) -> None:
    assert guest.facts["paused"] == {"paused": True, "beats meanwhile": 0, "frozen": 1}
    assert guest.facts["paused-after"] == {"paused": True, "state": "ready"}
    assert guest.records("worker.paused", instance="steady")
    assert guest.records("worker.unpaused", instance="steady")


def test_a_paused_worker_hears_that_it_is_to_stop(guest: Said) -> None:
    """A frozen process gets no signal: it would be killed when its grace is over."""
    stopped = guest.facts["stopped"]
    assert (stopped["exit"]["code"], stopped["exit"]["requested_by"]) == (7, "operator")
    assert stopped["after_s"] < 5


def test_limits_hold_over_a_crash_of_the_daemon(guest: Said) -> None:
    assert all(guest.facts["adopted"].values())
    assert guest.facts["limits-after"] == {"memory.max": str(24 * MIB), "pids.max": "30", "cpu.max": "20000 100000"}
    (exited,) = guest.records("worker.exited", instance="later")
    assert (exited["oom_killed"], exited["memory_max_bytes"]) == (True, 24 * MIB)


def test_adopted_workers_are_throttled_and_their_fork_bombs_end_at_pids(guest: Said) -> None:
    bomb = guest.facts["latebomb"]
    assert (bomb["before"], bomb["pids.max"]) == (0, "12")
    assert int(bomb["pids.current"]) <= 12


def test_fork_bombs_are_stopped_whole_and_in_time(guest: Said) -> None:
    stopped = guest.facts["bombs-stopped"]
    assert stopped["left"] is False
    assert stopped["after_s"] < 30  # stop.grace is 5 s, and 5 s more are for what is killed


def test_the_next_keeper_gives_the_same_limits(guest: Said) -> None:
    assert guest.facts["next-keeper"] == {"cpu.max": "20000 100000", "cpu.weight": "50"}


def test_a_controller_that_is_not_there_is_told_once_for_each_daemon(guest: Said) -> None:
    records = guest.records("cgroup.unavailable")
    assert len(records) == 2  # the daemon was started twice
    for record in records:
        assert record["controllers"] == ["cpuset"]
        assert (record["workers"], record["required_by"]) == (["modest"], ["strict"])
        assert "no cpuset controller" in record["reason"]
        assert "Delegate=cpu cpuset io memory pids" in record["hint"]


def test_limits_required_refuses_to_start(guest: Said) -> None:
    (failed,) = guest.records("setup.phase", instance="strict", outcome="failed")
    assert (failed["phase"], failed["errno"], failed["detail"]) == ("cgroup.create", "ENODEV", "cpuset.cpus")
    assert "Delegate=cpu cpuset io memory pids" in failed["hint"]


def test_run_enforces_them_too(guest: Said) -> None:
    run = guest.facts["run"]
    assert run["status"] == 137, run
    absent, killed = run["said"]
    assert absent.startswith("limits not applied: cpuset.cpus (")
    assert killed == "out of memory: limit 24.0M, peak 24.0M"


def test_doctor_names_what_is_delegated(guest: Said) -> None:
    line = next(line for line in guest.facts["doctor"].splitlines() if "controllers" in line)
    assert "cpu, io, memory, pids" in line
    assert "cpuset" in line


def test_the_service_stops_and_the_scope_goes_with_it(guest: Said) -> None:
    assert guest.facts["result"] == "success"
    assert guest.records("cgroup.busy") == []
