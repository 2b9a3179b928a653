"""The mount API on descriptors."""

import errno
import os

import pytest

from supervisor.kernel import clone, files, mounts
from supervisor.kernel.libc import KernelError
from tests.accounts import Account
from tests.kernel.apart import apart, enter, place


def options(point: str) -> list[str]:
    with open("/proc/self/mountinfo") as file:
        return next(line.split()[5].split(",") for line in reversed(file.readlines()) if line.split()[4] == point)


def failing(call: object, account: Account) -> tuple[int | None, str, str | None]:
    assert callable(call)
    with pytest.raises(KernelError) as caught:
        apart(call, account)
    return caught.value.errno, caught.value.syscall, caught.value.filename


def test_a_new_file_system_is_attached(account: Account) -> None:
    def inside() -> tuple[list[str], int, str]:
        enter(clone.CLONE_NEWNS)
        tree = mounts.new_filesystem("tmpfs", {"mode": "711", "size": "65536"}, mounts.MOUNT_ATTR_NOEXEC)
        assert not os.get_inheritable(tree)
        mounts.attach(tree, place("/mnt"))
        blocks = os.statvfs("/mnt")
        return options("/mnt"), os.stat("/mnt").st_mode & 0o777, str(blocks.f_frsize * blocks.f_blocks)

    flags, mode, size = apart(inside, account)
    assert ({"rw", "noexec"} <= set(flags), mode, size) == (True, 0o711, "65536")


def test_what_a_file_system_says_of_its_failure(account: Account) -> None:
    def inside() -> None:
        enter(clone.CLONE_NEWNS)
        mounts.new_filesystem("tmpfs", {"size": "much"}, 0)

    with pytest.raises(KernelError) as caught:
        apart(inside, account)
    assert (caught.value.errno, caught.value.syscall) == (errno.EINVAL, "fsconfig")
    assert "size" in str(caught.value.strerror)
    assert caught.value.filename == "tmpfs size=much"


def test_attributes_of_a_copy(account: Account) -> None:
    """They are added one after the other, and only one's own may be cleared again."""

    def inside() -> tuple[list[str], list[str]]:
        enter(clone.CLONE_NEWNS)
        tree = mounts.open_tree("/usr", recursive=True)
        mounts.set_attributes(tree, mounts.MOUNT_ATTR_NOSUID, recursive=True)
        mounts.set_attributes(tree, mounts.MOUNT_ATTR_RDONLY, recursive=False)
        mounts.attach(tree, place("/mnt"))
        before = options("/mnt")
        mounts.set_attributes(tree, 0, clear=mounts.MOUNT_ATTR_RDONLY, recursive=False)
        return before, options("/mnt")

    before, after = apart(inside, account)
    assert {"ro", "nosuid"} <= set(before)
    assert {"rw", "nosuid"} <= set(after)


def test_failures_name_call_and_subject(account: Account) -> None:
    def missing() -> None:
        enter(clone.CLONE_NEWNS)
        mounts.open_tree("/nowhere", recursive=True)

    def locked() -> None:
        enter(clone.CLONE_NEWNS)
        mounts.attach(mounts.new_filesystem("tmpfs", {}, mounts.MOUNT_ATTR_RDONLY), place("/mnt"))
        enter(clone.CLONE_NEWNS)
        tree = mounts.open_tree("/mnt", recursive=False)
        mounts.set_attributes(tree, 0, clear=mounts.MOUNT_ATTR_RDONLY, recursive=False, subject="/mnt")

    def two_kinds() -> None:
        enter(clone.CLONE_NEWNS)
        mounts.attach(mounts.open_tree("/usr", recursive=True), place("/etc/passwd"), subject="/etc/passwd")

    def unknown() -> None:
        enter(clone.CLONE_NEWNS)
        mounts.new_filesystem("nofs", {}, 0)

    assert failing(missing, account) == (errno.ENOENT, "open_tree", "/nowhere")
    assert failing(locked, account) == (errno.EPERM, "mount_setattr", "/mnt")
    assert failing(two_kinds, account) == (errno.EINVAL, "move_mount", "/etc/passwd")
    assert failing(unknown, account) == (errno.ENODEV, "fsopen", "nofs")


def test_pivot(account: Account) -> None:
    """The old root is gone: nothing of it is mounted any more."""

    def inside() -> tuple[list[str], str]:
        enter(clone.CLONE_NEWNS)
        mounts.set_propagation("/", mounts.MS_REC | mounts.MS_SLAVE)
        tree = mounts.new_filesystem("tmpfs", {}, 0)
        os.mkdir("proc", dir_fd=tree)
        mounts.attach(tree, place("/mnt"))
        files.fchdir(tree)
        mounts.pivot_root_here()
        files.chdir("/")
        return os.listdir("/"), os.getcwd()

    assert apart(inside, account) == (["proc"], "/")


def test_pivot_into_what_is_no_mount(account: Account) -> None:
    def inside() -> None:
        enter(clone.CLONE_NEWNS)
        os.chdir("/usr/bin")
        mounts.pivot_root_here()

    assert failing(inside, account)[:2] == (errno.EINVAL, "pivot_root")


def test_propagation_of_what_is_not_ours(unprivileged: Account) -> None:
    def inside() -> None:
        mounts.set_propagation("/", mounts.MS_REC | mounts.MS_PRIVATE)

    assert failing(inside, unprivileged) == (errno.EPERM, "mount", "/")


def test_a_copy_of_one_file_outlives_its_file_system_s_place(account: Account) -> None:
    def inside() -> tuple[str, str, int]:
        enter(clone.CLONE_NEWNS)
        tree = mounts.new_filesystem("tmpfs", {}, 0)
        mounts.attach(tree, place("/mnt"))
        os.close(files.open_file("file", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=tree))
        copy = mounts.copy_tree(files.open_file("file", os.O_PATH, dir_fd=tree))
        with open("/mnt/file", "w") as file:
            file.write("text")
        mounts.detach(tree)
        mounts.attach(copy, place("/etc/passwd"))
        mounts.set_attributes(copy, mounts.MOUNT_ATTR_RDONLY, propagation=mounts.MS_SHARED, recursive=False)
        with open("/etc/passwd") as file, open("/proc/self/mountinfo") as table:
            shared = "shared:" in next(line for line in table if " /etc/passwd " in line)
            return file.read(), str(shared), len(os.listdir("/mnt"))

    before = len(os.listdir("/mnt"))
    assert apart(inside, account) == ("text", "True", before)
