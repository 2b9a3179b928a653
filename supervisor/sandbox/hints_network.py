"""Hints about the connection of a sandbox's network with the world. Merged into hint_table.py."""

from supervisor.spec import remedies

Row = tuple[str, str | None]

_GONE_WRONG: Row = (
    "pasta ended before it was up; its last words are in the message.",
    "ip route show default; ip -6 route show default",
)

TABLE: dict[str, dict[str, Row]] = {
    "net.attach": {
        "ENOENT": (
            "pasta is not installed, or the kernel has no /dev/net/tun.",
            f"{remedies.INSTALL_PASTA}; ls -l /dev/net/tun",
        ),
        "EACCES": (
            "A port below ip_unprivileged_port_start needs root, or /dev/net/tun is closed to this user.",
            "sysctl net.ipv4.ip_unprivileged_port_start; ls -l /dev/net/tun",
        ),
        "EPERM": (
            "A security module or a container around nsvisor forbids /dev/net/tun or the namespaces.",
            "nsvisor doctor",
        ),
        "ENODEV": ("The kernel has no tun driver.", remedies.LOAD_TUN),
        "ENXIO": ("The kernel has no tun driver.", remedies.LOAD_TUN),
        "EADDRINUSE": ("Somebody else listens on a port that is to be published: see the message.", "ss -lntup"),
        "EADDRNOTAVAIL": ("The host has no such address to publish a port on: see the message.", "ip -brief address"),
        "EAFNOSUPPORT": (
            "A port is to be published by an IP version that the host does not have, or has no default route for.",
            "ip route show default; ip -6 route show default",
        ),
        "EIO": _GONE_WRONG,
        "ESRCH": ("The keeper ended meanwhile; the launch is tried again.", "nsvisor events"),
    },
}
TIMEOUTS: dict[str, Row] = {
    "net.attach": (
        "The network did not come up in network.timeout: the host is overloaded, or has no usable default route.",
        "ip route show default; ip -6 route show default",
    ),
}
