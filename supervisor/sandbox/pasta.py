"""The words that pasta(1) is started with."""

from collections.abc import Iterable

from supervisor.spec.address_forms import Published
from supervisor.spec.model import Network

DNS_FORWARD = "169.254.1.1"  # inside, for the host's resolver on its loopback; no neighbour has this address
# Where the host has no default route there is no interface to take addresses from: a network of two, and no way out.
LOCAL = ("-4", "-i", "lo", "-a", "169.254.2.1", "-n", "24", "-g", "169.254.2.2", "-M", "9a:55:9a:55:9a:55")
LOCAL_INTERFACE = "eth0"


def pasta_arguments(
    network: Network, ports: Iterable[Published], *, uid: int, local: bool, dns_forward: bool
) -> list[str]:
    """The network namespace is its descriptor 0, the user namespace 1, its log 2; there it says its pid once it is up.

    uid: the daemon's; root's pasta stays root, which is who may enter the user namespace. local: no default route.
    """
    words = ["--foreground", "--stderr", "--config-net", "--no-netns-quit", "--pid", "/proc/self/fd/2"]
    words += ["--netns", "/proc/self/fd/0", "--userns", "/proc/self/fd/1"]
    # Nothing inside reaches the host's loopback: not by ports forwarded outward, nor unasked by the gateway's address.
    words += ["--tcp-ns", "none", "--udp-ns", "none"]
    words += [] if network.host_loopback else ["--no-map-gw"]
    words += ["--no-dhcp", "--no-dhcpv6", "--no-ndp", "--no-ra"]
    if uid == 0:
        words += ["--runas", "0:0"]
    if network.address is not None and network.gateway is not None:
        address, _, prefix = network.address.partition("/")
        words += [*LOCAL[:3], *LOCAL[-2:]] if local else []
        words += ["--address", address, "--netmask", prefix, "--gateway", network.gateway]
    elif local:
        words += LOCAL
    if network.interface or local:
        words += ["--ns-ifname", network.interface or LOCAL_INTERFACE]
    if dns_forward:
        words += ["--dns-forward", DNS_FORWARD]
    specs: dict[str, list[str]] = {"tcp": [], "udp": []}
    for port in ports:
        specs[port.protocol].append(f"{port.address}/{port.port}:{port.inner_port}")
    for protocol, option in (("tcp", "--tcp-ports"), ("udp", "--udp-ports")):
        for spec in specs[protocol] or ["none"]:
            words += [option, spec]
    return words
