"""Workers whose output goes to the journal, and a real journald: busy, stopped, gone."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.daemons import running, wait_until
from tests.program import Program
from tests.vehicles.journald import Entry, Journald, cannot_start, journald

LINES = 4000
WORDS = """
import os, sys
os.write(1, b"plain\\n\\n\\xff raw\\n" + b"x" * 100000 + b"\\nlast without end")
os.write(2, "trouble \\u00e9\\n".encode())
"""
FLOOD = f"""
import sys
input_ = open("/gate/open")
input_.read()
sys.stdout.write("".join(f"{{number:01000}}\\n" for number in range({LINES})))
"""


def is_held_up(first: int) -> bool:
    """Whether a process of the sandbox waits for its pipe to be read."""
    tree = [psutil.Process(first), *psutil.Process(first).children(recursive=True)]
    return any("pipe_write" in Path(f"/proc/{one.pid}/wchan").read_text() for one in tree)


@pytest.fixture
def journal() -> Iterator[Journald]:
    reason = cannot_start()
    if reason is not None:
        pytest.skip(reason)
    with journald() as made:
        yield made


def message(entry: Entry) -> bytes:
    """The bytes: journalctl shows what is no UTF-8 as numbers."""
    found = entry["MESSAGE"]
    return bytes(found) if isinstance(found, list) else str(found).encode()


def test_lines_are_entries_with_fields(nsvisor: Program, journal: Journald) -> None:
    journal.wrap(nsvisor)
    config = f"""
[worker.web]
command = ["/usr/bin/python3", "-c", {json.dumps(WORDS)}]
instances = 2
restart = {{ policy = "never" }}
log = {{ sink = "journald" }}
"""
    with running(nsvisor, config) as daemon:
        daemon.wait_state("web-0", "completed")
        daemon.wait_state("web-1", "completed")
        told = nsvisor.run("logs", "web")
        last = daemon.instance("web-0")
    out = journal.entries("SYSLOG_IDENTIFIER=web-0", "PRIORITY=6")
    (err,) = journal.entries("NSVISOR_INSTANCE=web-0", "NSVISOR_STREAM=stderr")
    assert {one["NSVISOR_WORKER"] for one in out} == {"web"}
    assert {one["NSVISOR_INCARNATION"] for one in out} == {"1"}
    assert (err["MESSAGE"], err["PRIORITY"]) == ("trouble é", "3")
    assert [message(one) for one in out if "NSVISOR_PARTIAL" not in one][:3] == [b"plain", b"", b"\xff raw"]
    whole = b"".join(message(one) + (b"" if "NSVISOR_PARTIAL" in one else b"\n") for one in out)
    assert whole == b"plain\n\n\xff raw\n" + b"x" * 100_000 + b"\nlast without end"
    assert len(journal.entries("NSVISOR_WORKER=web", "PRIORITY=3")) == 2
    assert last["log_path"] is None
    assert told.returncode == 1
    assert " NSVISOR_INSTANCE=" in told.stderr


def test_a_journald_that_is_busy_holds_the_worker_up_and_one_that_is_gone_costs_lines(
    nsvisor: Program, journal: Journald
) -> None:
    journal.wrap(nsvisor)
    gate = nsvisor.folder("gate")
    os.mkfifo(gate / "open")
    nsvisor.user.owns(gate / "open")
    config = f"""
[worker.flood]
command = ["/usr/bin/python3", "-c", {json.dumps(FLOOD)}]
mounts = [{{ type = "bind", source = "{gate}", target = "/gate" }}]
restart = {{ policy = "always", delay = "0.01s" }}
log = {{ sink = "journald" }}
"""
    with running(nsvisor, config) as daemon:

        def flood() -> None:
            with open(gate / "open", "w", encoding="ascii"):
                pass

        pid = daemon.wait_state("flood", "ready")["pid"]
        os.kill(journal.pid, signal.SIGSTOP)
        try:
            flood()
            wait_until(lambda: is_held_up(pid), "a full pipe")
            assert daemon.instance("flood")["state"] == "ready"  # the daemon answers
        finally:
            os.kill(journal.pid, signal.SIGCONT)
        daemon.wait_record("worker.exited", incarnation=1)
        sent = [b"%01000d" % number for number in range(LINES)]
        first = ("SYSLOG_IDENTIFIER=flood", "NSVISOR_INCARNATION=1")
        wait_until(lambda: len(journal.entries(*first)) >= LINES, "every line")
        assert [message(one) for one in journal.entries(*first)] == sent
        assert not daemon.records("log.failed")

        os.kill(journal.pid, signal.SIGKILL)
        daemon.wait_record("worker.ready", incarnation=2)
        flood()
        failed = daemon.wait_record("log.failed")
        assert (failed["errno"], failed["path"]) == ("ECONNREFUSED", "/run/systemd/journal/socket")
        daemon.wait_record("worker.exited", incarnation=2)
    (lost,) = daemon.records("log.dropped")
    assert lost["lost_lines"] == LINES
    assert lost["lost_bytes"] == LINES * 1001
