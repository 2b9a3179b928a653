"""What the control server needs of a fleet. The runtime offers it; tests offer a fake."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, Self

from supervisor.control.models import Condition
from supervisor.policy.diff import FleetDiff
from supervisor.policy.health import Health, Said
from supervisor.policy.restart import Status
from supervisor.spec.model import Fleet, Worker
from supervisor.spec.records import ExitRecord, LaunchRecord, Usual


class EventSurface(Protocol):
    """One published event."""

    @property
    def id(self) -> int:
        """Counts up from 1; for Last-Event-ID."""

    @property
    def time(self) -> float:
        """Wall clock, seconds since the epoch."""

    @property
    def level(self) -> str:
        """Its log level, lower case."""

    @property
    def event(self) -> str:
        """Its name, `noun.verb`."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """Everything variable."""


class SubscriptionSurface(Protocol):
    """Events as they come. Close it when done."""

    def __aiter__(self) -> Self:
        """Itself."""

    async def __anext__(self) -> EventSurface:
        """Wait for the next one."""

    def is_behind(self, event_id: int) -> bool:
        """Whether something up to this event is still to be read."""

    def close(self) -> None:
        """Receive no more."""


class BusSurface(Protocol):
    """Where events are published and read."""

    @property
    def last_id(self) -> int:
        """Of the event published last; 0 before the first."""

    def publish(self, event: str, level: str = "info", **fields: Any) -> None:
        """Log an event and hand it to the subscribers."""

    def subscribe(self, after: int = 0) -> SubscriptionSurface:
        """Every event with a greater id that is still remembered, then the new ones."""

    def before_last(self, count: int) -> int:
        """The id to subscribe after, to begin with the last so many."""


class InstanceSurface(Protocol):
    """One instance of one worker."""

    @property
    def name(self) -> str:
        """`web`, or `web-0` and so on."""

    @property
    def worker(self) -> Worker:
        """The spec in force."""

    @property
    def health(self) -> Health | None:
        """By its health probe, while it is ready."""

    @property
    def said(self) -> Said:
        """By sd_notify(3)."""

    @property
    def probe_seen(self) -> str | None:
        """By the last probe for readiness, until it is ready."""

    @property
    def status(self) -> Status:
        """Where the restart policy has it."""

    @property
    def pid(self) -> int | None:
        """On the host, of the sandbox's first process."""

    @property
    def started_at(self) -> float | None:
        """Wall clock, of the running incarnation."""

    @property
    def uptime_s(self) -> float | None:
        """Since the exec of the running incarnation, by CLOCK_MONOTONIC."""

    @property
    def next_sandbox(self) -> Literal["building", "ready"] | None:
        """Of the next incarnation, built ahead."""

    @property
    def paused(self) -> bool:
        """Whether its processes are frozen."""

    @property
    def cgroup_path(self) -> str | None:
        """The directory of its cgroup, if it has one."""

    @property
    def launches(self) -> Sequence[LaunchRecord]:
        """The last launches, oldest first."""

    @property
    def exits(self) -> Sequence[ExitRecord]:
        """The last exits, oldest first."""

    @property
    def usual(self) -> Usual | None:
        """What to compare the last launch with: medians of earlier ones."""

    @property
    def log_path(self) -> str | None:
        """Where its output goes, if to a file."""


class FleetSurface(Protocol):
    """All instances of one daemon."""

    @property
    def spec(self) -> Fleet:
        """The configuration in force."""

    @property
    def bus(self) -> BusSurface:
        """Its events."""

    @property
    def started_at(self) -> float:
        """Wall clock, of the daemon."""

    @property
    def instances(self) -> Mapping[str, InstanceSurface]:
        """By name, in file order."""

    def select(self, names: Sequence[str]) -> Sequence[InstanceSurface]:
        """Instances of these workers or of these names; all when empty. Raises UnknownName."""

    async def start(self, names: Sequence[str], by: str) -> None:
        """Accept a start."""

    async def stop(self, names: Sequence[str], by: str) -> None:
        """Accept a stop."""

    async def restart(self, names: Sequence[str], by: str) -> None:
        """Accept a restart."""

    async def kill(self, names: Sequence[str], signal: str, by: str) -> None:
        """Send a signal."""

    async def pause(self, names: Sequence[str]) -> None:
        """Freeze their processes. Raises CannotPause."""

    async def unpause(self, names: Sequence[str]) -> None:
        """Let them go on. Raises CannotPause."""

    async def wait(self, names: Sequence[str], condition: Condition, timeout_s: float | None) -> bool:
        """Wait until all of them meet the condition; false when the time is over."""

    async def reload(self, dry_run: bool) -> FleetDiff:
        """Read the configuration again. Raises ConfigError and changes nothing then; CannotReload."""

    async def reexec(self, client: Callable[[], int]) -> None:
        """Become the program that is installed now; returns never. `client` gives a descriptor of the connection.

        Raises CannotReexecError, ConfigError: all is as before.
        """

    def request_shutdown(self) -> None:
        """Stop everything and leave."""

    def plan(self, name: str) -> Any:
        """The phases of the next launch (`supervisor.sandbox.plan.Plan`)."""
