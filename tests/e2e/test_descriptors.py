"""Descriptors: a fleet that needs too many is refused when it is loaded; what runs out later is told with words."""

import os
import subprocess
from pathlib import Path

from supervisor.spec.descriptors import LAUNCH, OWN, of_instance
from supervisor.spec.load import load
from tests.e2e.daemons import Daemon, is_alive, running, wait_until
from tests.program import Program

FEW = """[worker.w]
command = ["sleep", "45001"]
instances = {instances}
autostart = false
restart = {{ policy = "never" }}
"""


def test_more_workers_than_descriptors(nsvisor: Program) -> None:
    with running(nsvisor, FEW.format(instances=40)) as daemon:
        lower = ["prlimit", f"--pid={daemon.pid}", "--nofile=160:160"]  # after it had looked
        subprocess.run(lower, check=True, **nsvisor.identity)  # type: ignore[call-overload]
        daemon.post("/v1/start", names=[])
        at_rest = {"ready", "failed"}
        wait_until(lambda: all(one["state"] in at_rest for one in daemon.instances().values()), "all to be decided")
        states = [one["state"] for one in daemon.instances().values()]
        assert states.count("ready") >= 5
        assert states.count("failed") >= 5
        failed = daemon.records("setup.phase", outcome="failed")
        assert {(record["phase"], record["errno"]) for record in failed} == {("clone", "EMFILE")}
        assert "no file descriptors left" in failed[0]["hint"]
        assert is_alive(daemon.keeper_pid())
        assert len(daemon.records("keeper.started")) == 1
        assert nsvisor.run("ps").returncode == 0


def test_too_large_a_fleet_is_refused_at_load(nsvisor: Program) -> None:
    nsvisor.wrapper = ["prlimit", "--nofile=100:300"]
    refused = nsvisor.write("large.toml", FEW.format(instances=100))
    words = ("large.toml:3: worker.w.instances = 100: ", "is 300, enough for 18;", "LimitNOFILE=", "limits.conf")
    for verb in ("check", "daemon"):
        result = nsvisor.run("--config", str(refused), verb)
        assert result.returncode == 1
        assert all(word in result.stdout + result.stderr for word in words), result
    with running(nsvisor, FEW.format(instances=15)) as daemon:
        for pid in (daemon.pid, daemon.keeper_pid()):
            limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
            assert next(line.split()[3:5] for line in limits if "open files" in line) == ["300", "300"]  # soft: raised
        nsvisor.write("nsvisor.toml", FEW.format(instances=100))
        result = nsvisor.run("reload")
        assert result.returncode != 0
        assert "is 300, enough for 18;" in result.stderr
        assert len(daemon.instances()) == 15


SPARE = 4  # descriptors in the keeper of a process cloned ahead, and of the mounts watched for its sake
COMMAND = 'command = ["sh", "-c", "echo up; exec sleep 45002"]'
KINDS = {
    "plain": "",
    "silent": 'log = { sink = "null" }',
    "notify": 'health = { kind = "notify", timeout = "60s" }',
    "probed": 'health = { kind = "tcp", address = "127.0.0.1:1", on_failure = "report" }',
}


def test_what_is_counted_is_what_is_open(nsvisor: Program) -> None:
    config = "".join(
        f"[worker.{name}]\ninstances = 4\nautostart = false\n{COMMAND}\n{keys}\n" for name, keys in KINDS.items()
    )
    with running(nsvisor, config) as daemon:
        workers = load([str(nsvisor.top / "nsvisor.toml")]).workers
        for name in KINDS:
            before = _open(daemon)
            daemon.post("/v1/start", names=[name])
            assert daemon.post("/v1/wait", names=[name], condition="ready", timeout_s=20)["met"]
            if name != "silent":
                paths = [nsvisor.state / f"nsvisor/logs/{name}-{index}.log" for index in range(4)]
                wait_until(lambda paths=paths: all(map(_has_text, paths)), "its output to be written")  # type: ignore[misc]
            need = of_instance(workers[name])
            wait_until(
                lambda before=before, need=need: (
                    _open(daemon)[0] <= before[0] + 4 * need.daemon  # type: ignore[misc]
                    and _open(daemon)[1] <= before[1] + 4 * need.keeper + SPARE
                ),
                f"descriptors of {name} to be as counted: {before}, {need}, {_open(daemon)}",
            )
        assert max(_open(daemon)) <= OWN + LAUNCH


def _open(daemon: Daemon) -> tuple[int, int]:
    return len(os.listdir(f"/proc/{daemon.pid}/fd")), len(os.listdir(f"/proc/{daemon.keeper_pid()}/fd"))


def _has_text(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
