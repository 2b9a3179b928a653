"""The kernel's file systems, files, directories and links, and the options of a bind."""

import os
from typing import Any, Literal

import pytest

from supervisor.spec.model import Mount, Namespaces, Network, Rootfs
from tests.nsinit.keepers import Keeper, running_keeper
from tests.nsinit.people import Who
from tests.nsinit.probes import python
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import output_of, run, worker
from tests.nsinit.test_mounts import options
from tests.nsinit.test_root import failed

TMP = Mount("tmpfs", "/tmp")
HOST_NETWORK = Network("host")


def mounted(keeper: Keeper, point: str, **keys: object) -> list[str]:
    """The fields of mountinfo of the last mount at that point."""
    for line in reversed(output_of(keeper, worker("cat /proc/self/mountinfo", **keys)).splitlines()):
        if line.split()[4] == point:
            return line.split()
    raise AssertionError(f"nothing is mounted at {point}")


OPTIONS: tuple[tuple[tuple[Any, ...], set[str], set[str]], ...] = (
    ((), {"rw", "nosuid", "nodev", "relatime"}, {"noexec"}),
    (("suid", "dev"), {"rw"}, {"nosuid", "nodev"}),
    (("noatime",), {"noatime"}, {"relatime"}),
    (("strictatime", "nodiratime"), {"nodiratime"}, {"relatime", "noatime"}),
    (("nosymfollow", "noexec"), {"nosymfollow", "noexec"}, set()),
    (("exec",), {"rw"}, {"noexec"}),
)


@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
def test_options(who: Who, folder: Folder, kind: Literal["bind", "tmpfs"]) -> None:
    """In a mount namespace of the keeper's own, so that nothing is inherited that could not be cleared."""
    source = str(folder.directory("data"))
    script = f'mount -t tmpfs none {source} && exec "$@"'
    spaces = Namespaces(user=kind != "bind")
    with running_keeper(who, wrapper=["unshare", "-Urm", "sh", "-c", script, "sh"]) as keeper:
        for words, expected, missing in OPTIONS:
            mounts = (Mount(kind, "/tmp", source if kind == "bind" else None, words),)
            found = options(keeper, "/tmp", mounts=mounts, user="root", namespaces=spaces)
            assert found >= expected, words
            assert not found & missing, words


@pytest.mark.parametrize(("word", "mark"), [("shared", "shared:"), ("private", "-"), ("slave", "")])
def test_propagation(keeper: Keeper, folder: Folder, word: str, mark: str) -> None:
    fields = mounted(keeper, "/tmp", mounts=(Mount("bind", "/tmp", str(folder.directory("data")), (word,)),))  # type: ignore[arg-type]
    assert fields[6].startswith(mark) or mark == ""
    assert not fields[6].startswith("shared:") or word == "shared"


def test_a_source_that_is_missing_and_optional_is_skipped(keeper: Keeper, folder: Folder) -> None:
    ran = run(keeper, worker("ls /tmp", mounts=(TMP, Mount("bind", "/tmp/x", f"{folder.top}/none", optional=True))))
    assert (ran.failure, ran.out) == (None, "")
    closed = folder.file("file")
    ran = run(keeper, worker("true", mounts=(TMP, Mount("bind", "/tmp/x", f"{closed}/below", optional=True))))
    assert failed(ran) == ("mount.bind", "ENOTDIR", "open_tree")


def test_a_device_needs_the_option_for_it(keeper: Keeper) -> None:
    bound = Mount("bind", "/dev/other", "/dev/zero")
    assert failed(run(keeper, worker("true", mounts=(bound,)))) == ("mount.bind", "ENODEV", "open_tree")
    bound = Mount("bind", "/dev/other", "/dev/zero", ("dev",))
    assert output_of(keeper, worker("head -c 3 /dev/other | wc -c", mounts=(bound,))) == "3"


def test_a_device_on_a_host_mount_without_devices(who: Who, folder: Folder) -> None:
    node = folder.file("node")
    script = f'mount --bind /dev/zero {node} && mount -o remount,bind,nodev {node} && exec "$@"'
    with running_keeper(who, wrapper=["unshare", "-Urm", "sh", "-c", script, "sh"]) as keeper:
        bound = Mount("bind", "/dev/other", str(node), ("dev",))
        assert failed(run(keeper, worker("true", user="root", mounts=(bound,)))) == (
            "mount.bind",
            "ENODEV",
            "open_tree",
        )


def test_the_size_of_shm_and_what_takes_its_place(keeper: Keeper) -> None:
    shown = "stat -c %a /dev/shm; df -k --output=size /dev/shm | tail -1"
    assert output_of(keeper, worker(shown)).split() == ["1777", "65536"]
    mine = (Mount("tmpfs", "/dev/shm", size_bytes=1 << 20, mode="0770"),)
    assert output_of(keeper, worker(shown, mounts=mine)).split() == ["770", "1024"]
    points = output_of(keeper, worker("cut -d' ' -f5 /proc/self/mountinfo", mounts=mine)).split()
    assert points.count("/dev/shm") == 1


def test_dev_is_no_place_for_files(keeper: Keeper) -> None:
    ran = run(keeper, worker("head -c 1000000 /dev/zero > /dev/mine; stat -c %s /dev/mine", user="root"))
    assert int(ran.out) <= 65536


def test_terminals_are_limited(keeper: Keeper) -> None:
    source = "import os\ntry:\n    for n in range(300): os.openpty()\nexcept OSError as error: print(n, error.strerror)"
    assert int(output_of(keeper, python(source)).split()[0]) <= 256


def test_proc_of_the_user_s_takes_the_place_of_ours(keeper: Keeper) -> None:
    mounts = (Mount("proc", "/proc", hidepid="invisible", subset="pid"),)
    shown = output_of(keeper, worker("cat /proc/self/mountinfo; ls -d /proc/[a-z]*", mounts=mounts))
    lines = [line for line in shown.splitlines() if " /proc " in line]
    assert len(lines) == 1
    assert "hidepid=invisible" in lines[0]
    assert "subset=pid" in lines[0]
    assert set(shown.split()) & {"/proc/meminfo", "/proc/sys"} == set()


def test_a_second_proc(keeper: Keeper) -> None:
    assert output_of(keeper, worker("cat /tmp/p/1/comm", mounts=(TMP, Mount("proc", "/tmp/p")))) != ""


@pytest.mark.parametrize("words", [(), ("rw",)])
def test_sysfs(keeper: Keeper, words: tuple[str, ...]) -> None:
    mounts = (Mount("sysfs", "/sys", options=words),)  # type: ignore[arg-type]
    assert output_of(keeper, worker("ls /sys/class/net", mounts=mounts)) == "lo"
    assert options(keeper, "/sys", mounts=mounts) >= {"rw" if words else "ro", "nosuid", "nodev", "noexec"}
    ran = run(keeper, worker("ls /sys/firmware", mounts=mounts))
    assert (ran.failure, ran.out) == (None, "")


def test_sysfs_without_a_network_of_its_own_is_the_host_s(keeper: Keeper) -> None:
    keys = {"mounts": (Mount("sysfs", "/sys"),), "network": HOST_NETWORK}
    ran = run(keeper, worker("ls /sys/class/net", **keys))
    assert ran.out.split() == sorted(os.listdir("/sys/class/net"))
    assert ran.notes["mount.sysfs"] == "without a network namespace of its own: the host's, read-only"
    assert options(keeper, "/sys", **keys) >= {"ro"}


def test_mqueue(keeper: Keeper) -> None:
    mounts = (Mount("mqueue", "/dev/mqueue"),)
    assert output_of(keeper, worker("touch /dev/mqueue/q && ls /dev/mqueue", mounts=mounts)) == "q"
    phase, name, _ = failed(run(keeper, worker("true", mounts=mounts, namespaces=Namespaces(ipc=False))))
    assert (phase, name) == ("mount.mqueue", "EPERM")


def test_devpts(keeper: Keeper) -> None:
    mounts = (TMP, Mount("devpts", "/tmp/pts", mode="600"))
    assert output_of(keeper, worker("ls /tmp/pts", mounts=mounts)) == "ptmx"
    assert options(keeper, "/tmp/pts", mounts=mounts) >= {"nosuid", "noexec"}


def test_cgroup(keeper: Keeper) -> None:
    mounts = (Mount("sysfs", "/sys"), Mount("cgroup", "/sys/fs/cgroup"))
    fields = mounted(keeper, "/sys/fs/cgroup", mounts=mounts)
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(fields[5].split(","))
    assert "cgroup2" in fields
    ran = run(
        keeper, worker("wc -l < /sys/fs/cgroup/cgroup.procs; cat /sys/fs/cgroup/cgroup.controllers", mounts=mounts)
    )
    processes, *controllers = ran.out.split()
    assert int(processes) >= 1
    assert ("mount.cgroup" in ran.notes) == (not controllers)


def test_the_kernel_s_file_systems_come_first_whatever_their_place_in_the_file(keeper: Keeper, folder: Folder) -> None:
    one = folder.file("one", "one\n")
    mounts = (Mount("bind", "/sys/kernel/uevent_seqnum", str(one)), Mount("sysfs", "/sys"))
    assert output_of(keeper, worker("cat /sys/kernel/uevent_seqnum", mounts=mounts)) == "one"


def test_a_kernel_file_system_inside_a_mount_of_the_user_s_stays_there(keeper: Keeper, folder: Folder) -> None:
    data = folder.directory("data")
    folder.directory("data/proc")
    mounts = (Mount("bind", "/tmp", str(data)), Mount("proc", "/tmp/proc"))
    assert output_of(keeper, worker("ls -d /tmp/proc/1", mounts=mounts)) == "/tmp/proc/1"


def test_links_directories_and_files(keeper: Keeper) -> None:
    mounts = (
        TMP,
        Mount("symlink", "/tmp/a/link", "../file"),
        Mount("dir", "/tmp/d", mode="0700"),
        Mount("file", "/tmp/file", content="text ä\n", mode="0640"),
        Mount("file", "/etc/hosts", content="127.0.0.1 me\n"),
        Mount("file", "/tmp/mine", content="", options=("rw",)),
    )
    script = "cat /tmp/a/link /etc/hosts; stat -c %a /tmp/d /tmp/file /etc/hosts; echo new > /tmp/mine; cat /tmp/mine"
    script += "; test -w /etc/hosts || echo ro"
    assert output_of(keeper, worker(script, mounts=mounts)).split("\n") == [
        *("text ä", "127.0.0.1 me", "700", "640", "644", "new", "ro"),
    ]


def test_a_file_does_not_change_the_directory_on_the_host(keeper: Keeper, folder: Folder) -> None:
    root = folder.rootfs()
    folder.file("root/etc/motd", "the host's\n")
    mounts = (*folder.programs(), Mount("file", "/etc/motd", content="ours\n"))
    rootfs = Rootfs("dir", str(root), writable=True)
    assert output_of(keeper, worker("cat /etc/motd", rootfs=rootfs, mounts=mounts)) == "ours"
    assert (root / "etc/motd").read_text() == "the host's\n"


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        (Mount("symlink", "/etc/passwd", "x"), ("mount.file", "EEXIST", "symlinkat")),
        (Mount("dir", "/etc/passwd"), ("mount.file", "EEXIST", "mkdirat")),
        (Mount("file", "/etc/ssl", content=""), ("mount.file", "EINVAL", "move_mount")),
        (Mount("dir", "/etc/passwd/below"), ("mount.file", "ENOTDIR", "mkdirat")),
        (Mount("symlink", "/usr/made", "x"), ("mount.file", "EROFS", "symlinkat")),
        (Mount("sysfs", "/etc/passwd"), ("mount.sysfs", "EINVAL", "move_mount")),
    ],
)
def test_what_cannot_be_made(keeper: Keeper, mount: Mount, expected: tuple[str, str, str]) -> None:
    assert failed(run(keeper, worker("true", mounts=(mount,)))) == expected


def test_what_is_there_already_stays(keeper: Keeper) -> None:
    mounts = (TMP, Mount("symlink", "/var/tmp", "/tmp"), Mount("dir", "/etc"))
    ran = run(keeper, worker("readlink /var/tmp", mounts=mounts))
    assert (ran.failure, ran.out) == (None, "/tmp\n")


def test_a_target_that_is_a_link_to_nowhere(keeper: Keeper) -> None:
    mounts = (TMP, Mount("symlink", "/tmp/link", "/nowhere/at/all"), Mount("tmpfs", "/tmp/link"))
    assert failed(run(keeper, worker("true", mounts=mounts))) == ("mount.tmpfs", "EEXIST", "mkdirat")
