"""The five sets of capabilities(7) that a worker gets, of the keys that give them."""

import msgspec

from supervisor.spec.capabilities import CAPABILITIES
from supervisor.spec.model_sandbox import Capabilities, Security

ALL = "ALL"


class CapabilitySets(msgspec.Struct, frozen=True):
    """Names; permitted is effective, too."""

    permitted: frozenset[str]
    bounding: frozenset[str]
    inheritable: frozenset[str]
    ambient: frozenset[str]


def capability_sets(security: Security) -> CapabilitySets:
    """Fill in what is not written: bounding as capabilities, inheritable as ambient, ambient what may be."""
    permitted = expand(security.capabilities)
    inheritable = permitted if security.inheritable is None else expand(security.inheritable)
    ambient = permitted & inheritable if security.ambient is None else expand(security.ambient)
    if security.inheritable is None:
        inheritable = ambient & permitted
    return CapabilitySets(
        permitted=permitted,
        bounding=permitted if security.bounding is None else expand(security.bounding),
        inheritable=inheritable,
        ambient=ambient,
    )


def expand(names: Capabilities) -> frozenset[str]:
    """The names, ALL spelled out."""
    return frozenset(CAPABILITIES) if ALL in names else frozenset(names)


def mask(names: frozenset[str], last_cap: int) -> int:
    """As bits. Of all, those that the kernel knows; one that was named and is unknown is the kernel's to refuse."""
    bits = sum(1 << CAPABILITIES.index(name) for name in names)
    return bits & (1 << last_cap + 1) - 1 if len(names) == len(CAPABILITIES) else bits


def listed(names: frozenset[str]) -> str:
    """For a plan: in the kernel's order."""
    if len(names) == len(CAPABILITIES):
        return ALL
    return " ".join(name for name in CAPABILITIES if name in names) or "none"
