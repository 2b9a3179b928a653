"""What Landlock takes from a workload, and only from it."""

import errno
import os
import socket
from typing import Any

import pytest

from supervisor.kernel import landlock as kernel
from supervisor.kernel.libc import KernelError
from supervisor.spec.model import Limits, Mount, Network, Security
from supervisor.spec.model_sandbox import Landlock
from tests.nsinit.keepers import Keeper
from tests.nsinit.probes import python
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import output_of, run, worker

SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc", "/proc", "/dev")
ERRNO_OF = """
import errno, os, socket
def errno_of(function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "ok"
"""


@pytest.fixture(autouse=True)
def _needs_landlock() -> None:
    try:
        version = kernel.abi()
    except KernelError as error:
        pytest.skip(f"needs Landlock: {error}")
    if version < 6:
        pytest.skip(f"needs ABI 6 of Landlock, not {version}")


def locked(source: str, landlock: Landlock, **keys: Any) -> Any:
    return python(ERRNO_OF + source, security=Security(landlock=landlock), **keys)


def test_reading_and_writing(keeper: Keeper, folder: Folder) -> None:
    """What may be written may be read; renames within it go; the rest is closed, whatever its mode says."""
    place = folder.directory("place")
    for name in ("open", "seen", "closed"):
        folder.directory(f"place/{name}")
        folder.file(f"place/{name}/file", name)
    script = """
print(errno_of(open, "/data/seen/file"), errno_of(open, "/data/open/file"), errno_of(open, "/data/closed/file"))
print(errno_of(open, "/data/open/new", "w"), errno_of(open, "/data/seen/new", "w"), errno_of(open, "/dev/null", "w"))
os.mkdir("/data/open/below")
print(errno_of(os.rename, "/data/open/file", "/data/open/below/file"), errno_of(os.truncate, "/data/seen/file", 0))
print(errno_of(os.listdir, "/data/closed"), errno_of(os.listdir, "/data/seen"))
"""
    landlock = Landlock(read=(*SYSTEM, "/data/seen"), write=("/data/open",))
    box = locked(script, landlock, mounts=(Mount("bind", "/data", str(place)),))
    assert output_of(keeper, box).split("\n") == ["ok ok EACCES", "ok EACCES ok", "ok EACCES", "EACCES ok"]


def test_only_what_is_written_down_is_restricted(keeper: Keeper) -> None:
    script = """
os.mkdir("/tmp/below")
open("/tmp/file", "w").close()
print(errno_of(os.rename, "/tmp/file", "/tmp/below/file"), errno_of(open, "/proc/self/status"), flush=True)
print(errno_of(os.execv, "/usr/bin/true", ["true"]))
"""
    landlock = Landlock(read=("/usr", "/lib", "/lib64", "/tmp"))
    assert output_of(keeper, locked(script, landlock)) == "ok EACCES"


def test_execution(keeper: Keeper) -> None:
    """The interpreter of a program is executed, too."""
    allowed = Landlock(execute=("/usr/bin/sh", "/usr/bin/cat", "/usr/lib", "/usr/lib64", "/lib64"))
    ran = run(keeper, worker("cat /dev/null; id", security=Security(landlock=allowed)))
    assert (ran.code, "Permission denied" in ran.err) == (126, True)
    refused = run(keeper, worker("true", security=Security(landlock=Landlock(execute=())))).failure
    assert refused is not None
    assert (refused.phase, refused.number) == ("exec", errno.EACCES)


def test_tcp_ports(keeper: Keeper) -> None:
    script = """
def bound(port):
    with socket.socket() as one:
        return errno_of(one.bind, ("127.0.0.1", port))
def connected(port):
    with socket.socket() as one:
        return errno_of(one.connect, ("127.0.0.1", port))
print(bound(8080), bound(8081), connected(443), connected(444))
"""
    landlock = Landlock(bind_tcp=(8080,), connect_tcp=(443,))
    assert output_of(keeper, locked(script, landlock)) == "ok EACCES ECONNREFUSED EACCES"


def test_abstract_sockets(keeper: Keeper) -> None:
    """CVE-2020-15257: in a shared network namespace they are the host's; first without the lock."""
    name = f"nsvisor-test-{os.getpid()}"
    script = f"""
with socket.socket(socket.AF_UNIX) as one:
    print(errno_of(one.connect, "\\0{name}"))
"""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        for allowed, answer in ((True, "ok"), (False, "EPERM")):
            landlock = Landlock(abstract_sockets=allowed)
            assert output_of(keeper, locked(script, landlock, network=Network("host"))) == answer


def test_signals(keeper: Keeper) -> None:
    """To PID 1, which is outside of the lock and of the same user; to its own children they go."""
    script = """
child = os.fork()
if child == 0:
    os.read(os.pipe()[0], 1)
print(errno_of(os.kill, 1, 0), errno_of(os.kill, child, 9))
"""
    fork = Limits(core=0)  # PID 1 apart from the workload in either case
    for allowed, answer in ((True, "ok ok"), (False, "EPERM ok")):
        assert output_of(keeper, locked(script, Landlock(signals=allowed), limits=fork)) == answer


def test_the_rest_of_the_sandbox_is_free(keeper: Keeper) -> None:
    """PID 1 still signals and reaps."""
    ran = run(keeper, worker("kill -9 $$", security=Security(landlock=Landlock(read=SYSTEM, write=(), signals=False))))
    assert ran.failure is None
    assert ran.status == 9


def test_a_limit_of_descriptors_comes_after_the_paths(keeper: Keeper) -> None:
    landlock = Security(landlock=Landlock(read=SYSTEM, write=("/tmp",)))
    box = worker("ulimit -Sn; ulimit -Hn", security=landlock, limits=Limits(nofile="4:5"))
    assert output_of(keeper, box).split() == ["4", "5"]
    failure = run(keeper, worker("true", security=landlock, limits=Limits(nofile=1 << 40))).failure
    assert failure is not None
    assert (failure.phase, failure.number, failure.syscall) == ("lock.landlock", errno.EPERM, "setrlimit")


def test_a_path_that_is_not_there(keeper: Keeper) -> None:
    failure = run(keeper, worker("true", security=Security(landlock=Landlock(read=("/usr", "/nowhere"))))).failure
    assert failure is not None
    assert (failure.phase, failure.number) == ("lock.landlock", errno.ENOENT)
    assert "/nowhere" in failure.text


def test_without_no_new_privs_it_takes_a_capability(keeper: Keeper) -> None:
    """The loader wants one or the other; without both the phase says it."""
    landlock = Landlock(write=())
    alone = Security(landlock=landlock, no_new_privs=False, seccomp="off")
    failure = run(keeper, worker("true", security=alone)).failure
    assert failure is not None
    assert (failure.phase, failure.number, failure.syscall) == ("lock.landlock", errno.EPERM, "landlock_restrict_self")
    admin = Security(landlock=landlock, no_new_privs=False, seccomp="off", capabilities=("CAP_SYS_ADMIN",))
    assert run(keeper, worker("echo > /tmp/file", security=admin)).code == 2
