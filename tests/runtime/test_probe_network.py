import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from supervisor.runtime import probe_network
from supervisor.runtime.probe_answer import CannotProbe
from supervisor.runtime.probe_network import NetworkOf, probe_http, probe_tcp
from tests.accounts import Account, me


async def tcp_ready(address: str, interval_s: float, pid: int | None = None) -> None:
    with NetworkOf(os.getpid() if pid is None else pid) as network:
        while not (await probe_tcp(network, address)).ok:  # noqa: ASYNC110  (as the monitor does)
            await trio.sleep(interval_s)


def listener(family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    one = socket.socket(family)
    one.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    return one


async def test_waits_until_somebody_listens_in_our_own_network() -> None:
    with listener() as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        done = trio.Event()

        async def probe() -> None:
            await tcp_ready(address, 0.02, os.getpid())
            done.set()

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(probe)
                await trio.sleep(0.2)
                assert not done.is_set()
                server.listen()
    assert done.is_set()


async def test_ipv6() -> None:
    with listener(socket.AF_INET6) as server, trio.fail_after(10):
        server.listen()
        await tcp_ready(f"[::1]:{server.getsockname()[1]}", 0.02)


async def test_a_host_that_does_not_exist_is_no_time_out() -> None:
    with trio.fail_after(30), pytest.raises(CannotProbe, match=r"cannot resolve no\.such\.invalid"):
        await tcp_ready("no.such.invalid:80", 0.02)


async def test_a_process_that_is_gone() -> None:
    process = subprocess.Popen(["true"])  # noqa: ASYNC220
    process.wait()
    with trio.fail_after(30), pytest.raises(CannotProbe, match=f"process {process.pid}: open: No such file"):
        await tcp_ready("127.0.0.1:80", 0.01, process.pid)


# Who runs this starts a sandbox's worth of processes in a network of their own: an init that hides itself
# (non-dumpable) and below it a server that listens after a while; then probes.
SCENARIO = """
import os, subprocess, sys, time
import trio
from supervisor.runtime.probe_network import NetworkOf, probe_tcp

async def tcp_ready(address, interval_s, pid):
    with NetworkOf(pid) as network:
        while not (await probe_tcp(network, address)).ok:
            await trio.sleep(interval_s)

INIT = '''
import ctypes, os, subprocess, sys
libc = ctypes.CDLL(None)
uid = os.geteuid()
# Without an execve after it, as nsinit: to look into such a process takes rights outside the new user namespace.
if libc.unshare(0x40000000 if uid == 0 else 0x50000000) != 0:
    sys.exit("unshare")
if uid != 0:
    with open("/proc/self/uid_map", "w") as file:
        file.write(f"0 {uid} 1")
server = subprocess.Popen([sys.executable, "-I", "-S", "-c", sys.argv[1], *sys.argv[3:]], stdin=0)
if sys.argv[2] == "hidden":
    libc.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
print("up", flush=True)
sys.exit(server.wait())
'''
SERVER = '''
import fcntl, select, socket, struct, sys, time
with socket.socket() as control:
    fcntl.ioctl(control, 0x8914, struct.pack("16sH14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
if sys.argv[1] == "itself":  # loopback connects a port of the dynamic range to itself now and then: here always
    with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
        file.write("8080 8081")
    for _ in range(100):
        with socket.socket() as alone:
            if alone.connect_ex(("127.0.0.1", 8080)) == 0 and alone.getsockname() == alone.getpeername():
                break
    else:
        sys.exit("it never connected to itself")
    sys.stdin.read()
    sys.exit()
server = socket.socket()
server.bind(("127.0.0.1", 8080))
if not select.select([0], [], [], float(sys.argv[1]))[0]:
    server.listen()
    sys.stdin.read()
'''

dumpable, delay_s, patience_s = sys.argv[1:4]
init = subprocess.Popen([sys.executable, "-c", INIT, SERVER, dumpable, delay_s],
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
if dumpable == "hidden" and os.geteuid() != 0:
    init.stdout.peek(1)
    try:
        os.stat(f"/proc/{init.pid}/ns/net")
    except PermissionError:
        pass
    else:
        sys.exit("it is not hidden")
assert init.stdout.readline() == b"up\\n"

def helpers():
    found = 0
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                with open(f"/proc/{pid}/stat") as stat, open(f"/proc/{pid}/cmdline", "rb") as command:
                    mine = int(stat.read().rpartition(")")[2].split()[1]) == os.getpid()
                    found += mine and b"nsinit import probe" in command.read()
            except OSError:
                pass
    return found

async def main():
    before = trio.current_time()
    with trio.move_on_after(float(patience_s)) as scope:
        await tcp_ready("127.0.0.1:8080", 0.02, init.pid)
    print(scope.cancelled_caught, round(trio.current_time() - before, 3), helpers())

try:
    trio.run(main)
finally:
    init.stdin.close()
    assert init.wait() == 0
"""


def scenario(account: Account, python: Path, *arguments: str) -> tuple[bool, float, int]:
    done = subprocess.run(
        [python, "-W", "error", "-c", SCENARIO, *arguments],
        check=False,
        capture_output=True,
        cwd="/",
        timeout=60,
        **account.identity(),  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stderr.decode()
    cancelled, took_s, helpers = done.stdout.split()
    return cancelled == b"True", float(took_s), int(helpers)


@pytest.mark.parametrize("privileged", [False, True])
@pytest.mark.parametrize("dumpable", ["shown", "hidden"])
def test_a_server_in_a_network_of_its_own(
    dumpable: str, privileged: bool, unprivileged: Account, program_bin: Path
) -> None:
    account = me() if privileged else unprivileged
    cancelled, took_s, helpers = scenario(account, program_bin / "python", dumpable, "0.5", "20")
    assert not cancelled
    assert took_s > 0.2  # it did not listen at once
    assert helpers == 0


def test_a_probe_that_is_cancelled_leaves_no_helper(unprivileged: Account, program_bin: Path) -> None:
    cancelled, took_s, helpers = scenario(unprivileged, program_bin / "python", "shown", "30", "0.5")
    assert cancelled
    assert took_s < 3
    assert helpers == 0


def test_a_connection_to_itself_is_no_answer(unprivileged: Account, program_bin: Path) -> None:
    cancelled, _took_s, _helpers = scenario(unprivileged, program_bin / "python", "shown", "itself", "1.5")
    assert cancelled


def test_a_connection_to_itself_is_no_answer_in_our_own_network_either(
    unprivileged: Account, program_bin: Path
) -> None:
    program = """
import fcntl, os, socket, struct, trio
from supervisor.runtime.probe_network import NetworkOf, probe_tcp

async def tcp_ready(address, interval_s, pid):
    with NetworkOf(pid) as network:
        while not (await probe_tcp(network, address)).ok:
            await trio.sleep(interval_s)

with socket.socket() as control:
    fcntl.ioctl(control, 0x8914, struct.pack("16sH14x", b"lo", 1))
with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
    file.write("8080 8081")
async def main():
    with trio.move_on_after(1) as scope:
        await tcp_ready("127.0.0.1:8080", 0.002, os.getpid())
    print(scope.cancelled_caught)
trio.run(main)
"""
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", program_bin / "python", "-c", program],
        check=False,
        capture_output=True,
        cwd="/",
        timeout=30,
        **unprivileged.identity(),  # type: ignore[call-overload]
    )
    assert (done.stdout, done.stderr) == (b"True\n", b"")


def test_the_helper_leaves_when_nobody_listens_to_it_any_more() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        probe_network._PROGRAM,
        probe_network._ROOT,
        str(process.pid),
        "2",
        "1",
    ]
    with ours, theirs:
        helper = subprocess.Popen(command, stdin=theirs.fileno())
    assert helper.wait(10) == 1


# What is answered to GET, in hexadecimal nothing: the bytes as they are. Then the connection is closed.
ANSWERS = [
    (b"HTTP/1.1 204 No Content\r\n\r\n", None, True, "HTTP 204 No Content"),
    (b"HTTP/1.1 301 Moved\r\nContent-Length: 2\r\n\r\nhi", None, False, "HTTP 301 Moved: hi"),
    (
        b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
        None,
        False,
        "302 Found to /login, not followed",
    ),
    (b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n", 301, True, "HTTP 301 Moved"),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n\0\xff\nfine", None, True, "HTTP 200 OK: \\xff fine"),
    (b"HTTP/1.0 500 \r\n\r\n" + b"x" * 100000, None, False, "HTTP 500: " + "x" * 200),
    (b"SSH-2.0-x\r\n", None, False, "no HTTP"),
    (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20000, None, False, "no HTTP"),
    (b"", None, False, "no HTTP"),
]


@pytest.mark.parametrize(("said", "status", "ok", "seen"), ANSWERS)
async def test_answers_to_http(said: bytes, status: int | None, ok: bool, seen: str) -> None:
    with listener() as server, NetworkOf(os.getpid()) as network:
        server.listen()
        asked = b""

        async def answer() -> None:
            nonlocal asked
            connection, _ = await trio.socket.from_stdlib_socket(server).accept()
            async with trio.SocketStream(connection) as stream:
                asked = await stream.receive_some(4096)
                with suppress(trio.BrokenResourceError):
                    await stream.send_all(said)

        server.setblocking(False)
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(answer)
                url = f"http://127.0.0.1:{server.getsockname()[1]}/a?b=c"
                found = await probe_http(network, url, status)
    assert found.ok == ok
    assert found.seen == seen or (seen == "no HTTP" and "no HTTP" in found.seen) or seen in found.seen
    assert asked.startswith(b"GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:")


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    with listener() as server, NetworkOf(os.getpid()) as network:
        server.listen()
        server.setblocking(False)
        over = trio.Event()

        async def answer() -> None:
            connection, _ = await trio.socket.from_stdlib_socket(server).accept()
            async with trio.SocketStream(connection) as stream:
                await stream.receive_some(4096)
                await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nso")
                await over.wait()

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(answer)
                found = await probe_http(network, f"http://127.0.0.1:{server.getsockname()[1]}/", None)
                over.set()
    assert (found.ok, found.seen) == (True, "HTTP 200 OK: so")
