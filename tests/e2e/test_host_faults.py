"""A host that lacks something: a launch says what, and how to get it."""

import os
import pwd
from pathlib import Path

import pytest

from tests.accounts import account, needs_a_range
from tests.e2e.daemons import running
from tests.program import Program

NO_USER_NAMESPACES = [
    *("unshare", "--user", "--map-root-user", "sh", "-c"),
    'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"',
    "sh",
]
RANGE = '[worker.a]\ncommand = ["sleep", "1000"]\nid_map = "keep-id"\nrestart = { policy = "never" }\n'
PLAIN = '[worker.a]\ncommand = ["sleep", "1000"]\nrestart = { policy = "never" }\n'


def test_no_user_namespaces_in_the_daemon(nsvisor: Program) -> None:
    nsvisor.wrapper = NO_USER_NAMESPACES
    with running(nsvisor, PLAIN) as daemon:
        daemon.wait_state("a", "failed")
        (failed,) = daemon.records("setup.phase", outcome="failed")
        assert (failed["phase"], failed["errno"]) == ("clone", "ENOSPC")
        assert "The quota of user or pid namespaces is used up or 0" in failed["hint"]
        assert "sysctl -w user.max_user_namespaces=" in failed["hint"]
        said = nsvisor.run("doctor").stdout
        assert "user.max_user_namespaces" in said


def test_no_user_namespaces_in_run(nsvisor: Program) -> None:
    nsvisor.wrapper = NO_USER_NAMESPACES
    done = nsvisor.run("run", "--", "true")
    assert done.returncode == 125
    assert done.stderr.startswith("cannot run: clone (user pid): clone3: ENOSPC")
    assert "sysctl -w user.max_user_namespaces=" in done.stderr


def test_no_newuidmap(nsvisor: Program) -> None:
    needs_a_range(nsvisor.user)
    nsvisor.environ["PATH"] = str(nsvisor.bin)
    with running(nsvisor, RANGE) as daemon:
        daemon.wait_state("a", "failed")
        (failed,) = daemon.records("setup.phase", outcome="failed")
        assert (failed["phase"], failed["errno"]) == ("id.map", "ENOENT")
        assert "newuidmap" in failed["hint"]
        assert "apt install uidmap" in failed["hint"]
    done = nsvisor.run("run", "--keep-id", "--", "true")
    assert done.returncode == 125
    assert "id.map" in done.stderr
    assert "apt install uidmap" in done.stderr


def test_no_line_in_etc_subuid(program_bin: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to be a user without subordinate ids")
    listed = {line.partition(":")[0] for line in Path("/etc/subuid").read_text().splitlines()}
    user = next(one for one in pwd.getpwall() if one.pw_uid and not {one.pw_name, str(one.pw_uid)} & listed)
    program = Program(account(user.pw_name), program_bin)
    with running(program, RANGE) as daemon:
        daemon.wait_state("a", "failed")
        (failed,) = daemon.records("setup.phase", outcome="failed")
        assert failed["phase"] == "id.map"
        assert "no range of subordinate ids" in failed["hint"]
        assert "usermod --add-subuids" in failed["hint"]
        assert user.pw_name in failed["hint"]
    with running(program, PLAIN) as daemon:  # one id needs no line
        daemon.wait_state("a", "ready")
    program.remove()
