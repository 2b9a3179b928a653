"""Hints about a sandbox's place on a bridge: what `net.attach` means there. Chosen by hints.py."""

Row = tuple[str, str | None]

PHASE = "net.attach"
PREFIX = "bridge "  # of its detail

ROWS: dict[str, Row] = {
    "EPERM": (
        'A bridge needs CAP_NET_ADMIN over the network namespace where nsvisor runs; mode = "pasta" needs no rights.',
        "grep CapEff /proc/self/status",
    ),
    "ENOSPC": (
        "Every address of the bridge's network is given out, or no network is free: set a larger subnet, or another.",
        "ip route; nsvisor plan {instance}",
    ),
    "EADDRINUSE": (
        "Another sandbox has this address: another worker was given it, or another nsvisor is on the bridge.",
        "ip -details link show type veth",
    ),
    "EADDRNOTAVAIL": (
        "The host reaches that network by another device already: set subnet to one that it does not use.",
        "ip route",
    ),
    "EEXIST": ("A device of that name exists and is another thing: see the message.", "ip -details link"),
    "ENETDOWN": ("The bridge is somebody else's, and down.", "ip -details link show type bridge"),
    "ENETUNREACH": ("The gateway is not in the network of the worker's address.", "nsvisor plan {instance}"),
    "ENOTSUP": ("The kernel has no bridges, or no veth devices.", "sudo modprobe bridge; sudo modprobe veth"),
    "ENODEV": ("The bridge was removed meanwhile; the next launch makes it again.", "ip link show type bridge"),
    "ENOENT": ("pyroute2 is not installed; it comes with nsvisor.", "pip install pyroute2"),
    "EIO": (
        "The kernel's answer was not understood, or the book of addresses cannot be read: see the message.",
        "nsvisor doctor",
    ),
    "ETIMEDOUT": ("The bridge's devices were not there in network.timeout: the host is overloaded.", "uptime"),
}
