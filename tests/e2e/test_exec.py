"""`nsvisor exec`: a command in the sandbox of a running worker is what the worker is, and leaves nothing behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil
import pytest

from supervisor.control import exec_messages as messages
from tests.accounts import needs_a_range
from tests.e2e.daemons import Daemon, is_alive, killed_in_the_end, matching, running, wait_until
from tests.program import Program

WEB = '[worker.web]\ncommand = ["sleep", "46001"]\n'
# What a process is by its sandbox: all of it has to be the same for the worker and for what is executed beside it.
SHOW = """
grep -E '^(Uid|Gid|Groups|Umask|Cap|NoNewPrivs|Seccomp)' /proc/self/status
for kind in user mnt uts ipc net cgroup time pid; do readlink /proc/self/ns/$kind; done
cat /proc/self/cgroup
stat -c %d:%i / /proc /tmp
pwd; ulimit -a; hostname; export
echo end
"""


def toml_worker(name: str, keys: str) -> str:
    return f"[worker.{name}]\ncommand = ['sh', '-c', '''{SHOW}exec sleep 46002''']\n{keys}\n"


EVERYBODY = {
    "plain": "env = { A = 'b c' }\nworking_dir = '/tmp'",
    "bare": "init = false\nstop = { signal = 'SIGKILL' }",
    "shared": "namespaces = { pid = false, ipc = false, uts = false }",
    "limited": "limits = { nofile = 77, core = 0 }\nsecurity = { capabilities = ['CAP_CHOWN', 'CAP_SYS_PTRACE'] }",
    "hosted": "network = { mode = 'host' }\nsecurity = { no_new_privs = false, seccomp = 'off' }",
    "guest": "network = { mode = 'worker:plain' }",
    "tenant": "namespaces = { user = 'worker:plain', uts = 'worker:plain' }",
    "clocked": "namespaces = { time = true }\ntime_offsets = { monotonic = '1d' }",
    "mapped": "id_map = 'keep-id'\nuser = 7",
    "open": "namespaces = { mount = false }",
}
ROOTS = {
    "mapped": "uid_map = ['0:300000:1000']\ngid_map = ['0:300000:1000']\nuser = 7",
    "numbered": "user = 1234",
    "naked": "namespaces = { user = false }\nuser = 1234",
    "nothing": "namespaces = { user = false, pid = false, mount = false, uts = false, ipc = false, cgroup = false }\n"
    "network = { mode = 'host' }",
}


def own_words(program: Program, name: str) -> list[str]:
    """What the worker showed of itself."""

    def lines() -> list[str]:
        file = program.state / "nsvisor" / "logs" / f"{name}.log"
        return [json.loads(line)["m"] for line in file.read_text().splitlines()] if file.exists() else []

    try:
        wait_until(lambda: "end" in lines(), f"{name} to show itself")
    except AssertionError as error:
        raise AssertionError(f"{error}: {lines()}\n{program.run('explain', name).stdout}") from None
    return lines()


def check_likeness(program: Program, workers: dict[str, str]) -> None:
    with running(program, "".join(toml_worker(*worker) for worker in workers.items())):
        for name in workers:
            meant = own_words(program, name)
            done = program.run("exec", name, "--", "sh", "-c", SHOW)
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.splitlines() == meant, name


def test_it_is_what_the_worker_is(nsvisor: Program) -> None:
    needs_a_range(nsvisor.user)
    check_likeness(nsvisor, EVERYBODY)


def test_it_is_what_the_worker_is_of_root(root_nsvisor: Program) -> None:
    check_likeness(root_nsvisor, EVERYBODY | ROOTS)


def test_exit_codes_streams_and_refusals(nsvisor: Program) -> None:
    several = '[worker.two]\ncommand = ["sleep", "46001"]\ninstances = 2\n'
    down = '[worker.down]\ncommand = ["sleep", "46001"]\nautostart = false\n'

    def code(*words: str) -> tuple[int, str]:
        done = nsvisor.run("exec", *words)
        return done.returncode, done.stderr

    with running(nsvisor, WEB + several + down) as daemon:
        daemon.wait_state("two-1", "ready")
        assert code("web", "--", "sh", "-c", "exit 3") == (3, "")
        assert code("web", "--", "sh", "-c", "kill -9 $$") == (137, "")
        assert code("web", "no-such-command")[0] == 127
        assert code("web", "/etc/passwd")[0] == 126
        assert code("--workdir", "/no/where", "web", "true")[0] == 125
        for words, text in {
            ("two", "true"): "cannot exec in two: it has several instances, name one: two-0, two-1",
            ("down", "true"): "cannot exec in down: it is stopped",
            ("webb", "true"): "did you mean web?",
            ("--user", "root", "web", "true"): "cannot exec: id.user (uid 0 gid 0): setresgid: EINVAL",
            ("--workdir", "tmp", "web", "true"): "the working directory tmp is not absolute",
            ("--env", "A", "web", "true"): "--env A: NAME=VALUE is what it takes",
            ("web",): "cannot run `nsvisor exec`",
            ("web", "--"): "cannot run `nsvisor exec`",
            ("--what", "web", "true"): "cannot run `nsvisor exec`",
        }.items():
            status, said = code(*words)
            assert (status, text in said) == (125, True), said

        done = nsvisor.run("exec", "two-1", "cat", stdin="through\n" * 50_000)
        assert done.stdout == "through\n" * 50_000
        words = ("--env", "A=1", "--workdir", "/tmp", "--json", "web", "sh", "-c", "echo $A; pwd; echo no >&2")
        done = nsvisor.run("exec", *words)
        assert done.stdout == "1\n/tmp\n"
        said, told = done.stderr.splitlines()
        assert said == "no"
        assert {"kind": "exited", "instance": "web", "incarnation": 1, "code": 0}.items() <= json.loads(told).items()
        started = daemon.wait_record("exec.started", by_uid=nsvisor.user.uid, command=list(words[-3:]))
        daemon.wait_record("exec.exited", exec=started["exec"], code=0)
        daemon.wait_record("exec.failed", command=["no-such-command"], phase="exec", errno="ENOENT")
        assert len(daemon.instances()) == 4  # they count for nothing there
    assert nsvisor.run("exec", "web", "true").returncode == 125


def test_files_go_in_as_what_flows_through_them(nsvisor: Program) -> None:
    """A descriptor of a file could be opened again from inside, for writing."""
    source = nsvisor.write("source", "of\n" * 100_000)
    target = nsvisor.write("target", "")
    script = "stat -Lc %F /proc/self/fd/0 /proc/self/fd/1; echo no >&2; cat"
    with running(nsvisor, WEB), source.open() as stdin, target.open("w") as out:
        process = nsvisor.popen("exec", "web", "sh", "-c", script, stdin=stdin, stdout=out, stderr=out)
        assert process.wait(20) == 0
    assert target.read_text() == "fifo\nfifo\nno\n" + source.read_text()


def test_signals_reach_it(nsvisor: Program) -> None:
    script = "trap 'echo caught; exit 6' USR1; echo up; while :; do sleep 0.05; done"
    with running(nsvisor, WEB):
        process = nsvisor.popen("exec", "web", "sh", "-c", script, stdout=subprocess.PIPE)
        with killed_in_the_end(process):
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            process.send_signal(signal.SIGUSR1)
            assert process.communicate(timeout=20)[0] == "caught\n"
            assert process.returncode == 6


@pytest.mark.parametrize("keys", ["", "namespaces = { pid = false }"], ids=["own-pids", "shared-pids"])
def test_it_ends_with_the_worker(nsvisor: Program, keys: str) -> None:
    with running(nsvisor, f"{WEB}{keys}\n") as daemon:
        script = "trap '' TERM HUP; sleep 46003 & wait"
        process = nsvisor.popen("exec", "web", "sh", "-c", script, stderr=subprocess.PIPE)
        with killed_in_the_end(process):
            wait_until(lambda: matching("sleep", "46003"), "the command's child")
            daemon.post("/v1/stop", names=["web"])
            assert process.communicate(timeout=20)[1] == "web has ended, and the command with it\n"
            assert process.returncode == 137
        wait_until(lambda: not matching("sleep", "46003"), "all of it to end")
        daemon.wait_record("exec.exited", why="worker", signal="SIGKILL")
        daemon.wait_state("web", "stopped")


def test_it_ends_with_its_client(nsvisor: Program) -> None:
    with running(nsvisor, WEB) as daemon:
        process = nsvisor.popen("exec", "web", "sh", "-c", "trap '' HUP; sleep 46004 & sleep 46004")
        with killed_in_the_end(process):
            wait_until(lambda: len(matching("sleep", "46004")) == 2, "the command")
        daemon.wait_record("exec.exited", why="hangup", signal="SIGKILL")
        wait_until(lambda: not matching("sleep", "46004"), "all of it to end")
        assert daemon.instance("web")["state"] == "ready"


def test_the_next_daemon_ends_it(nsvisor: Program) -> None:
    with running(nsvisor, WEB) as daemon:
        process = nsvisor.popen("exec", "web", "sh", "-c", "exec sleep 46005 2>&-", stderr=subprocess.PIPE)
        with killed_in_the_end(process):
            pid = daemon.wait_record("exec.started")["pid"]
            daemon.kill()
            assert "cannot tell how the command ended" in process.communicate(timeout=20)[1]
            assert process.returncode == 125
            assert is_alive(pid)
        with running(nsvisor, WEB) as successor:
            successor.wait_record("exec.stray")
            successor.wait_record("worker.adopted", instance="web")
            assert not is_alive(pid)
            assert nsvisor.run("exec", "web", "true").returncode == 0


# -- by the socket itself ------------------------------------------------------------------------------------------


@contextmanager
def connected(program: Program) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(20)
        connection.connect(str(program.socket.with_name("exec.sock")))
        yield connection


def execute(program: Program, *command: str, instance: str = "web") -> dict[str, object]:
    """The last message about it."""
    with connected(program) as connection, Path(os.devnull).open("r+") as null:
        messages.send(connection, messages.Request(instance, command), (null.fileno(),) * 3)
        while True:
            message = json.loads(messages.receive(connection)[0])
            if message["kind"] in ("exited", "failed"):
                return dict(message)


def census(daemon: Daemon) -> tuple[int, int, list[int]]:
    """Descriptors of the daemon and of the keeper, and the keeper's children but the spare, which comes and goes."""
    ours, keeper = psutil.Process(daemon.pid), psutil.Process(daemon.keeper_pid())
    return ours.num_fds(), keeper.num_fds(), [one.pid for one in keeper.children() if one.name() != "nsinit-spare"]


def at_rest(daemon: Daemon) -> tuple[int, int, list[int]]:
    """The same, once the keeper's spare is there and the last connection closed."""
    wait_until(lambda: len(psutil.Process(daemon.keeper_pid()).children()) == len(census(daemon)[2]) + 1, "the spare")
    time.sleep(0.2)
    return census(daemon)


def test_many_leave_nothing(nsvisor: Program) -> None:
    with running(nsvisor, WEB) as daemon:
        daemon.wait_state("web", "ready")
        assert execute(nsvisor, "true")["code"] == 0
        before = at_rest(daemon)
        for number in range(50):
            assert execute(nsvisor, *(["true"], ["false"], ["no-such-command"])[number % 3])["kind"] != "lost"
        after = at_rest(daemon)
        assert after[0] <= before[0]  # connections to the control socket linger for a while
        assert after[1:] == before[1:]


def test_what_is_no_request_is_refused(nsvisor: Program) -> None:
    with running(nsvisor, WEB) as daemon, Path(os.devnull).open("r+") as null:
        folder = os.open("/", os.O_RDONLY)
        request = messages.Request("web", ("true",))
        for data, fds in (
            (b"{", []),
            (b"{}", []),
            (b'{"kind":"exec","instance":"web","command":[]}', [null.fileno()] * 3),
            (b'{"kind":"exec","instance":"web","command":["a\\u0000b"]}', [null.fileno()] * 3),
            (b'{"kind":"exec","instance":"web","command":["true"],"env":{"":"x"}}', [null.fileno()] * 3),
            (msgspec.json.encode(request), []),
            (msgspec.json.encode(request), [null.fileno()] * 2),
            (msgspec.json.encode(request), [folder, null.fileno(), null.fileno()]),
        ):
            with connected(nsvisor) as connection:
                socket.send_fds(connection, [data], fds)
                told = json.loads(connection.recv(65536))
            assert (told["kind"], told["code"]) == ("failed", "bad_request"), data
        os.close(folder)
        with connected(nsvisor) as connection:
            connection.close()
        assert execute(nsvisor, "true")["code"] == 0
        assert not daemon.records("control.failed")


def test_nobody_else_may(nsvisor: Program, root_nsvisor: Program) -> None:
    """The socket is the user's own, and another who gets hold of it is turned away."""
    with running(root_nsvisor, WEB):
        path = root_nsvisor.socket.with_name("exec.sock")
        assert path.stat().st_mode & 0o777 == 0o600
        for folder in (root_nsvisor.top, root_nsvisor.runtime, path.parent):
            folder.chmod(0o755)
        for file in (path, root_nsvisor.socket):
            file.chmod(0o666)
        nsvisor.environ["NSVISOR_SOCKET"] = str(root_nsvisor.socket)
        done = nsvisor.run("exec", "web", "true")
        assert done.returncode == 125
        assert done.stderr.startswith("cannot exec: ")


# Whoever comes up in /proc: whether what it executes can be seen while that is still an interpreter of the host.
LOOK = """
import os, select
seen, caught = set(), set()
print("up", flush=True)
while not os.path.exists("/tmp/enough"):
    for name in os.listdir("/proc"):
        if name.isdigit() and name != "1" and name != str(os.getpid()):
            seen.add(name)
            for file in ("exe", "root", "fd/0"):
                try:
                    found = os.readlink(f"/proc/{name}/{file}")
                    if file == "exe" and "python" in found:
                        caught.add(name)
                except OSError:
                    pass
print(len(seen), "seen", len(caught), "caught", flush=True)
os.pause() if hasattr(os, "pause") else select.select([], [], [])
"""


def test_the_interpreter_is_never_seen_inside(nsvisor: Program) -> None:
    """The attacks one by one, and that they work elsewhere: tests/nsinit/test_hidden.py."""
    keys = "security = { capabilities = ['CAP_SYS_PTRACE', 'CAP_DAC_OVERRIDE'] }"
    python = os.path.realpath(sys.executable)
    with running(nsvisor, f"[worker.web]\ncommand = ['{python}', '-I', '-c', '''{LOOK}''']\n{keys}\n") as daemon:
        daemon.wait_state("web", "ready")
        for _ in range(60):
            assert execute(nsvisor, "true")["code"] == 0
        assert execute(nsvisor, "touch", "/tmp/enough")["code"] == 0
        file = nsvisor.state / "nsvisor" / "logs" / "web.log"
        wait_until(lambda: "caught" in file.read_text(), "what it saw")
        seen, _, caught, _ = json.loads(file.read_text().splitlines()[-1])["m"].split()
        assert (int(seen) > 20, int(caught)) == (True, 0)
