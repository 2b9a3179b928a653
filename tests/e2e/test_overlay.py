"""An upper directory over its life: kept over restarts, one user at a time whoever they are, crashes included."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.accounts import Account
from tests.e2e.daemons import Daemon, is_alive, running
from tests.program import Program

FLEET = """
[supervisor]
adopt_timeout = "20s"

[worker.web]
command = ["/usr/bin/sh", "-c", "echo $NAME >> /log; exec /usr/bin/sleep 42011"]
env = { NAME = "OWNER" }
rootfs = { kind = "overlay", lower = ["TOP/lower"], upper = "TOP/upper" }
mounts = [
    { type = "bind", source = "/usr", target = "/usr", options = ["ro"] },
    { type = "symlink", source = "usr/lib", target = "/lib" },
    { type = "symlink", source = "usr/lib64", target = "/lib64" },
]
restart = { policy = "always", delay = "0.1s", factor = 1.0 }
stop = { grace = "0s" }
"""


@pytest.fixture
def other(unprivileged: Account, program_bin: Path) -> Iterator[Program]:
    """A second supervisor of the same user, with folders of its own."""
    program = Program(unprivileged, program_bin)
    yield program
    program.remove()


def fleet(owner: str, top: Path) -> str:
    return FLEET.replace("TOP", str(top)).replace("OWNER", owner)


def refused(daemon: Daemon, after: int = 0) -> None:
    """Wait until it has tried once more, and was not let in."""
    record = daemon.wait_record("setup.phase", phase="rootfs.prepare", outcome="failed", after=after)
    assert (record["errno"], record["syscall"]) == ("EAGAIN", "flock")
    assert record["hint"].startswith("Another sandbox has this directory mounted")


def test_two_daemons_want_the_same_upper(nsvisor: Program, other: Program) -> None:
    shared = nsvisor.folder("shared")
    for name in ("lower", "upper"):
        nsvisor.folder(f"shared/{name}")
    log = shared / "upper" / "log"
    with running(nsvisor, fleet("first", shared)) as first, ExitStack() as stack:
        first.wait_state("web", "ready")
        first.post("/v1/restart", names=["web"])  # the next incarnation has to find it free
        first.wait_record("setup.completed", after=1)
        pid, keeper = first.wait_state("web", "ready")["pid"], first.keeper_pid()
        second = stack.enter_context(running(other, fleet("second", shared)))
        refused(second)
        first.kill()
        refused(second, after=len(second.records("setup.failed")) + 1)  # its daemon is dead, and its keeper holds on
        with running(nsvisor, fleet("first", shared)) as heir:
            assert heir.records("keeper.adopted")[0]["pid"] == keeper
            assert heir.instance("web")["pid"] == pid
            refused(second, after=len(second.records("setup.failed")) + 1)
            heir.post("/v1/stop", names=["web"])
            second.wait_state("web", "ready")
            assert not is_alive(pid)
            heir.post("/v1/start", names=["web"])
            heir.wait_record("setup.failed")
            refused(heir)
    assert log.read_text().split() == ["first", "first", "second"]


def test_explain_says_what_to_do(nsvisor: Program, other: Program) -> None:
    shared = nsvisor.folder("shared")
    for name in ("lower", "upper"):
        nsvisor.folder(f"shared/{name}")
    once = fleet("second", shared).replace('"always"', '"never"')
    with running(nsvisor, fleet("first", shared)) as first:
        first.wait_state("web", "ready")
        with running(other, once) as second:
            second.wait_state("web", "failed")
            said = other.run("explain", "web").stdout
            for word in ("rootfs.prepare", "EAGAIN", "flock", "lslocks"):
                assert word in said


def test_run_with_any_root(nsvisor: Program) -> None:
    base = nsvisor.folder("base")
    nsvisor.write("base/there", "")
    usr = ["--ro-bind", "/usr", "/usr", *(word for name in ("lib", "lib64") for word in link(name))]
    listed = ("/usr/bin/sh", "-c", "echo > /new && /usr/bin/ls /")
    overlaid = nsvisor.run("run", "--root", f"kind=overlay,lower={base},size=1MiB", *usr, "--", *listed)
    assert {"there", "new"} < set(overlaid.stdout.split())
    assert [path.name for path in base.iterdir()] == ["there"]
    empty = nsvisor.run("run", "--root", "kind=tmpfs,writable", *usr, "--", *listed)
    assert empty.stdout.split() == ["dev", "lib", "lib64", "new", "proc", "usr"]
    mount = f"type=overlay,target=/tmp/m,lower={base}:/usr/share,ro"
    assert "there" in nsvisor.run("run", "--mount", mount, "--", "ls", "/tmp/m").stdout
    both = nsvisor.run("run", "--root", "kind=tmpfs", "--rootfs", "/x", "--", "true")
    assert (both.returncode, "takes the place" in both.stderr) == (125, True)


def link(name: str) -> tuple[str, str]:
    return "--mount", f"type=symlink,target=/{name},source=usr/{name}"
