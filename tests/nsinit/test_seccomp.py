"""The filter at work: calls made for real inside sandboxes, and programs that must not notice it."""

import errno
import json
import os
import platform
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from supervisor.sandbox.ids import PlanError
from supervisor.sandbox.plan import compile_plan
from supervisor.spec.model import Mount, Namespaces, Network, Security
from supervisor.spec.seccomp import Comparison, Profile, Rule
from supervisor.spec.seccomp_file import read_profile
from supervisor.spec.syscalls import NATIVE, NUMBERS
from tests.nsinit.keepers import Keeper
from tests.nsinit.probes import python
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import output_of, run, worker

TABLE = NUMBERS[NATIVE[platform.machine()]]
STOCK = Path("/usr/share/containers/seccomp.json")
OFF = Security(seccomp="off")
# Makes the calls of a JSON array of [number, arguments...], and prints each one's errno, 0 where it succeeded.
CALLS = """
import ctypes, json, sys
libc = ctypes.CDLL(None, use_errno=True)
answers = []
for number, *arguments in json.loads(sys.argv[1]):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(one) for one in arguments])
    answers.append(ctypes.get_errno() if result == -1 else 0)
print(json.dumps(answers))
"""
HIGH = 1 << 32
TIOCSTI, TIOCLINUX, TIOCGWINSZ = 0x5412, 0x541C, 0x5413
NEWUSER, NEWNET, SIGCHLD = 0x10000000, 0x40000000, 17
# Arguments are such that the kernel itself would say another thing, or do no harm.
REFUSED = [
    ("clone3", (0, 0), errno.ENOSYS),
    ("io_uring_setup", (0, 0), errno.ENOSYS),
    ("keyctl", (0, -3, 0), errno.EPERM),
    ("add_key", (0, 0, 0, 0, 0), errno.EPERM),
    ("bpf", (0, 0, 0), errno.EPERM),
    ("perf_event_open", (0, 0, -1, -1, 0), errno.EPERM),
    ("userfaultfd", (1,), errno.EPERM),
    ("mount", (0, 0, 0, 0, 0), errno.EPERM),
    ("open_tree", (-100, 0, 0), errno.EPERM),
    ("setns", (-1, 0), errno.EPERM),
    ("syslog", (10, 0, 0), errno.EPERM),
    ("unshare", (NEWUSER,), errno.EPERM),
    ("clone", (NEWUSER | SIGCHLD, 0, 0, 0, 0), errno.EPERM),
    ("clone", (NEWNET | SIGCHLD, 0, 0, 0, 0), errno.EPERM),
    ("personality", (0x400000,), errno.EPERM),
    ("ioctl", (1, TIOCSTI, 0), errno.EPERM),
    ("ioctl", (1, TIOCSTI | HIGH, 0), errno.EPERM),
    ("ioctl", (1, TIOCLINUX | 7 * HIGH, 0), errno.EPERM),
    ("socket", (40, 1, 0), errno.EAFNOSUPPORT),  # AF_VSOCK
    ("socket", (38, 5, 0), errno.EAFNOSUPPORT),  # AF_ALG
    ("socket", (16, 3, 9), errno.EPROTONOSUPPORT),  # NETLINK_AUDIT
]
PASSED = [
    ("ioctl", (1, TIOCGWINSZ, 0), errno.ENOTTY),
    ("socket", (1, 1, 0), 0),
    ("socket", (2, 1, 0), 0),
    ("socket", (16, 3, 0), 0),
    ("personality", (0xFFFFFFFF,), 0),
    ("unshare", (0x400,), 0),  # CLONE_FILES
    ("ptrace", (0xFFFF, 0, 0, 0), errno.ESRCH),
    ("adjtimex", (0,), errno.EFAULT),
    ("getcwd", (0, 0), errno.ERANGE),
]


def answers(keeper: Keeper, calls: Sequence[tuple[str, tuple[int, ...], int]], **keys: Any) -> list[int]:
    wanted = json.dumps([[TABLE[name], *args] for name, args, _ in calls])
    base = python(CALLS, **keys)
    found: list[int] = json.loads(output_of(keeper, worker([*base.command, wanted], **keys)))
    return found


@pytest.mark.parametrize("init", [True, False], ids=["init", "no-init"])
def test_calls_under_the_default_profile(keeper: Keeper, init: bool) -> None:
    table = [*REFUSED, *PASSED]
    found = answers(keeper, table, init=init)
    assert dict(zip(table, found, strict=True)) == {one: one[2] for one in table}


def test_the_same_calls_without_it(keeper: Keeper) -> None:
    """It is the filter that answers: most calls get another answer from the kernel."""
    asked = [one for one in REFUSED if one[0] not in ("clone", "unshare")]
    same = [one for one, got in zip(asked, answers(keeper, asked, security=OFF), strict=True) if one[2] == got]
    assert {name for name, *_ in same} <= {
        "perf_event_open",
        "bpf",
        "syslog",
        "mount",
        "personality",
        "socket",
        "open_tree",
    }


def test_pid_1_has_the_filter_too(keeper: Keeper) -> None:
    assert output_of(keeper, worker("grep -h Seccomp: /proc/1/status /proc/self/status")).split()[1::2] == ["2", "2"]
    assert output_of(keeper, worker("grep Seccomp: /proc/self/status", security=OFF)).split()[1] == "0"


def test_no_process_more_than_without_it(keeper: Keeper) -> None:
    plan = compile_plan(worker("true"), 0, keeper.who.facts)
    phases = [step.phase for step in plan.steps]
    assert phases[-2:] == ["lock.seccomp", "exec"]
    assert "init.fork" not in phases


OTHER_ABI = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
# mov eax, NUMBER; int 0x80 or syscall; ret
page.write(b"\\xb8" + (20).to_bytes(4, "little") + b"\\xcd\\x80\\xc3".ljust(11, b"\\xc3"))
page.write(b"\\xb8" + (0x40000000 | 39).to_bytes(4, "little") + b"\\x0f\\x05\\xc3")
start = ctypes.addressof(ctypes.c_char.from_buffer(page))
make = ctypes.CFUNCTYPE(ctypes.c_int)
print(make(start)(), make(start + 16)())
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="needs x86_64")
def test_calls_of_32_bits_and_of_x32(keeper: Keeper) -> None:
    """The call getpid by int 0x80, and with the x32 bit."""
    assert output_of(keeper, python(OTHER_ABI)).split() == [str(-errno.ENOSYS)] * 2
    of_32_bits, x32 = output_of(keeper, python(OTHER_ABI, security=OFF)).split()
    assert int(of_32_bits) in (2, -errno.ENOSYS)
    assert x32 == str(-errno.ENOSYS) or int(x32) > 0


PROGRAMS = {
    "threads": (
        "import threading; t = [threading.Thread(target=print, args=(n,)) for n in range(4)]; "
        "[one.start() for one in t]; [one.join() for one in t]"
    ),
    "subprocesses": "import subprocess; print(subprocess.run(['echo', 'x'], capture_output=True, check=True).stdout)",
    "multiprocessing": (
        "import multiprocessing as m\n"
        "q = m.Queue()\n"
        "p = m.Process(target=q.put, args=(1,)); p.start(); print(q.get()); p.join(); print(m.Semaphore(2).acquire())"
    ),
    "asyncio": "import asyncio; print(asyncio.run(asyncio.create_subprocess_exec('/bin/true')).pid)",
    "sockets": "import socket; print(socket.socketpair(), socket.create_server(('', 0)), socket.if_nameindex())",
    "memory": (
        "import ctypes, mmap; c = ctypes.CDLL(None); i = c.shmget(0, 4096, 0o1600); assert i >= 0; "
        "assert c.shmctl(i, 0, 0) == 0; assert c.semget(0, 1, 0o1600) >= 0; assert c.msgget(0, 0o1600) >= 0; "
        "print(mmap.mmap(-1, 4096)); import os; print(os.memfd_create('x'), os.eventfd(0), os.getrandom(4))"
    ),
    "identity": "import os; print(os.getgroups(), os.sched_getaffinity(0), os.nice(1))",
    "time": "import time; time.sleep(0.001); print(time.clock_gettime(time.CLOCK_BOOTTIME), time.localtime())",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_python_programs(keeper: Keeper, name: str) -> None:
    """Each does, under the filter, what it does without."""
    ran = run(keeper, python(PROGRAMS[name]))
    assert (ran.failure, ran.status, ran.err) == (None, 0, "")
    assert ran.out


SHELL = """
set -e
cd /tmp; mkdir -p a/b; echo text > a/b/c; cp -a a d; mv d/b/c d/e; ln -s e d/f; ln d/e d/g
chmod 600 d/e; touch -d @0 d/e
tar cf x.tar a d; tar tf x.tar | sort | head -n 3; find . -type f | xargs grep -l text | wc -l
(sleep 0.01; exit 3) & wait $! || echo $?
dd if=/dev/zero of=z bs=64k count=2 2>/dev/null; sync z; stat -c %s z; rm -r a d x.tar z
timeout 5 true; nice true; setsid true; flock /tmp true; date -u +%Y > y; id -u > u; df /tmp > f
kill -0 $$; ulimit -n > /dev/null
"""


def test_a_shell_and_its_tools(keeper: Keeper) -> None:
    ran = run(keeper, worker(SHELL))
    assert (ran.failure, ran.status, ran.err) == (None, 0, "")
    assert ran.out.split() == ["a/", "a/b/", "a/b/c", "4", "3", "131072"]


def test_a_compiler(keeper: Keeper) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    script = "cd /tmp; echo 'int main(void) { return 42; }' > p.c; gcc -o p p.c && ./p; echo $?"
    assert output_of(keeper, worker(script)) == "42"


# -- profiles of one's own ------------------------------------------------------------------------------------------


def own(default: str, *rules: Rule, **keys: Any) -> Security:
    profile = Profile(default, rules=rules)  # type: ignore[arg-type]
    return Security(seccomp="/profile.json", seccomp_profile=profile, **keys)


def test_a_profile_that_only_forbids(keeper: Keeper) -> None:
    security = own("SCMP_ACT_ALLOW", Rule(("mkdir", "mkdirat"), "SCMP_ACT_ERRNO", errno.EXDEV))
    ran = run(keeper, worker("mkdir /tmp/x", security=security))
    assert (ran.failure, ran.code) == (None, 1)
    assert os.strerror(errno.EXDEV) in ran.err
    assert "init.fork" in ran.phases


def test_pid_1_is_spared_a_strict_profile(keeper: Keeper) -> None:
    """It reaps by wait4 and sleeps in rt_sigtimedwait, which the workload may not."""
    security = own("SCMP_ACT_ALLOW", Rule(("wait4", "waitid", "rt_sigtimedwait", "capset"), "SCMP_ACT_KILL_PROCESS"))
    ran = run(keeper, worker(["/bin/sh", "-c", "exit 7"], security=security))
    assert (ran.failure, ran.code) == (None, 7)
    assert output_of(keeper, worker("exec grep -h Seccomp: /proc/1/status", security=security)).split()[1] == "0"


SOURCE = """
static long call(long n, long a, long b, long c) {
    long r;
#ifdef __x86_64__
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
#else
    register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory"); r = x0;
#endif
    return r;
}
void _start(void) { call(WRITE, 1, (long)"alive\\n", 6); call(EXIT, 7, 0, 0); }
"""


@pytest.mark.parametrize("init", [True, False], ids=["init", "no-init"])
def test_a_profile_of_three_calls(keeper: Keeper, folder: Folder, init: bool) -> None:
    """Between the filter and the command there is nothing but write and execve."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    source = folder.file("p.c", SOURCE)
    defines = [f"-DWRITE={TABLE['write']}", f"-DEXIT={TABLE['exit_group']}"]
    build = ["gcc", "-static", "-nostdlib", *defines, "-o", str(folder.top / "p"), str(source)]
    subprocess.run(build, check=True)
    security = own("SCMP_ACT_KILL_PROCESS", Rule(("write", "execve", "exit_group"), "SCMP_ACT_ALLOW"))
    keys = {"security": security, "init": init, "mounts": (Mount("bind", "/program", str(folder.top), ("ro",)),)}
    ran = run(keeper, worker(["/program/p"], **keys))
    assert (ran.failure, ran.out, ran.code) == (None, "alive\n", 7)
    ran = run(keeper, worker(["p"], env={"PATH": "/nowhere:/program"}, **keys))
    assert (ran.failure, ran.out, ran.code) == (None, "alive\n", 7)
    failure = run(keeper, worker(["/program/none"], **keys)).failure
    assert failure is not None
    assert (failure.phase, failure.number) == ("exec", errno.ENOENT)


def test_a_workload_that_the_filter_kills(keeper: Keeper) -> None:
    security = own("SCMP_ACT_ALLOW", Rule(("mkdir", "mkdirat"), "SCMP_ACT_KILL_PROCESS"))
    ran = run(keeper, worker(["/bin/mkdir", "/tmp/x"], security=security))
    assert ran.failure is None
    assert os.WTERMSIG(ran.status) == signal.SIGSYS


def test_killed_before_the_command_starts(keeper: Keeper) -> None:
    """A filter that lets a command start only by way of arguments that ours are not."""
    never = Comparison(0, "SCMP_CMP_EQ", 0xDEAD)
    security = own("SCMP_ACT_KILL_PROCESS", Rule(("write", "execve"), "SCMP_ACT_ALLOW", args=(never,)))
    ran = run(keeper, worker(["/bin/true"], security=security, init=False))
    assert ran.failure is None
    assert ran.phases[-1] not in ("lock.seccomp", "exec")  # what came before the filter was told before it
    assert os.WTERMSIG(ran.status) == signal.SIGSYS


def test_a_profile_that_lets_no_command_start(keeper: Keeper) -> None:
    with pytest.raises(PlanError, match="never allows execve"):
        compile_plan(
            worker("true", security=own("SCMP_ACT_ERRNO", Rule(("write",), "SCMP_ACT_ALLOW"))), 0, keeper.who.facts
        )


def test_the_profile_of_a_distribution(keeper: Keeper) -> None:
    """Debian's golang-github-containers-common: what podman uses."""
    if not STOCK.exists():
        pytest.skip("needs golang-github-containers-common")
    security = Security(seccomp=str(STOCK), seccomp_profile=read_profile(str(STOCK)))
    assert output_of(keeper, worker("echo works; grep -c . /proc/self/status >/dev/null", security=security)) == "works"
    refused = [("userfaultfd", (1,), errno.EPERM), ("io_uring_setup", (0, 0), errno.ENOSYS)]
    assert answers(keeper, refused, security=security) == [one[2] for one in refused]


def test_without_no_new_privs(keeper: Keeper) -> None:
    """The kernel wants CAP_SYS_ADMIN then, which the loader asks for; a spec that lacks it fails in this phase."""
    failure = run(keeper, worker("true", security=Security(no_new_privs=False))).failure
    assert failure is not None
    assert (failure.phase, failure.number, failure.syscall) == ("lock.seccomp", errno.EACCES, "seccomp")
    security = Security(no_new_privs=False, capabilities=("CAP_SYS_ADMIN",), nested_userns=True)
    found = output_of(keeper, worker("grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status", security=security))
    assert found.split()[1::2] == ["0", "2"]


def test_nested_user_namespaces_where_asked(keeper: Keeper) -> None:
    security = Security(nested_userns=True)
    assert output_of(keeper, worker("unshare -U true && echo made", security=security)) == "made"


def test_in_the_supervisors_own_namespaces(keeper: Keeper) -> None:
    spaces = Namespaces(user=False, pid=False, mount=False, uts=False, ipc=False, cgroup=False)
    assert (
        output_of(
            keeper, worker("grep Seccomp: /proc/self/status", namespaces=spaces, network=Network(mode="host"))
        ).split()[1]
        == "2"
    )
