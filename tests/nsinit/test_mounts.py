"""The user's mounts, /dev and /proc."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from supervisor.spec.model import Mount
from tests.nsinit.keepers import Keeper, running_keeper
from tests.nsinit.people import Who
from tests.nsinit.probes import python
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import output_of, run, worker
from tests.nsinit.test_root import failed


def options(keeper: Keeper, point: str, **keys: object) -> set[str]:
    """Of the last mount at that point."""
    for line in reversed(output_of(keeper, worker("cat /proc/self/mountinfo", **keys)).splitlines()):
        fields = line.split()
        if fields[4] == point:
            return set(fields[5].split(","))
    raise AssertionError(f"nothing is mounted at {point}")


@pytest.mark.parametrize("rights", ["ro", "rw"])
def test_bind_read_only_and_writable(keeper: Keeper, folder: Folder, rights: str) -> None:
    data = folder.directory("data")
    mounts = (Mount("bind", "/tmp", str(data), ("ro",) if rights == "ro" else ("rw",)),)
    ran = run(keeper, worker("export LC_ALL=C; touch /tmp/new", mounts=mounts))
    assert ("Read-only file system" in ran.err) == (rights == "ro")
    assert (data / "new").exists() == (rights == "rw")
    assert options(keeper, "/tmp", mounts=mounts) >= {rights, "nosuid", "nodev"}


@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
def test_each_option_is_a_flag_of_the_mount(keeper: Keeper, folder: Folder, kind: str) -> None:
    source = str(folder.directory("data")) if kind == "bind" else None
    mounts = (Mount(kind, "/tmp", source, ("ro", "nosuid", "nodev", "noexec")),)  # type: ignore[arg-type]
    assert options(keeper, "/tmp", mounts=mounts) >= {"ro", "nosuid", "nodev", "noexec"}


def test_proc_of_the_host_s_root_is_read_only(keeper: Keeper) -> None:
    """/proc/sys asks for the host's uid 0 and for no capability: a worker that has it could write there."""
    assert ("ro" in options(keeper, "/proc")) == (keeper.who.facts.uid == 0)


def test_noexec_is_obeyed(keeper: Keeper, folder: Folder) -> None:
    folder.directory("data")
    folder.file("data/tool", "#!/bin/sh\n", 0o755)
    mounts = (Mount("bind", "/tmp", str(folder.top / "data"), ("noexec",)),)
    assert failed(run(keeper, worker(["/tmp/tool"], mounts=mounts))) == ("exec", "EACCES", "execve")


@contextmanager
def keeper_with_submounts(who: Who, folder: Folder) -> Iterator[Keeper]:
    """In a mount namespace where folder/outer has a tmpfs at outer/inner, ro,nosuid,nodev,noexec."""
    folder.directory("outer")
    folder.directory("outer/inner")
    place = f"{folder.top}/outer/inner"
    script = f'mount -t tmpfs -o ro,nosuid,nodev,noexec none {place} && exec "$@"'
    with running_keeper(who, wrapper=["unshare", "-Urm", "sh", "-c", script, "sh"]) as keeper:
        yield keeper


@pytest.fixture
def submounts(who: Who, folder: Folder) -> Iterator[Keeper]:
    with keeper_with_submounts(who, folder) as keeper:
        yield keeper


def test_binds_are_recursive(submounts: Keeper, folder: Folder) -> None:
    mounts = (Mount("bind", "/tmp", f"{folder.top}/outer"),)
    assert options(submounts, "/tmp/inner", user="root", mounts=mounts) >= {"ro", "nosuid", "nodev", "noexec"}


def test_a_recursive_read_only_bind_is_read_only_all_the_way_down(who: Who, folder: Folder) -> None:
    folder.directory("outer")
    folder.directory("outer/inner")
    script = f'mount -t tmpfs none {folder.top}/outer/inner && exec "$@"'
    with running_keeper(who, wrapper=["unshare", "-Urm", "sh", "-c", script, "sh"]) as keeper:
        mounts = (Mount("bind", "/tmp", f"{folder.top}/outer", ("ro",)),)
        ran = run(keeper, worker("export LC_ALL=C; touch /tmp/new /tmp/inner/new", user="root", mounts=mounts))
        assert ran.err.count("Read-only file system") == 2


def test_a_bind_that_is_not_recursive_would_uncover_what_is_locked(submounts: Keeper, folder: Folder) -> None:
    mounts = (Mount("bind", "/tmp", f"{folder.top}/outer", ("bind",)),)
    assert failed(run(submounts, worker("true", user="root", mounts=mounts))) == ("mount.bind", "EINVAL", "open_tree")
    without = (Mount("bind", "/tmp", f"{folder.top}/outer/inner", ("bind",)),)  # nothing below it
    assert run(submounts, worker("true", user="root", mounts=without)).failure is None


def test_inherited_restrictions_stay(submounts: Keeper, folder: Folder) -> None:
    mounts = (Mount("bind", "/tmp", f"{folder.top}/outer/inner", ("rw",)),)
    assert options(submounts, "/tmp", user="root", mounts=mounts) >= {"ro", "nosuid", "nodev", "noexec"}


def test_a_file_over_a_file_and_over_nothing(keeper: Keeper, folder: Folder) -> None:
    one = folder.file("one", "one\n")
    mounts = (Mount("tmpfs", "/tmp"), Mount("bind", "/tmp/a/new", str(one)), Mount("bind", "/etc/passwd", str(one)))
    assert output_of(keeper, worker("cat /tmp/a/new /etc/passwd", mounts=mounts)) == "one\none"


def test_a_bind_keeps_what_it_covers_out_of_sight(keeper: Keeper, folder: Folder) -> None:
    """In file order: a later mount lies over an earlier one."""
    for name in ("first", "second"):
        folder.directory(name)
        folder.file(f"{name}/{name}")
    mounts = tuple(Mount("bind", "/tmp", str(folder.top / name)) for name in ("first", "second"))
    assert output_of(keeper, worker("ls /tmp", mounts=mounts)) == "second"


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("missing", "/tmp/x", ("mount.bind", "ENOENT", "open_tree")),
        ("file", "/etc/ssl", ("mount.bind", "EINVAL", "move_mount")),
        ("directory", "/etc/passwd", ("mount.bind", "EINVAL", "move_mount")),
        ("directory", "/etc/passwd/below", ("mount.bind", "ENOTDIR", "openat2")),
        ("directory", "/usr/made", ("mount.bind", "EROFS", "mkdirat")),
        ("file", "/usr/made", ("mount.bind", "EROFS", "openat")),
    ],
)
def test_binds_that_fail(
    keeper: Keeper, folder: Folder, source: str, target: str, expected: tuple[str, str, str]
) -> None:
    folder.file("file")
    folder.directory("directory")
    ran = run(keeper, worker("true", mounts=(Mount("bind", target, str(folder.top / source)),)))
    assert failed(ran) == expected


def test_tmpfs_size_and_mode_are_enforced(keeper: Keeper) -> None:
    mounts = (Mount("tmpfs", "/tmp", size_bytes=65536, mode="0750"), Mount("tmpfs", "/tmp/b"))
    script = "export LC_ALL=C; stat -c %a /tmp /tmp/b; head -c 200000 /dev/zero > /tmp/big; stat -c %s /tmp/big"
    ran = run(keeper, worker(script, mounts=mounts))
    assert ran.out.split() == ["750", "755", "65536"]
    assert "No space left on device" in ran.err


def test_the_private_tmp(keeper: Keeper) -> None:
    assert output_of(keeper, worker("stat -c %a /tmp; ls -A /tmp; readlink -f /var/tmp")).split() == ["1777", "/tmp"]


def test_device_nodes_are_the_real_ones(keeper: Keeper) -> None:
    names = ("null", "zero", "full", "random", "urandom", "tty")
    seen = output_of(keeper, worker("cd /dev; stat -c '%n %t,%T %F' " + " ".join(names))).splitlines()
    for name, line in zip(names, seen, strict=True):
        node = os.stat(f"/dev/{name}")
        assert stat.S_ISCHR(node.st_mode)
        number = f"{os.major(node.st_rdev):x},{os.minor(node.st_rdev):x}"
        assert line == f"{name} {number} character special file"


def test_dev_has_what_programs_expect(keeper: Keeper) -> None:
    listed = output_of(keeper, worker("ls /dev; stat -c %a /dev /dev/shm; readlink /dev/fd /dev/stdin /dev/ptmx"))
    names = "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert listed.split() == [*names.split(), "755", "1777", "/proc/self/fd", "/proc/self/fd/0", "pts/ptmx"]


def test_creating_dev_null_is_opening_it(keeper: Keeper) -> None:
    assert output_of(keeper, worker("echo x > /dev/null && echo x >> /dev/null && cat /dev/null; echo good")) == "good"


def test_nothing_can_be_made_a_device(keeper: Keeper) -> None:
    assert run(keeper, worker("mknod /tmp/null c 1 3", user="root")).code != 0
    assert options(keeper, "/tmp") >= {"nosuid", "nodev"}


def test_a_pty_can_be_opened(keeper: Keeper) -> None:
    source = (
        "import os; master, slave = os.openpty(); print(os.ttyname(slave)); os.write(slave, b'x'); os.read(master, 1)"
    )
    assert output_of(keeper, python(source)) == "/dev/pts/0"


def test_shm_is_private_and_writable(keeper: Keeper) -> None:
    assert output_of(keeper, worker("echo x > /dev/shm/x && ls /dev/shm")) == "x"
    assert not os.path.exists("/dev/shm/x")


def test_proc_shows_this_sandbox_and_no_more(keeper: Keeper) -> None:
    listed = output_of(keeper, worker("ls -d /proc/[0-9]*")).split()
    assert set(listed) <= {f"/proc/{pid}" for pid in range(1, 6)}
    assert options(keeper, "/proc") >= {"nosuid", "nodev", "noexec"}


def test_a_device_that_is_another(who: Who) -> None:
    """The host's /dev/null replaced, in a mount namespace around the keeper."""
    script = 'mount --bind /dev/zero /dev/null && exec "$@"'
    with running_keeper(who, wrapper=["unshare", "-Urm", "sh", "-c", script, "sh"]) as keeper:
        ran = run(keeper, worker("true", user="root"))
        assert failed(ran) == ("mount.dev", "ENXIO", "open_tree")


def test_a_host_proc_with_parts_covered(who: Who) -> None:
    """As in a container: a fresh proc is refused, and says so."""
    script = 'mount --bind /dev/null /proc/version && exec "$@"'
    with running_keeper(who, wrapper=["unshare", "-Urm", "sh", "-c", script, "sh"]) as keeper:
        assert failed(run(keeper, worker("true", user="root"))) == ("mount.proc", "EPERM", "fsmount")
