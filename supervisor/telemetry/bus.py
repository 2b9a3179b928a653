"""Events: published once, logged, kept for a while, handed to whoever follows them."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Self

import msgspec
import trio

from supervisor.telemetry.light import structlog
from supervisor.telemetry.setup import LEVELS

KEPT = 1000  # events that a subscriber may lag behind or ask for again


class EventRecord(msgspec.Struct, frozen=True):
    """One event. Ids count up; time is wall clock, seconds since the epoch."""

    id: int
    time: float
    level: str
    event: str
    fields: dict[str, Any]


class EventBus:
    """publish() logs by structlog, once configure() was called, and wakes the subscribers. One thread only."""

    def __init__(self, level: str = "info", first_id: int = 1, kept: Sequence[EventRecord] = ()) -> None:
        """first_id: greater than any of an earlier daemon's, so that who resumes never gets others than it missed.

        kept: events before it, up to first_id - 1, of which none is missing.
        """
        self.last_id = first_id - 1
        self._first_id = first_id - len(kept)
        self._kept = list(kept)  # id N is at (N - first_id) % KEPT
        self._readers = trio.lowlevel.ParkingLot()
        self._observers: dict[str, Callable[[dict[str, Any]], None]] = {}
        self._keepers: list[Callable[[EventRecord], None]] = []
        self._closed = False
        self.set_level(level)

    def set_level(self, level: str) -> None:
        """Events below this level are neither logged nor kept. After a second configure(), call this too."""
        self._threshold = LEVELS[level]
        self._log: Any = structlog.get_logger() if structlog.is_configured() else None

    def publish(self, event: str, level: str = "info", **fields: Any) -> None:
        """Say that something happened. `timestamp` is no name for a field."""
        observer = self._observers.get(event)
        if observer is not None:
            observer(fields)
        if LEVELS[level] < self._threshold:
            return
        number = self.last_id + 1
        record = EventRecord(number, time.time(), level, event, fields)
        if len(self._kept) == KEPT:
            self._kept[(number - self._first_id) % KEPT] = record
        else:
            self._kept.append(record)
        self.last_id = number
        for keeper in self._keepers:
            keeper(record)
        if self._log is not None:
            getattr(self._log, level)(event, timestamp=record.time, **fields)
        if self._readers:
            self._readers.unpark_all()

    def remembered(self) -> tuple[tuple[EventRecord, ...], int]:
        """What is kept, in order, and the id of the event published last."""
        first = (self._oldest - self._first_id) % KEPT
        return (*self._kept[first:], *self._kept[:first]), self.last_id

    def observe(self, event: str, observer: Callable[[dict[str, Any]], None]) -> None:
        """Call this function with the fields of every such event, whatever its level. One for each event."""
        if event in self._observers:
            raise ValueError(f"{event} is observed already")
        self._observers[event] = observer

    def keep(self, keeper: Callable[[EventRecord], None]) -> None:
        """Hand every event that is logged to this function, too; it must not raise."""
        self._keepers.append(keeper)

    def subscribe(self, after: int = 0) -> "Subscription":
        """Every event with a greater id that is still kept, then the new ones. 0: all that is kept.

        What followed an id of an earlier daemon's cannot be told: `events.lost`, then all that is kept.
        """
        if not after:
            return Subscription(self, self._oldest)
        if self._first_id - 1 <= after <= self.last_id:
            return Subscription(self, after + 1)
        return Subscription(self, self._oldest, unknown=True)

    def before_last(self, count: int) -> int:
        """The id to subscribe after, to begin with the last so many of what is kept."""
        return max(self._oldest - 1, self.last_id - count)

    def close(self) -> None:
        """Subscriptions end once they have handed out what is kept."""
        self._closed = True
        self._readers.unpark_all()

    @property
    def _oldest(self) -> int:
        return max(self._first_id, self.last_id - KEPT + 1)


class Subscription:
    """Events in order, by `async for`. Who reads too slowly loses the oldest and gets `events.lost` in their place.

    It is a place in what the bus keeps, so it costs the publisher nothing.
    """

    def __init__(self, bus: EventBus, following: int, *, unknown: bool = False) -> None:
        """unknown: nobody knows how many were lost before."""
        self._bus = bus
        self._next = following
        self._unknown = unknown
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EventRecord:
        bus = self._bus
        await trio.lowlevel.checkpoint()
        while not self._closed:
            if self.is_behind(bus.last_id):
                return self._take()
            if bus._closed:
                break
            await bus._readers.park()
        raise StopAsyncIteration

    def is_behind(self, event_id: int) -> bool:
        """Whether something up to this event is still to be read."""
        return self._unknown or self._next <= event_id

    def _take(self) -> EventRecord:
        bus = self._bus
        oldest = bus._oldest
        if self._unknown or self._next < oldest:
            lost = None if self._unknown else oldest - self._next
            self._next, self._unknown = max(self._next, oldest), False
            why = "they are no longer kept" if lost else "the id is not of this daemon's events"
            return EventRecord(self._next - 1, time.time(), "warning", "events.lost", {"lost": lost, "why": why})
        record = bus._kept[(self._next - bus._first_id) % KEPT]
        self._next += 1
        return record

    def close(self) -> None:
        """Receive no more; who waits for the next event is told so."""
        self._closed = True
        self._bus._readers.unpark_all()
