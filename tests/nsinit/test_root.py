"""The root: the host view, a directory, what may be written, and that nothing leads out."""

import errno
import os
from pathlib import Path

import pytest

from supervisor.spec.model import Mount, Rootfs
from tests.nsinit.keepers import Keeper
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import Ran, output_of, run, worker

MARKER = "nsvisor-test-marker"


def failed(ran: Ran) -> tuple[str, str, str]:
    assert ran.failure is not None, ran
    return ran.failure.phase, errno.errorcode[ran.failure.number], ran.failure.syscall


def test_the_host_view_is_read_only_and_holds_no_homes(keeper: Keeper) -> None:
    script = "export LC_ALL=C; ls -A /home /root /run /var; touch /new /etc/new /usr/new; ls -d /etc/shadow"
    ran = run(keeper, worker(script))
    listed = ran.out.split()
    assert listed == ["/home:", "/root:", "/run:", "/var:", "tmp"]
    assert ran.err.count("Read-only file system") == 3
    assert "cannot access '/etc/shadow'" in ran.err


def test_no_mount_of_the_host_is_left(keeper: Keeper) -> None:
    table = [line.split() for line in output_of(keeper, worker("cat /proc/self/mountinfo")).splitlines()]
    points = [fields[4] for fields in table]
    assert points[0] == "/"
    assert len(points) == len(set(points))
    ours = {"/", "/dev", "/proc", "/tmp", "/usr", "/dev/pts"}
    assert ours <= set(points)
    allowed = ("/usr", "/etc/", "/dev", "/proc", "/tmp", "/bin", "/sbin", "/lib")
    assert [point for point in points if point != "/" and not point.startswith(allowed)] == []


def test_propagation_is_one_way(keeper: Keeper) -> None:
    """Nothing in the sandbox is shared with a peer group of the host."""
    for line in output_of(keeper, worker("cat /proc/self/mountinfo")).splitlines():
        optional = line.split(" - ")[0].split()[6:]
        assert not any(word.startswith("shared:") for word in optional), line


def test_a_busybox_root(keeper: Keeper, folder: Folder) -> None:
    root = folder.busybox()
    for place in ("dev", "proc"):
        folder.directory(f"busybox/{place}")
    box = worker("ls /; pwd; ls /proc/self/fd | wc -l", rootfs=Rootfs("dir", str(root)))
    assert output_of(keeper, box).split() == ["bin", "dev", "proc", "/", "4"]


@pytest.mark.parametrize("writable", [False, True])
def test_mount_points_that_are_missing_are_made(keeper: Keeper, folder: Folder, writable: bool) -> None:
    """Also below a root that is read-only later."""
    root = folder.busybox()
    file = folder.file("greeting", "hello\n")
    mounts = (
        Mount("bind", "/a/b/c", str(file)),
        Mount("bind", "/x/y", str(folder.directory("data"))),
        Mount("tmpfs", "/x/z"),
    )
    box = worker("cat /a/b/c; stat -c %F /x/y /x/z", rootfs=Rootfs("dir", str(root), writable), mounts=mounts)
    assert output_of(keeper, box).splitlines() == ["hello", "directory", "directory"]
    made = root / "a/b/c"
    assert (made.is_file(), made.read_text(), (root / "x/y").stat().st_mode & 0o777) == (True, "", 0o755)


def test_a_directory_is_sealed_unless_writable(keeper: Keeper, folder: Folder) -> None:
    root = folder.busybox()
    ran = run(keeper, worker("touch /new /bin/new", rootfs=Rootfs("dir", str(root))))
    assert (ran.code, ran.err.count("Read-only file system")) == (1, 2)
    assert not (root / "new").exists()
    assert run(keeper, worker("touch /new", rootfs=Rootfs("dir", str(root), writable=True))).status == 0
    assert (root / "new").exists()


def test_what_is_mounted_inside_a_read_only_root_stays_writable(keeper: Keeper, folder: Folder) -> None:
    root = folder.busybox()
    mounts = (Mount("bind", "/data", str(folder.directory("data"))), Mount("tmpfs", "/scratch"))
    box = worker("touch /data/new /scratch/new", rootfs=Rootfs("dir", str(root)), mounts=mounts)
    assert run(keeper, box).status == 0


@pytest.mark.parametrize("link", ["/etc", "../../../../etc", "/proc/self/root/etc", "/etc/../etc"])
def test_a_link_in_the_root_does_not_lead_out(keeper: Keeper, folder: Folder, link: str) -> None:
    root = folder.busybox()
    (root / "srv").symlink_to(link)
    folder.directory("busybox/etc")
    data = folder.directory("data")
    folder.file(f"data/{MARKER}")
    box = worker("ls /srv/ /etc/", rootfs=Rootfs("dir", str(root)), mounts=(Mount("bind", "/srv", str(data)),))
    ran = run(keeper, box)
    if "self" in link:  # a magic link is not followed at all
        assert failed(ran)[0] == "mount.bind"
        return
    assert ran.out.count(MARKER) == 2
    assert not Path(f"/etc/{MARKER}").exists()
    # Nor is anything made out there where the link dangles.
    (root / "etc").rmdir()
    assert failed(run(keeper, box)) == ("mount.bind", "EEXIST", "mkdirat")
    assert not (root / "etc").exists()


def test_a_link_to_a_new_place_does_not_lead_out(keeper: Keeper, folder: Folder) -> None:
    root = folder.busybox()
    outside = folder.directory("outside")
    (root / "srv").symlink_to(outside)
    box = worker("true", rootfs=Rootfs("dir", str(root)), mounts=(Mount("tmpfs", "/srv/made"),))
    assert failed(run(keeper, box))[0] == "mount.tmpfs"
    assert list(outside.iterdir()) == []


def test_a_root_that_is_missing_or_no_directory(keeper: Keeper, folder: Folder) -> None:
    missing = worker("true", rootfs=Rootfs("dir", str(folder.top / "missing")))
    assert failed(run(keeper, missing)) == ("rootfs.prepare", "ENOENT", "open_tree")
    file = worker("true", rootfs=Rootfs("dir", str(folder.file("file"))))
    assert failed(run(keeper, file)) == ("rootfs.prepare", "ENOTDIR", "open_tree")


def test_a_root_that_the_user_may_not_write_to(keeper: Keeper, folder: Folder) -> None:
    """Without mount points and without leave to make them."""
    root = folder.busybox()
    root.chmod(0o555)  # capabilities in the sandbox's user namespace override it, for what is the user's own
    assert run(keeper, worker("true", rootfs=Rootfs("dir", str(root)))).failure is None
    root.chmod(0o755)
    if not keeper.who.account.is_me:
        other = folder.busybox("other")
        os.chown(other, 12345, 12345)
        ran = run(keeper, worker("true", rootfs=Rootfs("dir", str(other))))
        assert failed(ran) == ("mount.dev", "EACCES", "mkdirat")


def test_getcwd_and_the_parent_of_the_root(keeper: Keeper) -> None:
    script = "cd /; cd ..; pwd; ls -di / /.. | cut -d' ' -f1 | uniq | wc -l"
    assert output_of(keeper, worker(script)).split() == ["/", "1"]


def test_a_working_directory_that_is_missing(keeper: Keeper) -> None:
    assert failed(run(keeper, worker("true", working_dir="/nowhere"))) == ("cwd.enter", "ENOENT", "chdir")


@pytest.mark.parametrize("where", ["/", "inside", "other"])
def test_a_working_directory_that_leads_out(keeper: Keeper, folder: Folder, where: str) -> None:
    """Through a descriptor of a directory outside; also of one that the C library would take for one inside."""
    root = folder.busybox()
    for place in ("dev", "proc", "inside"):
        folder.directory(f"busybox/{place}")
    folder.directory("other")
    path = {"/": "/", "inside": str(root / "inside"), "other": str(folder.top / "other")}[where]
    outside = os.open(path, os.O_RDONLY)
    box = worker("pwd; cd ..; cd ..; ls", working_dir="/proc/self/fd/0", rootfs=Rootfs("dir", str(root)))
    ran = run(keeper, box, stdin=outside)
    os.close(outside)
    assert failed(ran) == ("cwd.enter", "ENOENT", "getcwd")


def test_names_in_any_language(keeper: Keeper, folder: Folder) -> None:
    data = folder.directory("dätä 数据")
    folder.file("dätä 数据/file", "hello")
    box = worker("cat '/tmp/übung 1/file'", mounts=(Mount("tmpfs", "/tmp"), Mount("bind", "/tmp/übung 1", str(data))))
    assert output_of(keeper, box) == "hello"
