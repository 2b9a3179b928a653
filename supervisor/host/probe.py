"""Try the host's namespaces for real, in a child process that is thrown away: one line per step, `ok` or the errno.

unshare(CLONE_NEWUSER) needs a single-threaded process, so this file is started as one (`python -I -S -c`); what it
imports is light.
"""

import errno
import os
import subprocess
import sys

from supervisor.kernel import clone, loopback, mounts, namespaces
from supervisor.kernel.files import write_attribute

NAMESPACES = (
    ("ns.mount", clone.CLONE_NEWNS),
    ("ns.uts", clone.CLONE_NEWUTS),
    ("ns.ipc", clone.CLONE_NEWIPC),
    ("ns.network", clone.CLONE_NEWNET),
    ("ns.cgroup", clone.CLONE_NEWCGROUP),
    ("ns.time", clone.CLONE_NEWTIME),
)
TIMEOUT_S = 10.0
NOT_TRIED = "not tried"


def probe() -> dict[str, str]:
    """Run the trial: phase -> "ok" or an errno's name. Steps after a failed `clone` or `id.map` are missing.

    `clone` stands for unshare of user and pid namespace, `mount.proc` for a fresh proc in both. A trial that does not
    end within 10 s answers ETIMEDOUT at `clone`.
    """
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    code = f"import sys; sys.path.insert(0, {root!r}); from supervisor.host import probe; probe.main()"
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return {"clone": "ETIMEDOUT"}
    results = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    return results or {"clone": f"no answer, exit status {done.returncode}: {done.stderr.strip()[-200:]}"}


def _said(phase: str, error: OSError | None) -> bool:
    answer = "ok" if error is None else errno.errorcode.get(error.errno or 0, str(error.errno))
    os.write(1, f"{phase} {answer}\n".encode())
    return error is None


def _attempt(phase: str, *calls: tuple[object, ...]) -> bool:
    try:
        for function, *arguments in calls:
            function(*arguments)  # type: ignore[operator]
    except OSError as error:
        return _said(phase, error)
    return _said(phase, None)


def main() -> None:
    """Run in the child: build as far as a sandbox gets before it needs a root."""
    uid, gid = os.getuid(), os.getgid()
    if not _attempt("clone", (namespaces.unshare, clone.CLONE_NEWUSER), (namespaces.unshare, clone.CLONE_NEWPID)):
        return
    if not _attempt(
        "id.map",
        (write_attribute, "/proc/self/setgroups", "deny"),
        (write_attribute, "/proc/self/gid_map", f"{gid} {gid} 1"),
        (write_attribute, "/proc/self/uid_map", f"{uid} {uid} 1"),
    ):
        return
    made = {phase: _attempt(phase, (namespaces.unshare, flag)) for phase, flag in NAMESPACES}
    if made["ns.network"]:
        _attempt("net.loopback", (loopback.loopback_up,))
    if made["ns.mount"]:
        _attempt("mount.propagation", (mounts.set_propagation, "/", mounts.MS_REC | mounts.MS_SLAVE))
        _attempt("mount.overlay", (_overlay,))
        _in_child()


def _overlay() -> None:
    """Over a tmpfs, as what is thrown away is: layers have to be mounted somewhere."""
    tree = mounts.new_filesystem("tmpfs", {"mode": "755"}, 0)
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    mounts.attach(tree, root)
    options = {"userxattr": ""}
    for name in ("lowerdir", "upperdir", "workdir"):
        os.mkdir(name, 0o755, dir_fd=tree)
        fd = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=tree)
        options[name] = f"/proc/self/fd/{fd}"
    mounts.new_filesystem("overlay", options, 0)


def _in_child() -> None:
    """The pid namespace is the next child's, and so is a proc that shows it."""
    pid = os.fork()
    if pid == 0:
        _attempt("mount.proc", (_fresh_proc,))
        os._exit(0)
    os.waitpid(pid, 0)


def _fresh_proc() -> None:
    attributes = mounts.MOUNT_ATTR_NOSUID | mounts.MOUNT_ATTR_NODEV | mounts.MOUNT_ATTR_NOEXEC
    os.close(mounts.new_filesystem("proc", {}, attributes))
