"""network.mode = "pasta": the real pasta beside real workers, in a network namespace around the daemon."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping

import psutil
import pytest

from tests.e2e.daemons import PATIENCE_S, Daemon, Record, is_alive, running, wait_until
from tests.e2e.private_network import ADDRESS, GATEWAY, NEIGHBOUR, PrivateNetwork, private_network
from tests.program import Program

ECHO = r"""
import os, socket, sys, threading
def tcp():
    server = socket.create_server(("", 80))
    while True:
        connection, _ = server.accept()
        connection.sendall(b"tcp %d" % os.stat("/proc/self/ns/net").st_ino)
        connection.close()
def udp():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("", 8053))
    while True:
        data, peer = server.recvfrom(100)
        server.sendto(b"udp " + data, peer)
threading.Thread(target=udp, daemon=True).start()
tcp()
"""
FLEET = f"""
[worker.web]
command = ["/usr/bin/python3", "-c", '''{ECHO}''']
network = {{ mode = "pasta", publish = ["127.0.0.1:8080:80", "127.0.0.1:8053:8053/udp"] }}
restart = {{ delay = "0.05s", policy = "on-failure" }}
"""


@pytest.fixture(scope="module")
def network() -> Iterator[PrivateNetwork]:
    with private_network() as made:
        yield made


@pytest.fixture(params=["user", "root"])
def program(request: pytest.FixtureRequest, network: PrivateNetwork) -> Program:
    """As the ordinary user, and as root."""
    return network.wrap(request.getfixturevalue("nsvisor" if request.param == "user" else "root_nsvisor"))


@pytest.fixture
def as_user(network: PrivateNetwork, nsvisor: Program) -> Program:
    return network.wrap(nsvisor)


def pastas(daemon: Daemon) -> list[int]:
    """Those that the daemon's keeper has."""
    try:
        children = psutil.Process(daemon.keeper_pid()).children()
    except psutil.NoSuchProcess:
        return []
    return [one.pid for one in children if one.status() != psutil.STATUS_ZOMBIE and one.name().startswith("pas")]


def answered(network: PrivateNetwork, port: int = 8080) -> bytes:
    """What the worker says, as soon as it listens."""
    said: list[bytes] = []
    wait_until(lambda: said.append(network.ask(port)) or said[-1], f"an answer on port {port}")  # type: ignore[func-returns-value]
    return said[-1]


def test_published_ports_answer_and_a_stop_leaves_no_pasta(program: Program, network: PrivateNetwork) -> None:
    with running(program, FLEET) as daemon:
        daemon.wait_state("web", "ready")
        assert answered(network).startswith(b"tcp ")
        assert network.ask(8053, b"hello", kind=socket.SOCK_DGRAM) == b"udp hello"
        (attach,) = daemon.records("setup.phase", phase="net.attach")
        assert attach["outcome"] == "ok"
        (pasta,) = pastas(daemon)
        status = psutil.Process(pasta)
        assert status.uids().real == program.user.uid
        with open(f"/proc/{pasta}/status") as file:
            assert "Seccomp:\t2" in file.read()
        daemon.post("/v1/stop", names=["web"])
        daemon.wait_state("web", "stopped")
        assert not is_alive(pasta)
        assert network.ask(8080) == b""
        assert not daemon.records("network.failed")
        daemon.post("/v1/start", names=["web"])
        daemon.wait_state("web", "ready")
        assert answered(network).startswith(b"tcp ")
        (pasta,) = pastas(daemon)
    assert not is_alive(pasta)


def connect_out(program: Program, address: str, port: int, *options: str) -> "subprocess.CompletedProcess[str]":
    code = f"""
import socket
try:
    with socket.create_connection(("{address}", {port}), timeout=1) as connection:
        print("connected", connection.recv(100).decode())
except OSError as error:
    print("refused", error)
"""
    return program.run("run", "--net", "pasta", *options, "--", "/usr/bin/python3", "-c", code)


def test_run_reaches_an_address_of_the_host(program: Program, network: PrivateNetwork) -> None:
    with network.listen(NEIGHBOUR, 7001) as server:
        server.listen()
        code = f"import socket; s = socket.create_connection(('{NEIGHBOUR}', 7001), 5); s.sendall(b'out'); s.recv(1)"
        arguments = ("run", "--net", "pasta", "--", "/usr/bin/python3", "-c", code)
        with program.popen(*arguments, stderr=subprocess.PIPE) as process:
            connection, _ = server.accept()
            with connection:
                assert connection.recv(10) == b"out"
                connection.send(b"x")
            assert process.wait(PATIENCE_S) == 0, process.stderr


@pytest.mark.parametrize("address", ["127.0.0.1", GATEWAY, "169.254.1.1"])
def test_the_hosts_loopback_is_out_of_reach(as_user: Program, network: PrivateNetwork, address: str) -> None:
    """By its own address, which pasta would forward by default, and by the gateway's, which it would map."""
    with network.listen("127.0.0.1", 7002) as server:
        said = connect_out(as_user, address, 7002)
        assert said.stdout.startswith("refused"), said
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


FORGE = r"""
import socket, struct
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)
source, target = socket.inet_aton("%s"), socket.inet_aton("127.0.0.1")
tcp = struct.pack("!HHIIBBHHH", 40000, 7002, 1, 0, 5 << 4, 2, 65535, 0, 0)
tcp = tcp[:16] + checksum(source + target + struct.pack("!BBH", 0, 6, 20) + tcp) + tcp[18:]
ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 1, 0, 64, 6, 0, source, target)
ip = ip[:10] + checksum(ip) + ip[12:]
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(("d0", 0x800))
link.send(b"\x52\x54\x00\x00\x00\x01" + link.getsockname()[4] + b"\x08\x00" + ip + tcp)
input()
"""


def test_forged_packets_need_leave(as_user: Program, network: PrivateNetwork) -> None:
    """The attack works, so what it takes is refused."""
    options = ("run", "--net", "pasta", "--cap", "net_raw")
    command = ("--", "/usr/bin/python3", "-c", FORGE % ADDRESS)
    refused = as_user.run(*options, *command)
    assert refused.returncode == 125
    assert "can write packets to the host's loopback" in refused.stderr
    words = (*options, "--set", "network.host_loopback=true", *command)
    with network.listen("127.0.0.1", 7002) as server, as_user.popen(*words, stdin=subprocess.PIPE) as process:
        server.accept()[0].close()
        process.communicate("\n", timeout=PATIENCE_S)


def test_the_same_reach_with_pastas_own_defaults(network: PrivateNetwork) -> None:
    """The attack of the test above works where nobody forbids it."""
    with network.listen("127.0.0.1", 7002) as server:
        code = f"import socket; socket.create_connection(('{GATEWAY}', 7002), 5)"
        enter = [
            "nsenter",
            "--target",
            str(network.pid),
            "--net",
            "--mount",
            "setpriv",
            "--reuid=65534",
            "--clear-groups",
        ]
        subprocess.run([*enter, "pasta", "--config-net", "--", "/usr/bin/python3", "-c", code], check=True, timeout=20)
        server.accept()[0].close()


def test_pasta_killed_is_told_and_the_worker_comes_back(as_user: Program, network: PrivateNetwork) -> None:
    with running(as_user, FLEET) as daemon:
        daemon.wait_state("web", "ready")
        (pasta,) = pastas(daemon)
        os.kill(pasta, signal.SIGKILL)
        failed = daemon.wait_record("network.failed", instance="web", incarnation=1)
        assert "SIGKILL" in failed["error"]
        assert daemon.wait_record("worker.exited", incarnation=1)["cause"] == "network"
        daemon.wait_record("setup.completed", incarnation=2)
        assert answered(network).startswith(b"tcp ")
        assert len(pastas(daemon)) == 1
        assert daemon.instance("web")["last_exit"]["cause"] == "network"


def test_the_next_daemon_adopts_both(as_user: Program, network: PrivateNetwork) -> None:
    with running(as_user, FLEET) as daemon:
        daemon.wait_state("web", "ready")
        before, served = pastas(daemon), answered(network)
        daemon.kill()
        assert network.ask(8080) == served  # while there is no daemon at all
        with running(as_user, FLEET) as next_daemon:
            next_daemon.wait_record("worker.adopted", instance="web")
            assert pastas(next_daemon) == before
            assert answered(network) == served
            os.kill(before[0], signal.SIGKILL)  # and supervises what it adopted
            next_daemon.wait_record("network.failed", incarnation=1)
            next_daemon.wait_record("setup.completed", incarnation=2)
            assert answered(network) != served


def test_pasta_dies_with_the_keeper(as_user: Program, network: PrivateNetwork) -> None:
    with running(as_user, FLEET) as daemon:
        daemon.wait_state("web", "ready")
        (pasta,) = pastas(daemon)
        os.kill(daemon.keeper_pid(), signal.SIGKILL)
        wait_until(lambda: not is_alive(pasta), "pasta to die")
        daemon.wait_record("setup.completed", incarnation=2)
        assert answered(network).startswith(b"tcp ")


def test_without_a_next_daemon_none_stays(as_user: Program, network: PrivateNetwork) -> None:
    with running(as_user, f'[supervisor]\nadopt_timeout = "0.2s"\n{FLEET}') as daemon:
        daemon.wait_state("web", "ready")
        (pasta,) = pastas(daemon)
        keeper = daemon.keeper_pid()
        daemon.kill()
        wait_until(lambda: not is_alive(keeper), "the keeper to leave")
        assert not is_alive(pasta)
        assert network.ask(8080) == b""


def failures(program: Program, networks: Mapping[str, str]) -> dict[str, Record]:
    """By worker its failed phase. None is restarted."""
    common = 'command = ["true"]\nrestart.policy = "never"\nnetwork.mode = "pasta"\n'
    config = "".join(f"[worker.{name}]\n{common}{keys}\n" for name, keys in networks.items())
    with running(program, config) as daemon:
        for name in networks:
            daemon.wait_state(name, "failed")
        found = {phase["worker"]: phase for phase in daemon.records("setup.phase", outcome="failed")}
        assert pastas(daemon) == []
    assert found.keys() == networks.keys()
    assert all(phase["phase"] == "net.attach" and phase["hint"] for phase in found.values())
    return found


def test_a_port_that_cannot_be_had_is_named(as_user: Program, network: PrivateNetwork) -> None:
    with network.listen("127.0.0.1", 8090), network.open_socket(socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 8091))
        found = failures(
            as_user,
            {
                "tcp": 'network.publish = ["0.0.0.0:8090:80"]',
                "udp": 'network.publish = ["127.0.0.1:8091:80/udp"]',
                "low": 'network.publish = ["80"]',
                "six": 'network.publish = ["[::1]:8093:80"]',
                "elsewhere": 'network.publish = ["192.0.2.77:8092:80"]',
            },
        )
    assert {name: (phase["errno"], phase["message"].partition(": ")[0]) for name, phase in found.items()} == {
        "tcp": ("EADDRINUSE", "0.0.0.0:8090/tcp"),
        "udp": ("EADDRINUSE", "127.0.0.1:8091/udp"),
        "low": ("EACCES", "127.0.0.1:80/tcp"),
        "six": ("EAFNOSUPPORT", "pasta gave up"),
        "elsewhere": ("EADDRNOTAVAIL", "192.0.2.77:8092/tcp"),
    }
    assert "ss -lntup" in found["tcp"]["hint"]
    assert "ip_unprivileged_port_start" in found["low"]["hint"]


def test_without_tun(nsvisor: Program) -> None:
    with private_network(tun=False) as network:
        hidden = ["mount", "-t", "tmpfs", "none", "/dev/net"]
        subprocess.run(["nsenter", "--target", str(network.pid), "--mount", *hidden], check=True)
        phase = failures(network.wrap(nsvisor), {"web": ""})["web"]
    assert phase["errno"] == "ENOENT"
    assert "/dev/net/tun" in phase["message"]


def test_without_pasta(as_user: Program) -> None:
    as_user.environ["PATH"] = str(as_user.bin)
    phase = failures(as_user, {"web": ""})["web"]
    assert (phase["errno"], phase["message"]) == ("ENOENT", "pasta is not installed")
    assert "apt install passt" in phase["hint"]


def fake(program: Program, script: str) -> None:
    """Have another pasta be found first."""
    pasta = program.folder("fake") / "pasta"
    pasta.write_text(f"#!/bin/sh\n{script}\n")
    pasta.chmod(0o755)
    program.environ["PATH"] = f"{pasta.parent}:{program.environ['PATH']}"


COURSES = {
    "hangs": ("exec sleep 600", "ETIMEDOUT", "pasta was not up after 0.3 s"),
    "leaves": ("echo no luck >&2; exit 1", "EIO", "pasta gave up: no luck"),
    "loses": ("echo Failed to bind any port >&2; exit 1", "EAFNOSUPPORT", "Failed to bind any port"),
    "dies": ("kill -9 $$", "EIO", "it said nothing"),
    "idles": ("echo $$ >&2; exec sleep 600", "ETIMEDOUT", "no interface has an address and a default route"),
}


def test_a_pasta_that_does_not_come_up(as_user: Program) -> None:
    ports = {name: 8100 + place for place, name in enumerate(COURSES)}
    cases = "".join(f"*/{ports[name]}:*) {script};;\n" for name, (script, _, _) in COURSES.items())
    fake(as_user, f'case "$*" in\n{cases}esac')
    keys = 'network.timeout = "0.3s"\nnetwork.publish = ["{}"]'
    found = failures(as_user, {name: keys.format(port) for name, port in ports.items()})
    for name, (_, errno, said) in COURSES.items():
        assert found[name]["errno"] == errno
        assert said in found[name]["message"]


def test_a_stop_while_it_comes_up(as_user: Program) -> None:
    fake(as_user, "exec sleep 600")
    with running(as_user, '[worker.web]\ncommand = ["true"]\nnetwork.mode = "pasta"\n') as daemon:
        wait_until(lambda: psutil.Process(daemon.keeper_pid()).children(), "a sandbox")
        keeper = psutil.Process(daemon.keeper_pid())
        wait_until(lambda: any(one.cmdline()[:1] == ["sleep"] for one in keeper.children()), "the helper")
        daemon.post("/v1/stop", names=["web"])
        daemon.wait_state("web", "stopped")
        assert not any(one.cmdline()[:1] == ["sleep"] for one in keeper.children() if one.is_running())


def test_a_resolver_on_the_hosts_loopback_is_asked_by_pasta(nsvisor: Program) -> None:
    resolver = nsvisor.write("resolv.conf", "nameserver 127.0.0.1\n")
    resolver.chmod(0o644)
    nsvisor.top.chmod(0o755)
    ask = """
import socket
with open("/etc/resolv.conf") as file:
    server = file.read().split()[1]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(5)
    client.sendto(b"who is there?", (server, 53))
    print(server, client.recv(100).decode())
"""
    with private_network() as network, network.open_socket(socket.SOCK_DGRAM) as server:
        bind = ["mount", "--bind", str(resolver), os.path.realpath("/etc/resolv.conf")]
        subprocess.run(["nsenter", "--target", str(network.pid), "--mount", *bind], check=True)
        server.bind(("127.0.0.1", 53))
        arguments = ("run", "--net", "pasta", "--", "/usr/bin/python3", "-c", ask)
        with network.wrap(nsvisor).popen(*arguments, stdout=subprocess.PIPE) as process:
            question, peer = server.recvfrom(100)
            server.sendto(b"nobody", peer)
            out, _ = process.communicate(timeout=PATIENCE_S)
    assert question == b"who is there?"
    assert out == "169.254.1.1 nobody\n"


def test_a_host_without_a_default_route_still_publishes(nsvisor: Program) -> None:
    with private_network(route=False) as network, running(network.wrap(nsvisor), FLEET) as daemon:
        daemon.wait_state("web", "ready")
        assert answered(network).startswith(b"tcp ")


def test_an_address_of_ones_own_and_name_servers(as_user: Program) -> None:
    inner = "cat /etc/resolv.conf; cat /proc/net/fib_trie"
    config = f"""
[worker.web]
command = ["sh", "-c", "{inner}"]
network = {{ mode = "pasta", address = "10.7.0.2/24", gateway = "10.7.0.1", dns = ["9.9.9.9"], interface = "net0" }}
"""
    with running(as_user, config) as daemon:
        daemon.wait_state("web", "completed")
        said = as_user.run("logs", "web").stdout
    assert "nameserver 9.9.9.9" in said
    assert "10.7.0.2" in said
