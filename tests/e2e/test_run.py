"""`nsvisor run`: exit statuses, signals, and its options on real sandboxes."""

import json
import os
import re
import signal
import subprocess

import pytest

from tests.e2e.daemons import is_alive, killed_in_the_end, matching, wait_until
from tests.program import Program


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -TERM $$"], 143),
        (["sh", "-c", "kill -37 $$"], 165),
        (["sh", "-c", "exit 137"], 137),
        (["no-such-command"], 127),
        (["/no/such/file"], 127),
        (["/etc/passwd"], 126),
        (["/etc"], 126),
    ],
)
@pytest.mark.parametrize("init", [[], ["--no-init"]])
def test_exit_statuses(nsvisor: Program, command: list[str], status: int, init: list[str]) -> None:
    if init and status in {143, 165}:  # PID 1 of a namespace cannot be killed by itself
        command, status = ["true"], 0
    done = nsvisor.run("run", *init, "--", *command)
    assert done.returncode == status, done.stderr
    assert (done.stderr == "") == (status not in {126, 127})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rootfs", "/srv/no-such-root"], "cannot run: rootfs.prepare"),
        (["--bind", "/no/such", "/data"], "cannot run: mount.bind"),
        (["--hostname", "h" * 65], "cannot run: --hostname hh"),
        (["--keep-ns", "nothing"], "cannot run: --keep-ns nothing: no such namespace"),
        (["--env", "novalue"], "cannot run: --env novalue"),
        (["--limit", "nofile=many"], "cannot run: --limit nofile=many: "),
        (["--cap", "CAP_NONE"], "cannot run: --cap CAP_NONE: "),
        (["--join", "network=pid:999999999"], "cannot run"),
        (["--join", "network=worker:web"], "cannot run"),
    ],
)
def test_what_is_ours_is_125(nsvisor: Program, options: list[str], words: str) -> None:
    done = nsvisor.run("run", *options, "--", "true")
    assert done.returncode == 125
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_hints_do_not_send_to_a_daemon_that_is_not_there(nsvisor: Program) -> None:
    done = nsvisor.run("run", "--secret", "id=k,source=/no/such", "--", "true")
    assert done.returncode == 125
    assert done.stderr.splitlines()[1].endswith("optional = true goes on without it.")


def test_no_command_is_wrong_usage(nsvisor: Program) -> None:
    assert nsvisor.run("run").returncode == 125


@pytest.mark.parametrize("who", ["nsvisor", "root_nsvisor"])
def test_options(who: str, request: pytest.FixtureRequest) -> None:
    program: Program = request.getfixturevalue(who)
    data = program.folder("data")
    program.user.owns(program.write("data/file", "content"))
    script = """
    hostname; whoami; cat /ro/file; cat /rw/file; echo new >/rw/new; echo no >/ro/new || echo read-only
    pwd; echo "$NAME"; ulimit -n; df -t tmpfs /scratch >/dev/null && echo tmpfs; grep CapEff /proc/self/status
    """
    options = ["--hostname", "box", "--bind", str(data), "/rw", "--ro-bind", str(data), "/ro", "--tmpfs", "/scratch"]
    options += ["--env", "NAME=some value", "--workdir", "/scratch", "--limit", "nofile=77", "--cap", "CAP_NET_RAW"]
    done = program.run("run", *options, "--", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == [
        "box",
        "root",
        "contentcontentread-only",
        "/scratch",
        "some value",
        "77",
        "tmpfs",
        "CapEff:\t0000000000002000",
    ]
    assert (data / "new").read_text() == "new\n"
    assert not (program.top / "data" / "ro").exists()


@pytest.mark.parametrize("kind", ["user", "mount", "uts", "ipc", "cgroup", "network", "pid"])
def test_kept_namespaces(nsvisor: Program, kind: str) -> None:
    file = {"mount": "mnt", "network": "net"}.get(kind, kind)
    kept = ["--keep-ns", kind] if kind != "user" else ["--keep-ns", "user", "--uid", "self"]
    done = nsvisor.run("run", *kept, "--", "readlink", f"/proc/self/ns/{file}")
    if kind == "user":  # whoever is not root can make nothing else without one
        assert done.returncode == (0 if os.geteuid() == nsvisor.user.uid == 0 else 125)
        assert done.stderr.startswith("cannot run: ")
        return
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == os.readlink(f"/proc/self/ns/{file}")


def test_two_runs_share_a_network_by_the_pid_that_is_shown(nsvisor: Program) -> None:
    """Of the sandbox's first process, which hides itself."""
    first = nsvisor.popen("run", "--", "sh", "-c", "echo up; cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert first.stdout is not None
    try:
        assert first.stdout.readline() == "up\n"
        (keeper,) = _children(first.pid)
        (pid,) = _children(keeper)
        (workload,) = _children(pid)
        network = os.readlink(f"/proc/{workload}/ns/net")
        joined = nsvisor.run("run", "--join", f"network=pid:{pid}", "--", "readlink", "/proc/self/ns/net")
        assert joined.returncode == 0, joined.stderr
        assert joined.stdout.strip() == network
    finally:
        first.communicate("")
    assert network != os.readlink("/proc/self/ns/net")


def test_log_phases(nsvisor: Program) -> None:
    plain = nsvisor.run("run", "--log-phases", "--", "true")
    assert plain.returncode == 0
    names = [line.split()[0] for line in plain.stderr.splitlines()]
    assert names[0] == "clone"
    assert names[-1] == "exec"
    assert {"id.map", "mount.proc", "root.pivot", "cap.drop"} <= set(names)
    as_json = nsvisor.run("run", "--log-phases", "--json", "--", "true")
    records = [json.loads(line) for line in as_json.stderr.splitlines()]
    assert [record["phase"] for record in records] == names
    assert all(record["outcome"] in {"ok", "skipped"} for record in records)
    failed = nsvisor.run("run", "--log-phases", "--bind", "/no/such", "/data", "--", "true")
    assert re.search(r"^mount.bind .* FAILED$", failed.stderr, re.MULTILINE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_reaches_the_command(nsvisor: Program, number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    script = f"trap 'echo got {name}; exit 9' {name}; echo up; while :; do sleep 0.05; done"
    process = nsvisor.popen("run", "--", "sh", "-c", script, stdout=subprocess.PIPE)
    with killed_in_the_end(process):
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        assert process.stdout.read() == f"got {name}\n"
        assert process.wait(10) == 9
        process.stdout.close()


def test_a_signal_that_ends_the_command(nsvisor: Program) -> None:
    process = nsvisor.popen("run", "--", "sleep", "46001")
    with killed_in_the_end(process):
        # `nsvisor run -- sleep 46001` matches too
        wait_until(lambda: set(matching("sleep", "46001")) - {process.pid}, "the command")
        pids = set(matching("sleep", "46001")) - {process.pid}
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 143
        assert not any(map(is_alive, pids))


@pytest.mark.parametrize("init", [[], ["--no-init"]])
def test_sigkill_leaves_nothing(nsvisor: Program, init: list[str]) -> None:
    script = "trap 'exit 3' TERM; echo up; sleep 46002 & setsid sleep 46002 & wait"
    process = nsvisor.popen("run", *init, "--", "sh", "-c", script, stdout=subprocess.PIPE)
    with killed_in_the_end(process):
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        wait_until(lambda: len(matching("sleep", "46002")) == 2, "the command's children")
        process.kill()
        process.wait()
        wait_until(lambda: matching("sleep", "46002") == [], "everything to be gone", 5)
        assert process.stdout.read() == ""  # the last holder of the pipe is gone too
        process.stdout.close()


def test_standard_streams_are_the_callers(nsvisor: Program) -> None:
    done = nsvisor.run("run", "--", "sh", "-c", "cat; echo problem >&2", stdin="through\n")
    assert (done.stdout, done.stderr) == ("through\n", "problem\n")


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]
