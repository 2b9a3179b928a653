"""[worker.NAME.network]: published ports, and what the keys must agree on."""

import pytest

from supervisor.spec.address_forms import Published, parse
from supervisor.spec.forms import FormError
from supervisor.spec.load import load_text
from supervisor.spec.publish import published
from tests.spec.problems import ENVIRON, refusal


def table(network: str, name: str = "a", more: str = "") -> str:
    return f'[worker.{name}]\ncommand = ["true"]\n{more}\n[worker.{name}.network]\n{network}\n'


def pasta(publish: str, name: str = "a", more: str = "") -> str:
    return table(f'mode = "pasta"\npublish = {publish}', name, more)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("8080", Published("127.0.0.1", 8080, 8080, "tcp")),
        ("8080:80", Published("127.0.0.1", 8080, 80, "tcp")),
        ("8080:80/udp", Published("127.0.0.1", 8080, 80, "udp")),
        ("0.0.0.0:8080:80/tcp", Published("0.0.0.0", 8080, 80, "tcp")),
        ("[::1]:8080:80", Published("::1", 8080, 80, "tcp")),
        ("[0:0::0]:1", Published("::", 1, 1, "tcp")),
        ("192.0.2.1:65535", Published("192.0.2.1", 65535, 65535, "tcp")),
        ("808{index}:80", Published("127.0.0.1", 8083, 80, "tcp")),
    ],
)
def test_forms(text: str, meant: Published) -> None:
    assert parse(text, 3) == meant
    assert parse(str(meant)) == meant


@pytest.mark.parametrize(
    "text",
    ["", "x", "80:", ":80", "0", "65536", "80:0", "80/sctp", "::1:80:80", "1.2.3:80", "1.2.3.256:80", "[1.2.3.4]:80:80",
     "localhost:80:80", "80-90", "80 ", "[::g]:80:80", "8080:80:80", "-1", "808{index}0000"],
)  # fmt: skip
def test_what_is_no_port(text: str) -> None:
    with pytest.raises(FormError):
        parse(text)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("80", "80", False),
        ("80", "81:80", True),
        ("80", "80/udp", True),
        ("127.0.0.1:80:80", "127.0.0.2:80:80", True),
        ("0.0.0.0:80:80", "127.0.0.2:80:80", False),
        ("127.0.0.2:80:80", "0.0.0.0:80:90", False),
        ("[::]:80:80", "[::1]:80:80", False),
        ("[::]:80:80", "0.0.0.0:80:80", True),
    ],
)
def test_which_can_be_bound_at_once(one: str, other: str, both: bool) -> None:
    assert parse(one).overlaps(parse(other)) is not both


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (pasta('["8080:80", "[::1]:8080:90"]'), "in publish[0], too: pasta forwards it once"),
        (pasta('["localhost:8080:80"]'), "not a published port"),
        (table('mode = "none"\npublish = ["8080"]'), 'only for mode = "pasta"'),
        (table('dns = ["9.9.9.9"]'), 'only for mode = "pasta"'),
        (table('mode = "pasta"\naddress = "10.0.0.2/24"'), "needs gateway, too"),
        (table('mode = "pasta"\ngateway = "10.0.0.1"'), "needs address, too"),
        (table('mode = "pasta"\naddress = "10.0.0.2"\ngateway = "10.0.0.1"'), 'did you mean "10.0.0.2/24"?'),
        (table('mode = "pasta"\naddress = "fd00::2/64"\ngateway = "10.0.0.1"'), "not an IPv4 address"),
        (table('mode = "pasta"\naddress = "10.0.0.2/24"\ngateway = "fd00::1"'), "an IPv6 address"),
        (table('mode = "pasta"\ndns = ["9.9.9.9", "1.1.1.1", "8.8.8.8", "::1"]'), "4 name servers"),
        (table('mode = "pasta"\ndns = ["resolver.example"]'), "not an IP address"),
        (table('mode = "pasta"\ninterface = "eth0/1"'), "an interface's name"),
        (table('mode = "pasta"\ntimeout = "0s"'), "out of range"),
        (table('mode = "pasta"', more="namespaces.user = false"), "needs a user namespace"),
        (table('mode = "pasta"\ndns = ["9.9.9.9"]', more="namespaces.mount = false"), "/etc/resolv.conf"),
        (table('mode = "none"\nhost_loopback = true'), 'only for mode = "pasta"'),
        (pasta("[]", more='security.capabilities = ["net_raw"]'), "with CAP_NET_RAW it can write packets"),
        (pasta("[]", more='security.bounding = ["net_raw", "net_admin"]'), "with CAP_NET_ADMIN and CAP_NET_RAW"),
        (
            pasta("[]")
            + table('mode = "worker:a"', "b", 'namespaces.user = "worker:a"\nsecurity.capabilities = ["net_raw"]'),
            "which the pasta of a delivers",
        ),
        (table('mode = "pasat"'), '"pasta"'),
        (pasta('["8080"]', more="instances = 2"), "a-0 and a-1 would both publish 127.0.0.1:8080/tcp"),
        (pasta('["6553{index}:80"]', more="instances = 8"), "for a-6: port 65536 is out of range"),
        (pasta('["8080"]') + pasta('["0.0.0.0:8080:80"]', "b"), "a (worker.a) publishes 127.0.0.1:8080/tcp"),
    ],
)
def test_refused(text: str, said: str) -> None:
    (problem,) = refusal(text)
    assert said in problem


@pytest.mark.parametrize(
    "text",
    [
        table('mode = "pasta"\nhost_loopback = true', more='security.capabilities = ["net_raw"]'),
        pasta("[]") + table('mode = "worker:a"', "b", 'security.capabilities = ["net_raw"]'),  # over no network
        pasta("[]", more='security.capabilities = ["net_bind_service"]'),
    ],
)
def test_capabilities_that_forge_nothing_or_may(text: str) -> None:
    assert "a" in load_text(text, "f.toml", ENVIRON).workers


def test_a_port_for_each_instance() -> None:
    text = pasta('["808{index}:80"]', more="instances = 3")
    worker = load_text(text, "f.toml", ENVIRON).workers["a"]
    assert [published(worker, index)[0].where for index in range(3)] == [f"127.0.0.1:808{index}" for index in range(3)]


def test_the_same_port_of_other_protocols_and_addresses() -> None:
    text = pasta('["8080", "8080/udp"]') + pasta('["127.0.0.2:8080:80"]', "b") + pasta('["[::]:8080:80"]', "c")
    assert set(load_text(text, "f.toml", ENVIRON).workers) == {"a", "b", "c"}
