"""The root: links in it, what is read-only in it, and ways out of it."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from supervisor.spec.model import Mount, Namespaces, Rootfs, Security
from tests.nsinit.keepers import Keeper, close_all, running_keeper
from tests.nsinit.people import Who
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import launched, run, worker
from tests.security.attempts import attempting, outcomes, without

ADMIN = Security(capabilities=("CAP_SYS_ADMIN",))


@pytest.mark.parametrize("name", ["dev", "proc", "tmp"])
def test_mount_points_that_are_links_out_of_the_root(keeper: Keeper, folder: Folder, name: str) -> None:
    """CVE-2021-30465, CVE-2025-52565: by its path the mount point is the victim."""
    root = folder.rootfs()
    victim = folder.directory("victim")
    (root / name).rmdir()
    (root / name).symlink_to(victim)
    assert (root / name).resolve() == victim
    mounts = (*folder.programs(), Mount("tmpfs", "/tmp"))
    ran = run(keeper, worker("touch /tmp/x", rootfs=Rootfs("dir", str(root), writable=True), mounts=mounts))
    assert ran.failure is not None
    assert ran.failure.phase in {"mount.dev", "mount.proc", "mount.tmpfs"}
    assert not os.listdir(victim)


def test_a_null_device_that_is_swapped_in_the_root(keeper: Keeper, folder: Folder) -> None:
    """CVE-2025-31133: what hides a path is the host's null device, whatever the root has at /dev/null."""
    root = folder.rootfs()
    victim = folder.file("victim", "text\n")
    (root / "dev/null").symlink_to(victim)
    assert (root / "dev/null").read_text() == "text\n"
    script = "stat -c '%F %t:%T' /proc/keys /proc/timer_list"
    ran = run(keeper, worker(script, rootfs=Rootfs("dir", str(root), writable=True), mounts=folder.programs()))
    assert (ran.failure, ran.out) == (None, "character special file 1:3\n" * 2)


KERNEL = """
@attempt
def core_pattern():
    opened("/proc/sys/kernel/core_pattern")
@attempt
def core_pattern_of_a_second_proc():
    opened("/p/sys/kernel/core_pattern")
@attempt
def bound_settings():
    opened("/b/kernel/core_pattern")
"""
SYSRQ = """
@attempt
def sysrq():
    opened("/proc/sysrq-trigger")
"""
PROCS = (Mount("proc", "/p"), Mount("bind", "/b", "/proc/sys"))


def test_the_kernels_settings_are_closed_to_the_hosts_root(keeper: Keeper) -> None:
    """Opened only, never written: the kernel asks for the host's uid 0 and for no capability."""
    source = KERNEL + (SYSRQ if os.path.exists("/proc/sysrq-trigger") else "")
    what = attempting(source, mounts=PROCS)
    closed = outcomes(keeper, what)
    root = keeper.who.account.uid == 0
    assert set(closed.values()) == {"EROFS" if root else "EACCES"}
    if root:
        assert set(outcomes(keeper, without(keeper, what, "mount.mask")).values()) == {""}


def test_a_read_only_path_more_opens_nothing(keeper: Keeper) -> None:
    """All of /proc stays closed to the host's root by any list that holds the default one."""
    source = "@attempt\ndef oom_score():\n    opened('/proc/self/oom_score_adj')\n"
    more = ("/srv", *worker("true").readonly_paths)
    assert outcomes(keeper, attempting(source, readonly_paths=more)) == {
        "oom_score": "EROFS" if keeper.who.account.uid == 0 else ""
    }


REMOUNT = """
MS_RDONLY, MS_REMOUNT, MS_BIND = 1, 32, 4096
def remount(path, flags=MS_REMOUNT | MS_BIND):
    checked(libc.mount(None, path, None, flags, None))
@attempt
def remount_usr():
    remount(b"/usr", MS_REMOUNT | MS_BIND | 2 | 4)
@attempt
def remount_bind():
    remount(b"/srv", MS_REMOUNT | MS_BIND | 2 | 4)
    opened("/srv/new", os.O_WRONLY | os.O_CREAT)
@attempt
def uncover():
    checked(libc.umount2(b"/proc/keys", 2))
"""


def test_read_only_mounts_are_not_remounted(keeper: Keeper, folder: Folder) -> None:
    """CAP_SYS_ADMIN undoes them, as the explanation says: a mount is its namespace's to change."""
    mounts = (Mount("bind", "/srv", str(folder.top), ("ro",)),)
    for security in (Security(), Security(seccomp="off")):
        found = outcomes(keeper, attempting(REMOUNT, user="root", mounts=mounts, security=security))
        assert set(found.values()) == {"EPERM"}
    assert not (folder.top / "new").exists()
    assert set(outcomes(keeper, attempting(REMOUNT, user="root", mounts=mounts, security=ADMIN)).values()) == {""}


def test_what_is_read_only_on_the_host_stays_so(who: Who, folder: Folder) -> None:
    """Even with CAP_SYS_ADMIN: the flag was locked when the mount came into the sandbox's user namespace."""
    script = f'mount --bind {folder.top} {folder.top} && mount -o remount,bind,ro {folder.top} && exec "$@"'
    words = ["unshare", "--mount"] if who.account.uid == 0 else ["unshare", "-Urm"]
    mounts = (Mount("bind", "/srv", str(folder.top), ("rw",)),)
    with running_keeper(who, wrapper=[*words, "sh", "-c", script, "sh"]) as keeper:
        found = outcomes(keeper, attempting(REMOUNT, user="root", mounts=mounts, security=ADMIN))
    assert found["remount_bind"] == "EPERM"


SHARED = """
mount --make-rprivate / && mount --bind {0} {0} && mount --make-shared {0} && exec "$@"
"""


@pytest.mark.parametrize(
    ("words", "come_in"),
    [(("ro",), False), (("ro", "private"), False), (("ro", "slave"), True)],
    ids=["default", "private", "slave"],
)
def test_what_the_host_mounts_later_does_not_come_in(
    root: Who, root_folder: Folder, words: tuple[Any, ...], come_in: bool
) -> None:
    """It would come in writable, with set-uid programs and devices, below what is bound read-only."""
    folder = root_folder
    folder.directory("disk")
    script = "echo up; read line; touch /srv/disk/new && echo written"
    what = worker(script, mounts=(Mount("bind", "/srv", str(folder.top), words),))
    reader, writer = os.pipe()
    wrapper = ["unshare", "--mount", "sh", "-c", SHARED.format(folder.top), "sh"]
    try:
        with running_keeper(root, wrapper=wrapper) as keeper, launched(keeper, what, stdin=reader) as sandbox:
            sandbox.go()
            sandbox.until_end()
            assert sandbox.line() == "up"
            disk = ["mount", "-t", "tmpfs", "tmpfs", f"{folder.top}/disk"]
            subprocess.run(["nsenter", "-t", str(keeper.pid), "-m", *disk], check=True)
            os.write(writer, b"\n")
            assert ("written" in sandbox.output()) is come_in
    finally:
        close_all([reader, writer])


ESCAPE = """
before = sorted(os.listdir("/"))
os.mkdir("/tmp/jail")
os.chroot("/tmp/jail")
inside = os.listdir("/")
for _ in range(64):
    os.chdir("..")
os.chroot(".")
@attempt
def out_of_the_jail():
    assert inside == []
    if sorted(os.listdir("/")) != before:
        raise OSError(errno.EXDEV, "")
@attempt
def uncover_what_is_below():
    checked(libc.umount2(b"/", 2))
@attempt
def old_root_by_pivot():
    checked(libc.syscall(155 if platform.machine() == "x86_64" else 41, b".", b"."))
"""


@pytest.mark.parametrize("capabilities", [("CAP_SYS_CHROOT",), ("CAP_SYS_CHROOT", "CAP_SYS_ADMIN")], ids=len)
def test_the_classic_way_out_of_a_chroot_ends_at_the_sandboxs_root(
    keeper: Keeper, capabilities: tuple[str, ...]
) -> None:
    """It does leave a chroot made inside; there is nothing above the root itself."""
    found = outcomes(keeper, attempting(ESCAPE, user="root", security=Security(capabilities=capabilities)))
    refused = "EINVAL" if "CAP_SYS_ADMIN" in capabilities else "EPERM"
    assert found == {"out_of_the_jail": "", "uncover_what_is_below": refused, "old_root_by_pivot": refused}


HANDLE = """
class Handle(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint), ("kind", ctypes.c_int), ("data", ctypes.c_ubyte * 128)]
def by_handle(path):
    handle, mount = Handle(128), ctypes.c_int()
    checked(libc.name_to_handle_at(-100, path, ctypes.byref(handle), ctypes.byref(mount), 0))
    where = os.open(path, os.O_RDONLY)
    os.close(checked(libc.open_by_handle_at(where, ctypes.byref(handle), os.O_RDONLY)))
@attempt
def of_a_file_system_of_its_own():
    by_handle(b"/tmp")
@attempt
def of_the_hosts():
    by_handle(b"/usr")
"""


def test_files_of_the_host_are_not_opened_by_handle(keeper: Keeper) -> None:
    """Docker's "shocker": with CAP_DAC_READ_SEARCH a handle that is guessed opens any file of the file system."""
    security = Security(capabilities=("CAP_DAC_READ_SEARCH",))
    found = outcomes(keeper, attempting(HANDLE, user="root", security=security))
    assert found["of_the_hosts"] in {"EPERM", "EOPNOTSUPP"}
    assert found["of_a_file_system_of_its_own"] in {"", "EPERM"}  # since Linux 6.11 the first
    assert outcomes(keeper, attempting(HANDLE))["of_a_file_system_of_its_own"] == "EPERM"


CGROUPS = """
@attempt
def kill():
    opened("/sys/fs/cgroup/cgroup.kill")
@attempt
def procs():
    opened("/sys/fs/cgroup/cgroup.procs")
@attempt
def another_hierarchy():
    checked(libc.mount(b"x", b"/tmp", b"cgroup", 0, b"memory"))
@attempt
def above():
    opened("/sys/fs/cgroup/../cgroup/../../../sys/fs/cgroup/user.slice/cgroup.procs")
"""


def test_a_cgroup_is_not_written_to(keeper: Keeper) -> None:
    """And nothing of others is seen: neither their cgroup.kill nor the release_agent of cgroup v1."""
    mount = Mount("cgroup", "/sys/fs/cgroup")
    found = outcomes(keeper, attempting(CGROUPS, mounts=(mount,)))
    assert (found["another_hierarchy"], found["above"]) == ("EPERM", "ENOENT")
    assert {found["kill"], found["procs"]} <= {"EROFS", "EACCES", "ENOENT"}
    if keeper.who.account.uid == 0:
        assert found["procs"] == "EROFS"
        writable = Mount("cgroup", "/sys/fs/cgroup", options=("rw",))
        assert outcomes(keeper, attempting(CGROUPS, mounts=(writable,)))["procs"] == ""


def test_without_a_mount_namespace_the_hosts_files_are_the_users(keeper: Keeper, folder: Folder) -> None:
    """What the root keeps out of sight, to see that it does."""
    folder.file("private", "text", 0o600)
    reading = f"cat {folder.top}/private"
    assert run(keeper, worker(reading, namespaces=Namespaces(mount=False))).out == "text"
    assert "No such file" in run(keeper, worker(f"LC_ALL=C {reading}")).err


def test_a_program_with_the_set_uid_bit(root: Who, root_folder: Folder) -> None:
    """Of another id of the sandbox: only `suid` on the mount without no_new_privs makes it work."""
    first = 100000
    program = root_folder.top / "id"
    program.write_bytes(Path("/usr/bin/id").read_bytes())
    os.chown(program, first, first)
    program.chmod(0o4755)
    ids = {"uid_map": (f"0:{first}:100",), "gid_map": (f"0:{first}:100",), "user": 7}
    open_ = Security(no_new_privs=False, seccomp="off")
    cases: tuple[tuple[tuple[Any, ...], Security, str], ...] = (
        (("suid",), open_, "0"),
        (("suid",), Security(), "7"),
        ((), open_, "7"),
    )
    with running_keeper(root) as keeper:
        for words, security, expected in cases:
            mounts = (Mount("bind", "/srv", str(root_folder.top), words),)
            ran = run(keeper, worker(["/srv/id", "-u"], mounts=mounts, security=security, **ids))
            assert (ran.failure, ran.out.strip()) == (None, expected), (words, security)
