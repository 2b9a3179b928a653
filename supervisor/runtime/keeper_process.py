"""Start a keeper: in a scope of its own under a systemd user manager, as a plain child elsewhere."""

import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence

import supervisor
from supervisor.runtime.cgroup_tree import SCOPE

PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.abspath(supervisor.__file__)))
ENTRY = os.path.join(PACKAGE_PARENT, "supervisor", "nsinit", "__main__.py")
# What systemd-run needs to find the user manager; nothing else of the daemon's environment reaches the keeper.
PASSED_ON = ("PATH", "LANG", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")


def own_service(place: str = "/proc/self/cgroup") -> str | None:
    """The service that this process belongs to, by its cgroup; None where it is in none, or in a scope."""
    with open(place, encoding="utf-8", errors="surrogateescape") as file:
        paths = [line.rstrip("\n").split(":", 2) for line in file]
    # systemd's own hierarchy: cgroup v2's, or in a hybrid set-up the one of that name.
    names = [path.rpartition("/")[2] for _, kind, path in paths if kind in {"", "name=systemd"}]
    return next((name for name in names if name.endswith(".service")), None)


def scope_unit() -> str:
    """A name that no scope has: one whose keeper has died is there as long as workers are in it.

    A daemon that re-executes itself keeps its number and loses its counts, so that they do not do.
    """
    return f"{SCOPE}{os.getpid()}-{os.urandom(4).hex()}.scope"


def scope_command(environ: Mapping[str, str], uid: int, unit: str) -> list[str]:
    """Words that put a command into a delegated scope; none where no service manager is there to do it.

    A scope is outside the service's cgroup: a crash of the daemon, with any KillMode, leaves it alone. It is ordered
    before the service, for a manager that stops both (a shutdown, the user's last logout) stops the last first: else
    workers had the scope's SIGTERM, whatever their own stop rules say.
    """
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    run = shutil.which("systemd-run", path=environ.get("PATH"))
    if run is None:
        return []
    words = [run, "--scope", "--quiet", "--collect", "--property=Delegate=yes", f"--unit={unit}"]
    service = own_service()
    if service is not None:
        words.append(f"--property=Before={service}")
    if uid != 0 and os.path.exists(os.path.join(runtime, "systemd", "private")):
        return [*words, "--user"]
    if uid == 0 and "INVOCATION_ID" in environ and os.path.exists("/run/systemd/private"):
        return words
    return []


def start_keeper(
    environ: Mapping[str, str],
    wrapper: list[str],
    *,
    listeners: Sequence[int] = (),
    connection: int = -1,
    adopt_timeout_s: float,
    lock: int = -1,
) -> "subprocess.Popen[bytes]":
    """Start it with inherited listening sockets or a connected one. OSError where python or the wrapper cannot be run.

    lock: the descriptor of a locked file, which it keeps open as long as it lives; or -1.

    Call it from the main thread: a death signal follows the thread that forked.
    """
    command = [sys.executable, "-I", "-S", ENTRY, PACKAGE_PARENT, ",".join(map(str, listeners)) or "-1"]
    command += [str(connection), str(adopt_timeout_s), *([str(lock)] if lock >= 0 else [])]
    return subprocess.Popen(
        [*wrapper, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[fd for fd in (*listeners, connection, lock) if fd >= 0],
        start_new_session=True,
        cwd="/",
        env={name: environ[name] for name in PASSED_ON if name in environ},
    )


def listen(path: str) -> socket.socket:
    """Bind the keeper's socket, 0600 from birth, over whatever a dead keeper left there."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        if os.path.lexists(path):
            os.unlink(path)
        mask = os.umask(0o177)
        try:
            listening.bind(path)
        finally:
            os.umask(mask)
        listening.listen(8)
    except OSError:
        listening.close()
        raise
    return listening


def aside(path: str, pid: int) -> str:
    """Where the socket of a keeper goes that drains: keeper-PID.sock."""
    name, extension = os.path.splitext(path)
    return f"{name}-{pid}{extension}"


def peer_pid(connection: socket.socket) -> int:
    """Who listens at the other end (SO_PEERCRED); 0 from another pid namespace."""
    return int(struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


def is_there(path: str) -> bool:
    """Whether the socket's file is, or something else in its place."""
    return os.path.lexists(path)


def connect(path: str) -> socket.socket | None:
    """Connect to a living keeper; None where there is none."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except OSError:
        connection.close()
        raise
    return connection
