"""The network's part of a plan: its steps, pasta's words, resolv.conf."""

from typing import Any

import msgspec
import pytest

from supervisor.sandbox.pasta import DNS_FORWARD, pasta_arguments
from supervisor.sandbox.plan import compile_plan
from supervisor.sandbox.steps.network import forwards_dns, resolv_conf
from supervisor.spec.facts import HostFacts
from supervisor.spec.model import Worker
from supervisor.spec.publish import published

FACTS = HostFacts(
    uid=1, gid=1, user="ada", home="/home/ada", privileged=False, view=(),
    nameservers=("127.0.0.1", "192.0.2.53", "::1"), resolver_options=("search example.org",),
)  # fmt: skip


def worker(**keys: Any) -> Worker:
    network = {"mode": "pasta", **keys.pop("network", {})}
    return msgspec.convert({"name": "web", "command": ["true"], "network": network, **keys}, Worker)


def words(of: Worker, **keys: Any) -> list[str]:
    settings = {"uid": 1000, "local": False, "dns_forward": False, **keys}
    return pasta_arguments(of.network, published(of, 0), **settings)


def option(arguments: list[str], name: str) -> list[str]:
    return [arguments[at + 1] for at, word in enumerate(arguments) if word == name]


def test_nothing_inside_reaches_the_hosts_loopback() -> None:
    found = words(worker())
    assert "--no-map-gw" in found
    for direction in ("--tcp-ns", "--udp-ns", "--tcp-ports", "--udp-ports"):
        assert option(found, direction) == ["none"]  # "auto" is pasta's own default


def test_the_hosts_loopback_where_it_is_wanted() -> None:
    found = words(worker(network={"host_loopback": True}))
    assert "--no-map-gw" not in found
    assert option(found, "--tcp-ns") == ["none"]


def test_ports() -> None:
    found = words(worker(network={"publish": ["8080:80", "[::1]:53:5353/udp", "0.0.0.0:9090"]}))
    assert option(found, "--tcp-ports") == ["127.0.0.1/8080:80", "0.0.0.0/9090:9090"]
    assert option(found, "--udp-ports") == ["::1/53:5353"]


def test_root_stays_root_to_enter_the_user_namespace() -> None:
    assert option(words(worker(), uid=0), "--runas") == ["0:0"]
    assert "--runas" not in words(worker())


def test_addresses() -> None:
    own = worker(network={"address": "10.0.0.2/24", "gateway": "10.0.0.1", "interface": "net0"})
    found = words(own)
    assert [option(found, name) for name in ("--address", "--netmask", "--gateway", "--ns-ifname")] == [
        ["10.0.0.2"], ["24"], ["10.0.0.1"], ["net0"],
    ]  # fmt: skip
    assert "-i" not in found
    assert option(words(own, local=True), "-i") == ["lo"]
    assert option(words(worker(), local=True), "-a") == ["169.254.2.1"]


@pytest.mark.parametrize(
    ("nameservers", "dns", "servers", "forwarded"),
    [
        (("127.0.0.1", "192.0.2.53", "::1"), (), ["192.0.2.53"], False),
        (("127.0.0.53",), (), [DNS_FORWARD], True),
        (("127.0.0.53",), ("9.9.9.9", "fd00::1"), ["9.9.9.9", "fd00::1"], False),
        ((), (), [], False),
    ],
)
def test_name_servers(nameservers: tuple[str, ...], dns: tuple[str, ...], servers: list[str], forwarded: bool) -> None:
    facts = msgspec.structs.replace(FACTS, nameservers=nameservers)
    of = worker(network={"dns": dns})
    lines = [*(f"nameserver {server}" for server in servers), "search example.org"]
    assert resolv_conf(of, facts).splitlines() == lines
    assert forwards_dns(of, facts) is forwarded
    assert ("--dns-forward" in words(of, dns_forward=forwarded)) is forwarded


def phases(of: Worker) -> dict[str, tuple[Any, ...]]:
    return {step.phase: step.arguments for step in compile_plan(of, 0, FACTS).steps}


def test_steps() -> None:
    found = phases(worker())
    names = list(found)
    of_the_network = ("ns.network", "net.loopback", "net.attach")
    assert tuple(name for name in names if name in of_the_network) == of_the_network
    assert found["net.attach"] == ("pasta", "10.0")
    assert found["mount.file"][:3] == ("file", "/etc/resolv.conf", "644")
    assert compile_plan(worker(), 0, FACTS).joins == ()


def test_a_root_of_ones_own_is_not_written_to() -> None:
    assert phases(worker(rootfs={"kind": "dir", "path": "/srv/root"}))["mount.file"][0] == "over"


def test_the_users_own_resolv_conf_stays() -> None:
    mount = {"type": "bind", "source": "/srv/resolv.conf", "target": "/etc/resolv.conf"}
    assert "mount.file" not in phases(worker(mounts=[mount]))


@pytest.mark.parametrize("mode", ["none", "host", "pid:7", "path:/run/ns"])
def test_no_other_mode_has_any_of_it(mode: str) -> None:
    assert not {"net.attach", "mount.file"} & phases(worker(network={"mode": mode})).keys()
