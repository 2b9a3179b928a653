"""How addresses and published ports are written."""

import ipaddress
import re

import msgspec

from supervisor.spec.forms import FormError, quoted, tcp_address

INDEX = "{index}"
DEFAULT_ADDRESS = "127.0.0.1"  # who wants others to reach it says so
_FORM = '"HOST_IP:HOST_PORT:PORT/PROTOCOL", such as "127.0.0.1:8080:80", "[::1]:8080:80", "8080:80/udp" or "8080"'
_TEXT = re.compile(r"(?:(?:\[([^\[\]]+)\]|([0-9]+(?:\.[0-9]+)+)):)?([0-9]{1,5})(?::([0-9]{1,5}))?(?:/(tcp|udp))?")


class Published(msgspec.Struct, frozen=True):
    """One port of the host that leads to one inside."""

    address: str
    port: int
    inner_port: int
    protocol: str  # tcp, udp

    def __str__(self) -> str:
        """As a whole: 127.0.0.1:8080:80/tcp."""
        return f"{self.where}:{self.inner_port}/{self.protocol}"

    @property
    def where(self) -> str:
        """The host's side: 127.0.0.1:8080, [::1]:8080."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    def overlaps(self, other: "Published") -> bool:
        """Whether both cannot be bound at once: a wildcard takes a port of every address of its family."""
        if (self.protocol, self.port) != (other.protocol, other.port):
            return False
        ours, theirs = ipaddress.ip_address(self.address), ipaddress.ip_address(other.address)
        return ours == theirs or (ours.version == theirs.version and (ours.is_unspecified or theirs.is_unspecified))


def parse(text: str, index: int = 0) -> Published:
    """Take one apart, for the instance of this index. FormError."""
    match = _TEXT.fullmatch(text.replace(INDEX, str(index)))
    if match is None:
        raise FormError("not a published port", _FORM)
    bracketed, plain, port, inner, protocol = match.groups()
    try:
        address = (
            str(ipaddress.IPv6Address(bracketed)) if bracketed else str(ipaddress.IPv4Address(plain or DEFAULT_ADDRESS))
        )
    except ipaddress.AddressValueError:
        raise FormError(f"{bracketed or plain} is not an IP address", _FORM) from None
    for number in (port, inner or port):
        if not 1 <= int(number) <= 65535:
            raise FormError(f"port {number} is out of range", "ports from 1 to 65535")
    return Published(address, int(port), int(inner or port), protocol or "tcp")


def checked(text: str) -> str:
    """The text as it is, once it is known to be right."""
    parse(text)
    return text


def loopback_address(text: str) -> str:
    """IP:PORT where nobody but this machine's processes can connect. FormError."""
    host, _, port = tcp_address(text).rpartition(":")
    try:
        if ipaddress.ip_address(host.strip("[]")).is_loopback:
            return text
    except ValueError:  # a name, which may come to mean another address
        pass
    raise FormError("not a loopback address", None, quoted(f"127.0.0.1:{port}"))


def ip_address(text: str) -> str:
    """An address in its normal form. FormError."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise FormError("not an IP address") from None


def ip_interface(text: str) -> str:
    """An IPv4 address with its prefix length. FormError."""
    try:
        found = ipaddress.IPv4Interface(text)
    except ValueError:
        raise FormError("not an IPv4 address with a prefix length", '"10.0.0.2/24"') from None
    if "/" not in text:
        raise FormError("no prefix length", '"10.0.0.2/24"', f'"{text}/24"')
    return found.with_prefixlen


def ip_network(text: str) -> str:
    """An IPv4 network. FormError."""
    example = '"10.89.0.0/24"'
    try:
        found = ipaddress.IPv4Interface(text)
    except ValueError:
        raise FormError("not an IPv4 network", example) from None
    if "/" not in text:
        raise FormError("no prefix length", example, f'"{found.ip}/24"')
    if found.ip != found.network.network_address:
        raise FormError("an address within a network", example, f'"{found.network}"')
    return str(found.network)
