"""What limits.py runs as the ordinary user: a fleet under the user service, looked at from outside.

Prints `fact NAME JSON` lines and the daemon's log as `log JSON` lines. What they have to say, test_uml_limits.py knows.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
HOME = Path(os.environ["HOME"])
LOG = HOME / "nsvisor.log"
CONTROL = Path(os.environ["XDG_RUNTIME_DIR"]) / "nsvisor" / "control.sock"
PATIENCE_S = 90.0
FLEET = """
[supervisor]
adopt_timeout = "120s"
[defaults]
restart = { policy = "never" }
stop = { grace = "5s" }

[worker.hog]
command = ["tail", "/dev/zero"]
limits = { memory = "24MiB", memory_swap = 0 }

[worker.single]
command = ["sh", "-c", "tail /dev/zero; echo lives on; exec sleep 1000"]
limits = { memory = "24MiB", memory_swap = 0, oom_group = false }

[worker.group]
command = ["sh", "-c", "tail /dev/zero; echo lives on; exec sleep 1000"]
limits = { memory = "24MiB", memory_swap = 0 }

[worker.bomb]
command = ["sh", "-c", "sh -c 'while :; do sleep 1000 & done'; exec sleep 1001"]
limits = { pids = 12 }

[worker.latebomb]
command = ["sh", "-c",
    "trap hit=1 USR1; until [ $hit ]; do sleep 0.2; done; sh -c 'while :; do sleep 1000 & done'; exec sleep 1001"]
limits = { pids = 12 }

[worker.spinner]
command = ["sh", "-c", "while :; do :; done"]
limits = { cpu = "20%", cpu_weight = 50 }

[worker.later]
command = ["sh", "-c", "trap 'exec tail /dev/zero' USR1; while :; do sleep 0.2; done"]
limits = { memory = "24MiB", memory_swap = 0, pids = 30 }

[worker.steady]
command = ["sh", "-c", "trap 'exit 7' TERM; while :; do echo beat; sleep 0.05; done"]
limits = { memory = "64MiB" }

[worker.fresh]
command = ["sleep", "1000"]
restart = { policy = "always", delay = "10ms" }

[worker.modest]
command = ["sleep", "1000"]
limits = { cpuset = "0", pids = 9 }

[worker.strict]
command = ["sleep", "1000"]
limits = { cpuset = "0" }
limits_required = true
"""


def fact(name: str, value: object) -> None:
    print("fact", name, json.dumps(value), flush=True)


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(str(CONTROL))


def ask(method: str, path: str, **body: object) -> Any:
    connection = _Connection("localhost")
    data = json.dumps(body) if body else None
    connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def instances() -> dict[str, dict[str, Any]]:
    try:
        return {one["name"]: one for one in ask("GET", "/v1/instances")}
    except (OSError, http.client.HTTPException):  # the daemon is on its way
        return {}


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            print(f"waited {PATIENCE_S} s for {what}\n{LOG.read_text()}", flush=True)
            raise SystemExit(1)
        time.sleep(0.05)


def state(name: str) -> str:
    return str(instances().get(name, {}).get("state"))


def systemctl(*words: str) -> str:
    done = subprocess.run(["systemctl", "--user", *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def cgroup(name: str) -> Path:
    """Of an instance's first process."""
    own = Path(f"/proc/{instances()[name]['pid']}/cgroup").read_text().strip().removeprefix("0::")
    return Path("/sys/fs/cgroup") / own.lstrip("/")


def files(directory: Path, *names: str) -> dict[str, str]:
    return {name: (directory / name).read_text().strip() for name in names}


def table(directory: Path, name: str) -> dict[str, int]:
    pairs = (line.split() for line in (directory / name).read_text().splitlines())
    return {key: int(value) for key, value in pairs}


def beats(name: str) -> int:
    return (HOME / f".local/state/nsvisor/logs/{name}.log").read_text().count("beat")


def start() -> None:
    unit = HOME / ".config/systemd/user/nsvisor.service.d/test.conf"
    config = HOME / ".config/nsvisor/nsvisor.toml"
    for path, text in ((config, FLEET), (unit, f"[Service]\nStandardError=append:{LOG}\n")):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    subprocess.run([BIN / "nsvisor", "install-unit"], check=True, stdout=subprocess.DEVNULL)
    systemctl("daemon-reload")
    systemctl("start", "nsvisor")
    wait_for(lambda: all(one["state"] in ("ready", "failed") for one in instances().values()), "all to be up")


def placement() -> None:
    tree = cgroup("fresh").parent
    fact("tree", {"name": tree.name, **files(tree, "cgroup.controllers", "cgroup.subtree_control")})
    first = cgroup("fresh")
    ask("POST", "/v1/kill", names=["fresh"], signal="SIGKILL")
    wait_for(lambda: instances()["fresh"]["incarnation"] == 2 and state("fresh") == "ready", "the next incarnation")
    fact("fresh", {"first": first.name, "second": cgroup("fresh").name, "first is gone": not first.exists()})


def memory() -> None:
    wait_for(lambda: state("hog") == state("group") == "failed", "the hogs to be killed")
    single = HOME / ".local/state/nsvisor/logs/single.log"
    wait_for(lambda: single.exists() and "lives on" in single.read_text(), "the child of single to be killed")
    fact("single", {"state": state("single"), "events": table(cgroup("single"), "memory.events")})
    said = subprocess.run([BIN / "nsvisor", "explain", "hog"], check=True, capture_output=True, text=True)
    fact("explain-hog", said.stdout)


def processes() -> None:
    bomb = cgroup("bomb")
    wait_for(lambda: table(bomb, "pids.events")["max"] > 0, "the bomb to hit its limit")
    fact("bomb", {"state": state("bomb"), **files(bomb, "pids.current", "pids.max")})


def cpu() -> None:
    spinner = cgroup("spinner")
    before = table(spinner, "cpu.stat")
    wait_for(lambda: table(spinner, "cpu.stat")["nr_periods"] >= before["nr_periods"] + 15, "fifteen periods")
    after = table(spinner, "cpu.stat")
    used = {key: after[key] - before[key] for key in ("usage_usec", "nr_periods", "nr_throttled", "throttled_usec")}
    fact("spinner", used | files(spinner, "cpu.max", "cpu.weight"))
    (shown,) = ask("GET", "/v1/stats?name=spinner")["instances"]
    fact("stats", shown)


def pause() -> None:
    ask("POST", "/v1/pause", names=["steady"])
    place = cgroup("steady")
    time.sleep(0.2)  # what was written before the pause is on its way to the file
    seen = beats("steady")
    time.sleep(0.4)
    fact("paused", {
        "paused": instances()["steady"]["paused"], "beats meanwhile": beats("steady") - seen,
        "frozen": table(place, "cgroup.events")["frozen"],
    })  # fmt: skip


def crash() -> None:
    """SIGKILL for the daemon: the next one finds everything as it was."""
    before = {name: one["pid"] for name, one in instances().items()}
    pid = int(systemctl("show", "--property=MainPID", "--value", "nsvisor"))
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: systemctl("show", "--property=MainPID", "--value", "nsvisor") not in ("0", str(pid)), "a restart")
    wait_for(instances, "the next daemon")
    after = instances()
    fact("adopted", {name: after[name]["pid"] == one for name, one in before.items() if one})
    fact("paused-after", {"paused": after["steady"]["paused"], "state": after["steady"]["state"]})
    fact("limits-after", files(cgroup("later"), "memory.max", "pids.max") | files(cgroup("spinner"), "cpu.max"))
    ask("POST", "/v1/kill", names=["later"], signal="SIGUSR1")
    wait_for(lambda: state("later") == "failed", "the late hog to be killed")


def after_the_crash() -> None:
    """Limits are the kernel's: whose daemon it is makes no difference."""
    bomb, spinner = cgroup("latebomb"), cgroup("spinner")
    before = table(spinner, "cpu.stat")["nr_throttled"]
    hit = table(bomb, "pids.events")["max"]
    ask("POST", "/v1/kill", names=["latebomb"], signal="SIGUSR1")
    wait_for(lambda: table(bomb, "pids.events")["max"] > hit, "the late bomb to hit its limit")
    fact("latebomb", {"before": hit, **files(bomb, "pids.current", "pids.max")})
    wait_for(lambda: table(spinner, "cpu.stat")["nr_throttled"] >= before + 5, "five throttled periods")
    began = time.monotonic()
    ask("POST", "/v1/stop", names=["bomb", "latebomb"])
    # A shell that cannot fork may have left by itself, with its worker: that is no failure of the stop.
    wait_for(lambda: {state("bomb"), state("latebomb")} <= {"stopped", "failed"}, "the bombs to be stopped")
    fact("bombs-stopped", {"after_s": time.monotonic() - began, "left": bomb.exists()})


def keeper() -> None:
    """SIGKILL for the keeper: its workers live on or are started again, and have the limits that they had."""
    (pid,) = ((cgroup("fresh").parent / "keeper") / "cgroup.procs").read_text().split()[:1]
    os.kill(int(pid), signal.SIGKILL)
    wait_for(lambda: "keeper.died" in LOG.read_text(), "the daemon to see it")
    wait_for(lambda: state("fresh") == "ready", "a worker that is always restarted")
    ask("POST", "/v1/restart", names=["spinner"])
    wait_for(lambda: state("spinner") == "ready", "a worker below the next keeper")
    fact("next-keeper", files(cgroup("spinner"), "cpu.max", "cpu.weight"))


def unpause() -> None:
    seen = beats("steady")
    ask("POST", "/v1/unpause", names=["steady"])
    wait_for(lambda: beats("steady") > seen + 3, "beats after the pause")
    ask("POST", "/v1/pause", names=["steady"])
    began = time.monotonic()
    ask("POST", "/v1/stop", names=["steady"])
    wait_for(lambda: state("steady") == "stopped", "the paused one to stop")
    fact("stopped", {"after_s": time.monotonic() - began, "exit": instances()["steady"]["last_exit"]})


def foreground() -> None:
    limits = ["--limit", "memory=24MiB", "--limit", "memory_swap=0", "--limit", "cpuset=0"]
    manager = ["systemd-run", "--user", "--wait", "--pipe", "--quiet"]  # a login session would have the system bus
    command: list[str | Path] = [*manager, BIN / "nsvisor", "run", *limits, "--", "tail", "/dev/zero"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    fact("run", {"status": done.returncode, "said": done.stderr.splitlines()})


def doctor() -> None:
    said = subprocess.run([BIN / "nsvisor", "doctor"], check=False, capture_output=True, text=True)
    fact("doctor", said.stdout)


def end() -> None:
    tree = cgroup("fresh").parent
    systemctl("stop", "nsvisor")
    wait_for(lambda: not tree.exists(), "the scope to go")
    fact("result", systemctl("show", "--property=Result", "--value", "nsvisor"))


def main() -> None:
    try:
        start()
        placement()
        memory()
        processes()
        cpu()
        pause()
        crash()
        after_the_crash()
        unpause()
        foreground()
        doctor()
        keeper()
        end()
        fact("done", True)
    finally:
        for line in LOG.read_text().splitlines() if LOG.exists() else ():
            if '"outcome":"ok"' not in line.replace(" ", ""):
                print("log", line, flush=True)


main()
