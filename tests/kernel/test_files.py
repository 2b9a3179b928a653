"""Errors that name their call, and paths that stay below their root."""

import errno
import os
from pathlib import Path

import pytest

from supervisor.kernel import clone, files
from supervisor.kernel.files import open_in_root, write_attribute
from supervisor.kernel.libc import KernelError
from tests.accounts import Account
from tests.kernel.apart import apart, enter, place


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a file, and links that would lead out of it."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text("inside")
    (root / "absolute").symlink_to("/etc/passwd")
    (root / "up").symlink_to("../../../../../../etc/passwd")
    (root / "out").symlink_to(tmp_path)
    (root / "circle").symlink_to("circle")
    (root / "magic").symlink_to("/proc/self/root")
    (tmp_path / "secret").write_text("outside")
    return root


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "etc/passwd", "/absolute", "/up", "/../../etc/passwd", "//etc//passwd"]
)
def test_every_way_ends_inside(root: Path, path: str) -> None:
    top = place(str(root))
    fd = open_in_root(top, path, os.O_RDONLY)
    assert os.read(fd, 100) == b"inside"
    assert not os.get_inheritable(fd)
    os.close(fd)
    os.close(top)


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("/out/secret", errno.ENOENT),
        ("/circle", errno.ELOOP),
        ("/etc/passwd/x", errno.ENOTDIR),
        ("/magic/etc", errno.ENOENT),
    ],
)
def test_no_way_out(root: Path, path: str, number: int) -> None:
    top = place(str(root))
    with pytest.raises(KernelError) as caught:
        open_in_root(top, path, os.O_RDONLY)
    os.close(top)
    assert (caught.value.errno, caught.value.syscall, caught.value.filename) == (number, "openat2", path)


def test_magic_links_are_not_followed() -> None:
    top = place("/proc")
    with pytest.raises(KernelError) as caught:
        open_in_root(top, "/self/root/etc/passwd", os.O_RDONLY)
    os.close(top)
    assert caught.value.errno == errno.ELOOP


@pytest.mark.parametrize(
    ("call", "syscall"),
    [
        (lambda: files.open_file("/nowhere", os.O_RDONLY), "openat"),
        (lambda: files.mkdir("/nowhere/at/all"), "mkdirat"),
        (lambda: files.symlink("x", "/nowhere/at/all"), "symlinkat"),
        (lambda: files.chdir("/nowhere"), "chdir"),
        (lambda: files.execve("/nowhere", ["x"], {}), "execve"),
        (lambda: files.fchdir(99_999), "fchdir"),
        (lambda: files.fchmod(99_999, 0), "fchmod"),
        (lambda: files.write(99_999, b"x"), "write"),
    ],
)
def test_an_error_names_its_call(call: object, syscall: str) -> None:
    assert callable(call)
    with pytest.raises(KernelError) as caught:
        call()
    assert caught.value.syscall == syscall
    assert caught.value.errno in (errno.ENOENT, errno.EBADF)
    assert caught.value.strerror == os.strerror(caught.value.errno)


def test_the_working_directory_as_the_kernel_sees_it(unprivileged: Account) -> None:
    def outside() -> str:
        enter(clone.CLONE_NEWNS)
        os.chdir("/usr")
        os.chroot("/etc")
        return files.getcwd()

    assert files.getcwd() == str(Path.cwd())
    assert apart(outside, unprivileged) == "(unreachable)/usr"


def test_an_attribute_is_written_whole(tmp_path: Path) -> None:
    file = tmp_path / "attribute"
    file.write_text("")
    write_attribute(str(file), "0 1000 1\n")
    assert file.read_text() == "0 1000 1\n"
    with pytest.raises(KernelError) as caught:
        write_attribute("/dev/full", "x")
    assert (caught.value.errno, caught.value.syscall, caught.value.filename) == (errno.ENOSPC, "write", "/dev/full")


def test_below_a_directory_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/file").write_text("text")
    (tmp_path / "inner/link").symlink_to("file")
    root = os.open(tmp_path, os.O_PATH)
    slash = os.open("/", os.O_PATH)
    try:
        fd = files.open_beneath(root, "inner/file", os.O_RDONLY)
        assert os.read(fd, 10) == b"text"
        os.close(fd)
        expected = [
            (root, "inner/link", errno.ELOOP),
            (root, "../x", errno.EXDEV),
            (slash, "proc/version", errno.EXDEV),
        ]
        for directory, path, number in expected:
            with pytest.raises(KernelError) as caught:
                files.open_beneath(directory, path, os.O_RDONLY)
            assert (caught.value.errno, caught.value.syscall) == (number, "openat2")
    finally:
        os.close(root)
        os.close(slash)


def test_what_lies_on_proc(tmp_path: Path) -> None:
    for path, expected in (("/proc/version", True), (str(tmp_path), False)):
        fd = os.open(path, os.O_PATH)
        assert (files.filesystem_type(fd) == files.PROC_SUPER_MAGIC) == expected
        os.close(fd)
    with pytest.raises(KernelError) as caught:
        files.filesystem_type(-1)
    assert (caught.value.errno, caught.value.syscall) == (errno.EBADF, "fstatfs")
