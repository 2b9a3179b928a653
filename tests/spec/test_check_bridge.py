"""[worker.NAME.network] with mode = "bridge": what its keys must agree on, and those of all on one bridge."""

import pytest

from supervisor.spec.bridges import bridges
from supervisor.spec.load import load_text
from tests.spec.problems import ENVIRON, refusal


def on(keys: str, name: str = "a", more: str = "") -> str:
    table = ", ".join(filter(None, ('mode = "bridge"', keys)))
    return f'[worker.{name}]\ncommand = ["true"]\n{more}\nnetwork = {{ {table} }}\n'


NET = 'subnet = "10.7.0.0/24"'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (on('publish = ["8080:80"]'), "on a bridge the host reaches every port at the worker's address"),
        (on("host_loopback = true"), 'only for mode = "pasta"'),
        ('[worker.a]\ncommand = ["true"]\nnetwork.bridge = "br0"', 'only for mode = "bridge"'),
        ('[worker.a]\ncommand = ["true"]\nnetwork = { mode = "pasta", subnet = "10.7.0.0/24" }', 'mode = "bridge"'),
        (on('interface = "lo"'), "the loopback's name"),
        (on('bridge = "a bridge"'), "an interface's name"),
        (on('bridge = "sixteen-letters0"'), "an interface's name"),
        (on('subnet = "10.7.0.0"'), 'did you mean "10.7.0.0/24"?'),
        (on('subnet = "10.7.0.5/24"'), 'did you mean "10.7.0.0/24"?'),
        (on('subnet = "fd00::/64"'), "not an IPv4 network"),
        (on('subnet = "10.7.0.0/31"'), "/8 to /30"),
        (on('subnet = "0.0.0.0/4"'), "/8 to /30"),
        (on('subnet = "127.0.0.0/24"'), "no network for hosts"),
        (on('subnet = "224.0.0.0/24"'), "no network for hosts"),
        (on('gateway = "10.7.0.1"'), "needs subnet, too"),
        (on(f'{NET}, gateway = "10.8.0.1"'), "not an address of the bridge's network, 10.7.0.0/24"),
        (on(f'{NET}, gateway = "10.7.0.255"'), "not an address of the bridge's network"),
        (on('gateway = "fd00::1"'), "an IPv6 address"),
        (on('address = "10.7.0.9"'), 'did you mean "10.7.0.9/24"?'),
        (on(f'{NET}, address = "10.8.0.9/24"'), "not in the subnet 10.7.0.0/24"),
        (on(f'{NET}, address = "10.7.0.9/16"'), "not in the subnet 10.7.0.0/24"),
        (on('address = "10.7.0.0/24"'), "the network's own address"),
        (on('address = "10.7.0.255/24"'), "its broadcast address"),
        (on('address = "10.7.0.1/24"'), "the bridge's own"),
        (on('address = "10.7.0.9/24", gateway = "10.7.0.9"'), "the gateway's"),
        (on('address = "10.7.0.9/24"', more="instances = 2"), "one address for 2 instances"),
        (on('address = "10.7.0.9/24"') + on('address = "10.7.0.9/24"', "b"), "a has it"),
        (on(NET) + on('subnet = "10.8.0.0/24"', "b"), "nsvisor0 has 10.7.0.0/24 by worker.a"),
        (on(NET) + on('bridge = "br0", subnet = "10.7.0.0/16"', "b"), "nsvisor0 has 10.7.0.0/24 by worker.a"),
        (on('dns = ["9.9.9.9"]', more="namespaces.mount = false"), "/etc/resolv.conf"),
    ],
)
def test_refused(text: str, said: str) -> None:
    (problem,) = refusal(text)
    assert said in problem


def test_who_is_on_which() -> None:
    text = on("", "a", "instances = 2") + on('address = "10.7.0.9/24", gateway = "10.7.0.1"', "b")
    text += on('bridge = "br1"', "c") + '[worker.d]\ncommand = ["true"]\n'
    found = bridges(load_text(text, "f.toml", ENVIRON).workers)
    assert {name: (str(one.subnet), one.instances, one.gateways) for name, one in found.items()} == {
        "nsvisor0": ("10.7.0.0/24", {"a-0": None, "a-1": None, "b": "10.7.0.9"}, {"10.7.0.1"}),
        "br1": ("None", {"c": None}, set()),
    }


def test_no_user_namespace_is_needed() -> None:
    text = on('gateway = "10.7.0.1", ' + NET, more="namespaces.user = false")
    assert load_text(text, "f.toml", ENVIRON).workers["a"].network.bridge is None
