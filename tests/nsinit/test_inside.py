"""What a workload is given, and that it is given nothing else."""

import ctypes
import os
import platform
import shutil
import signal

import pytest

from supervisor.spec.model import Limits, Namespaces, Security
from tests.nsinit.keepers import Keeper, running_keeper
from tests.nsinit.people import Who, wait_for_room
from tests.nsinit.probes import census, python
from tests.nsinit.sandboxes import launched, output_of, run, worker

KEYCTL = {"x86_64": 250, "aarch64": 219}[platform.machine()]
# Becomes the command, with signals ignored.
IGNORING = """
import os, signal, sys
for number in (signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1, signal.SIGRTMIN):
    signal.signal(number, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])
"""
GET_KEYRING_ID, SESSION_KEYRING = 0, -3
INIT = pytest.mark.parametrize("init", [True, False], ids=["init", "no-init"])


@INIT
def test_descriptors_0_to_2_and_no_other(keeper: Keeper, init: bool) -> None:
    seen = census(keeper, init=init)["fds"]
    assert set(seen) == {"0", "1", "2"}
    assert seen["0"] == "/dev/null"
    assert all(seen[fd].startswith("pipe:") for fd in "12")


@INIT
def test_the_environment_is_what_the_plan_says(keeper: Keeper, init: bool) -> None:
    seen = census(keeper, init=init, env={"GREETING": "hällo wörld", "EMPTY": "", "LANG": "C"})["environ"]
    assert dict(pair.split("=", 1) for pair in seen.strip("\0").split("\0")) == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/tmp",
        "LANG": "C",
        "TZ": "UTC",
        "GREETING": "hällo wörld",
        "EMPTY": "",
    }


@INIT
def test_signals_are_as_new(who: Who, init: bool) -> None:
    """Whatever the daemon itself was started with: nohup ignores SIGHUP, a careless parent SIGCHLD."""
    with running_keeper(who, wrapper=[who.python, "-I", "-c", IGNORING]) as keeper:
        words = output_of(keeper, worker("exec cat /proc/self/status", init=init))
    fields = dict(line.split(":", 1) for line in words.splitlines())
    of_glibc = 3 << 31  # 32 and 33, which its posix_spawn ignores in every child
    assert {int(fields[key], 16) & ~of_glibc for key in ("SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd")} == {0}


@INIT
def test_no_capabilities_and_no_new_privileges(keeper: Keeper, init: bool) -> None:
    status = census(keeper, init=init)["status"]
    assert {status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"


def test_capabilities_asked_for(keeper: Keeper) -> None:
    kept = 1 << 10 | 1 << 13
    security = Security(capabilities=("CAP_NET_BIND_SERVICE", "CAP_NET_RAW"))
    status = census(keeper, security=security)["status"]
    assert {int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {kept}


def test_new_privileges_where_allowed(keeper: Keeper) -> None:
    assert census(keeper, security=Security(no_new_privs=False, seccomp="off"))["status"]["NoNewPrivs"] == "0"


def test_a_session_of_its_own_without_a_terminal(keeper: Keeper) -> None:
    seen = census(keeper)
    pid = seen["status"]["Pid"]
    _state, _ppid, group, session, terminal, *_ = seen["stat"]
    assert (group, session, terminal, seen["terminal"]) == (pid, pid, "0", False)


def test_a_terminal_where_asked(keeper: Keeper) -> None:
    """Of the sandbox's own devpts: its master is handed out, job control works."""
    if shutil.which("ps") is None:
        pytest.skip("needs procps")
    script = (
        "tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all; read line < /dev/tty; echo got $line; ps -o tpgid= -p $$"
    )
    with launched(keeper, worker(script), terminal=True) as sandbox:
        sandbox.go()
        (need, _what, _detail), (master,) = sandbox.until_need()
        assert need == "need"
        sandbox.answer("terminal")
        sandbox.until_end()
        assert sandbox.failure is None
        os.write(master, b"word\n")
        text = b""
        while text.count(b"\n") < 5:
            text += os.read(master, 4096)
        lines = text.decode().replace("word\r\n", "", 1).split()
        assert lines == ["/dev/pts/0", "all", "got", "word", "2"]
        os.close(master)
        sandbox.wait()


def test_session_keyrings_of_their_own(who: Who) -> None:
    ours = ctypes.CDLL(None).syscall(KEYCTL, GET_KEYRING_ID, SESSION_KEYRING, 0)
    wait_for_room(who)
    with running_keeper(who) as keeper:
        one, other = (census(keeper, security=Security(seccomp="off")) for _ in range(2))
        assert len({one["keyring"], other["keyring"], ours}) == 3
        assert one["keyring"] > 0


def test_it_dies_with_its_parent(keeper: Keeper) -> None:
    assert census(keeper, init=False)["death_signal"] == signal.SIGKILL
    assert census(keeper, namespaces=Namespaces(pid=False, mount=False))["death_signal"] == signal.SIGKILL


@pytest.mark.parametrize("umask", [0o077, 0o000])
def test_the_umask_of_whoever_started_the_daemon_does_not_matter(who: Who, umask: int) -> None:
    with running_keeper(who, umask=umask) as keeper:
        assert census(keeper)["status"]["Umask"] == "0022"
        assert output_of(keeper, worker("stat -c %a / /etc /etc/ssl /tmp /dev /dev/shm")).split() == [
            *("755", "755", "755", "1777", "755", "1777"),
        ]


def test_limits(keeper: Keeper) -> None:
    limits = Limits(nofile=64, nproc=100, core=0, fsize=1 << 20, cpu_s=60, address_space="unlimited", stack=4 << 20)
    seen = {line[:26].strip(): line[26:].split()[:2] for line in census(keeper, limits=limits)["limits"].splitlines()}
    assert seen["Max open files"] == ["64", "64"]
    assert seen["Max processes"] == ["100", "100"]
    assert seen["Max core file size"] == ["0", "0"]
    assert seen["Max file size"] == ["1048576", "1048576"]
    assert seen["Max cpu time"] == ["60", "60"]
    assert seen["Max address space"] == ["unlimited", "unlimited"]
    assert seen["Max stack size"] == ["4194304", "4194304"]


def test_tight_limits_do_not_hurt_the_set_up(keeper: Keeper) -> None:
    tight = Limits(nofile=4, nproc=0, fsize=0, memlock=0, data=1 << 24, address_space=1 << 26)
    assert run(keeper, worker(["/bin/true"], limits=tight)).status == 0


def test_names_with_every_byte(keeper: Keeper) -> None:
    """Strings travel as bytes; nothing is lost on the way to execve."""
    odd = "".join(chr(0xDC00 + byte) for byte in range(128, 256)) + "\n\t'\"\\ ü\x01\x7f"
    ran = run(keeper, worker(["/usr/bin/od", "-An", "-tx1", "-v", "/proc/self/environ"], env={"ODD": odd}))
    raw = bytes.fromhex(ran.out)
    assert b"\0ODD=" + odd.encode("utf-8", "surrogateescape") + b"\0" in raw


def test_commands_are_looked_up_inside(keeper: Keeper) -> None:
    found = worker(["env"], env={"PATH": "/nowhere:/etc/passwd:/usr/bin"})
    assert run(keeper, found).status == 0
    here = python("import os; print(os.getcwd())")
    assert output_of(keeper, here) == "/"
    assert output_of(keeper, worker("pwd", working_dir="/usr/share")) == "/usr/share"
