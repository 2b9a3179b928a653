"""The book of addresses on bridges, in the state directory: which network a bridge has, which address an instance."""

import os
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Interface, IPv4Network

from msgspec.structs import replace

from supervisor.host.routes import administers_network, routes
from supervisor.kernel import interface
from supervisor.policy.addresses import POOLS, allot, choose
from supervisor.runtime.address_file import AddressFile, AddressFileError, BridgeLines, new_owner, read, write
from supervisor.runtime.bridge_devices import address_of_port
from supervisor.spec.bridges import Bridge, bridges
from supervisor.spec.facts import BridgePort, HostFacts
from supervisor.spec.model import Fleet, Worker

FILE = "addresses.json"
PREFIXES = range(8, 31)

Publish = Callable[..., None]


class _Unplaced(Exception):  # noqa: N818  (never leaves this file)
    """No network for a bridge: an errno's name, and why."""

    def __init__(self, errno_name: str, text: str) -> None:
        super().__init__(text)
        self.errno_name = errno_name


class AddressBook:
    """One for a daemon. `assign` at start and at each reload."""

    def __init__(self, state_directory: str) -> None:
        self._path = os.path.join(state_directory, FILE)
        self.bridges: set[str] = set()  # whose addresses it gave out, or an earlier daemon did

    def assign(self, fleet: Fleet, facts: HostFacts, publish: Publish) -> HostFacts:
        """Facts with a place for each instance with mode = "bridge", or why it has none. Freed is what has left."""
        wanted = bridges(fleet.workers)
        if not wanted and not os.path.exists(self._path):
            return facts
        try:
            before = read(self._path) or AddressFile(new_owner())
            self.bridges |= {*before.bridges, *wanted}
            given, kept = _give(wanted, before, facts)
            after = replace(before, bridges=kept)
            if after != before:
                write(self._path, after)
        except (AddressFileError, OSError) as error:
            words = (
                str(error) if isinstance(error, AddressFileError) else f"cannot write {self._path}: {error.strerror}"
            )
            publish("addresses.failed", "error", error=words)
            return _without(wanted, "EIO", words, facts)
        return given


def preview(fleet: Fleet, facts: HostFacts, state_directory: str) -> HostFacts:
    """What a daemon would assign; nothing is written."""
    wanted = bridges(fleet.workers)
    if not wanted:
        return facts
    try:
        before = read(os.path.join(state_directory, FILE)) or AddressFile(new_owner())
    except AddressFileError as error:
        return _without(wanted, "EIO", str(error), facts)
    return _give(wanted, before, facts)[0]


def borrow(worker: Worker, facts: HostFacts, state_directory: str) -> HostFacts:
    """A place for `nsvisor run`: an address that is in no book and that nobody has, the last of its network."""
    wanted = bridges({worker.name: worker})
    if not wanted:
        return facts
    try:
        book = read(os.path.join(state_directory, FILE)) or AddressFile("")
    except AddressFileError as error:
        return _without(wanted, "EIO", str(error), facts)
    given, _ = _give(wanted, book, facts, ours=False)
    return replace(given, bridge_owner=f"run-{os.getpid()}")


def _give(
    wanted: Mapping[str, Bridge], before: AddressFile, facts: HostFacts, *, ours: bool = True
) -> tuple[HostFacts, dict[str, BridgeLines]]:
    """Give each instance its place: facts, and the book's lines. ours: those in the book are theirs to have."""
    if not administers_network():
        words = "no CAP_NET_ADMIN over this network namespace: only root, or who made the namespace, has bridges"
        return _without(wanted, "EPERM", words, facts), before.bridges
    ports: dict[str, BridgePort] = {}
    errors: dict[str, tuple[str, str]] = {}
    kept: dict[str, BridgeLines] = {}
    for name, bridge in wanted.items():
        lines = before.bridges.get(name)
        known = {other: IPv4Network(one.subnet) for other, one in {**before.bridges, **kept}.items()}
        known |= {other: one.subnet for other, one in wanted.items() if one.subnet is not None}
        try:
            own = _place(bridge, lines, [known[other] for other in known if other in wanted and other != name])
        except _Unplaced as error:
            errors |= dict.fromkeys(bridge.instances, (error.errno_name, str(error)))
            if lines is not None:
                kept[name] = lines
            continue
        reserved = {str(own.ip): "the bridge's", **dict.fromkeys(bridge.gateways, "a gateway's")}
        had = lines.addresses if lines is not None else {}
        if not ours:
            reserved |= {address: f"that of {instance}" for instance, address in had.items()}
        found = allot(had if ours else {}, bridge.instances, own.network, reserved, _busy(own.network))
        errors |= found.errors
        kept[name] = BridgeLines(str(own.network), found.addresses)
        for instance, address in found.addresses.items():
            ports[instance] = BridgePort(name, f"{address}/{own.network.prefixlen}", own.with_prefixlen)
    return replace(facts, ports=ports, port_errors=errors, bridge_owner=before.owner), kept


def _place(bridge: Bridge, lines: BridgeLines | None, elsewhere: Iterable[IPv4Network]) -> IPv4Interface:
    """The bridge's own address in the network that it has or is to have. _Unplaced."""
    others = [(device, network) for device, network in routes() if device != bridge.name]
    there = _interface(bridge.name)
    if bridge.subnet is not None:
        subnet = bridge.subnet
    elif lines is not None and not any(other.overlaps(IPv4Network(lines.subnet)) for other in elsewhere):
        subnet = IPv4Network(lines.subnet)
    elif there is not None and there.network.prefixlen in PREFIXES:
        subnet = there.network
    else:
        chosen = choose([*elsewhere, *(network for _, network in others)])
        if chosen is None:
            text = f"{POOLS[0]} to {POOLS[-1]} are all in use on this host; set subnet"
            raise _Unplaced("ENOSPC", text)
        subnet = chosen
    for device, network in others:
        if network.subnet_of(subnet):
            raise _Unplaced("EADDRNOTAVAIL", f"{subnet} is not free on this host: {device} has {network}")
    if there is not None and there.ip in subnet:
        return IPv4Interface((there.ip, subnet.prefixlen))
    return IPv4Interface((subnet.network_address + 1, subnet.prefixlen))


def _interface(name: str) -> IPv4Interface | None:
    found = interface.address_of(name)
    return None if found is None else IPv4Interface(found)


def _busy(subnet: IPv4Network) -> set[str]:
    """Addresses with a device of a nsvisor's in this network namespace."""
    found = {address_of_port(name) for name in interface.names()}
    return {str(address) for address in found if address is not None and address in subnet}


def _without(wanted: Mapping[str, Bridge], errno_name: str, words: str, facts: HostFacts) -> HostFacts:
    errors = {instance: (errno_name, words) for bridge in wanted.values() for instance in bridge.instances}
    return replace(facts, ports={}, port_errors=errors)
