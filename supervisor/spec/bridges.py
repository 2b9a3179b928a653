"""The bridges of a configuration: the network that each has, and who is to be on it."""

from collections.abc import Mapping
from ipaddress import IPv4Interface, IPv4Network

import msgspec

from supervisor.spec.model import Worker, instance_names
from supervisor.spec.publish import BRIDGE

DEFAULT_NAME = "nsvisor0"


class Bridge(msgspec.Struct):
    """One, by all the workers on it."""

    name: str
    subnet: IPv4Network | None = None  # None: nobody says, one is chosen
    instances: dict[str, str | None] = msgspec.field(default_factory=dict)  # to the address that it is to have
    gateways: set[str] = msgspec.field(default_factory=set)  # written ones


def bridge_name(worker: Worker) -> str:
    """Of the bridge that the worker is on."""
    return worker.network.bridge or DEFAULT_NAME


def subnet_of(worker: Worker) -> IPv4Network | None:
    """The network that the worker's own keys give its bridge."""
    network = worker.network
    if network.subnet is not None:
        return IPv4Network(network.subnet)
    return IPv4Interface(network.address).network if network.address is not None else None


def bridges(workers: Mapping[str, Worker]) -> dict[str, Bridge]:
    """All that these workers are on, by name."""
    found: dict[str, Bridge] = {}
    for worker in workers.values():
        if worker.network.mode != BRIDGE:
            continue
        name = bridge_name(worker)
        bridge = found.setdefault(name, Bridge(name))
        bridge.subnet = bridge.subnet or subnet_of(worker)
        address = worker.network.address
        fixed = None if address is None else str(IPv4Interface(address).ip)
        bridge.instances |= dict.fromkeys(instance_names(worker), fixed)
        if worker.network.gateway is not None:
            bridge.gateways.add(worker.network.gateway)
    return found
