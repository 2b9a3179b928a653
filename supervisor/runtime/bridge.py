"""Sandboxes on bridges: what is done for `net.attach`, at their end, at the daemon's start and at its end."""

import errno
from collections.abc import Callable
from typing import TypeVar

import trio

from supervisor.kernel import interface
from supervisor.runtime import bridge_devices as devices
from supervisor.spec.facts import BridgePort

T = TypeVar("T")
Publish = Callable[..., None]
INTERVAL_S = 0.05
LONGEST_S = 2.0  # for a port that is about to go; the kernel needs some 0.1 s for a network namespace

_one_at_a_time = trio.CapacityLimiter(1)
_connected: set[str] = set()  # incarnations, from before their port is made


class Port:
    """That of one incarnation, web-0#17."""

    def __init__(self, place: BridgePort, owner: str, name: str) -> None:
        self._place = place
        self._owner = owner
        self._name = name
        self._alias = devices.alias_of(owner, name)
        _connected.add(name)

    async def connect(self, namespace: int, inner_name: str) -> None:
        """Connect that network namespace. OSError; disconnect() comes after it, whatever becomes of this."""
        deadline = trio.current_time() + LONGEST_S
        while True:
            try:
                await _in_thread(devices.connect, self._place, self._alias, namespace, inner_name)
            except OSError as error:
                passing = error.errno == errno.ENODEV or (
                    isinstance(error, devices.Taken) and self._is_passing(error.alias)
                )
                if not passing or trio.current_time() > deadline:
                    raise
            else:
                return
            await trio.sleep(INTERVAL_S)

    def _is_passing(self, alias: str) -> bool:
        """Whether the address will be free in a moment: another worker of ours is leaving it, or one was cut short."""
        return alias == "" or alias.split()[1:2] == [self._owner]

    async def disconnect(self) -> None:
        """Remove it, before the kernel comes to it."""
        with trio.CancelScope(shield=True):
            try:
                if devices.port_name(self._place.address) in interface.names():
                    await _in_thread(devices.disconnect, self._place.address, self._alias)
            except OSError:  # it goes with the namespace then
                pass
            finally:
                _connected.discard(self._name)


async def _in_thread(function: Callable[..., T], *arguments: object) -> T:
    return await trio.to_thread.run_sync(function, *arguments, limiter=_one_at_a_time)


async def sweep(owner: str, held: set[str], publish: Publish) -> None:
    """Remove what an earlier daemon of this owner left of incarnations that are not held any more."""
    if owner and any(devices.address_of_port(name) for name in interface.names()):
        try:
            swept = await _in_thread(devices.sweep, owner, lambda name: name in held or name in _connected)
        except OSError as error:
            publish("bridge.failed", "error", error=str(error))
        else:
            if swept:
                publish("bridge.swept", "warning", incarnations=swept)


async def remove_unused(names: set[str], publish: Publish) -> None:
    """Remove bridges of ours that nobody is on any more."""
    if names.intersection(interface.names()):
        try:
            await _in_thread(devices.remove_unused, names)
        except OSError as error:
            publish("bridge.failed", "error", error=str(error))
