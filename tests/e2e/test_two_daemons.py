"""One daemon at a time: who comes second is refused and told the first one's pid; after a dead one it takes over."""

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from tests.e2e.daemons import is_alive, killed_in_the_end, matching, running, wait_until
from tests.program import Program

FLEET = '[worker.a]\ncommand = ["sleep", "1000"]\n'


def test_a_second_daemon_is_refused(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as first:
        first.wait_state("a", "ready")
        pid = first.instance("a")["pid"]
        done = nsvisor.run("--config", str(nsvisor.top / "nsvisor.toml"), "daemon")
        assert done.returncode == 1
        assert done.stderr.startswith(f"cannot start: a daemon is running already (pid {first.pid},")
        assert "nsvisor shutdown" in done.stderr
        assert first.instance("a")["pid"] == pid


def test_a_second_daemon_on_the_same_state_is_refused(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as first:
        nsvisor.environ["XDG_RUNTIME_DIR"] = str(nsvisor.folder("run2"))
        done = nsvisor.run("--config", str(nsvisor.top / "nsvisor.toml"), "daemon")
        nsvisor.environ["XDG_RUNTIME_DIR"] = str(nsvisor.runtime)
        assert done.returncode == 1
        assert f"(pid {first.pid}, {nsvisor.state}/nsvisor/daemon.lock)" in done.stderr
        assert "XDG_STATE_HOME of its own" in done.stderr


def test_the_control_socket_of_a_living_daemon_is_not_taken(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as first:
        first.wait_state("a", "ready")
        pid = first.instance("a")["pid"]
        environ = {
            "XDG_RUNTIME_DIR": str(nsvisor.folder("run2")),
            "XDG_STATE_HOME": str(nsvisor.folder("state2")),
        }
        mine, nsvisor.environ = nsvisor.environ, {**nsvisor.environ, **environ}
        done = nsvisor.run("--config", str(nsvisor.top / "nsvisor.toml"), "--socket", str(nsvisor.socket), "daemon")
        nsvisor.environ = mine
        assert done.returncode == 1
        assert f"cannot listen on {nsvisor.socket}: a daemon with pid {first.pid} is already there" in done.stderr
        assert "Traceback" not in done.stderr
        assert first.instance("a")["pid"] == pid


def test_a_socket_that_cannot_be_made(nsvisor: Program) -> None:
    file = nsvisor.write("nsvisor.toml", FLEET)
    done = nsvisor.run("--config", str(file), "--socket", f"/tmp/{'x' * 110}/control.sock", "daemon")
    assert done.returncode == 1
    assert "a socket's path has at most 107 bytes" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_socket_of_a_dead_daemon_is_taken_over(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as first:
        first.wait_state("a", "ready")
        keeper = first.keeper_pid()
        first.kill()
        os.kill(keeper, signal.SIGKILL)
    assert nsvisor.socket.exists()
    with running(nsvisor, FLEET) as second:
        second.wait_state("a", "ready")
        assert second.ask("GET", "/v1/version")[1]["pid"] == second.pid


FOREIGN_KEEPER = """
import socket, sys
listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listening.bind(sys.argv[1])
listening.listen()
print("listening", flush=True)
connection, _ = listening.accept()
connection.recv(4096)
connection.send(b"protocol\\x0099")
listening.accept()
"""


def test_a_keeper_of_another_version_is_ended_before_a_new_one_starts(nsvisor: Program) -> None:
    folder = nsvisor.runtime / "nsvisor"
    folder.mkdir(mode=0o700)
    nsvisor.user.owns(folder)
    keeper = subprocess.Popen(
        [str(nsvisor.bin / "python"), "-I", "-c", FOREIGN_KEEPER, str(folder / "keeper.sock")],
        stdout=subprocess.PIPE,
        text=True,
        **nsvisor.user.identity(),  # type: ignore[call-overload]
    )
    with killed_in_the_end(keeper):
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == "listening\n"
        with running(nsvisor, FLEET) as daemon:
            daemon.wait_state("a", "ready")
            (died,) = daemon.records("keeper.died")
            assert "another protocol" in died["error"]
            assert keeper.wait(5) == -signal.SIGKILL
            assert is_alive(daemon.keeper_pid())
        keeper.stdout.close()


def test_a_file_in_the_sockets_place_is_not_removed(nsvisor: Program) -> None:
    file = nsvisor.write("precious", "do not delete")
    done = nsvisor.run("--config", str(nsvisor.write("nsvisor.toml", FLEET)), "--socket", str(file), "daemon")
    assert done.returncode == 1
    assert f"cannot listen on {file}: a file that is no socket is in the way" in done.stderr
    assert file.read_text() == "do not delete"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        assert probe.connect_ex(str(nsvisor.runtime / "nsvisor" / "keeper.sock")) != 0


def start(nsvisor: Program, file: Path) -> "subprocess.Popen[str]":
    return nsvisor.popen("--config", str(file), "daemon", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def words_of(process: "subprocess.Popen[str]") -> str:
    """What one that has left had to say."""
    assert process.stderr is not None
    with process.stderr as stderr:
        return stderr.read()


def workers() -> list[int]:
    return matching("sleep", "43001")


def test_of_two_that_start_at_once_one_is_refused(nsvisor: Program) -> None:
    fleet = FLEET.replace("1000", "43001")
    file = nsvisor.write("nsvisor.toml", fleet)
    for _ in range(2):
        both = [start(nsvisor, file), start(nsvisor, file)]
        with killed_in_the_end(both[0]), killed_in_the_end(both[1]):
            wait_until(lambda both=both: [one for one in both if one.poll() is not None], "one to be refused")  # type: ignore[misc]
            refused, alive = sorted(both, key=lambda one: one.poll() is None)
            assert refused.returncode == 1
            assert "a daemon is running already" in words_of(refused)
            wait_until(lambda: len(workers()) >= 1, "the other's worker")
            assert alive.poll() is None
            alive.send_signal(signal.SIGTERM)
            assert alive.wait(20) == 0
            words_of(alive)
    assert workers() == []


def test_the_first_is_killed_while_the_second_starts(nsvisor: Program) -> None:
    fleet = FLEET.replace("1000", "43001")
    with running(nsvisor, fleet) as first:
        first.wait_state("a", "ready")
        pid, before = first.instance("a")["pid"], workers()
        second = start(nsvisor, nsvisor.top / "nsvisor.toml")
        with killed_in_the_end(second):
            first.kill()
            wait_until(lambda: second.poll() is not None or nsvisor.run("ps").returncode == 0, "the second to decide")
            if second.poll() is not None:  # it had come too early
                assert "a daemon is running already" in words_of(second)
            else:
                second.kill()
                second.wait()
                words_of(second)
    with running(nsvisor, fleet) as third:
        third.wait_state("a", "ready")
        assert third.instance("a")["pid"] == pid
        assert workers() == before


def test_the_runtime_directory_is_deleted_under_a_daemon_that_dies(nsvisor: Program) -> None:
    fleet = FLEET.replace("1000", "43001")
    with running(nsvisor, fleet) as first:
        first.wait_state("a", "ready")
        pid, keeper, before = first.instance("a")["pid"], first.keeper_pid(), workers()
        first.kill()
        shutil.rmtree(nsvisor.runtime / "nsvisor")
    with running(nsvisor, fleet) as second:
        second.wait_state("a", "ready")
        assert second.instance("a")["pid"] == pid
        assert second.keeper_pid() == keeper
        assert workers() == before
        wait_until((nsvisor.runtime / "nsvisor/keeper.sock").exists, "the socket to be there again")
        second.kill()
    for name in os.listdir(nsvisor.state / "nsvisor/keepers"):
        os.unlink(nsvisor.state / "nsvisor/keepers" / name)
    with running(nsvisor, fleet) as third:  # by that one
        third.wait_state("a", "ready")
        assert third.instance("a")["pid"] == pid
