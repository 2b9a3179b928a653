"""The limit of open files, as this process has it and its keeper inherits it."""

import resource

from supervisor.spec.descriptors import check_descriptors
from supervisor.spec.model import Fleet


def hard_limit() -> int | None:
    """RLIMIT_NOFILE, which the daemon may raise its soft one to; None: unlimited."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if hard == resource.RLIM_INFINITY else hard


def with_room(fleet: Fleet) -> Fleet:
    """Refuse a fleet that needs more descriptors than this process may have. ConfigError."""
    check_descriptors(fleet, hard_limit())
    return fleet
