"""Out of descriptors: one worker more is refused with words, and everything else goes on."""

from tests.e2e.daemons import is_alive, running, wait_until
from tests.program import Program


def test_more_workers_than_descriptors(nsvisor: Program) -> None:
    nsvisor.wrapper = ["prlimit", "--nofile=160:160"]
    fleet = '[worker.w]\ncommand = ["sleep", "45001"]\ninstances = 40\nrestart = { policy = "never" }\n'
    with running(nsvisor, fleet) as daemon:
        nsvisor.wrapper = []
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
