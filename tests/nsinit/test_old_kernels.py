"""Without the newer mount calls, as before Linux 5.12 or in a container that hides them: the very same sandbox."""

import errno
import subprocess
import sys
from collections.abc import Iterator

import pytest

from supervisor.spec.model import Mount, Rootfs, Worker
from tests.kernel import hidden_calls
from tests.nsinit.keepers import Keeper, running_keeper
from tests.nsinit.people import Who
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import output_of, run, worker

HIDDEN = {
    "mount_setattr": ("ENOSYS", "mount_setattr"),
    "mount_setattr, EPERM": ("EPERM", "mount_setattr"),
    "all": ("ENOSYS", *hidden_calls.NEW_MOUNT_CALLS, "clone3"),
    "all, EPERM": ("EPERM", *hidden_calls.NEW_MOUNT_CALLS),
}
SHOW = 'while read -r line; do printf "%s\\n" "$line"; done < /proc/self/mountinfo'


def hiding(who: Who, hidden: str) -> list[str]:
    """Words before a command, from which those calls are hidden."""
    return hidden_calls.wrapper(who.python, *HIDDEN[hidden])


@pytest.fixture(params=HIDDEN)
def without(request: pytest.FixtureRequest, who: Who) -> Iterator[Keeper]:
    with running_keeper(who, wrapper=hiding(who, request.param)) as keeper:
        yield keeper


def table(keeper: Keeper, what: Worker) -> list[tuple[str, str, str, str]]:
    """Every mount of a sandbox: where, with which options, how events travel, of what kind."""
    found = []
    for line in output_of(keeper, what).splitlines():
        words = line.split()
        dash = words.index("-")
        travels = " ".join(word.partition(":")[0] for word in words[6:dash])
        found.append((words[4], words[5], travels, words[dash + 1]))
    return sorted(found)


def sandboxes(folder: Folder) -> dict[str, Worker]:
    """One of each kind of root, and each kind of mount with each option."""
    base = str(folder.busybox("base"))
    upper = str(folder.directory("upper"))
    file = str(folder.file("a file"))
    mounts = (
        Mount("bind", "/tmp/a", base, ("ro", "noexec")),
        Mount("bind", "/tmp/b", base, ("rw", "bind", "nosymfollow")),
        Mount("bind", "/tmp/c", file, ("ro",)),
        Mount("tmpfs", "/tmp/d", options=("noexec", "noatime"), size_bytes=65536, mode="1777"),
        Mount("tmpfs", "/tmp/e", options=("ro",)),
        Mount("overlay", "/tmp/f", lower=(base,)),
        Mount("overlay", "/tmp/g", lower=(base, upper), options=("ro",)),
        Mount("mqueue", "/dev/mqueue"),
        Mount("sysfs", "/sys"),
        Mount("proc", "/tmp/h", hidepid="invisible"),
        Mount("devpts", "/tmp/i"),
        Mount("cgroup", "/sys/fs/cgroup", optional=True),
        Mount("bind", "/tmp/j", base, ("shared",)),
        Mount("bind", "/tmp/k", base, ("slave", "ro")),
        Mount("bind", "/tmp/l", "/dev/null", ("dev",)),
        Mount("file", "/tmp/m", content="x", options=("ro",)),
    )
    return {
        "default": worker(SHOW),
        "mounts": worker(SHOW, mounts=mounts),
        "dir": worker(SHOW, rootfs=Rootfs("dir", path=base)),
        "writable": worker(SHOW, rootfs=Rootfs("dir", path=base, writable=True)),
        "thrown away": worker(SHOW, rootfs=Rootfs("overlay", lower=(base,))),
        "kept": worker(SHOW, rootfs=Rootfs("overlay", lower=(base,), upper=upper)),
        "tmpfs": worker(SHOW, rootfs=Rootfs("tmpfs"), mounts=(Mount("bind", "/bin", f"{base}/bin", ("ro",)),)),
    }


def test_the_same_mounts_come_of_it(keeper: Keeper, without: Keeper, folder: Folder) -> None:
    for name, what in sandboxes(folder).items():
        assert table(without, what) == table(keeper, what), name


def test_what_lies_below_a_bind_is_closed_too(who: Who, folder: Folder) -> None:
    """And what was closed already stays closed, though a classic remount sets all flags anew."""
    for name in ("outer", "outer/one two", "outer/three"):
        folder.directory(name)
    place = f"{folder.top}/outer"
    script = f'mount -t tmpfs none "{place}/one two"; mount -t tmpfs -o noexec,noatime none {place}/three; exec "$@"'
    mounts = (Mount("bind", "/tmp", place, ("ro",)),)
    tables: dict[str, list[tuple[str, str, str, str]]] = {}
    for hidden in ("nothing", *HIDDEN):
        inner = hiding(who, hidden) if hidden in HIDDEN else []
        with running_keeper(who, wrapper=["unshare", "-Urm", "sh", "-c", script, "sh", *inner]) as keeper:
            tables[hidden] = table(keeper, worker(SHOW, user="root", mounts=mounts))
    for hidden in HIDDEN:
        assert tables[hidden] == tables["nothing"], hidden
    flags = {point: set(options.split(",")) for point, options, _, _ in tables["nothing"]}
    assert flags["/tmp/one\\040two"] == {"ro", "nosuid", "nodev", "relatime"}
    assert flags["/tmp/three"] == {"ro", "nosuid", "nodev", "noexec", "noatime"}


def test_nothing_of_the_old_root_is_left(without: Keeper) -> None:
    ran = run(without, worker("ls /; echo; ls /..; touch /x /usr/x", user="root"))
    top = ran.out.split("\n\n")
    assert top[0].split() == top[1].split()
    assert ran.err.count("Read-only file system") == 2


@pytest.mark.parametrize("hidden", HIDDEN)
def test_the_calls_are_hidden_indeed(hidden: str) -> None:
    code = "import ctypes; libc = ctypes.CDLL(None, use_errno=True); libc.syscall(442, 0); print(ctypes.get_errno())"
    command = [*hidden_calls.wrapper(sys.executable, *HIDDEN[hidden]), sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) == getattr(errno, HIDDEN[hidden][0])
