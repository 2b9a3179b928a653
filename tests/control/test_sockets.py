import errno
import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from supervisor.control import sockets


def test_file_is_0600_from_birth_in_a_0700_directory_whatever_the_umask(socket_path: str) -> None:
    for umask in (0o000, 0o022, 0o277):
        before = os.umask(umask)
        try:
            listening = sockets.listen(socket_path)
        finally:
            os.umask(before)
        with listening:
            assert stat.S_IMODE(os.lstat(socket_path).st_mode) == 0o600
            assert not listening.get_inheritable()
        assert stat.S_IMODE(os.lstat(Path(socket_path).parent).st_mode) & 0o077 == 0
        sockets.unlink(socket_path, os.lstat(socket_path).st_ino)


def test_mode_never_exceeds_0600_between_bind_and_chmod(socket_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    chmod = os.chmod

    def spy(path: str, mode: int) -> None:
        if path == socket_path:
            seen.append(stat.S_IMODE(os.lstat(path).st_mode))
        chmod(path, mode)

    monkeypatch.setattr(os, "chmod", spy)
    before = os.umask(0)
    try:
        sockets.listen(socket_path).close()
    finally:
        os.umask(before)
    assert seen == [0o600]


def test_living_daemon_is_refused_with_its_pid(socket_path: str) -> None:
    with sockets.listen(socket_path):
        inode = os.lstat(socket_path).st_ino
        with pytest.raises(sockets.SocketTaken, match=f"^cannot listen on .*pid {os.getpid()} ") as refusal:
            sockets.listen(socket_path)
        assert refusal.value.pid == os.getpid()
        assert os.lstat(socket_path).st_ino == inode


def test_living_daemon_with_a_full_backlog_is_refused(socket_path: str) -> None:
    Path(socket_path).parent.mkdir(mode=0o700)
    clients = []
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(socket_path)
        busy.listen(0)
        for _ in range(10):
            clients.append(socket.socket(socket.AF_UNIX))
            clients[-1].setblocking(False)
            if clients[-1].connect_ex(socket_path) == errno.EAGAIN:
                break
        else:
            pytest.fail("its backlog is never full")
        with pytest.raises(sockets.SocketTaken, match="a daemon is already there"):
            sockets.listen(socket_path)
    for client in clients:
        client.close()


def test_dead_socket_is_replaced(socket_path: str) -> None:
    sockets.listen(socket_path).close()
    assert sockets.listener_pid(socket_path) is None
    with sockets.listen(socket_path):
        assert sockets.listener_pid(socket_path) == os.getpid()


def test_of_daemons_that_start_together_one_wins(socket_path: str) -> None:
    sockets.listen(socket_path).close()
    won: list[socket.socket] = []
    lost: list[sockets.SocketTaken] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        try:
            won.append(sockets.listen(socket_path))
        except sockets.SocketTaken as error:
            lost.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)
    won[0].close()


def test_what_is_no_socket_is_left_alone(socket_path: str) -> None:
    Path(socket_path).parent.mkdir()
    Path(socket_path).write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match="no socket is in the way"):
        sockets.listen(socket_path)
    assert Path(socket_path).read_text(encoding="utf-8") == "mine"


def test_a_directory_that_was_there_keeps_its_mode(socket_path: str) -> None:
    folder = Path(socket_path).parent
    folder.mkdir()
    folder.chmod(0o777)
    sockets.listen(socket_path).close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o777  # it may be /tmp; the socket itself is 0600
    assert stat.S_IMODE(Path(socket_path).stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a directory away")
def test_directory_of_somebody_else_is_refused(socket_path: str) -> None:
    folder = Path(socket_path).parent
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    with pytest.raises(PermissionError, match="belongs to uid 12345"):
        sockets.listen(socket_path)


def test_symbolic_link_as_directory_is_refused(socket_path: str, tmp_path: Path) -> None:
    Path(socket_path).parent.symlink_to(tmp_path)
    with pytest.raises(NotADirectoryError, match="not a directory"):
        sockets.listen(socket_path)


def test_path_too_long_says_what_to_set() -> None:
    with pytest.raises(OSError, match=r"at most 107 bytes .*XDG_RUNTIME_DIR"):
        sockets.listen("/tmp/" + "x" * 103)


def test_unlink_leaves_the_successors_socket(socket_path: str) -> None:
    listening = sockets.listen(socket_path)
    sockets.unlink(socket_path, os.lstat(socket_path).st_ino + 1)
    assert os.path.exists(socket_path)
    sockets.unlink(socket_path, os.lstat(socket_path).st_ino)
    assert not os.path.exists(socket_path)
    sockets.unlink(socket_path, 1)
    listening.close()
