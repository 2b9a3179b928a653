"""The plan of a worker on a bridge."""

import errno
from typing import Any

import msgspec
import pytest

from supervisor.sandbox import hints_bridge
from supervisor.sandbox.hints import hint
from supervisor.sandbox.ids import PlanError
from supervisor.sandbox.plan import compile_plan
from supervisor.sandbox.steps.network import resolv_conf
from supervisor.spec.facts import BridgePort, HostFacts
from supervisor.spec.model import Worker

FACTS = HostFacts(
    uid=0, gid=0, user="root", home="/root", privileged=True, view=(), nameservers=("127.0.0.1", "192.0.2.53"),
    ports={"web-1": BridgePort("nsvisor0", "10.89.0.7/24", "10.89.0.1/24")},
    port_errors={"web-0": ("EADDRINUSE", "10.89.0.7 is that of web-1")},
)  # fmt: skip


def worker(**network: Any) -> Worker:
    table = {"name": "web", "command": ["true"], "instances": 3, "network": {"mode": "bridge", **network}}
    return msgspec.convert(table, Worker)


@pytest.mark.parametrize(
    ("keys", "inside"),
    [
        ({}, ("eth0", "10.89.0.7", "255.255.255.0", "10.89.0.1")),
        ({"interface": "net0", "gateway": "10.89.0.9"}, ("net0", "10.89.0.7", "255.255.255.0", "10.89.0.9")),
    ],
)
def test_what_the_sandbox_sets(keys: dict[str, str], inside: tuple[str, ...]) -> None:
    (step,) = (one for one in compile_plan(worker(**keys), 1, FACTS).steps if one.phase == "net.attach")
    assert (step.detail, step.arguments) == ("bridge nsvisor0 10.89.0.7/24", ("bridge", "10.0", *inside))


@pytest.mark.parametrize(
    ("index", "errno_name", "text"),
    [(0, "EADDRINUSE", "10.89.0.7 is that of web-1"), (2, "ENOSPC", "web-2 was given no address")],
)
def test_no_address(index: int, errno_name: str, text: str) -> None:
    with pytest.raises(PlanError, match=text) as caught:
        compile_plan(worker(), index, FACTS)
    error = caught.value
    assert (error.phase, error.errno_name, error.detail) == ("net.attach", errno_name, "bridge nsvisor0")
    assert hint(error.phase, error.errno_name, error.detail) != hint(error.phase, error.errno_name, "pasta")


@pytest.mark.parametrize(("name", "row"), hints_bridge.ROWS.items())
def test_every_hint_is_a_sentence_under_a_name_of_the_kernel(name: str, row: tuple[str, str | None]) -> None:
    assert name in errno.errorcode.values()
    assert row[0].endswith(".")
    found = hint("net.attach", name, "bridge nsvisor0 10.89.0.2/24", instance="web")
    assert found is not None
    assert found.sentence == row[0]
    assert "{" not in str(found)


def test_a_resolver_on_the_hosts_loopback_cannot_be_asked() -> None:
    assert resolv_conf(worker(), FACTS) == "nameserver 192.0.2.53\n"
    only = msgspec.structs.replace(FACTS, nameservers=("127.0.0.53",))
    assert resolv_conf(worker(), only) == ""
    assert resolv_conf(worker(dns=["9.9.9.9"]), only) == "nameserver 9.9.9.9\n"
