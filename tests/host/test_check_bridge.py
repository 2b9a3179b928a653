"""What doctor says of bridges, and what it reads of the host's network: only where a worker asks for one."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from supervisor.host import check_bridge, routes
from supervisor.kernel import clone
from supervisor.spec.model import Network, Worker
from tests.accounts import Account
from tests.kernel.apart import apart, enter

WANTS = Worker(name="web", command=("true",), network=Network(mode="bridge"))
PLAIN = Worker(name="plain", command=("true",))


def statuses(*workers: Worker) -> dict[str, str]:
    return {check.name: check.status for check in check_bridge.check_bridge(list(workers))}


def test_nobody_asks() -> None:
    assert statuses(PLAIN) == {}


@pytest.mark.parametrize("good", [True, False])
def test_somebody_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: bool) -> None:
    forward = tmp_path / "ip_forward"
    forward.write_text("1\n" if good else "0\n")
    monkeypatch.setattr(check_bridge, "FORWARD", str(forward))
    monkeypatch.setattr(check_bridge, "administers_network", lambda: good)
    wanted = {"bridge": "ok"} if good else {"bridge": "fail", "ip_forward": "warn"}
    assert statuses(PLAIN, WANTS) == wanted


def test_capabilities_of_ones_own_are_not_over_the_hosts_network(unprivileged: Account) -> None:
    def without() -> bool:
        return routes.administers_network()

    def user_only() -> bool:
        enter()
        return routes.administers_network()

    def both() -> bool:
        enter(clone.CLONE_NEWNET)
        return routes.administers_network()

    assert [apart(one, unprivileged) for one in (without, user_only, both)] == [False, False, True]


def test_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    table = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
tun0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0
"""
    monkeypatch.setattr(routes, "read", lambda _: table)
    assert list(routes.routes()) == [("eth0", IPv4Network("192.0.2.0/24")), ("tun0", IPv4Network("10.0.0.0/8"))]
