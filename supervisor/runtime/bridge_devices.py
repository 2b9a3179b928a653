"""The devices of a bridge, by rtnetlink(7): made, found, removed. Blocking: removing one takes 25 ms. OSError.

A port is the host's end of a veth pair. Its name is the address of the sandbox at its other end, so that the kernel
itself refuses to give out an address twice, whoever asks; its alias says whose it is.

pyroute2 is imported at the first use, and nowhere else: it costs 150 ms and 25 MB.
"""

import errno
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

from supervisor.spec.facts import BridgePort

ALIAS = "nsvisor"  # of a bridge that is ours to remove; followed by owner and incarnation that of a port
_PORT = re.compile(r"nsv([0-9a-f]{8})")

Links = Any  # pyroute2.IPRoute, which is not typed


class Taken(OSError):  # noqa: N818  (what it is)
    """The address is somebody's already."""

    def __init__(self, address: str, alias: str) -> None:
        whose = " of ".join(reversed(alias.split()[1:])) or "somebody else's"
        super().__init__(errno.EADDRINUSE, f"{address} is in use: {port_name(address)} is {whose}")
        self.alias = alias


def port_name(address: str) -> str:
    """The device of an address: nsv0a590002 of 10.89.0.2."""
    return f"nsv{int(IPv4Interface(address).ip):08x}"


def address_of_port(name: str) -> IPv4Address | None:
    """The address of a device; None where it is none of ours."""
    match = _PORT.fullmatch(name)
    return None if match is None else IPv4Address(int(match[1], 16))


def alias_of(owner: str, name: str) -> str:
    """What the port of an incarnation is called: nsvisor 3f9a12c4 web-0#17."""
    return f"{ALIAS} {owner} {name}"


def connect(port: BridgePort, alias: str, namespace: int, inner_name: str) -> None:
    """Make the pair, one end on the bridge, the other in that network namespace. Taken; OSError: nothing was made."""
    with _links() as links:
        bridge = _ensure_bridge(links, port)
        name = port_name(port.address)
        _refuse_if_taken(links, port.address)
        peer = {"ifname": inner_name, "net_ns_fd": namespace, "address": _hardware_address(port.address)}
        try:
            links.link("add", ifname=name, kind="veth", peer=peer)
        except _error() as error:
            if error.code == errno.EEXIST:
                _refuse_if_taken(links, port.address)
                text = f"the sandbox has an interface {inner_name} already"
                raise OSError(errno.EEXIST, text) from None
            raise
        index = links.link("get", ifname=name)[0]["index"]
        try:
            # The kernel overlooks an alias where a device is made.
            links.link("set", index=index, ifalias=alias, master=bridge, state="up")
        except BaseException:
            links.link("del", index=index)
            if _find(links, port.bridge) is None:
                raise OSError(errno.ENODEV, f"{port.bridge} was removed meanwhile") from None
            raise


def disconnect(address: str, alias: str) -> None:
    """Remove that port, if it is still there and its owner's."""
    with _links() as links:
        found = _find(links, port_name(address))
        if found is not None and found.get("ifalias") == alias:
            _remove(links, found)


def sweep(owner: str, is_known: Callable[[str], bool]) -> list[str]:
    """Remove the owner's ports of incarnations that nobody knows: their names."""
    with _links() as links:
        removed = []
        for link in links.get_links():
            words = (link.get("ifalias") or "").split()
            ours = address_of_port(link.get("ifname") or "") is not None and words[:2] == [ALIAS, owner]
            if ours and len(words) == 3 and not is_known(words[2]):
                _remove(links, link)
                removed.append(words[2])
        return removed


def remove_unused(names: set[str]) -> None:
    """Remove those of these bridges that a nsvisor made and that have no port."""
    with _links() as links:
        present = list(links.get_links())
        used = {link.get("master") for link in present}
        for link in present:
            if link.get("ifname") in names and link.get("ifalias") == ALIAS and link["index"] not in used:
                _remove(links, link)


@contextmanager
def _links() -> Iterator[Links]:
    try:
        from pyroute2 import IPRoute  # type: ignore[import-untyped]  # noqa: PLC0415

        with IPRoute() as links:
            yield links
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001  (whatever befalls it, the fleet goes on)
        code = getattr(error, "code", errno.ENOENT if isinstance(error, ImportError) else errno.EIO)
        raise OSError(code, f"pyroute2: {error}") from None


def _error() -> type[Any]:
    from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]  # noqa: PLC0415

    return NetlinkError  # type: ignore[no-any-return]


def _find(links: Links, name: str) -> Any:
    """The device of that name, or None."""
    try:
        return links.link("get", ifname=name)[0]
    except _error() as error:
        if error.code == errno.ENODEV:
            return None
        raise


def _remove(links: Links, link: Any) -> None:
    try:
        links.link("del", index=link["index"])
    except _error() as error:
        if error.code != errno.ENODEV:  # it goes with its other end's namespace, too
            raise


def _refuse_if_taken(links: Links, address: str) -> None:
    found = _find(links, port_name(address))
    if found is not None:
        raise Taken(str(IPv4Interface(address).ip), found.get("ifalias") or "")


def _ensure_bridge(links: Links, port: BridgePort) -> int:
    """Its index. Made where there is none; one of somebody else's is left as it is."""
    own = IPv4Interface(port.bridge_address)
    found = _find(links, port.bridge)
    if found is None:
        # An address of its own: else it has the lowest of its ports', another one with each that comes and goes.
        try:
            links.link("add", ifname=port.bridge, kind="bridge", address=_hardware_address(port.bridge_address))
        except _error() as error:
            if error.code != errno.EEXIST:  # another nsvisor was faster
                raise
        found = links.link("get", ifname=port.bridge)[0]
        links.link("set", index=found["index"], ifalias=ALIAS)
        found = links.link("get", ifname=port.bridge)[0]
    index: int = found["index"]
    if _kind(found) != "bridge":
        raise OSError(errno.EEXIST, f"{port.bridge} is there and no bridge")
    if found.get("ifalias") == ALIAS:
        try:
            links.addr("add", index=index, address=str(own.ip), prefixlen=own.network.prefixlen)
        except _error() as error:
            if error.code != errno.EEXIST:
                raise
        if found["state"] != "up":
            links.link("set", index=index, state="up")
    elif found["state"] != "up":
        raise OSError(errno.ENETDOWN, f"{port.bridge} is down")
    return index


def _kind(link: Any) -> str | None:
    info = link.get("linkinfo")
    return None if info is None else info.get("kind")


def _hardware_address(address: str) -> str:
    """By the IPv4 address, so that neighbours' tables stay right when a sandbox is built anew (as CNI does)."""
    return "0a:58:" + ":".join(f"{byte:02x}" for byte in IPv4Interface(address).ip.packed)
