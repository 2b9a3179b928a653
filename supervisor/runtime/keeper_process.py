"""Start a keeper: in a scope of its own under a systemd user manager, as a plain child elsewhere."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping

import supervisor

PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.abspath(supervisor.__file__)))
ENTRY = os.path.join(PACKAGE_PARENT, "supervisor", "nsinit", "__main__.py")
# What systemd-run needs to find the user manager; nothing else of the daemon's environment reaches the keeper.
PASSED_ON = ("PATH", "LANG", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")


def scope_command(environ: Mapping[str, str], uid: int, unit: str) -> list[str]:
    """Words that put a command into a delegated scope; none where no service manager is there to do it.

    A scope is outside the service's cgroup: a crash of the daemon, with any KillMode, leaves it alone.
    """
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    run = shutil.which("systemd-run", path=environ.get("PATH"))
    if run is None:
        return []
    words = [run, "--scope", "--quiet", "--collect", "--property=Delegate=yes", f"--unit={unit}"]
    if uid != 0 and os.path.exists(os.path.join(runtime, "systemd", "private")):
        return [*words, "--user"]
    if uid == 0 and "INVOCATION_ID" in environ and os.path.exists("/run/systemd/private"):
        return words
    return []


def start_keeper(
    environ: Mapping[str, str], wrapper: list[str], *, listener: int = -1, connection: int = -1, adopt_timeout_s: float
) -> "subprocess.Popen[bytes]":
    """Start it with an inherited listening or connected socket. OSError where python or the wrapper cannot be run.

    Call it from the main thread: a death signal follows the thread that forked.
    """
    command = [sys.executable, "-I", "-S", ENTRY, PACKAGE_PARENT, str(listener), str(connection), str(adopt_timeout_s)]
    return subprocess.Popen(
        [*wrapper, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[fd for fd in (listener, connection) if fd >= 0],
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
