"""Which address of a bridge's network is whose. Pure: the book so far and the instances of now give the book to keep.

An instance keeps its address for as long as it is in the configuration; then it is free for the next one.
"""

from collections.abc import Collection, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network

import msgspec

POOLS = tuple(IPv4Network((0x0A59_0000 + (number << 8), 24)) for number in range(256))  # 10.89.0.0/24 and on


class Allotment(msgspec.Struct, frozen=True):
    """Addresses by instance; and for those that have none, why: an errno's name, words."""

    addresses: dict[str, str]
    errors: dict[str, tuple[str, str]]


def allot(
    book: Mapping[str, str],
    wanted: Mapping[str, str | None],
    subnet: IPv4Network,
    reserved: Mapping[str, str],
    busy: Collection[str] = (),
) -> Allotment:
    """Give every instance of `wanted` the address that it is to have, the one that it had, or the lowest free one.

    reserved: not to be given out, and whose they are; busy: in use right now, and so not to be given to anybody new.
    """
    found: dict[str, str] = {}
    errors: dict[str, tuple[str, str]] = {}
    owners = dict(reserved)
    for instance, fixed in wanted.items():
        had = book.get(instance)
        if fixed in (None, had) and had is not None and had not in owners and IPv4Address(had) in subnet:
            found[instance] = had
            owners[had] = f"that of {instance}"
    for instance, fixed in wanted.items():
        if fixed is None or instance in found:
            continue
        if fixed in owners:
            errors[instance] = ("EADDRINUSE", f"{fixed} is {owners[fixed]}")
        else:
            found[instance] = fixed
            owners[fixed] = f"that of {instance}"
    free = _free(subnet, owners, busy)
    for instance in wanted:
        if instance in found or instance in errors:
            continue
        address = next(free, None)
        if address is None:
            errors[instance] = ("ENOSPC", f"no address of {subnet} is left")
        else:
            found[instance] = address
    return Allotment(found, errors)


def _free(subnet: IPv4Network, owners: Mapping[str, str], busy: Collection[str]) -> Iterator[str]:
    for address in map(str, subnet.hosts()):
        if address not in owners and address not in busy:
            yield address


def choose(taken: Collection[IPv4Network]) -> IPv4Network | None:
    """Choose the first network of the pools that is nobody's; None where none is."""
    return next((pool for pool in POOLS if not any(pool.overlaps(other) for other in taken)), None)
