"""The control socket's file: made private from birth, never taken from a living daemon."""

import contextlib
import errno
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Iterator

BACKLOG = 64
MAX_PATH_BYTES = 107  # sun_path of unix(7), less its final zero
PEER_CREDENTIALS = struct.Struct("iII")  # struct ucred: pid, uid, gid


class SocketTaken(Exception):  # noqa: N818 the name says what happened
    """A living process listens there."""

    def __init__(self, path: str, pid: int | None) -> None:
        """`pid` is the listener's, where the kernel tells."""
        self.path = path
        self.pid = pid
        who = "a daemon is" if pid is None else f"a daemon with pid {pid} is"
        super().__init__(f"cannot listen on {path}: {who} already there")


def listen(path: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """Listen on a unix socket, mode 0600 in a directory of mode 0700.

    A socket that nobody listens on any more is replaced. Raises SocketTaken; OSError with a message that says what is
    wrong with the path.
    """
    directory = os.path.dirname(path)
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise OSError(
            errno.ENAMETOOLONG,
            f"cannot listen on {path}: a socket's path has at most {MAX_PATH_BYTES} bytes (set XDG_RUNTIME_DIR)",
        )
    _private_directory(directory)
    # Two daemons that start together must not both find a dead socket and both replace it.
    with _locked(directory):
        _refuse_living(path, kind)
        return _bind(path, kind)


def inherited(fd: int, path: str) -> socket.socket | None:
    """A socket that listens on this path already; None where the descriptor is something else, and closed."""
    try:
        listening = socket.socket(fileno=fd)
    except OSError:
        os.close(fd)
        return None
    listens = listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if listens and listening.getsockname() == os.path.abspath(path):
        listening.setblocking(False)
        return listening
    listening.close()
    return None


def unlink(path: str, inode: int) -> None:
    """Remove the socket's file, unless another has taken its place."""
    with contextlib.suppress(FileNotFoundError):
        if os.lstat(path).st_ino == inode:
            os.unlink(path)


def listener_pid(path: str, kind: int = socket.SOCK_STREAM) -> int | None:
    """The pid of the process that listens there; None when nobody does. Raises OSError if it cannot be known."""
    with socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:
            return 0  # alive, its backlog is full
        except (ConnectionRefusedError, FileNotFoundError):
            return None
        return peer_pid(probe)


def peer_pid(connected: socket.socket) -> int:
    """Who called listen(2) (or connect(2)) at the other end; 0 from another pid namespace."""
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER_CREDENTIALS.size)
    pid: int = PEER_CREDENTIALS.unpack(raw)[0]
    return pid


def peer_uid(connected: socket.socket) -> int:
    """The uid of the process that connected, or listens."""
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER_CREDENTIALS.size)
    uid: int = PEER_CREDENTIALS.unpack(raw)[1]
    return uid


def _private_directory(directory: str) -> None:
    made = not os.path.lexists(directory)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, f"cannot use {directory}: it is not a directory")
    if found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, f"cannot use {directory}: it belongs to uid {found.st_uid}")
    if made and found.st_mode & 0o077:  # one that was there is not ours to close; the socket itself is 0600
        os.chmod(directory, 0o700)


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _refuse_living(path: str, kind: int) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, f"cannot listen on {path}: a file that is no socket is in the way")
    pid = listener_pid(path, kind)
    if pid is not None:
        raise SocketTaken(path, pid or None)


def _bind(path: str, kind: int) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listening = socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC)
    try:
        # bind(2) gives the file the descriptor's mode, less the umask: never for an instant more than 0600.
        os.fchmod(listening.fileno(), 0o600)
        listening.bind(path)
        os.chmod(path, 0o600)  # whatever the umask took from the owner
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening
