"""Provoke, in namespaces of its own, the errors that the hint table explains.

Run as a program by an ordinary user it prints `PHASE ERRNO-EXPECTED ERRNO-SEEN` per provocation, each in a child.
"""

import ctypes
import errno
import os
import shutil
import struct
import sys
import tempfile
import traceback
from collections.abc import Callable

from supervisor.kernel import (
    clone,
    files,
    landlock,
    loopback,
    mounts,
    namespaces,
    process,
    scheduling,
    seccomp,
    setns,
)
from supervisor.kernel.libc import checked, libc
from supervisor.kernel.rlimits import set_limit
from supervisor.sandbox.hint_table import TABLE

Case = tuple[str, str, Callable[[], object]]
CASES: list[Case] = []
UID, GID = os.getuid(), os.getgid()
NOWHERE = "/nonexistent/place"


def provokes(phase: str, name: str) -> Callable[[Callable[[], object]], Callable[[], object]]:
    def register(function: Callable[[], object]) -> Callable[[], object]:
        CASES.append((phase, name, function))
        return function

    return register


def enter(flags: int = 0, inside: int = 0) -> None:
    """A user namespace with one id, and what flags ask for beside it."""
    uid, gid = os.geteuid(), os.getegid()
    namespaces.unshare(clone.CLONE_NEWUSER | flags)
    files.write_attribute("/proc/self/setgroups", "deny")
    files.write_attribute("/proc/self/gid_map", f"{inside} {gid} 1")
    files.write_attribute("/proc/self/uid_map", f"{inside} {uid} 1")


def place(path: str) -> int:
    return files.open_file(path, os.O_PATH | os.O_CLOEXEC)


def tmpfs_on(path: str, attributes: int = 0) -> None:
    tree = mounts.new_filesystem("tmpfs", {}, attributes)
    mounts.attach(tree, place(path))


def script(text: str, mode: int = 0o755) -> str:
    fd, path = tempfile.mkstemp(dir=os.environ["SCRATCH"])
    os.write(fd, text.encode())
    os.fchmod(fd, mode)
    os.close(fd)
    return path


def execute(path: str) -> None:
    files.execve(path, [path], {})


@provokes("ns.join", "EINVAL")
def join_wrong_kind() -> None:
    setns.setns(os.open("/proc/self/ns/uts", os.O_RDONLY), clone.CLONE_NEWNET)


@provokes("ns.join", "EINVAL")
def join_own_user_namespace() -> None:
    enter()
    setns.setns(os.open("/proc/self/ns/user", os.O_RDONLY), clone.CLONE_NEWUSER)


@provokes("ns.join", "EPERM")
def join_after_own_user_namespace() -> None:
    uts = os.open("/proc/self/ns/uts", os.O_RDONLY)
    enter()
    setns.setns(uts, clone.CLONE_NEWUTS)


@provokes("ns.join", "ENOENT")
def join_of_the_dead() -> None:
    files.open_file("/proc/4194304/ns/net", os.O_RDONLY)


@provokes("clone", "ENOSPC")
def clone_over_quota() -> None:
    enter()
    files.write_attribute("/proc/sys/user/max_user_namespaces", "0")
    clone.clone(clone.CLONE_NEWUSER)


@provokes("clone", "ENOSPC")
def clone_nested_too_deep() -> None:
    for _ in range(40):
        enter()


@provokes("clone", "EPERM")
def clone_in_a_chroot() -> None:
    enter(clone.CLONE_NEWNS)
    os.chroot("/usr")
    clone.clone(clone.CLONE_NEWUSER | clone.CLONE_NEWPID)


def no_more_processes() -> None:
    checked(libc.setrlimit(6, (ctypes.c_ulong * 2)(0, 0)), "setrlimit")  # RLIMIT_NPROC


@provokes("clone", "EAGAIN")
def clone_over_nproc() -> None:
    no_more_processes()
    clone.clone(clone.CLONE_NEWUSER | clone.CLONE_NEWPID)


@provokes("id.map", "EPERM")
def gid_map_before_setgroups_deny() -> None:
    namespaces.unshare(clone.CLONE_NEWUSER)
    files.write_attribute("/proc/self/gid_map", f"0 {GID} 1")


@provokes("id.map", "EPERM")
def map_of_a_range() -> None:
    namespaces.unshare(clone.CLONE_NEWUSER)
    files.write_attribute("/proc/self/uid_map", f"0 {UID} 2")


@provokes("id.map", "EACCES")
def map_of_a_process_that_is_not_dumpable() -> None:
    namespaces.unshare(clone.CLONE_NEWUSER)
    process.prctl(process.PR_SET_DUMPABLE, 0)
    files.write_attribute("/proc/self/uid_map", f"0 {UID} 1")


@provokes("id.map", "EINVAL")
def map_that_overlaps() -> None:
    namespaces.unshare(clone.CLONE_NEWUSER)
    files.write_attribute("/proc/self/uid_map", f"0 {UID} 1\n0 {UID} 1")


@provokes("id.root", "EINVAL")
def root_not_mapped() -> None:
    enter(inside=UID)
    files.setresuid(0, 0, 0)


def over_quota_of(kind: str, flag: int) -> Callable[[], None]:
    def over_quota() -> None:
        enter()
        files.write_attribute(f"/proc/sys/user/max_{kind}_namespaces", "0")
        namespaces.unshare(flag)

    return over_quota


def without_rights(flag: int) -> Callable[[], None]:
    return lambda: namespaces.unshare(flag)


for _phase, _kind, _flag in (
    ("ns.mount", "mnt", clone.CLONE_NEWNS),
    ("ns.uts", "uts", clone.CLONE_NEWUTS),
    ("ns.ipc", "ipc", clone.CLONE_NEWIPC),
    ("ns.network", "net", clone.CLONE_NEWNET),
    ("ns.cgroup", "cgroup", clone.CLONE_NEWCGROUP),
    ("ns.time", "time", clone.CLONE_NEWTIME),
):
    provokes(_phase, "ENOSPC")(over_quota_of(_kind, _flag))
    provokes(_phase, "EPERM")(without_rights(_flag))


@provokes("time.offsets", "EACCES")
def offsets_after_the_first_child() -> None:
    enter(clone.CLONE_NEWTIME)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    files.write_attribute("/proc/self/timens_offsets", "monotonic 5 0")


@provokes("time.offsets", "ERANGE")
def offset_that_turns_the_clock_negative() -> None:
    enter(clone.CLONE_NEWTIME)
    files.write_attribute("/proc/self/timens_offsets", "monotonic -999999999 0")


@provokes("net.loopback", "EPERM")
def loopback_of_the_host() -> None:
    enter()
    loopback.loopback_up()


@provokes("uts.hostname", "EINVAL")
def hostname_too_long() -> None:
    enter(clone.CLONE_NEWUTS)
    namespaces.sethostname("x" * 65)


@provokes("uts.hostname", "EPERM")
def hostname_of_the_host() -> None:
    enter()
    namespaces.sethostname("box")


@provokes("uts.domainname", "EINVAL")
def domainname_too_long() -> None:
    enter(clone.CLONE_NEWUTS)
    namespaces.setdomainname("x" * 65)


@provokes("uts.domainname", "EPERM")
def domainname_of_the_host() -> None:
    enter()
    namespaces.setdomainname("box")


@provokes("mount.propagation", "EINVAL")
def propagation_in_a_chroot() -> None:
    enter(clone.CLONE_NEWNS)
    os.chroot("/usr")
    mounts.set_propagation("/", mounts.MS_REC | mounts.MS_SLAVE)


@provokes("mount.propagation", "EPERM")
def propagation_of_the_host() -> None:
    mounts.set_propagation("/", mounts.MS_REC | mounts.MS_SLAVE)


def tree_of(path: str, *, recursive: bool = True) -> Callable[[], None]:
    def open_it() -> None:
        enter(clone.CLONE_NEWNS)
        mounts.open_tree(path, recursive=recursive)

    return open_it


for _phase in ("rootfs.prepare", "mount.bind"):
    provokes(_phase, "ENOENT")(tree_of(NOWHERE))
    provokes(_phase, "EINVAL")(tree_of("/", recursive=False))


@provokes("rootfs.prepare", "ENOTDIR")
def root_below_a_file() -> None:
    enter(clone.CLONE_NEWNS)
    mounts.open_tree("/etc/passwd/root", recursive=True)


@provokes("rootfs.prepare", "EACCES")
def root_behind_a_closed_door() -> None:
    tree_of("/root/closed")()  # not ours, and no mapped id's: capabilities do not reach it


@provokes("mount.bind", "EPERM")
def bind_that_clears_an_inherited_restriction() -> None:
    enter(clone.CLONE_NEWNS)
    tmpfs_on("/mnt", mounts.MOUNT_ATTR_RDONLY)
    enter(clone.CLONE_NEWNS)
    tree = mounts.open_tree("/mnt", recursive=True)
    mounts.set_attributes(tree, 0, clear=mounts.MOUNT_ATTR_RDONLY, recursive=False)


@provokes("mount.bind", "EROFS")
def mount_point_on_a_read_only_root() -> None:
    enter(clone.CLONE_NEWNS)
    tmpfs_on("/mnt", mounts.MOUNT_ATTR_RDONLY)
    files.mkdir("/mnt/new")


@provokes("mount.bind", "EINVAL")
def directory_bound_over_a_file() -> None:
    enter(clone.CLONE_NEWNS)
    mounts.attach(mounts.open_tree("/usr/bin", recursive=True), place("/etc/passwd"))


@provokes("mount.bind", "ELOOP")
def target_link_in_a_circle() -> None:
    links = os.path.join(os.environ["SCRATCH"], "links")
    os.mkdir(links)
    os.symlink("b", os.path.join(links, "a"))
    os.symlink("a", os.path.join(links, "b"))
    files.open_in_root(place(links), "/a", os.O_RDONLY)


@provokes("mount.tmpfs", "EINVAL")
def tmpfs_of_an_impossible_size() -> None:
    enter(clone.CLONE_NEWNS)
    mounts.new_filesystem("tmpfs", {"size": "much"}, 0)


@provokes("mount.tmpfs", "EPERM")
def tmpfs_without_rights() -> None:
    mounts.new_filesystem("tmpfs", {}, 0)


@provokes("mount.dev", "EINVAL")
def devpts_with_an_unmapped_group() -> None:
    enter(clone.CLONE_NEWNS)
    mounts.new_filesystem("devpts", {"gid": "5"}, 0)


@provokes("mount.proc", "EPERM")
def proc_of_the_hosts_pid_namespace() -> None:
    enter(clone.CLONE_NEWNS)
    mounts.new_filesystem("proc", {}, 0)


@provokes("mount.proc", "EPERM")
def proc_while_the_hosts_is_covered() -> None:
    enter(clone.CLONE_NEWNS)
    mounts.attach(mounts.open_tree("/dev/null", recursive=False), place("/proc/version"))
    enter(clone.CLONE_NEWNS | clone.CLONE_NEWPID)
    in_child(lambda: mounts.new_filesystem("proc", {}, 0))


@provokes("root.pivot", "EINVAL")
def pivot_into_what_is_no_mount() -> None:
    enter(clone.CLONE_NEWNS)
    os.chdir("/usr")
    mounts.pivot_root_here()


@provokes("init.fork", "ENOMEM")
def fork_into_a_dead_pid_namespace() -> None:
    enter(clone.CLONE_NEWPID)
    in_child(lambda: None)
    files.fork()


@provokes("init.fork", "EAGAIN")
def fork_over_nproc() -> None:
    no_more_processes()
    files.fork()


@provokes("session.new", "EPERM")
def session_of_a_leader() -> None:
    os.setsid()
    files.setsid()


@provokes("cwd.enter", "ENOENT")
def directory_missing() -> None:
    files.chdir(NOWHERE)


@provokes("cwd.enter", "ENOTDIR")
def directory_is_a_file() -> None:
    files.chdir("/etc/passwd")


@provokes("limit.rlimit", "EPERM")
def limit_over_the_hard_one() -> None:
    set_limit("nofile", "20")
    set_limit("nofile", "21")


@provokes("cap.bound", "EPERM")
def bounding_set_without_rights() -> None:
    process.prctl(process.PR_CAPBSET_DROP, 0)


@provokes("cap.bound", "EINVAL")
def bounding_set_of_the_unknown() -> None:
    enter()
    process.prctl(process.PR_CAPBSET_DROP, 63)


@provokes("id.user", "EINVAL")
def user_not_mapped() -> None:
    enter()
    files.setresuid(12345, 12345, 12345)


@provokes("id.user", "EPERM")
def groups_after_deny() -> None:
    enter()
    files.setgroups([])


@provokes("cap.drop", "EPERM")
def capability_out_of_nothing() -> None:
    process.capset(1, 1, 0)


@provokes("cap.drop", "EINVAL")
def ambient_of_the_unknown() -> None:
    process.prctl(process.PR_CAP_AMBIENT, process.PR_CAP_AMBIENT_RAISE, 63)


@provokes("lock.no_new_privs", "EINVAL")
def no_new_privileges_with_garbage() -> None:
    process.prctl(process.PR_SET_NO_NEW_PRIVS, 2)


@provokes("exec", "ENOENT")
def command_missing() -> None:
    execute(NOWHERE)


@provokes("exec", "ENOENT")
def interpreter_missing() -> None:
    execute(script(f"#!{NOWHERE}\n"))


@provokes("exec", "EACCES")
def command_not_executable() -> None:
    execute(script("#!/bin/sh\n", 0o644))


@provokes("exec", "EACCES")
def command_on_a_noexec_mount() -> None:
    enter(clone.CLONE_NEWNS)
    tmpfs_on("/mnt", mounts.MOUNT_ATTR_NOEXEC)
    execute(shutil.copy("/bin/true", "/mnt/true"))


@provokes("exec", "ENOEXEC")
def command_without_a_format() -> None:
    execute(script("hello\n"))


@provokes("exec", "ENOTDIR")
def command_below_a_file() -> None:
    execute("/etc/passwd/true")


@provokes("exec", "E2BIG")
def argument_too_long() -> None:
    files.execve("/bin/true", ["true", "x" * 200_000], {})


@provokes("exec", "ETXTBSY")
def command_open_for_writing() -> None:
    path = script("#!/bin/sh\n")
    with open(path, "ab"):
        execute(path)


@provokes("mount.sysfs", "EPERM")
def sysfs_without_its_network() -> None:
    enter(clone.CLONE_NEWNS)
    mounts.new_filesystem("sysfs", {}, 0)


@provokes("mount.mqueue", "EPERM")
def mqueue_without_its_ipc() -> None:
    enter(clone.CLONE_NEWNS)
    mounts.new_filesystem("mqueue", {}, 0)


@provokes("mount.cgroup", "EINVAL")
def cgroup_on_a_file() -> None:
    enter(clone.CLONE_NEWNS | clone.CLONE_NEWCGROUP)
    mounts.attach(mounts.new_filesystem("cgroup2", {}, 0), place("/etc/passwd"))


@provokes("mount.file", "EEXIST")
def link_over_a_file() -> None:
    files.symlink("text", script(""))


def setting(name: str, value: str) -> None:
    fd = files.open_beneath(os.open("/proc", os.O_PATH), f"sys/{name}", os.O_WRONLY)
    files.write(fd, value.encode())


@provokes("sysctl.set", "EACCES")
def setting_of_ipc_without_the_id_0() -> None:
    enter(clone.CLONE_NEWIPC, inside=5)
    setting("kernel/shmmni", "1")


@provokes("sysctl.set", "EINVAL")
def setting_of_no_number() -> None:
    enter(clone.CLONE_NEWNET)
    setting("net/ipv4/ip_forward", "x")


@provokes("sysctl.set", "ENOENT")
def setting_of_the_host_alone() -> None:
    enter(clone.CLONE_NEWNET)
    setting("net/core/netdev_max_backlog", "1")


@provokes("sysctl.set", "EISDIR")
def setting_of_a_group() -> None:
    enter(clone.CLONE_NEWNET)
    setting("net/ipv4", "1")


@provokes("mount.mask", "EPERM")
def cover_in_the_host_s_mount_namespace() -> None:
    mounts.copy_tree(place("/proc/keys"))


@provokes("clone", "ENOMEM")
def clone_in_a_dead_pid_namespace() -> None:
    enter(clone.CLONE_NEWPID)
    in_child(lambda: None)
    clone.clone(clone.CLONE_NEWUSER)


@provokes("ns.join", "EACCES")
def join_of_another_user_s() -> None:
    files.open_file("/proc/1/ns/net", os.O_RDONLY)


@provokes("id.root", "EPERM")
def root_without_rights() -> None:
    files.setresuid(0, 0, 0)


@provokes("session.new", "ENOSPC")
def terminals_all_taken() -> None:
    enter(clone.CLONE_NEWNS)
    tree = mounts.new_filesystem("devpts", {"max": "1", "ptmxmode": "0666"}, 0)
    for _ in range(2):
        files.open_beneath(tree, "ptmx", os.O_RDWR)


@provokes("session.new", "ENOENT")
def no_terminals() -> None:
    enter(clone.CLONE_NEWNS)
    files.open_beneath(mounts.new_filesystem("tmpfs", {}, 0), "ptmx", os.O_RDWR)


@provokes("cwd.enter", "EACCES")
def directory_closed() -> None:
    files.chdir("/root")


@provokes("limit.rlimit", "EINVAL")
def limit_over_its_own_hard_one() -> None:
    checked(libc.setrlimit(7, (ctypes.c_ulong * 2)(20, 10)), "setrlimit")  # RLIMIT_NOFILE


@provokes("limit.sched", "EPERM")
def policy_of_real_time() -> None:
    scheduling.set_scheduler(0, 1, 1)  # SCHED_FIFO


@provokes("limit.sched", "EINVAL")
def processors_that_are_not_there() -> None:
    os.sched_setaffinity(0, {1023})


@provokes("userns.seal", "EACCES")
def quota_without_rights() -> None:
    setting("user/max_user_namespaces", "0")


@provokes("sysctl.set", "ELOOP")
def setting_behind_a_link() -> None:
    files.open_beneath(os.open("/proc", os.O_PATH), "self/sys", os.O_WRONLY)


@provokes("sysctl.set", "EROFS")
def setting_on_a_read_only_proc() -> None:
    enter(clone.CLONE_NEWNS | clone.CLONE_NEWNET)
    tree = mounts.open_tree("/proc/sys", recursive=True)
    mounts.set_attributes(tree, mounts.MOUNT_ATTR_RDONLY, recursive=False)
    files.open_beneath(tree, "net/ipv4/ip_forward", os.O_WRONLY)


@provokes("lock.landlock", "EPERM")
def landlock_without_no_new_privileges() -> None:
    landlock.restrict_self(landlock.create_ruleset(1, 0, 0))


@provokes("lock.landlock", "E2BIG")
def landlock_upon_landlock() -> None:
    process.prctl(process.PR_SET_NO_NEW_PRIVS, 1)
    ruleset = landlock.create_ruleset(1, 0, 0)
    for _ in range(17):
        landlock.restrict_self(ruleset)


@provokes("lock.seccomp", "EACCES")
def filter_without_no_new_privileges() -> None:
    seccomp.install_filter(struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000), 0)


@provokes("lock.seccomp", "EINVAL")
def filter_that_is_none() -> None:
    process.prctl(process.PR_SET_NO_NEW_PRIVS, 1)
    seccomp.install_filter(struct.pack("=HBBI", 0xFFFF, 0, 0, 0), 0)


@provokes("lock.seccomp", "ENOMEM")
def filters_without_end() -> None:
    process.prctl(process.PR_SET_NO_NEW_PRIVS, 1)
    program = struct.pack("=HBBI", 0x20, 0, 0, 0) * 4095 + struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000)
    for _ in range(10):
        seccomp.install_filter(program, 0)


@provokes("exec", "ELOOP")
def command_link_in_a_circle() -> None:
    link = os.path.join(os.environ["SCRATCH"], "round")
    os.symlink("round", link)
    execute(link)


def full_tmpfs(options: dict[str, str]) -> int:
    enter(clone.CLONE_NEWNS)
    return mounts.new_filesystem("tmpfs", options, 0)


def circle() -> int:
    """A directory with /a, which leads to itself."""
    directory = tempfile.mkdtemp(dir=os.environ["SCRATCH"])
    os.symlink("a", os.path.join(directory, "a"))
    return place(directory)


def mount_point_in_a_circle() -> None:
    files.open_in_root(circle(), "/a", os.O_PATH)


def mount_point_below_a_file() -> None:
    files.open_in_root(place("/"), "/etc/passwd/below", os.O_PATH)


def mount_point_where_a_link_is() -> None:
    os.mkdir(f"/proc/self/fd/{circle()}/a")


def mount_without_rights() -> None:
    mounts.open_tree("/etc", recursive=True)


def mount_point_without_room() -> None:
    tree = full_tmpfs({"nr_inodes": "1"})
    os.mkdir(f"/proc/self/fd/{tree}/new")


def source_behind_a_closed_door() -> None:
    enter(clone.CLONE_NEWNS)
    mounts.open_tree("/root/closed", recursive=True)


def directory_over_a_file() -> None:
    enter(clone.CLONE_NEWNS)
    mounts.attach(mounts.new_filesystem("tmpfs", {}, 0), place("/etc/passwd"))


TARGETS = ["dev", "proc", "sysfs", "cgroup", "mqueue", "devpts", "bind", "tmpfs", "overlay", "file", "secret"]
for _phase, _names in (
    *((f"mount.{kind}", "ELOOP ENOTDIR EEXIST EROFS ENOSPC EPERM") for kind in TARGETS),
    ("rootfs.prepare", "ELOOP EPERM ENOSPC"),
    ("mount.mask", "ELOOP"),
    ("mount.overlay", "EACCES"),
    ("mount.bind", "EACCES"),
    ("mount.file", "EACCES EINVAL"),
    ("mount.secret", "EACCES EINVAL"),
    ("lock.landlock", "EACCES ENOTDIR"),
):
    for _name in _names.split():
        if _name in TABLE[_phase] and (_phase, _name) not in {(phase, name) for phase, name, _ in CASES}:
            provokes(_phase, _name)(
                {
                    "ELOOP": mount_point_in_a_circle,
                    "ENOTDIR": mount_point_below_a_file,
                    "EEXIST": mount_point_where_a_link_is,
                    "EROFS": mount_point_on_a_read_only_root,
                    "ENOSPC": mount_point_without_room,
                    "EPERM": mount_without_rights,
                    "EACCES": source_behind_a_closed_door,
                    "EINVAL": directory_over_a_file,
                }[_name]
            )


def in_child(call: Callable[[], object]) -> None:
    """Run in a forked child and pass its OSError on."""
    pid = os.fork()
    if pid == 0:
        os._exit(_errno_of(call))
    number = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if number:
        raise OSError(number, os.strerror(number))


def _errno_of(call: Callable[[], object]) -> int:
    try:
        call()
    except OSError as error:
        return error.errno or 0
    except BaseException:  # noqa: BLE001 - a broken provocation must not run on as a second harness
        traceback.print_exc()
        return 255
    return 0


def main() -> None:
    os.environ["SCRATCH"] = tempfile.mkdtemp()
    for phase, expected, case in CASES:
        seen = "none"
        try:
            in_child(case)
        except OSError as error:
            seen = errno.errorcode.get(error.errno or 0, str(error.errno))
        sys.stdout.write(f"{phase} {expected} {seen}\n")
    shutil.rmtree(os.environ["SCRATCH"])


if __name__ == "__main__":
    main()
