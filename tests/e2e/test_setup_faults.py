"""Sandboxes that cannot be built: the log and `explain` name phase, errno and what to do; the daemon goes on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.accounts import Account, needs_a_range
from tests.e2e.daemons import Daemon, running
from tests.program import Program

FLEET = """
[defaults.restart]
policy = "never"

[worker.no-command]
command = ["no-such-command"]

[worker.no-file]
command = ["/opt/no-such-file"]

[worker.no-interpreter]
command = ["/script"]
mounts = [{ type = "bind", source = "TOP/script", target = "/script", options = ["ro"] }]

[worker.not-executable]
command = ["/etc/passwd"]

[worker.no-rootfs]
command = ["true"]
rootfs = { kind = "dir", path = "/srv/no-such-root" }

[worker.no-source]
command = ["true"]
mounts = [{ type = "bind", source = "/srv/no-such-source", target = "/data" }]

[worker.mixed]
command = ["true"]
mounts = [{ type = "bind", source = "/etc/passwd", target = "/tmp" }]

[worker.no-directory]
command = ["true"]
working_dir = "/no/such/directory"

[worker.no-user]
command = ["true"]
user = "nobody-of-that-name"
id_map = "keep-id"

[worker.no-namespace]
command = ["true"]
network = { mode = "path:/run/no-such-namespace" }

[worker.too-much]
command = ["true"]
limits = { nofile = 1000000000 }

[worker.good]
command = ["sleep", "1000"]
"""
# worker -> phase, errno, a word of the hint, the command that helps
FAULTS = {
    "no-command": ("exec", "ENOENT", "No directory of the worker's PATH", "command -v no-such-command"),
    "no-file": ("exec", "ENOENT", "not in the sandbox", "nsvisor plan no-file"),
    "no-interpreter": ("exec", "ENOENT", "interpreter", "head -n 1 /script"),
    "not-executable": ("exec", "EACCES", "not executable", "ls -l /etc/passwd"),
    "no-rootfs": ("rootfs.prepare", "ENOENT", "does not exist on the host", "ls -ld /srv/no-such-root"),
    "no-source": ("mount.bind", "ENOENT", "source does not exist", "ls -ld /srv/no-such-source"),
    "mixed": ("mount.bind", "EINVAL", "of one kind", "stat"),
    "no-directory": ("cwd.enter", "ENOENT", "working_dir does not exist", "nsvisor plan no-directory"),
    "no-user": ("id.user", "ENOENT", "not in the sandbox's /etc/passwd", "getent passwd nobody-of-that-name"),
    "no-namespace": ("ns.join", "ENOENT", "gone", "nsvisor ps"),
    "too-much": ("limit.rlimit", "EPERM", "hard limit", "ulimit -Ha"),
}


@pytest.fixture(scope="module")
def broken(unprivileged: Account, program_bin: Path) -> Iterator[Daemon]:
    program = Program(unprivileged, program_bin)
    program.write("script", "#!/no/such/interpreter\n").chmod(0o755)
    with running(program, FLEET.replace("TOP", str(program.top))) as daemon:
        daemon.wait_state("good", "ready")
        for name in FAULTS:
            daemon.wait_state(name, "failed")
        yield daemon
    program.remove()


@pytest.mark.parametrize("name", FAULTS)
def test_the_log_names_phase_errno_and_hint(broken: Daemon, name: str) -> None:
    if name == "no-user":
        needs_a_range(broken.program.user)
    phase, errno, word, command = FAULTS[name]
    (failed,) = broken.records("setup.phase", instance=name, outcome="failed")
    assert (failed["phase"], failed["errno"], failed["level"]) == (phase, errno, "error")
    assert word in failed["hint"]
    assert command in failed["hint"]
    (exited,) = broken.records("worker.exited", instance=name)
    assert (exited["cause"], exited["phase"], exited["errno"]) == ("setup", phase, errno)
    (given_up,) = broken.records("worker.failed", instance=name)
    assert phase in given_up["reason"]


@pytest.mark.parametrize("name", FAULTS)
def test_explain_says_it_too(broken: Daemon, name: str) -> None:
    if name == "no-user":
        needs_a_range(broken.program.user)
    phase, errno, word, command = FAULTS[name]
    said = broken.program.run("explain", name)
    assert said.returncode == 0
    assert f"Failed in {phase}:" in said.stdout
    assert errno in said.stdout
    assert word in said.stdout
    assert command in said.stdout.partition("try: ")[2]


def test_the_others_are_not_touched(broken: Daemon) -> None:
    assert broken.instance("good")["state"] == "ready"
    assert broken.instance("good")["restarts"] == 0
