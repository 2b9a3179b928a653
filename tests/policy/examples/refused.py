"""Moves that cannot be."""

from msgspec.structs import replace

from supervisor.policy.restart import (
    Adopted,
    BecameReady,
    Exited,
    HandedOver,
    Kill,
)
from tests.policy.examples.base import (
    BACKOFF,
    COMPLETED,
    CRASH,
    CREATING,
    FAILED,
    READY,
    RUNNING,
    STOPPED,
    STOPPING,
    UNKILLABLE,
    WAITING,
    Example,
)


def illegal() -> list[Example]:
    hangup, adopted = Kill("op", "SIGHUP"), Adopted(4, ready=True)
    moves = [
        *((at, hangup) for at in (STOPPED, COMPLETED, FAILED, WAITING, BACKOFF, CREATING)),
        *((at, Kill("op", "SIGKILL")) for at in (STOPPED, COMPLETED, FAILED, WAITING, BACKOFF)),
        *((at, hangup) for at in (replace(STOPPING, killed=True), UNKILLABLE)),
        (CREATING, BecameReady(3)),
        (RUNNING, HandedOver(3)),
        (READY, HandedOver(3)),
        *((at, adopted) for at in (CREATING, RUNNING, READY, STOPPING, UNKILLABLE)),
        *((at, HandedOver(4)) for at in (STOPPED, WAITING, CREATING, READY)),
        *((at, BecameReady(4)) for at in (STOPPED, BACKOFF, RUNNING)),
        *((at, Exited(4, CRASH.exit)) for at in (STOPPED, BACKOFF, CREATING, STOPPING)),
    ]
    return [
        Example(f"{at.state}-{type(event).__name__}-illegal-{index}", at, event, at, (), illegal=True)
        for index, (at, event) in enumerate(moves)
    ]
