"""`nsvisor reexec`: the daemon becomes another program, and nobody else notices."""

import http.client
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e.daemons import is_alive, killed_in_the_end, running, wait_until
from tests.program import Program

FLEET = """
[worker.counter]
command = ["sh", "-c", "n=0; while true; do n=$((n + 1)); echo $n; sleep 0.01; done"]

[worker.talker]
command = ["sh", "-c", "printf 'almost '; until [ -e /data/go ]; do sleep 0.05; done; echo there; exec sleep 1000"]
mounts = [{ type = "bind", source = "TOP", target = "/data", options = ["ro"] }]
ready = { kind = "log", pattern = "^almost there$", timeout = "60s" }

[worker.crashy]
command = ["sh", "-c", "echo last words >&2; exit 3"]
restart = { delay = "50s", max_delay = "60s" }

[worker.hand]
command = ["sleep", "42101"]

[worker.idle]
command = ["sleep", "42102"]
"""
SMALL = '[worker.idle]\ncommand = ["sleep", "42103"]\n'
COUNTER = FLEET[: FLEET.index("[worker.talker]")]


def lines(program: Program, name: str) -> list[str]:
    """What a worker has written, whole lines."""
    done = program.run("logs", name)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def counted(program: Program) -> None:
    """Look that no line of the counter's is missing or there twice."""
    found = [int(line) for line in lines(program, "counter")]
    assert found == list(range(1, len(found) + 1))


def reexec(program: Program) -> "subprocess.CompletedProcess[str]":
    return program.run("reexec", timeout_s=60)


@pytest.fixture
def own(nsvisor: Program) -> Iterator[Program]:
    """The program, with a script of its own that a test may change."""
    folder = nsvisor.folder("own")
    script = folder / "nsvisor"
    script.write_text((nsvisor.bin / "nsvisor").read_text())
    nsvisor.user.owns(script).chmod(0o755)
    clients, nsvisor.bin = nsvisor.bin, folder
    yield nsvisor
    nsvisor.bin = clients


def script_of(own: Program, text: str) -> None:
    """Put another program in its place, as an upgrade does: under another name first."""
    fresh = own.write("fresh", text)
    fresh.chmod(0o755)
    fresh.rename(own.bin / "nsvisor")


def python(own: Program, *statements: str) -> str:
    """A program that is nsvisor but for these."""
    first = (own.bin / "nsvisor").read_text().splitlines()[0]
    body = "\n".join(("import sys", *statements, "from supervisor.cli.main import main", "sys.exit(main())"))
    return f"{first}\n{body}\n"


@pytest.mark.parametrize("who", ["nsvisor", "root_nsvisor"])
def test_everything_goes_on(who: str, request: pytest.FixtureRequest) -> None:
    program: Program = request.getfixturevalue(who)
    fleet = FLEET.replace("TOP", str(program.folder("data")))
    with running(program, fleet) as daemon:
        for name, state in (("counter", "ready"), ("talker", "running"), ("crashy", "backoff"), ("idle", "ready")):
            daemon.wait_state(name, state)
        wait_until(lambda: "crashy" in daemon.instances(), "it to be there")
        daemon.wait_record("worker.backoff", instance="crashy")
        daemon.post("/v1/stop", names=["hand"])
        daemon.wait_state("hand", "stopped")
        before = daemon.instances()
        descriptors = len(os.listdir(f"/proc/{daemon.pid}/fd"))
        pipe = subprocess.PIPE
        with (
            killed_in_the_end(program.popen("events", "--json", stdout=pipe)) as follower,
            killed_in_the_end(program.popen("wait", "idle", "--for", "stopped", stderr=pipe)) as waiter,
        ):
            assert follower.stdout is not None
            assert json.loads(follower.stdout.readline())["event"] == "daemon.started"
            for _ in range(2):
                done = reexec(program)
                assert (done.returncode, done.stderr) == (0, "")
                assert f"(pid {daemon.pid}), workers that went on: " in done.stdout
            after = daemon.instances()
            same = ("pid", "incarnation", "restarts", "failures", "started_at", "state", "stopped_by", "wanted")
            assert {name: [one[key] for key in same] for name, one in after.items()} == {
                name: [one[key] for key in same] for name, one in before.items()
            }
            assert after["crashy"]["next_start_in_s"] <= before["crashy"]["next_start_in_s"]
            assert after["crashy"]["last_exit"]["stderr_tail"] == ["last words"]
            (program.top / "data" / "go").touch()
            daemon.wait_state("talker", "ready")  # by a line of which another program read the beginning
            daemon.post("/v1/stop", names=["idle"])
            assert waiter.wait(20) == 0, waiter.stderr.read() if waiter.stderr else ""
            seen = [json.loads(follower.stdout.readline())]
            while (seen[-1]["event"], seen[-1]["fields"].get("instance")) != ("worker.stopped", "idle"):
                seen.append(json.loads(follower.stdout.readline()))
            for process in (follower, waiter):
                for stream in (process.stdout, process.stderr):
                    if stream is not None:
                        stream.close()
            follower.kill()
        ids = [one["id"] for one in seen]
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        assert [one["event"] for one in seen].count("daemon.reexec") == 2
        assert "events.lost" not in [one["event"] for one in seen]
        assert lines(program, "talker")[0] == "almost there"
        assert len(os.listdir(f"/proc/{daemon.pid}/fd")) <= descriptors + 2
        second = program.run("--config", str(program.top / "nsvisor.toml"), "daemon")
        assert second.returncode == 1
        assert f"pid {daemon.pid}" in second.stderr
        counted(program)
        keeper = daemon.keeper_pid()
        assert daemon.stop() == 0
    assert not is_alive(keeper)
    counted(program)
    assert not daemon.records("log.lost")
    assert not daemon.records("worker.stray")


def test_nobody_is_refused_meanwhile(nsvisor: Program) -> None:
    with running(nsvisor, SMALL) as daemon:
        daemon.wait_state("idle", "ready")
        stop, failures, answers = threading.Event(), [], []

        def ask() -> None:
            while not stop.is_set():
                try:
                    answers.append(daemon.ask("GET", "/v1/version")[0])
                except (ConnectionRefusedError, FileNotFoundError) as error:
                    failures.append(error)
                except (
                    OSError,
                    http.client.HTTPException,
                ):  # it was slow to ask: the connection, not the request, fails
                    continue

        clients = [threading.Thread(target=ask) for _ in range(2)]
        for client in clients:
            client.start()
        try:
            daemon.process.send_signal(signal.SIGUSR2)
            daemon.wait_record("daemon.reexec")
        finally:
            stop.set()
            for client in clients:
                client.join()
        assert not failures
        assert set(answers) == {200}


def test_an_upgrade_takes_what_is_new_in_the_configuration(own: Program) -> None:
    with running(own, SMALL + '[worker.gone]\ncommand = ["sleep", "42104"]\n') as daemon:
        before = daemon.wait_state("idle", "ready")
        gone = daemon.wait_state("gone", "ready")
        script_of(own, python(own, "import supervisor", "supervisor.__version__ = '9.9.9'"))
        own.write("nsvisor.toml", SMALL + '[worker.new]\ncommand = ["sleep", "42105"]\n')
        done = reexec(own)
        assert "-> 9.9.9" in done.stdout, done.stderr
        assert daemon.records("daemon.reexec")[0]["version"] == "9.9.9"
        daemon.wait_state("new", "ready")
        assert daemon.instance("idle")["pid"] == before["pid"]
        assert not is_alive(gone["pid"])
        assert not daemon.records("worker.stray")  # it was stopped by its own rules
        assert daemon.ask("GET", "/v1/version")[1]["pid"] == daemon.pid


def test_what_cannot_go_on_does_not_get_to_try(own: Program) -> None:
    """Each of them leaves the daemon as it was."""
    good = (own.bin / "nsvisor").read_text()
    old = python(own, "import supervisor.runtime.state as state", "state.VERSION = 1")
    foreign = python(own, "import supervisor.wire", "supervisor.wire.PROTOCOL = 99")
    cases = {
        "cannot read the state of the workers: it has version 2, written by nsvisor": old,
        "speaks protocol": foreign,
        "No such file or directory (or its interpreter)": "#!/nowhere/python\n",
        "failed: exit status 1: ": python(own, "raise SystemExit('an import fails')"),
        "its answer makes no sense": "#!/bin/sh\necho hello\n",
    }
    with running(own, COUNTER) as daemon:
        daemon.wait_state("counter", "ready")
        before = daemon.instances()["counter"]
        for words, text in cases.items():
            script_of(own, text)
            status, answer = daemon.ask("POST", "/v1/reexec")
            assert (status, answer["error"]["code"]) == (409, "conflict"), answer
            assert answer["error"]["message"].startswith("cannot re-execute: ")
            assert words in answer["error"]["message"]
            assert daemon.records("daemon.reexec_failed")[-1]["error"] == answer["error"]["message"]
        script_of(own, good)
        own.write("nsvisor.toml", COUNTER + "instanzes = 2\nrestart = 7\n")
        done = reexec(own)
        assert done.returncode == 1
        assert "instanzes" in done.stderr
        assert "restart" in done.stderr
        own.write("nsvisor.toml", COUNTER)
        assert len(daemon.records("daemon.started")) == 1
        after = daemon.instances()["counter"]
        assert [after[key] for key in ("pid", "state")] == [before[key] for key in ("pid", "state")]
        assert reexec(own).returncode == 0
        counted(own)


def test_an_execve_that_fails_returns_to_a_daemon_that_lost_nothing(own: Program) -> None:
    good = (own.bin / "nsvisor").read_text()
    vanishing = python(own, "import atexit, os", "'--check' in sys.argv and atexit.register(os.unlink, sys.argv[0])")
    with running(own, COUNTER) as daemon:
        daemon.wait_state("counter", "ready")
        script_of(own, vanishing)
        with killed_in_the_end(own.popen("wait", "counter", "--for", "stopped")) as waiter:
            status, answer = daemon.ask("POST", "/v1/reexec")
            assert (status, "No such file or directory" in answer["error"]["message"]) == (409, True), answer
            script_of(own, good)
            assert len(daemon.records("daemon.started")) == 1
            size = len(lines(own, "counter"))
            wait_until(lambda: len(lines(own, "counter")) > size, "more output")
            daemon.post("/v1/restart", names=["counter"])  # launches are let through again
            wait_until(lambda: daemon.instance("counter")["incarnation"] == 2, "another incarnation")
            daemon.wait_state("counter", "ready")
            assert reexec(own).returncode == 0
            daemon.post("/v1/stop", names=["counter"])
            daemon.wait_state("counter", "stopped")
            waiter.kill()
        found = [int(line) for line in lines(own, "counter")]
        second = found.index(1, 1)
        assert found == [*range(1, second + 1), *range(1, len(found) - second + 1)]


def test_a_configuration_that_is_half_written_just_then(own: Program) -> None:
    """It was good when the program was asked, and is good again a little later."""
    with running(own, SMALL) as daemon:
        pid = daemon.wait_state("idle", "ready")["pid"]
        file = own.top / "nsvisor.toml"
        spoil = f"""
if 'daemon' in sys.argv and '--check' not in sys.argv:
    import subprocess
    open({str(file)!r}, 'w').write('[worker.idle')
    subprocess.Popen(['sh', '-c', 'sleep 1; cat {own.top}/good > {file}'])"""
        own.write("good", SMALL)
        script_of(own, python(own, spoil))
        result = reexec(own)
        assert result.returncode == 0, result
        assert daemon.instance("idle")["pid"] == pid


def test_a_stop_that_comes_meanwhile_is_obeyed(nsvisor: Program) -> None:
    with running(nsvisor, SMALL) as daemon:
        pid = daemon.wait_state("idle", "ready")["pid"]
        daemon.process.send_signal(signal.SIGUSR2)
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(30) == 0
        assert not is_alive(pid)
        assert daemon.records("daemon.stopped")


def test_nobody_gets_in_between_the_two_programs(own: Program, program_bin: Path) -> None:
    """Where no program handles signals yet, which would end the process, and none has taken the locks."""
    gate = own.top / "gate"
    os.mkfifo(gate)
    own.user.owns(gate)
    waits = f"open({str(gate)!r}).read() if '--check' not in sys.argv else None"
    with running(own, SMALL) as daemon:
        pid = daemon.wait_state("idle", "ready")["pid"]
        script_of(own, python(own, waits))
        daemon.process.send_signal(signal.SIGUSR2)
        with opened(gate):
            daemon.process.send_signal(signal.SIGTERM)
            own.bin = program_bin
            second = own.run("--config", str(own.top / "nsvisor.toml"), "daemon")
            assert second.returncode == 1
            assert f"(pid {daemon.pid}, " in second.stderr
        assert daemon.process.wait(30) == 0
        assert not is_alive(pid)
        assert daemon.records("daemon.stopped")


@contextmanager
def opened(gate: Path) -> Iterator[None]:
    """Hold up who reads this pipe, once somebody does."""
    writers: list[int] = []

    def somebody_reads() -> bool:
        with suppress(OSError):  # ENXIO
            writers.append(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
        return bool(writers)

    wait_until(somebody_reads, "the next program", 60)
    try:
        yield
    finally:
        os.close(writers[0])


def test_the_variable_is_for_one_process_only(nsvisor: Program) -> None:
    for value, words in (("7", "cannot be read"), ("soup", "is no descriptor"), ("0", "cannot be read")):
        nsvisor.environ["NSVISOR_REEXEC"] = value
        config = str(nsvisor.write("nsvisor.toml", SMALL))
        done = nsvisor.run("--config", config, "daemon")
        assert done.returncode == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    del nsvisor.environ["NSVISOR_REEXEC"]
