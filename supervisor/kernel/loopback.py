"""Bring the loopback interface up."""

from supervisor.kernel.interface import set_up


def loopback_up() -> None:
    """Set lo UP. EPERM: no CAP_NET_ADMIN over this network namespace (Ubuntu's AppArmor shows here first)."""
    set_up("lo")
