"""The sandbox's network."""

from supervisor.sandbox.pasta import DNS_FORWARD
from supervisor.sandbox.steps.bridge import bridge_step
from supervisor.sandbox.steps.step import Step
from supervisor.spec.facts import HostFacts
from supervisor.spec.model import Worker
from supervisor.spec.publish import BRIDGE, OUTWARD, PASTA

RESOLV_CONF = "/etc/resolv.conf"


def has_own_network(worker: Worker) -> bool:
    """Whether a network namespace is made for it."""
    return worker.network.mode == "none" or leads_out(worker)


def leads_out(worker: Worker) -> bool:
    """Whether the daemon connects that namespace with the world."""
    return worker.network.mode in OUTWARD


def loopback_steps(worker: Worker) -> list[Step]:
    """Of a network namespace of its own."""
    return [Step("net.loopback")] if has_own_network(worker) else []


def attach_steps(worker: Worker, instance: str, facts: HostFacts) -> list[Step]:
    """The way out. PlanError where a bridge is asked for and cannot be had."""
    if worker.network.mode == BRIDGE:
        return [bridge_step(worker, instance, facts)]
    if not leads_out(worker):
        return []
    network = worker.network
    detail = " ".join((network.mode, *network.publish))
    return [Step("net.attach", detail, (network.mode, str(network.timeout_s)))]


def resolver_steps(worker: Worker, facts: HostFacts) -> list[Step]:
    """Name servers that can be reached from inside, over whatever the root has; not where the user mounts his own."""
    if not leads_out(worker) or any(mount.target == RESOLV_CONF for mount in worker.mounts):
        return []
    content = resolv_conf(worker, facts)
    kind = "file" if worker.rootfs.kind == "host" else "over"
    return [Step("mount.file", f"{RESOLV_CONF} {len(content.encode())} bytes", (kind, RESOLV_CONF, "644", content))]


def forwards_dns(worker: Worker, facts: HostFacts) -> bool:
    """Whether all name servers are on the host's loopback, where only pasta can ask them."""
    return worker.network.mode == PASTA and not worker.network.dns and bool(facts.nameservers) and not _reachable(facts)


def resolv_conf(worker: Worker, facts: HostFacts) -> str:
    """The text of resolv.conf(5): the worker's servers, else the host's but for those on its loopback."""
    servers = worker.network.dns or _reachable(facts) or ((DNS_FORWARD,) if forwards_dns(worker, facts) else ())
    return "".join(f"{line}\n" for line in (*(f"nameserver {server}" for server in servers), *facts.resolver_options))


def _reachable(facts: HostFacts) -> tuple[str, ...]:
    return tuple(server for server in facts.nameservers if not server.startswith("127.") and server != "::1")
