"""The daemon is SIGKILLed while its workers are in each of the states that last: the next one goes on from there."""

import threading
from contextlib import suppress
from pathlib import Path

from tests.e2e.daemons import Daemon, is_alive, matching, running, wait_until
from tests.program import Program

DEAF = "trap '' TERM; echo deaf; while :; do sleep 0.05; done; : MARK"
FLEET = """
[worker.early]
command = ["sh", "-c", "while [ ! -e /data/ready ]; do sleep 0.02; done; echo up; exec sleep 44001"]
mounts = [{{ type = "bind", source = "{data}", target = "/data", options = ["ro"] }}]
ready = {{ kind = "log", pattern = "up", timeout = "60s" }}

[worker.failing]
command = ["sh", "-c", "exit 4"]
restart = {{ delay = "30s", jitter = 0 }}

[worker.leaving]
command = ["sh", "-c", "{deaf_leaving}"]
stop = {{ grace = "3s" }}

[worker.changing]
command = ["sh", "-c", "{deaf_changing}"]
env = {{ VARIANT = "{variant}" }}
stop = {{ grace = "3s" }}

[worker.again]
command = ["sh", "-c", "{deaf_again}"]
stop = {{ grace = "3s" }}

[worker.tied]
command = ["sleep", "44002"]
requires = ["early"]
"""
DEAF_ONES = ("leaving", "changing", "again")


def fleet(data: Path, variant: int) -> str:
    marks = {f"deaf_{name}": DEAF.replace("MARK", f"44-{name}") for name in DEAF_ONES}
    return FLEET.format(data=data, variant=variant, **marks)


def output(program: Program, name: str) -> str:
    log = program.state / "nsvisor" / "logs" / f"{name}.log"
    return log.read_text() if log.exists() else ""


def copies(name: str) -> int:
    return len(matching("sh", "-c", DEAF.replace("MARK", f"44-{name}")))


def in_thread(daemon: Daemon, path: str, **body: object) -> threading.Thread:
    """A request that its daemon does not live to answer, perhaps."""

    def ask() -> None:
        with suppress(OSError, ValueError, AssertionError):
            daemon.post(path, **body)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def test_killed_in_the_middle_of_everything(nsvisor: Program) -> None:
    data = nsvisor.folder("data")
    with running(nsvisor, fleet(data, 1)) as first:
        first.wait_state("early", "running")
        first.wait_state("failing", "backoff")
        first.wait_state("tied", "waiting")
        for name in DEAF_ONES:
            wait_until(lambda: "deaf" in output(nsvisor, name), f"{name} to be deaf")  # noqa: B023
        nsvisor.write("nsvisor.toml", fleet(data, 2))
        threads = [
            in_thread(first, "/v1/reload"),
            in_thread(first, "/v1/restart", names=["again"]),
            in_thread(first, "/v1/stop", names=["leaving"]),
        ]
        for name in DEAF_ONES:
            first.wait_state(name, "stopping")
        before = first.instances()
        first.kill()
        for thread in threads:
            thread.join()
    with running(nsvisor, fleet(data, 2)) as second:
        at_once = second.instances()
        assert at_once["early"]["state"] == "running"
        assert at_once["failing"]["state"] == "backoff"
        assert at_once["failing"]["next_start_in_s"] < before["failing"]["next_start_in_s"]
        assert at_once["tied"]["state"] == "waiting"
        for key in ("pid", "incarnation", "restarts", "failures", "last_exit"):
            assert {name: one[key] for name, one in at_once.items() if name not in DEAF_ONES} == {
                name: one[key] for name, one in before.items() if name not in DEAF_ONES
            }, key
        nsvisor.write("data/ready", "")
        assert second.wait_state("early", "ready")["pid"] == before["early"]["pid"]
        second.wait_state("tied", "ready")
        assert second.wait_state("leaving", "stopped")["stopped_by"] == "operator"
        for name, by in (("changing", "reload"), ("again", "operator")):
            wait_until(lambda: second.instance(name)["incarnation"] == 2, f"{name} to be launched again")  # noqa: B023
            now = second.wait_state(name, "ready")
            assert (now["last_exit"]["requested_by"], now["last_exit"]["signal"]) == (by, "SIGKILL")
            assert (now["restarts"], now["failures"]) == (0, 0)
            assert copies(name) == 1
        assert not any(is_alive(before[name]["pid"]) for name in DEAF_ONES)
        assert copies("leaving") == 0


def test_what_was_read_and_not_written_is_told(nsvisor: Program) -> None:
    """Half a line is in the daemon alone: with it goes what was read of it, and the next one says so."""
    script = "printf half; while [ ! -e /data/go ]; do sleep 0.02; done; echo ' and half'; echo whole; exec sleep 44003"
    data = nsvisor.folder("data")
    config = f"""
[worker.talks]
command = ["sh", "-c", "{script}"]
mounts = [{{ type = "bind", source = "{data}", target = "/data", options = ["ro"] }}]
[worker.silent]
command = ["sleep", "44004"]
"""
    with running(nsvisor, config) as first:
        for name in ("talks", "silent"):
            first.wait_state(name, "ready")
        runtime = nsvisor.runtime / "nsvisor" / "unwritten"
        wait_until(lambda: (4).to_bytes(8, "little") in runtime.read_bytes(), "half a line to be read")
        first.kill()
    with running(nsvisor, config) as second:
        (lost,) = second.records("log.lost")
        assert (lost["instance"], lost["incarnation"]) == ("talks", 1)
        assert (lost["lost_bytes_most"], lost["cut_streams"]) == (4, ["stdout"])
        nsvisor.write("data/go", "")
        wait_until(lambda: "whole" in output(nsvisor, "talks"), "the rest")
        assert second.instance("talks")["incarnation"] == 1
        second.kill()
    with running(nsvisor, config) as third:
        third.wait_state("talks", "ready")
        assert len(third.records("log.lost")) == 1
    assert not (nsvisor.runtime / "nsvisor" / "unwritten").exists()
