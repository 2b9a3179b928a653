"""The daemon with the journal as its standard error, and a real journald."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.daemons import Daemon, wait_until
from tests.program import Program
from tests.vehicles.journald import Entry, Journald, cannot_start, journal_stream, journald

FLEET = """
[worker.web]
command = ["sh", "-c", "echo out; echo err >&2; exec sleep 1000"]
instances = 2

[worker.broken]
command = ["/no/such/program"]
restart = { policy = "never" }
"""


@pytest.fixture(scope="module")
def journal() -> Iterator[Journald]:
    reason = cannot_start()
    if reason is not None:
        pytest.skip(reason)
    with journald() as running:
        yield running


@contextmanager
def daemon(program: Program, journal: Journald, config: str) -> Iterator[Daemon]:
    """A daemon as systemd would start it."""
    journal.wrap(program)
    file = program.write("nsvisor.toml", config)
    with journal.stream("stream") as stream, program.log.open("wb") as log:
        program.environ["JOURNAL_STREAM"] = journal_stream(stream)
        process = program.popen("--config", str(file), "daemon", stdout=log, stderr=stream)
    running = Daemon(program, process)
    try:
        wait_until(lambda: mine(journal, running, "NSVISOR_EVENT=daemon.ready"), "daemon.ready")
        yield running
    finally:
        if process.poll() is None:
            running.stop()


def mine(journal: Journald, one: Daemon, *matches: str) -> list[Entry]:
    return journal.entries(f"_PID={one.pid}", *matches)


def test_records_have_fields_and_are_nowhere_else(nsvisor: Program, journal: Journald) -> None:
    with daemon(nsvisor, journal, FLEET) as running:
        running.wait_state("broken", "failed")
        running.wait_state("web-1", "ready")
        status, _ = running.ask("GET", "/v1/version")
        assert status == 200
        assert running.stop() == 0
        (failed,) = mine(journal, running, "NSVISOR_WORKER=broken", "PRIORITY=3", "NSVISOR_EVENT=setup.phase")
        by_id = journal.entries(f"MESSAGE_ID={failed['MESSAGE_ID']}", f"_PID={running.pid}")
        stopped = mine(journal, running, "NSVISOR_EVENT=daemon.stopped")
        everything = mine(journal, running)
    assert failed["NSVISOR_PHASE"] == "exec"
    assert failed["NSVISOR_INSTANCE"] == "broken"
    assert failed["NSVISOR_INCARNATION"] == "1"
    assert (failed["ERRNO"], failed["NSVISOR_ERRNO"]) == ("2", "ENOENT")
    assert failed["SYSLOG_IDENTIFIER"] == "nsvisor"
    assert failed["MESSAGE"].startswith("broken#1: exec /no/such/program failed after ")
    assert {one["NSVISOR_EVENT"] for one in by_id} == {"setup.phase"}
    assert {"broken", "web-0", "web-1"} == {one["NSVISOR_INSTANCE"] for one in by_id}
    assert [one["MESSAGE"] for one in stopped] == ["stopped"]
    assert {one["_TRANSPORT"] for one in everything} == {"journal"}  # no JSON by the stream
    assert nsvisor.log.read_text() == ""


def test_a_line_for_people(nsvisor: Program, journal: Journald) -> None:
    """What docs/how-to/journal.md says."""
    with daemon(nsvisor, journal, FLEET) as running:
        running.wait_state("web-0", "ready")
        running.wait_state("broken", "failed")
        pid = f"_PID={running.pid}"
        text = journal.journalctl("--output=cat", pid, "NSVISOR_WORKER=web", "NSVISOR_EVENT=worker.ready")
        short = journal.journalctl("--priority=err", pid, "NSVISOR_PHASE=exec")
        assert nsvisor.run("reload").returncode == 0  # sets the log up anew
        (reloaded,) = mine(journal, running, "NSVISOR_EVENT=daemon.reloaded")
    assert reloaded["MESSAGE"] == "configuration applied: 0 added, 0 removed, 0 changed, 3 not"
    assert sorted(line.split(" is ready after ")[0] for line in text.splitlines()) == ["web-0#1", "web-1#1"]
    assert f"nsvisor[{running.pid}]: broken#1: exec /no/such/program failed" in short
