"""What the keys of a worker on a bridge must agree on, and those of all workers on it."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from supervisor.spec.bridges import bridge_name, subnet_of
from supervisor.spec.model import Worker, instance_names
from supervisor.spec.origin import Origin
from supervisor.spec.publish import BRIDGE

_PREFIXES = range(8, 31)  # /30: the bridge and one worker


def check_bridge(worker: Worker, origin: Origin) -> None:
    """Report contradictions within one worker."""
    network = worker.network
    if network.publish:
        message = 'only for mode = "pasta": on a bridge the host reaches every port at the worker\'s address'
        origin.add(("network", "publish"), message, show_value=False, involves=("network.mode",))
    if network.interface == "lo":
        origin.add(("network", "interface"), "the loopback's name", allowed="another")
    written = subnet_of(worker)
    if written is None:
        if network.gateway is not None:
            message = "needs subnet, too: nobody knows yet which one the bridge will have"
            origin.add(("network", "gateway"), message, involves=("network.subnet", "network.address"))
        return
    key = "subnet" if network.subnet is not None else "address"
    if written.prefixlen not in _PREFIXES:
        message = f"a network of {written.num_addresses} addresses"
        origin.add(("network", key), message, allowed=f"/{_PREFIXES[0]} to /{_PREFIXES[-1]}")
    elif written.is_loopback or written.is_multicast or written.is_unspecified or written.is_reserved:
        origin.add(("network", key), "no network for hosts", allowed='such as "10.89.0.0/24"')
    _check_gateway(worker, written, origin)
    if network.address is not None:
        _check_address(worker, IPv4Interface(network.address), written, origin)


def _check_gateway(worker: Worker, subnet: IPv4Network, origin: Origin) -> None:
    gateway = worker.network.gateway
    if gateway is not None and ":" not in gateway and not _is_host(IPv4Address(gateway), subnet):
        message = f"not an address of the bridge's network, {subnet}"
        origin.add(("network", "gateway"), message, involves=("network.subnet", "network.address"))


def _check_address(worker: Worker, address: IPv4Interface, subnet: IPv4Network, origin: Origin) -> None:
    key = ("network", "address")
    if worker.instances > 1:
        message = f"one address for {worker.instances} instances"
        origin.add(key, message, allowed="instances = 1, or no address: each is given one", involves=("instances",))
    elif address.network != subnet:
        origin.add(key, f"not in the subnet {subnet}", involves=("network.subnet",))
    elif not _is_host(address.ip, subnet):
        origin.add(key, "the network's own address, or its broadcast address", involves=("network.subnet",))
    elif str(address.ip) == worker.network.gateway:
        origin.add(key, "the gateway's", involves=("network.gateway",))
    elif worker.network.gateway is None and address.ip == subnet.network_address + 1:
        origin.add(key, "the bridge's own, the first of its network", involves=("network.subnet",))


def _is_host(address: IPv4Address, subnet: IPv4Network) -> bool:
    return address in subnet and address not in (subnet.network_address, subnet.broadcast_address)


def check_bridges(workers: Mapping[str, Worker], origins: Mapping[str, Origin]) -> None:
    """Report workers that give one bridge two networks, two bridges one, or two workers one address."""
    networks: dict[str, tuple[IPv4Network, str]] = {}
    addresses: dict[str, str] = {}
    for name, worker in workers.items():
        if worker.network.mode != BRIDGE or not origins[name].ok("network"):
            continue
        subnet, bridge = subnet_of(worker), bridge_name(worker)
        if subnet is None:
            continue
        key = "subnet" if worker.network.subnet is not None else "address"
        first, by = networks.setdefault(bridge, (subnet, name))
        other = next((one for one, (net, _) in networks.items() if one != bridge and net.overlaps(subnet)), None)
        if first != subnet:
            origins[name].add(("network", key), f"{bridge} has {first} by worker.{by}")
        elif other is not None:
            message = f"{other} has {networks[other][0]} by worker.{networks[other][1]}"
            origins[name].add(("network", key), message, allowed="a network for each bridge")
        elif worker.network.address is not None:
            _check_once(worker, addresses, origins[name])


def _check_once(worker: Worker, addresses: dict[str, str], origin: Origin) -> None:
    address = str(worker.network.address)
    owner = addresses.setdefault(address, instance_names(worker)[0])
    if owner not in instance_names(worker):
        origin.add(("network", "address"), f"{owner} has it")
