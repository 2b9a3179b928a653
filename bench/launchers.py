"""Programs that build a sandbox and run a command in it. Each says how it is found and what its sandbox has besides."""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from workload import INSIDE_FIFO, Workload

UNSHARED = ["--unshare-user", "--unshare-pid", "--unshare-uts", "--unshare-ipc"]


class Launcher:
    """user, pid, mount, uts and ipc namespaces, the root directory read-only as /, a fresh /proc."""

    name = "?"
    program = "?"
    slow = False  # takes part in some rounds only
    needs_root = False

    def __init__(self, workload: Workload, top: Path, *, net: bool) -> None:
        self.workload, self.top, self.net = workload, top, net
        self.found = shutil.which(self.program) or self.program

    def missing(self) -> str | None:
        """Why it is left out."""
        if shutil.which(self.program) is None:
            return f"{self.name}: not installed"
        if self.needs_root and os.geteuid() != 0:
            return f"{self.name}: needs root"
        return None

    def words(self, *work: str) -> list[str]:
        """The command line that runs `work` in the sandbox."""
        raise NotImplementedError

    def stamping(self, tag: str) -> list[str]:
        """The same for the workload that stamps."""
        return self.words("/stamp", INSIDE_FIFO, tag)


class Spawn(Launcher):
    name, program = "posix_spawn, no sandbox", "true"

    def words(self, *work: str) -> list[str]:
        return list(work)

    def stamping(self, tag: str) -> list[str]:
        return [self.workload.stamp, self.workload.fifo, tag]


class Floor(Launcher):
    name, program = "C floor", "true"

    def words(self, *work: str) -> list[str]:
        return [self.workload.floor, *(["--net"] if self.net else []), str(self.workload.root), *work]


class Bwrap(Launcher):
    name, program = "bwrap", "bwrap"  # besides: a PID 1 that reaps, no_new_privs
    extra: Sequence[str] = ()

    def words(self, *work: str) -> list[str]:
        net = ["--unshare-net"] if self.net else []
        return [
            *(self.found, *UNSHARED, *net, "--ro-bind", str(self.workload.root), "/"),
            *(*self.extra, "--proc", "/proc", *work),
        ]


class BwrapDev(Bwrap):
    name = "bwrap + /dev"
    extra = ("--dev", "/dev")


class Unshare(Launcher):
    name, program = "unshare(1)", "unshare"  # its root is writable; chroot in place of pivot_root; lo is down

    def words(self, *work: str) -> list[str]:
        net = ["--net"] if self.net else []
        options = ["--user", "--map-root-user", "--pid", "--fork", "--mount", "--uts", "--ipc", *net]
        return [self.found, *options, f"--root={self.workload.root}", "--mount-proc", *work]


class Nsjail(Launcher):
    name, program = "nsjail", "nsjail"  # without seccomp and limits

    def words(self, *work: str) -> list[str]:
        options = ["-Mo", "-Q", "--chroot", str(self.workload.root), "--user", "0", "--group", "0", "--nice_level", "0"]
        net = [] if self.net else ["-N"]
        return [self.found, *options, "--disable_clone_newcgroup", "--disable_rlimits", *net, "--", *work]


class _Oci(Launcher):
    """Besides: device nodes, a state directory. The bundle is written before the time runs."""

    slow = True
    options: Sequence[str] = ()
    count = 0

    def words(self, *work: str) -> list[str]:
        bundle = Path(tempfile.mkdtemp(prefix=f"{self.program}-", dir=self.top))
        (bundle / "config.json").write_text(json.dumps(self._config(work)))
        state = self.top / f"{self.program}.state"
        state.mkdir(mode=0o700, exist_ok=True)
        _Oci.count += 1
        name = f"bench-{os.getpid()}-{_Oci.count}-@N"
        return [
            self.found,
            *self.options,
            "--root",
            str(state),
            "run",
            "--no-new-keyring",
            "--bundle",
            str(bundle),
            name,
        ]

    def stamping(self, tag: str) -> list[str]:
        return [word.replace("@N", "0") for word in super().stamping(tag)]

    def _config(self, work: Sequence[str]) -> dict[str, object]:
        kinds = ["pid", "mount", "uts", "ipc", "user", *(["network"] if self.net else [])]
        return {
            "ociVersion": "1.0.2",
            "process": {
                "terminal": False,
                "user": {"uid": 0, "gid": 0},
                "args": list(work),
                "env": ["PATH=/"],
                "cwd": "/",
                "noNewPrivileges": True,
            },
            "root": {"path": str(self.workload.root), "readonly": True},
            "hostname": "bench",
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {
                "namespaces": [{"type": kind} for kind in kinds],
                "uidMappings": [{"containerID": 0, "hostID": os.getuid(), "size": 1}],
                "gidMappings": [{"containerID": 0, "hostID": os.getgid(), "size": 1}],
            },
        }


class Crun(_Oci):
    name, program = "crun", "crun"
    options = ("--cgroup-manager=disabled",)


class Runc(_Oci):
    name, program = "runc", "runc"


class Nspawn(Launcher):
    name, program, slow, needs_root = "systemd-nspawn", "systemd-nspawn", True, True  # besides: /dev, /sys, /run, /tmp

    def words(self, *work: str) -> list[str]:
        quiet = ["--quiet", "--register=no", "--keep-unit", "--console=pipe", "--resolv-conf=off", "--timezone=off"]
        net = ["--private-network"] if self.net else []
        place = ["-D", str(self.workload.root), "--read-only", "--private-users=identity", "--link-journal=no"]
        return [self.found, *place, *quiet, *net, f"--machine=bench{os.getpid()}", *work]


class Podman(Launcher):
    name, program, slow = "podman", "podman", True  # besides: conmon, a database, a cgroup namespace, 20 mounts

    def words(self, *work: str) -> list[str]:
        net = f"--network={'none' if self.net else 'host'}"
        options = ["--rm", net, "--cgroups=disabled", "--log-driver=none", "--read-only", "--read-only-tmpfs=false"]
        return [self.found, "run", *options, "--rootfs", str(self.workload.root), *work]


LAUNCHERS = [Spawn, Floor, Bwrap, BwrapDev, Unshare, Nsjail, Crun, Runc, Nspawn, Podman]


class BwrapDefault(Bwrap):
    """What a worker that names only a command gets: view of the host, /dev, /tmp, only loopback, seccomp."""

    name = "bwrap, the same mounts and filter"

    def __init__(self, workload: Workload, top: Path, *, seccomp: Path) -> None:
        super().__init__(workload, top, net=True)
        self.filter = os.open(seccomp, os.O_RDONLY)  # inherited; each launch reads it from its beginning
        os.set_inheritable(self.filter, True)

    def words(self, *work: str) -> list[str]:
        os.lseek(self.filter, 0, os.SEEK_SET)
        mounts = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]
        bench = ["--ro-bind", str(self.workload.shared), "/tmp/bench"]
        rest = ["--unshare-net", "--unshare-cgroup-try", "--cap-drop", "ALL", "--new-session"]
        return [self.found, *UNSHARED, *rest, *mounts, *bench, "--seccomp", str(self.filter), *work]

    def stamping(self, tag: str) -> list[str]:
        return self.words("/tmp/bench/stamp", "/tmp/bench/fifo", tag)
