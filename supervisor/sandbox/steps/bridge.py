"""The place of a sandbox on a bridge."""

from ipaddress import IPv4Interface

from supervisor.sandbox.ids import PlanError
from supervisor.sandbox.steps.step import Step
from supervisor.spec.bridges import bridge_name
from supervisor.spec.facts import BridgePort, HostFacts
from supervisor.spec.model import Network, Worker
from supervisor.spec.publish import BRIDGE

INTERFACE = "eth0"


def bridge_step(worker: Worker, instance: str, facts: HostFacts) -> Step:
    """net.attach. PlanError where this instance was given no address."""
    port = facts.ports.get(instance)
    if port is None:
        errno_name, text = facts.port_errors.get(instance, ("ENOSPC", f"{instance} was given no address"))
        raise PlanError("net.attach", errno_name, f"{BRIDGE} {bridge_name(worker)}", text)
    network, address = worker.network, IPv4Interface(port.address)
    inside = (inner_name(network), str(address.ip), str(address.netmask), gateway(network, port))
    return Step("net.attach", f"{BRIDGE} {port.bridge} {port.address}", (BRIDGE, str(network.timeout_s), *inside))


def gateway(network: Network, port: BridgePort) -> str:
    """Where the default route leads."""
    return network.gateway or str(IPv4Interface(port.bridge_address).ip)


def inner_name(network: Network) -> str:
    """The interface's name inside."""
    return network.interface or INTERFACE
