"""Locks and limits from the file to the running worker; what root may give and what an ordinary user is refused."""

import os

import psutil
import pytest

from tests.e2e.daemons import running
from tests.program import Program

FLEET = """
[defaults.restart]
policy = "never"

[worker.locked]
command = ["sleep", "1000"]
umask = "0077"
limits = { nice = 10, ionice = "idle", scheduling = "batch", oom_score_adj = 700, affinity = [0], nofile = "4:5" }

[worker.locked.security.landlock]
read = ["/usr", "/lib", "/lib64", "/etc"]
write = []
connect_tcp = []

[worker.favoured]
command = ["sleep", "1000"]
limits = { nice = -5 }

[worker.no-path]
command = ["true"]
security.landlock = { read = ["/usr", "/srv/nowhere"] }

[worker.no-processor]
command = ["true"]
limits = { affinity = "4000" }
"""


@pytest.mark.parametrize("who", ["nsvisor", "root_nsvisor"])
def test_locks_and_limits(who: str, request: pytest.FixtureRequest) -> None:
    program: Program = request.getfixturevalue(who)
    with running(program, FLEET) as daemon:
        daemon.wait_state("locked", "ready")
        (locked,) = psutil.Process(daemon.instance("locked")["pid"]).children()
        assert (locked.name(), locked.nice(), locked.cpu_affinity()) == ("sleep", 10, [0])
        assert os.sched_getscheduler(locked.pid) == os.SCHED_BATCH
        assert locked.ionice().ioclass == psutil.IOPRIO_CLASS_IDLE
        with open(f"/proc/{locked.pid}/oom_score_adj") as file:
            assert file.read().strip() == "700"
        with open(f"/proc/{locked.pid}/status") as file:
            assert "Umask:\t0077" in file.read()

        for name, phase, errno, word in (
            ("no-path", "lock.landlock", "ENOENT", "security.landlock"),
            ("no-processor", "limit.sched", "EINVAL", "affinity"),
        ):
            failed = daemon.wait_record("setup.phase", instance=name, outcome="failed")
            assert (failed["phase"], failed["errno"]) == (phase, errno)
            assert word in failed["hint"]
        if who == "nsvisor":
            failed = daemon.wait_record("setup.phase", instance="favoured", outcome="failed")
            assert (failed["phase"], failed["errno"]) == ("limit.sched", "EACCES")
            assert "CAP_SYS_NICE" in failed["hint"]
        else:
            daemon.wait_state("favoured", "ready")
            (favoured,) = psutil.Process(daemon.instance("favoured")["pid"]).children()
            assert favoured.nice() == -5
