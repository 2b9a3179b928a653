"""What of a valid configuration this host cannot do at all."""

from supervisor.host.open_files import with_room
from supervisor.host.static_init import with_static_init
from supervisor.spec.model import Fleet


def possible_here(fleet: Fleet) -> Fleet:
    """Pass it through, or refuse it. ConfigError."""
    return with_static_init(with_room(fleet))
