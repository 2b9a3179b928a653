"""A worker that writes without end, beside others that must not notice it."""

import json
import os
import statistics
from datetime import datetime
from pathlib import Path

from tests.e2e.daemons import Daemon, Record, matching, running, wait_until
from tests.program import Program

EXITS = 12
DELAY_S = 0.1
FLOODS = f"""
[worker.flood]
command   = ["yes", "{"a line of the flood " * 4}"]
instances = 2
log       = {{ max_size = "1MiB", keep = 1 }}

[worker.crashy]
command = ["sh", "-c", "date +%s.%N; exit 3"]
restart = {{ delay = "{DELAY_S}s", factor = 1.0, jitter = 0.0 }}
"""


def logs(daemon: Daemon) -> Path:
    return daemon.program.state / "nsvisor" / "logs"


def inode(path: Path) -> int:
    """0 in the middle of a rotation."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def when(record: Record) -> float:
    return datetime.fromisoformat(record["timestamp"]).timestamp()


def test_another_worker_is_restarted_and_logged_in_time(nsvisor: Program) -> None:
    with running(nsvisor, FLOODS) as daemon:
        daemon.wait_state("flood-0", "ready")
        first = len(daemon.records("worker.exited", instance="crashy"))
        daemon.wait_record("worker.exited", instance="crashy", after=first + EXITS)
        exits = daemon.records("worker.exited", instance="crashy")[first:]
        launches = daemon.records("setup.completed", instance="crashy")[first:]
        stored = [json.loads(line) for line in (logs(daemon) / "crashy.log").read_text().splitlines()]
        files = {0}

        def rotates() -> bool:
            files.add(inode(logs(daemon) / "flood-0.log"))
            return len(files) > 2

        wait_until(rotates, "a rotation")
        assert not daemon.records("log.dropped")
        daemon.post("/v1/stop", names=["flood"])
        daemon.wait_state("flood-1", "stopped")
    back = [
        when(later) - when(earlier)
        for earlier, later in zip(exits, launches[1:], strict=False)
        if later["incarnation"] == earlier["incarnation"] + 1
    ]
    assert len(back) >= EXITS - 1
    written = [line["t"] - float(line["m"]) for line in stored]
    assert len(written) >= EXITS
    assert statistics.median(back) < DELAY_S + 0.5
    assert max(back) < DELAY_S + 2
    assert statistics.median(written) < 0.25


def test_a_grandchild_that_holds_the_pipe_does_not_hold_up_the_stop(nsvisor: Program) -> None:
    """Outside of the sandbox nobody can end it: here a process that was given the pipe through a descriptor."""
    holder = """
[worker.held]
command = ["sh", "-c", "echo up; sleep 600.75"]
stop    = { grace = "1s" }
"""
    with running(nsvisor, holder) as daemon:
        daemon.wait_state("held", "ready")
        wait_until((logs(daemon) / "held.log").exists, "output")
        (pid,) = matching("sleep", "600.75")
        fd = os.open(f"/proc/{pid}/fd/1", os.O_WRONLY)  # as a process outside holds it
        try:
            daemon.post("/v1/stop", names=["held"])
            stopped = daemon.wait_state("held", "stopped", timeout_s=5)
            os.write(fd, b"nobody reads this")
        except BrokenPipeError:
            pass
        finally:
            os.close(fd)
        assert stopped["pid"] is None
