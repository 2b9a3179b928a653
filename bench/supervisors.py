"""Programs that keep workers alive. Each says how it is found; the workers' commands are given to it."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from daemon import NSVISOR, checked
from processes import command, descendants, end_tree, pss_bytes
from workload import INSIDE_FIFO, Workload

LEFT_OUT = ("PYTHONPATH", "NOTIFY_SOCKET", "WATCHDOG_USEC", "NSVISOR_CONFIG", "NSVISOR_SOCKET")

Work = Callable[[str], list[str]]  # the workload's words after the FIFO, for the worker with this number


def bwrap_words(workload: Workload) -> list[str]:
    """The sandbox of those that have none, which dies with who started it."""
    spaces = ["--unshare-user", "--unshare-pid", "--unshare-uts", "--unshare-ipc"]
    program = shutil.which("bwrap") or "bwrap"
    return [program, *spaces, "--die-with-parent", "--ro-bind", str(workload.root), "/", "--proc", "/proc"]


class Supervisor:
    """`count` workers, each running the workload with what `work` says of its number."""

    name = "?"
    program = "?"
    most = 1_000_000  # workers

    def __init__(self, workload: Workload, top: Path, count: int, work: Work, *, bwrap: bool) -> None:
        self.workload, self.top, self.count, self.work, self.bwrap = workload, top, count, work, bwrap
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def missing(cls, *, bwrap: bool) -> str | None:
        """Why it is left out."""
        if cls.found() is None:
            return f"{cls.name}: not installed"
        return f"{cls.name} + bwrap: bwrap is not installed" if bwrap and shutil.which("bwrap") is None else None

    @classmethod
    def found(cls) -> str | None:
        return shutil.which(cls.program)

    def worker(self, number: str) -> list[str]:
        """The command line of a worker."""
        if self.bwrap:
            return [*bwrap_words(self.workload), "/stamp", INSIDE_FIFO, *self.work(number)]
        return [self.workload.stamp, self.workload.fifo, *self.work(number)]

    def prepare(self) -> None:
        """Write what it reads."""

    def words(self) -> Sequence[str]:
        raise NotImplementedError

    def start(self) -> float:
        """Start it. time.monotonic() right before."""
        environ = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
        log = (self.top / "output").open("wb")
        before = time.monotonic()
        self.process = subprocess.Popen(self.words(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ)
        log.close()
        return before

    def memory_bytes(self) -> int | None:
        """PSS of all that is not the workload. None: only root may look at some of it."""
        assert self.process is not None
        pids = [self.process.pid, *descendants(self.process.pid)]
        found = [pss_bytes(pid) for pid in pids if command(pid) != "stamp"]
        return None if None in found else sum(one or 0 for one in found)

    def end(self) -> None:
        """End everything, by force."""
        if self.process is not None:
            end_tree(self.process.pid)
            self.process.returncode = 0  # it is reaped


class Loop(Supervisor):
    """wait() and clone3: no log, no control, no configuration."""

    name, program = "C loop", "true"

    def words(self) -> Sequence[str]:
        options = ["--keep", str(self.count)]
        if self.bwrap:  # the floor's own sandbox
            return [self.workload.floor, *options, str(self.workload.root), "/stamp", INSIDE_FIFO, *self.work("@N")]
        return [
            self.workload.floor,
            "--plain",
            *options,
            "/",
            self.workload.stamp,
            self.workload.fifo,
            *self.work("@N"),
        ]


class _Scanned(Supervisor):
    """A directory for each worker, with an executable `run`."""

    def prepare(self) -> None:
        for number in range(self.count):
            place = self.top / "scan" / f"w{number}"
            place.mkdir(parents=True)
            self.fill(place, " ".join(self.worker(str(number))))

    def fill(self, place: Path, words: str) -> None:
        script(place / "run", f"exec {words}\n")


def script(file: Path, text: str) -> None:
    file.write_text(f"#!/bin/sh\n{text}")
    file.chmod(0o755)


class Runit(_Scanned):
    name, program, most = "runit", "runsvdir", 1000

    def words(self) -> Sequence[str]:
        return [self.program, str(self.top / "scan")]


class S6(_Scanned):
    """Each service tells its readiness at once: without, s6 waits a second before it starts it again."""

    name, program = "s6", "s6-svscan"

    def fill(self, place: Path, words: str) -> None:
        script(place / "run", f"echo >&3\nexec 3>&-\nexec {words}\n")
        (place / "notification-fd").write_text("3\n")

    def words(self) -> Sequence[str]:
        return [self.program, "-c", str(max(500, 2 * self.count + 10)), "-t", "0", str(self.top / "scan")]


SUPERVISORD = """
[supervisord]
nodaemon=true
logfile={top}/log
pidfile={top}/pid
minfds={fds}
[unix_http_server]
file={top}/sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{top}/sock
[program:w]
command={command}
process_name=w%(process_num)d
numprocs={count}
autorestart=true
startsecs=0
startretries=1000000
stdout_logfile={top}/w%(process_num)d
redirect_stderr=true
"""


class Supervisord(Supervisor):
    """PyPI's *supervisor*, in a venv of its own, for it has our import name: SUPERVISORD=/venv/bin/supervisord."""

    name, program = "supervisord", "supervisord"

    @classmethod
    def found(cls) -> str | None:
        return os.environ.get("SUPERVISORD") or shutil.which(cls.program)

    def prepare(self) -> None:
        words = " ".join(self.worker("%(process_num)d"))
        fds = min(19000, 8 * self.count + 200)
        text = SUPERVISORD.format(top=self.top, command=words, count=self.count, fds=fds)
        (self.top / "conf").write_text(text)

    def words(self) -> Sequence[str]:
        return [self.found() or self.program, "-c", str(self.top / "conf")]


CIRCUS = """
[circus]
check_delay = 0.1
endpoint = ipc://{top}/end
pubsub_endpoint = ipc://{top}/pub
statsd = False
[watcher:w]
cmd = {command}
numprocesses = {count}
warmup_delay = 0
max_retry = -1
copy_env = True
stdout_stream.class = FileStream
stdout_stream.filename = {top}/log
"""


class Circus(Supervisor):
    """CIRCUSD=/path/to/venv/bin/circusd. check_delay is 0.1 s in place of 5."""

    name, program = "circus", "circusd"

    @classmethod
    def found(cls) -> str | None:
        return os.environ.get("CIRCUSD") or shutil.which(cls.program)

    def prepare(self) -> None:
        words = " ".join(self.worker("$(circus.wid)"))
        (self.top / "ini").write_text(CIRCUS.format(top=self.top, command=words, count=self.count))

    def words(self) -> Sequence[str]:
        return [self.found() or self.program, "--log-level", "error", str(self.top / "ini")]


class SystemdUser(Supervisor):
    """Transient units of a user manager that can be reached. Not sandboxed: its directives give no pid namespace."""

    name, program, most = "systemd --user", "systemd-run", 200

    @classmethod
    def missing(cls, *, bwrap: bool) -> str | None:
        if (why := super().missing(bwrap=bwrap)) is not None:
            return why
        asked = subprocess.run(["systemctl", "--user", "show-environment"], capture_output=True, check=False)
        return f"{cls.name}: no user manager can be reached" if asked.returncode else None

    def _units(self) -> list[str]:
        return [f"nsvisor-bench-{os.getpid()}-{self.top.name}-{number}.service" for number in range(self.count)]

    def start(self) -> float:
        before = time.monotonic()
        rules = ["Restart=always", "RestartSec=0", "StartLimitIntervalSec=0"]
        for number, unit in enumerate(self._units()):
            options = [option for rule in rules for option in ("-p", rule)]
            words = ["systemd-run", "--user", "--quiet", "--collect", f"--unit={unit}", *options]
            subprocess.run([*words, *self.worker(str(number))], check=True)
        return before

    def memory_bytes(self) -> int | None:
        return None  # the manager's, which keeps other things too

    def end(self) -> None:
        subprocess.run(["systemctl", "--user", "kill", "-s", "KILL", *self._units()], capture_output=True, check=False)
        subprocess.run(["systemctl", "--user", "stop", *self._units()], capture_output=True, check=False)


OURS = """
[supervisor]
start_concurrency = 8
[defaults.restart]
policy = "always"
delay = "0s"
{standby}
"""
WORKER = """
[worker.w]
command    = {command}
instances  = {count}
{sandbox}
"""


class Ours(Supervisor):
    """The daemon, with its sandbox: one worker, in so many instances."""

    name, program = "nsvisor", "true"
    standby = False

    @classmethod
    def accepted(cls, top: Path) -> bool:
        """Whether `nsvisor check` takes its configuration."""
        config = OURS.format(standby="standby = true" if cls.standby else "")
        return checked(top, config + '[worker.a]\ncommand = ["/a"]\n') is None

    def prepare(self) -> None:
        from launch import sandbox  # noqa: PLC0415 launch imports this

        text = OURS.format(standby="standby = true" if self.standby else "")
        words = json.dumps(["/stamp", INSIDE_FIFO, *self.work("{index}")])
        text += WORKER.format(command=words, count=self.count, sandbox=sandbox(self.workload))
        (self.top / "nsvisor.toml").write_text(text)
        for name in ("run", "state", "config"):
            (self.top / name).mkdir(mode=0o700)

    def words(self) -> Sequence[str]:
        places = [f"XDG_{kind}={self.top / name}" for kind, name in PLACES.items()]
        return ["env", *places, str(NSVISOR), "--config", str(self.top / "nsvisor.toml"), "daemon"]

    def end(self) -> None:
        """By its own stop, so that nothing is left; by force where that fails."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(60.0)
        except subprocess.TimeoutExpired:
            super().end()


PLACES = {"RUNTIME_DIR": "run", "STATE_HOME": "state", "CONFIG_HOME": "config"}


class OursStandby(Ours):
    name, standby = "nsvisor, standby", True
