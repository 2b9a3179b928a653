"""Other things where the daemon keeps its files: the next one finds its workers, and has no second copies of them."""

import os
import shutil

import pytest

from tests.e2e.daemons import Daemon, is_alive, killed_in_the_end, matching, running, wait_until
from tests.program import Program

FLEET = """
[supervisor]
adopt_timeout = "60s"
[worker.w]
command = ["sleep", "47201"]
"""


@pytest.mark.parametrize("emptied", [False, True])
def test_records_that_say_nothing_and_others_that_are_none(nsvisor: Program, emptied: bool) -> None:
    """A full disk empties a record; the keeper is reached beside it, though its other socket is gone, too."""
    with running(nsvisor, FLEET) as daemon:
        pid = daemon.wait_state("w", "ready")["pid"]
        records = nsvisor.state / "nsvisor" / "keepers"
        if emptied:
            os.truncate(records / "keeper-1", 0)
        os.mkfifo(records / "keeper-95")
        (records / "keeper-96").mkdir()
        (records / "keeper-97").write_text("{")
        (records / "keeper-98").symlink_to("/etc/passwd")
        daemon.kill()
        shutil.rmtree(nsvisor.runtime / "nsvisor")
        with killed_in_the_end(nsvisor.start_daemon(FLEET)) as process:
            after = Daemon(nsvisor, process)
            assert after.wait_state("w", "ready")["pid"] == pid
            assert len(matching("sleep", "47201")) == 1
            assert after.stop() == 0
        assert not is_alive(pid)


def test_what_is_no_socket_and_what_is_no_file(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as daemon:
        pid = daemon.wait_state("w", "ready")["pid"]
        runtime = nsvisor.runtime / "nsvisor"
        daemon.kill()
        for name, put in (("keeper.sock", os.mkfifo), ("unwritten", os.mkdir)):
            (runtime / name).unlink()
            put(runtime / name)
            (runtime / name).chmod(0)
        with killed_in_the_end(nsvisor.start_daemon(FLEET)) as process:
            after = Daemon(nsvisor, process)
            assert after.wait_state("w", "ready")["pid"] == pid
            wait_until(lambda: after.records("log.unwatched"), "it to be told")
            assert after.stop() == 0
        assert "Traceback" not in nsvisor.log.read_text()
