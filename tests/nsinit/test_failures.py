"""A phase that fails says so once, by its index, and leaves nothing: no process, no descriptor, no mount."""

import errno
import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import pytest

from supervisor.phases import PHASES
from supervisor.spec.model import Limits, Mount, Namespaces, Rootfs, TimeOffsets
from tests.nsinit.keepers import Keeper, children
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import launched, run, worker

Expected = tuple[str, int, str]
TRUE = ["/bin/true"]
FAILURES: dict[str, tuple[Mapping[str, Any], Expected]] = {
    "offset": (
        {"namespaces": Namespaces(time=True), "time_offsets": TimeOffsets(monotonic_s=-(10**9))},
        ("time.offsets", errno.ERANGE, "write"),
    ),
    "hostname": ({"hostname": "x" * 65}, ("uts.hostname", errno.EINVAL, "sethostname")),
    "domainname": ({"domainname": "x" * 65}, ("uts.domainname", errno.EINVAL, "setdomainname")),
    "rootfs": ({"rootfs": Rootfs("dir", "/nowhere")}, ("rootfs.prepare", errno.ENOENT, "open_tree")),
    "bind": ({"mounts": (Mount("bind", "/tmp", "/nowhere"),)}, ("mount.bind", errno.ENOENT, "open_tree")),
    "tmpfs": ({"mounts": (Mount("tmpfs", "/usr/made"),)}, ("mount.tmpfs", errno.EROFS, "mkdirat")),
    "cwd": ({"working_dir": "/nowhere"}, ("cwd.enter", errno.ENOENT, "chdir")),
    "cwd-file": ({"working_dir": "/etc/passwd"}, ("cwd.enter", errno.ENOTDIR, "chdir")),
    "command": ({"command": ("/nowhere",)}, ("exec", errno.ENOENT, "execve")),
    "command-path": ({"command": ("no-such-command",)}, ("exec", errno.ENOENT, "execve")),
    "command-mode": ({"command": ("/etc/passwd",)}, ("exec", errno.EACCES, "execve")),
    "command-directory": ({"command": ("/usr",)}, ("exec", errno.EACCES, "execve")),
}
HARD = Limits(nofile=1 << 40)


@pytest.mark.parametrize("init", [True, False], ids=["init", "no-init"])
@pytest.mark.parametrize("case", FAILURES)
def test_failure(keeper: Keeper, case: str, init: bool) -> None:
    keys, expected = FAILURES[case]
    with launched(keeper, worker(**{"command": TRUE, "init": init, **keys})) as sandbox:
        sandbox.go()
        sandbox.until_end()
        failed = [tokens for tokens in sandbox.frames if tokens[0] == "phase" and tokens[4] == "failed"]
        assert len(failed) == 1
        assert sandbox.frames[-1] == failed[0]
        failure = sandbox.failure
        assert failure is not None
        assert (failure.phase, failure.number, failure.syscall) == expected
        assert failure.text
        assert [int(tokens[1]) for tokens in sandbox.frames if tokens[0] == "phase"] == list(range(failure.index + 1))
        assert sandbox.wait()[0] == 125 << 8  # by itself
        assert sandbox.output() == sandbox.errors() == ""


@pytest.mark.parametrize("init", [True, False], ids=["init", "no-init"])
def test_a_limit_over_the_hard_one(keeper: Keeper, init: bool) -> None:
    """Whoever may raise hard limits on this host, none may raise this one over fs.nr_open."""
    failure = run(keeper, worker("true", limits=HARD, init=init)).failure
    assert failure is not None
    assert (failure.phase, failure.number, failure.syscall) == ("limit.rlimit", errno.EPERM, "setrlimit")
    assert "nofile=1099511627776 is over the hard limit" in failure.text


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("/usr", "/usr: a directory"),
        ("no-such-command", "no-such-command: not found in the sandbox's PATH /usr/bin:/bin"),
        ("/tmp/script", "/tmp/script: the file is there, its interpreter is not"),
        ("/tmp/text", "/tmp/text: Exec format error"),
    ],
)
def test_what_is_said_of_a_command(keeper: Keeper, folder: Folder, command: str, text: str) -> None:
    folder.directory("bin")
    folder.file("bin/script", "#!/nowhere/sh\n", 0o755)
    folder.file("bin/text", "hello\n", 0o755)
    mounts = (Mount("bind", "/tmp", str(folder.top / "bin")),)
    failure = run(keeper, worker([command], env={"PATH": "/usr/bin:/bin"}, mounts=mounts)).failure
    assert failure is not None
    assert (failure.phase, failure.text) == ("exec", text)


def test_a_command_that_is_not_executable_in_path(keeper: Keeper, folder: Folder) -> None:
    """EACCES is told only where no directory has a better one."""
    folder.directory("bin")
    folder.file("bin/true", "no program", 0o644)
    mounts = (Mount("bind", "/tmp", str(folder.top / "bin")),)
    found = worker(["true"], env={"PATH": "/tmp:/usr/bin"}, mounts=mounts)
    assert run(keeper, found).status == 0
    failure = run(keeper, worker(["true"], env={"PATH": "/nowhere:/tmp:/nowhere"}, mounts=mounts)).failure
    assert failure is not None
    assert (failure.number, failure.text) == (errno.EACCES, "/tmp/true: Permission denied")


def test_fifty_launches_leave_nothing(own_keeper: Keeper) -> None:
    own_keeper.settle()
    before = own_keeper.descriptors()
    cases = [dict(keys) for keys, _ in FAILURES.values()] * 2
    for number in range(50):
        keys = cases[number] if number < len(cases) else {}
        run(own_keeper, worker(**{"command": TRUE, "init": bool(number % 3), **keys}))
    own_keeper.settle()
    assert own_keeper.descriptors() == before
    assert children(own_keeper.pid) == []


def test_twenty_at_once_leave_nothing(own_keeper: Keeper) -> None:
    own_keeper.settle()
    before = own_keeper.descriptors()
    with ExitStack() as stack:
        for number in range(20):
            box = worker("exec sleep 60", init=bool(number % 2))
            stack.enter_context(launched(own_keeper, box, hold=True)).go()
        own_keeper.settle()
        assert len(own_keeper.descriptors()) == len(before) + 20 * 4
    own_keeper.settle()
    assert own_keeper.descriptors() == before


def test_every_phase_told_is_in_the_vocabulary(keeper: Keeper) -> None:
    order = list(PHASES)
    told = [order.index(phase) for phase in run(keeper, worker("true")).phases]
    assert told == sorted(told)


def test_nothing_of_the_keeper_is_seen_by_the_workload(keeper: Keeper) -> None:
    ran = run(keeper, worker("tr '\\0' ' ' < /proc/1/cmdline; cat /proc/1/comm"))
    assert ran.out.split() == ["nsinit", "nsinit"]
    assert os.path.basename(keeper.who.package_parent) not in ran.out
