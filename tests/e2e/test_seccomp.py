"""Seccomp profiles by the program: what dies of one is told, a changed file is a changed worker."""

import json
import os

from tests.e2e.daemons import running
from tests.program import Program

KILLING = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}],
}
REFUSING = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 18}],
}
ONE = """
[worker.one]
command = ["{command}", "{argument}"]
restart = {{ policy = "never" }}
security = {{ seccomp = "{profile}" }}
"""


def dies(program: Program) -> dict[str, object]:
    profile = program.write("killing.json", json.dumps(KILLING))
    with running(program, ONE.format(command="/bin/mkdir", argument="/tmp/x", profile=profile)) as daemon:
        record = daemon.wait_record("worker.exited")
    assert (record["cause"], record["signal"]) == ("signal", "SIGSYS")
    assert "journalctl -k" in record["hint"]
    return record


def test_the_call_that_a_worker_died_of(root_nsvisor: Program) -> None:
    """From the kernel's log, which root may read."""
    assert dies(root_nsvisor)["syscall"] in ("mkdir", "mkdirat")


def test_a_hint_where_the_kernels_log_is_closed(nsvisor: Program) -> None:
    with open("/proc/sys/kernel/dmesg_restrict") as file:
        closed = file.read() == "1\n" and os.geteuid() == 0
    assert ("syscall" in dies(nsvisor)) == (not closed)


def test_run_says_it(nsvisor: Program) -> None:
    profile = nsvisor.write("killing.json", json.dumps(KILLING))
    done = nsvisor.run("run", "--seccomp", str(profile), "--", "/bin/mkdir", "/tmp/x")
    assert done.returncode == 128 + 31
    assert "killed by " in done.stderr
    done = nsvisor.run("run", "--seccomp", "off", "--", "grep", "Seccomp:", "/proc/self/status")
    assert done.stdout.split() == ["Seccomp:", "0"]
    done = nsvisor.run("run", "--", "grep", "Seccomp:", "/proc/self/status")
    assert done.stdout.split() == ["Seccomp:", "2"]


def test_run_tells_a_profile_that_kills_before_the_command(nsvisor: Program) -> None:
    never = {"index": 0, "value": 99, "op": "SCMP_CMP_EQ"}
    rules = [{"names": ["write", "execve"], "action": "SCMP_ACT_ALLOW", "args": [never]}]
    profile = nsvisor.write("p.json", json.dumps({"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": rules}))
    done = nsvisor.run("run", "--seccomp", str(profile), "--", "true")
    assert done.returncode == 125
    assert "cannot run: lock.seccomp" in done.stderr
    assert "SIGSYS" in done.stderr
    assert "write and execve" in done.stderr


def test_a_changed_file_is_a_changed_worker(nsvisor: Program) -> None:
    profile = nsvisor.write("profile.json", json.dumps(REFUSING))
    with running(nsvisor, ONE.format(command="/bin/sleep", argument="600", profile=profile)) as daemon:
        daemon.wait_state("one", "ready")
        before = daemon.instance("one")["incarnation"]
        assert nsvisor.run("reload").returncode == 0
        assert daemon.instance("one")["incarnation"] == before
        nsvisor.write("profile.json", json.dumps(KILLING))
        assert nsvisor.run("reload").returncode == 0
        daemon.wait_record("worker.exited")
        daemon.wait_state("one", "ready")
        assert daemon.instance("one")["incarnation"] == before + 1
        nsvisor.write("profile.json", "{")
        refused = nsvisor.run("reload")
        assert refused.returncode != 0
        assert "not valid JSON" in refused.stderr + refused.stdout


def test_the_plan_names_the_profile(nsvisor: Program) -> None:
    profile = nsvisor.write("profile.json", json.dumps(REFUSING))
    config = nsvisor.write("nsvisor.toml", ONE.format(command="/bin/true", argument="", profile=profile))
    out = nsvisor.run("--config", str(config), "plan", "one").stdout
    (line,) = (line for line in out.splitlines() if "lock.seccomp" in line)
    assert str(profile) in line
    assert "instructions" in line
