"""Too many connections: which of them makes room for the next one, and what is said about it."""

from collections.abc import MutableMapping

import trio

from supervisor.control.fleet_surface import BusSurface
from supervisor.control.stream import ControlStream

UNREAD_S = 5.0  # an answer that its client has not read for so long may be cut
TELL_S = 10.0  # at most one record in so long


class Crowd:
    """Of one server."""

    def __init__(self, bus: BusSurface) -> None:
        self._bus = bus
        self._closed = self._refused = 0
        self._told_at = -TELL_S

    def make_room(self, connections: MutableMapping[ControlStream, None]) -> bool:
        """Cut the oldest that has no request under way, else one that does not read; false where there is none.

        connections: the oldest first; the one that is cut is taken out.
        """
        found = next((one for one in connections if not one.requests), None) or _deaf(connections)
        if found is None:
            self._refused += 1
        else:
            self._closed += 1
            del connections[found]
            found.cut()
        self._tell(len(connections))
        return found is not None

    def _tell(self, connections: int) -> None:
        now = trio.current_time()
        if now - self._told_at < TELL_S:
            return
        closed, refused = self._closed, self._refused
        self._closed, self._refused, self._told_at = 0, 0, now
        self._bus.publish("control.refused", "warning", connections=connections, closed=closed, refused=refused)


def _deaf(connections: MutableMapping[ControlStream, None]) -> ControlStream | None:
    waiting = [(one.unread_since, one) for one in connections if one.unread_since is not None]
    since, found = min(waiting, key=lambda pair: pair[0], default=(0.0, None))
    return found if found is not None and trio.current_time() - since >= UNREAD_S else None
