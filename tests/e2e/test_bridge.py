"""network.mode = "bridge": real bridges and workers, in a network namespace around the daemon."""

import os
import signal
import socket
from collections.abc import Iterator

import pytest

from supervisor.runtime.bridge_devices import address_of_port
from supervisor.spec.paths import state_dir
from tests.e2e.bridged import Bridged, bridged
from tests.e2e.daemons import Daemon, Record, running, wait_until
from tests.e2e.test_pasta import ECHO
from tests.program import Program

SERVER = f"""command = ["/usr/bin/python3", "-c", '''{ECHO}''']
restart = {{ delay = "0.05s", policy = "on-failure" }}
network.mode = "bridge"
"""
IDLE = """command = ["sleep", "1000"]
restart.policy = "never"
network.mode = "bridge"
"""
PAIR = f"[worker.web]\n{SERVER}\n[worker.db]\n{IDLE}"


@pytest.fixture(params=["user", "root"])
def program(request: pytest.FixtureRequest) -> Program:
    """As root, and as an ordinary user who is root of a user namespace only."""
    return request.getfixturevalue("nsvisor" if request.param == "user" else "root_nsvisor")  # type: ignore[no-any-return]


@pytest.fixture
def network(program: Program) -> Iterator[Bridged]:
    with bridged(program.user) as made:
        made.wrap(program)
        yield made


@pytest.fixture
def roots(root_nsvisor: Program) -> Iterator[tuple[Program, Bridged]]:
    with bridged(root_nsvisor.user) as made:
        yield made.wrap(root_nsvisor), made


@pytest.fixture
def users(nsvisor: Program) -> Iterator[tuple[Program, Bridged]]:
    with bridged(nsvisor.user) as made:
        yield made.wrap(nsvisor), made


def address(network: Bridged, instance: str) -> str:
    """By the name of its device, whose alias says who it is."""
    (found,) = [name for name, alias in network.devices().items() if f" {instance}#" in alias]
    return str(address_of_port(found))


def failure(daemon: Daemon, name: str) -> Record:
    """The phase that failed."""
    found = daemon.wait_record("setup.phase", instance=name, outcome="failed")
    assert found["phase"] == "net.attach"
    assert found["hint"]
    return found


def answered(network: Bridged, host: str, port: int = 80, kind: int = socket.SOCK_STREAM) -> bytes:
    """What a worker says to the host, as soon as it listens."""
    said = []

    def ask() -> bool:
        with network.open_socket(kind) as client:
            try:
                client.connect((host, port))
                client.send(b"hello")
                said.append(client.recv(100))
            except ConnectionError:
                return False
        return True

    wait_until(ask, f"an answer of {host}:{port}")
    return said[0]


def test_workers_reach_each_other_and_the_host(program: Program, network: Bridged) -> None:
    assert network.devices() == {}
    with running(program, PAIR) as daemon:
        daemon.wait_state("web", "ready")
        daemon.wait_state("db", "ready")
        web, db = address(network, "web"), address(network, "db")
        assert {web, db} == {"10.89.0.2", "10.89.0.3"}
        served = answered(network, web)
        assert served.startswith(b"tcp ")
        assert answered(network, web, 8053, socket.SOCK_DGRAM) == b"udp hello"
        assert set(network.devices()) == {"nsvisor0", "nsv0a590002", "nsv0a590003"}
        ask = f"import socket; print(socket.create_connection(('{web}', 80), 5).recv(99).decode())"
        said = program.run("exec", "db", "--", "/usr/bin/python3", "-c", ask)
        assert said.stdout.strip() == served.decode(), said
        with network.listen("10.89.0.1", 7001) as server:
            ask = "import socket; socket.create_connection(('10.89.0.1', 7001), 5)"
            assert program.run("exec", "db", "--", "/usr/bin/python3", "-c", ask).returncode == 0
            connection, peer = server.accept()
            connection.close()
            assert peer[0] == db
        daemon.post("/v1/stop", names=["db"])
        daemon.wait_state("db", "stopped")
        assert set(network.devices()) == {"nsvisor0", f"nsv{int.from_bytes(socket.inet_aton(web)):08x}"}
    assert network.devices() == {}


def test_an_address_stays_with_its_instance_and_is_freed_with_it(roots: tuple[Program, Bridged]) -> None:
    program, network = roots
    with running(program, PAIR) as daemon:
        daemon.wait_state("web", "ready")
        daemon.wait_state("db", "ready")
        web, db = address(network, "web"), address(network, "db")
        os.kill(daemon.instance("web")["pid"], signal.SIGKILL)
        daemon.wait_record("setup.completed", instance="web", incarnation=2)
        assert address(network, "web") == web
        assert answered(network, web).startswith(b"tcp ")
    with running(program, PAIR + f"\n[worker.new]\n{IDLE}") as daemon:
        wait_until(lambda: daemon.instance("new")["state"] == "ready", "new")
        daemon.wait_state("web", "ready")
        assert (address(network, "web"), address(network, "db"), address(network, "new")) == (
            web,
            db,
            "10.89.0.4",
        )
        program.write("nsvisor.toml", f"[worker.web]\n{SERVER}\n[worker.other]\n{IDLE}")
        daemon.post("/v1/reload")
        daemon.wait_state("other", "ready")
        assert address(network, "other") == db
        assert daemon.instance("web")["pid"] is not None
    assert network.devices() == {}


def test_the_next_daemon_adopts_and_sweeps(program: Program, network: Bridged) -> None:
    with running(program, PAIR) as daemon:
        daemon.wait_state("web", "ready")
        daemon.wait_state("db", "ready")
        web, served = address(network, "web"), answered(network, address(network, "web"))
        owner = network.devices()["nsv0a590002"].split()[1]
        daemon.kill()
        assert answered(network, web) == served
        for name, alias in (("nsv0a5900f0", f"nsvisor {owner} gone#3"), ("nsv0a5900f1", "nsvisor another gone#3")):
            network.ip("link", "add", name, "type", "bridge")
            network.ip("link", "set", name, "alias", alias)
        with running(program, PAIR) as following:
            following.wait_record("worker.adopted", instance="web")
            assert following.wait_record("bridge.swept")["incarnations"] == ["gone#3"]
            assert set(network.devices()) == {"nsvisor0", "nsv0a590002", "nsv0a590003", "nsv0a5900f1"}
            assert answered(network, web) == served
            following.post("/v1/stop", names=["web"])
            following.wait_state("web", "stopped")
            assert len(network.devices()) == 3
    assert set(network.devices()) == {"nsv0a5900f1"}


def test_run(users: tuple[Program, Bridged]) -> None:
    program, network = users
    with running(program, f"[worker.web]\n{SERVER}") as daemon:
        daemon.wait_state("web", "ready")
        served = answered(network, address(network, "web"))
        ask = "import socket; print(socket.create_connection(('10.89.0.2', 80), 5).recv(99).decode())"
        said = program.run("run", "--net", "bridge", "--", "/usr/bin/python3", "-c", ask)
        assert said.stdout.strip() == served.decode(), said
        assert set(network.devices()) == {"nsvisor0", "nsv0a590002"}
    said = program.run("run", "--net", "bridge", "--", "cat", "/proc/net/route")
    assert "eth0\t00000000\t0100590A" in said.stdout
    assert network.devices() == {}


STATIC = """[worker.{name}]
command = ["sleep", "1000"]
restart.policy = "never"
network = {{ mode = "bridge", {keys} }}
"""


def test_an_address_of_ones_own(roots: tuple[Program, Bridged]) -> None:
    program, network = roots
    config = STATIC.format(name="db", keys='address = "10.7.0.9/24", gateway = "10.7.0.8", interface = "net0"')
    config += STATIC.format(name="web", keys='subnet = "10.7.0.0/24"')
    with running(program, config) as daemon:
        daemon.wait_state("db", "ready")
        daemon.wait_state("web", "ready")
        assert (address(network, "db"), address(network, "web")) == ("10.7.0.9", "10.7.0.2")
        route = program.run("exec", "db", "--", "cat", "/proc/net/route").stdout
        assert "net0\t00000000\t0800070A" in route
        config += STATIC.format(name="late", keys='address = "10.7.0.2/24"')
        program.write("nsvisor.toml", config)
        status, answer = daemon.ask("POST", "/v1/reload", {})
        assert (status, answer["error"]["problems"][0]["message"]) == (422, "net.attach: 10.7.0.2 is that of web")
    with running(program, config) as daemon:
        found = failure(daemon, "late")
        assert (found["errno"], found["message"]) == ("EADDRINUSE", "10.7.0.2 is that of web")


SLOW = """[worker.{name}]
command = ["/bin/sh", "-c", "trap 'sleep 0.3; exit' TERM; while :; do sleep 0.05; done"]
restart.policy = "never"
network = {{ mode = "bridge", address = "10.7.0.{last}/24" }}
"""


def test_two_workers_exchange_their_addresses(roots: tuple[Program, Bridged]) -> None:
    """Each waits for the other to leave its address."""
    program, network = roots
    with running(program, SLOW.format(name="a", last=2) + SLOW.format(name="b", last=3)) as daemon:
        daemon.wait_state("a", "ready")
        daemon.wait_state("b", "ready")
        program.write("nsvisor.toml", SLOW.format(name="b", last=2) + SLOW.format(name="a", last=3))
        daemon.post("/v1/reload")
        for name, wanted in (("a", "10.7.0.3"), ("b", "10.7.0.2")):
            daemon.wait_record("setup.completed", instance=name, incarnation=2)
            assert address(network, name) == wanted


def test_who_else_has_the_address_is_told(roots: tuple[Program, Bridged]) -> None:
    program, network = roots
    network.ip("link", "add", "nsv0a070009", "type", "bridge")
    network.ip("link", "set", "nsv0a070009", "alias", "nsvisor another db#4")
    with running(program, STATIC.format(name="db", keys='address = "10.7.0.9/24"')) as daemon:
        found = failure(daemon, "db")
    assert (found["errno"], found["message"]) == (
        "EADDRINUSE",
        "10.7.0.9 is in use: nsv0a070009 is db#4 of another",
    )


def test_a_full_network(roots: tuple[Program, Bridged]) -> None:
    program, network = roots
    config = STATIC.format(name="a", keys='subnet = "10.7.0.0/30"') + STATIC.format(name="b", keys="timeout = 5")
    with running(program, config) as daemon:
        daemon.wait_state("a", "ready")
        found = failure(daemon, "b")
        assert (found["errno"], address(network, "a")) == ("ENOSPC", "10.7.0.2")
    assert found["message"] == "no address of 10.7.0.0/30 is left"


def test_what_the_host_has_already(roots: tuple[Program, Bridged]) -> None:
    program, network = roots
    network.ip("link", "add", "lan", "type", "bridge")
    network.ip("address", "add", "172.20.0.77/24", "dev", "lan")
    network.ip("link", "set", "lan", "up")
    network.ip("link", "add", "dry", "type", "bridge")
    network.ip("link", "add", "pair", "type", "veth", "peer", "riap")
    config = STATIC.format(name="wide", keys='bridge = "b1", subnet = "172.16.0.0/12"')
    config += STATIC.format(name="other", keys='bridge = "pair"')
    config += STATIC.format(name="closed", keys='bridge = "dry"')
    config += STATIC.format(name="onlan", keys='bridge = "lan"')
    with running(program, config) as daemon:
        daemon.wait_state("onlan", "ready")
        messages = {name: (failure(daemon, name)["errno"], failure(daemon, name)["message"]) for name in
                    ("wide", "other", "closed")}  # fmt: skip
        assert address(network, "onlan") == "172.20.0.1"
        assert network.devices()["lan"] == ""
    assert messages == {
        "wide": ("EADDRNOTAVAIL", "172.16.0.0/12 is not free on this host: lan has 172.20.0.0/24"),
        "other": ("EEXIST", "pair is there and no bridge"),
        "closed": ("ENETDOWN", "dry is down"),
    }
    assert set(network.devices()) == {"lan", "dry", "pair", "riap"}  # and it stays


def test_the_network_that_is_chosen_is_not_the_hosts(roots: tuple[Program, Bridged]) -> None:
    program, network = roots
    network.ip("link", "add", "lan", "type", "bridge")
    network.ip("address", "add", "10.89.1.77/23", "dev", "lan")
    network.ip("link", "set", "lan", "up")
    with running(program, f"[worker.db]\n{IDLE}") as daemon:
        daemon.wait_state("db", "ready")
        assert address(network, "db") == "10.89.2.2"


def test_without_the_right(nsvisor: Program) -> None:
    """On the machine's own network, where an ordinary user has none: nothing is tried."""
    with running(nsvisor, f"[worker.db]\n{IDLE}") as daemon:
        found = failure(daemon, "db")
        assert found["errno"] == "EPERM"
        assert "pasta" in found["hint"]
        assert not os.path.exists(os.path.join(state_dir(nsvisor.environ, nsvisor.user.uid), "addresses.json"))
    said = nsvisor.run("run", "--net", "bridge", "--", "true")
    assert said.returncode == 125
    assert "CAP_NET_ADMIN" in said.stderr


def test_a_device_that_goes_meanwhile(roots: tuple[Program, Bridged]) -> None:
    """Whoever removes the bridge cuts its workers off; the next launch makes it again."""
    program, network = roots
    with running(program, f"[worker.web]\n{SERVER}") as daemon:
        daemon.wait_state("web", "ready")
        network.ip("link", "delete", "nsvisor0")
        network.ip("link", "delete", "nsv0a590002")
        daemon.post("/v1/restart", names=["web"])
        daemon.wait_record("setup.completed", instance="web", incarnation=2)
        assert answered(network, "10.89.0.2").startswith(b"tcp ")
    assert network.devices() == {}
