"""What the keys of a worker's network must agree on, and published ports with those of others."""

from collections.abc import Mapping

from supervisor.spec.address_forms import INDEX, Published, parse
from supervisor.spec.capability_sets import capability_sets
from supervisor.spec.check_bridge import check_bridge
from supervisor.spec.forms import FormError
from supervisor.spec.model import Worker, instance_names
from supervisor.spec.origin import Origin
from supervisor.spec.publish import BRIDGE, OUTWARD, PASTA

FORGING = frozenset({"CAP_NET_ADMIN", "CAP_NET_RAW"})
_MODES = {
    **dict.fromkeys(("publish", "host_loopback"), (PASTA,)),
    **dict.fromkeys(("address", "gateway", "dns", "interface"), OUTWARD),
    **dict.fromkeys(("bridge", "subnet"), (BRIDGE,)),
}
MOST_SERVERS = 3  # MAXNS of resolv.conf(5)


def check_network(worker: Worker, origin: Origin) -> None:
    """Report contradictions within one worker's network."""
    network = worker.network
    for key, modes in _MODES.items():
        if getattr(network, key) and network.mode not in modes and (key, network.mode) != ("publish", BRIDGE):
            message = "only for mode = " + " or ".join(f'"{mode}"' for mode in modes)
            origin.add(("network", key), message, show_value=False, involves=("network.mode",))
    if network.mode not in OUTWARD:
        return
    if network.gateway is not None and ":" in network.gateway:
        origin.add(("network", "gateway"), "an IPv6 address", allowed="an IPv4 address")
    if len(network.dns) > MOST_SERVERS:
        message = f"{len(network.dns)} name servers"
        origin.add(("network", "dns"), message, allowed=f"at most {MOST_SERVERS}", show_value=False)
    if network.dns and worker.namespaces.mount is not True:
        message = "needs a mount namespace of the worker's own: it goes into /etc/resolv.conf"
        origin.add(("network", "dns"), message, show_value=False, involves=("namespaces.mount",))
    if network.mode == BRIDGE:
        check_bridge(worker, origin)
    else:
        _check_pasta(worker, origin)


def _check_pasta(worker: Worker, origin: Origin) -> None:
    network = worker.network
    if worker.namespaces.user is False:
        message = "needs a user namespace: pasta enters it to have rights over the network namespace"
        origin.add(("network", "mode"), message, involves=("namespaces.user",))
    for key, other in (("address", "gateway"), ("gateway", "address")):
        if getattr(network, key) and not getattr(network, other):
            origin.add(("network", key), f"needs {other}, too", involves=(f"network.{other}",))
    _each_port_once(worker, origin)
    if not network.host_loopback and (forging := _forging(worker)):
        message = f"with {forging} it can write packets to the host's loopback, which pasta delivers"
        allowed = "no such capability, or host_loopback = true"
        origin.add(("network", "mode"), message, allowed=allowed, involves=("security", "network.host_loopback"))


def _forging(worker: Worker) -> str:
    """Capabilities that let it send what its own kernel would not, in whatever set they are."""
    sets = capability_sets(worker.security)
    return " and ".join(sorted(FORGING & (sets.permitted | sets.bounding | sets.inheritable | sets.ambient)))


def _each_port_once(worker: Worker, origin: Origin) -> None:
    """Pasta keeps one inner port for each port of the host, whatever the address."""
    if not origin.ok("network", "publish"):
        return
    seen: dict[tuple[str, int], int] = {}
    for place, text in enumerate(worker.network.publish):
        one = parse(text)
        first = seen.setdefault((one.protocol, one.port), place)
        if first != place:
            message = f"the host's port {one.port}/{one.protocol} is in publish[{first}], too: pasta forwards it once"
            origin.add(("network", "publish", place), message)


def check_published(workers: Mapping[str, Worker], origins: Mapping[str, Origin]) -> None:
    """Report ports that two instances would both bind."""
    _check_joiners(workers, origins)
    taken: dict[tuple[str, int], list[tuple[Published, str, str]]] = {}
    for worker in workers.values():
        if worker.network.mode not in OUTWARD or not origins[worker.name].ok("network"):
            continue
        for place, text in enumerate(worker.network.publish):
            for index, instance in enumerate(instance_names(worker)):
                try:
                    one = parse(text, index)
                except FormError as error:
                    message = f"for {instance}: {error}"
                    origins[worker.name].add(("network", "publish", place), message, allowed=error.allowed)
                    break
                others = taken.setdefault((one.protocol, one.port), [])
                other = next((other for other in others if other[2] != instance and one.overlaps(other[0])), None)
                if other is not None:
                    _tell(origins[worker.name], worker, place, instance, other)
                    break
                others.append((one, worker.name, instance))


def _check_joiners(workers: Mapping[str, Worker], origins: Mapping[str, Origin]) -> None:
    """Whoever joins the user namespace, too, has its capabilities over that network."""
    owners = {instance: worker for worker in workers.values() for instance in (worker.name, *instance_names(worker))}
    for worker in workers.values():
        owner = owners.get(worker.network.mode.removeprefix("worker:"))
        if owner is None or owner.network.mode != PASTA or owner.network.host_loopback:
            continue
        forging = _forging(worker)
        if forging and isinstance(worker.namespaces.user, str):
            message = (
                f"with {forging} it can write packets to the host's loopback, which the pasta of {owner.name} delivers"
            )
            origins[worker.name].add(("network", "mode"), message, involves=("security", "namespaces.user"))


def _tell(origin: Origin, worker: Worker, place: int, instance: str, other: tuple[Published, str, str]) -> None:
    port, name, other_instance = other
    path = ("network", "publish", place)
    if name == worker.name:
        message = f"{other_instance} and {instance} would both publish {port.where}/{port.protocol}"
        allowed = f'a port for each, such as "808{INDEX}:80", or instances = 1'
        origin.add(path, message, allowed=allowed, involves=("instances",))
    else:
        origin.add(path, f"{other_instance} (worker.{name}) publishes {port.where}/{port.protocol}")
