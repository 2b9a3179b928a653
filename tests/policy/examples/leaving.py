"""Where a child is on its way down, or has ended."""

from msgspec.structs import replace

from supervisor.policy.restart import (
    Adopted,
    BecameReady,
    Deadline,
    Extend,
    HandedOver,
    Kill,
    KillTree,
    Requirements,
    Restart,
    Signal,
    Start,
    State,
    Stop,
    Unhealthy,
)
from tests.policy.examples.base import (
    CLEAN,
    CRASH,
    CREATING,
    FORGIVEN,
    GONE,
    LAUNCHED,
    LIMITED,
    NEEDY,
    NEVER,
    NEXT,
    NOW,
    READY,
    RUNNING,
    STOPPING,
    UNKILLABLE,
    Changes,
    Example,
    example,
    said,
)


def leaving() -> list[Example]:
    found = []
    for at in (STOPPING, UNKILLABLE):
        want: Changes = {"wanted": True, "stopped_by": None, "again": True}
        again = replace(at, wanted=True, again=True, stopped_by=None)
        timed_out = replace(at, wanted=True, stopped_by=None, requested_by="ready-timeout")
        gone = Requirements(met=False, why="requires:db")
        found += [
            example(at, Start("op"), want | FORGIVEN),
            example(at, Restart("op"), want),
            example(at, Stop("shutdown"), {}, note="twice"),
            example(again, Stop("op"), {"wanted": False, "again": False, "stopped_by": "op"}),
            example(at, gone, {}, note="gone-unwanted"),
            example(timed_out, gone, {"again": True}, note="gone"),
            example(timed_out, Requirements(met=True, why=""), {}),
            example(at, HandedOver(3), {}),
            example(at, BecameReady(3), {}),
            example(at, Unhealthy(3, "HTTP 503"), {}),
            example(at, CRASH, GONE | {"state": State.STOPPED}, said("stopped", by="operator")),
            example(
                again,
                CRASH,
                GONE | {"state": State.WAITING, "again": False},
                said("waiting", by="operator"),
                rules=NEEDY,
                note="needy",
            ),
            example(again, CRASH, NEXT, *LAUNCHED, note="again"),
        ]
    dead = replace(STOPPING, killed=True, deadline=1005.0)
    killing: Changes = {"killed": True, "deadline": NOW + 5}
    return [
        *found,
        example(STOPPING, Kill("op", "KILL"), killing, KillTree(3), said("killing", "warning", by="op"), note="first"),
        example(STOPPING, Kill("op", "SIGHUP"), {}, Signal(3, "SIGHUP")),
        example(dead, Kill("op", "KILL"), {}, KillTree(3), note="second"),
        example(STOPPING, Extend(3, 20.0), {"deadline": NOW + 20}),
        example(STOPPING, Extend(3, 1e6), {"deadline": 998.0 + 100}, note="not-for-ever"),
        example(dead, Extend(3, 100.0), {}, note="killed"),
        example(UNKILLABLE, Extend(3, 100.0), {}),
        example(STOPPING, Adopted(3, ready=True), {}),
        example(dead, Adopted(3, ready=True), {}, KillTree(3), note="killed"),
        example(STOPPING, Deadline(), {}, now=1007.9, note="too-early"),
        example(
            STOPPING,
            Deadline(),
            {"killed": True, "deadline": 1013.0},
            KillTree(3),
            said("killing", "warning", by="grace"),
            now=1008.0,
        ),
        example(
            dead,
            Deadline(),
            {"state": State.UNKILLABLE, "since": 1005.0, "deadline": None},
            said("unkillable", "error", after_s=5.0),
            now=1005.0,
            note="killed",
        ),
        example(UNKILLABLE, Kill("op", "KILL"), {}, KillTree(3), note="again"),
        example(UNKILLABLE, Adopted(3, ready=True), {}, KillTree(3)),
    ]


def exits() -> list[Example]:
    """What the policy makes of an exit, in each state in which one may come."""
    found = []
    for at in (
        CREATING,
        RUNNING,
        READY,
        replace(STOPPING, wanted=True, stopped_by=None),
        replace(UNKILLABLE, wanted=True, stopped_by=None),
    ):
        backoff = GONE | {"state": State.BACKOFF, "failures": 3, "deadline": NOW + 4.2}
        tried = replace(at, starts=(901.0, 990.0))
        stable = replace(at, failures=0, stable=True)
        found += [
            example(
                at, CLEAN, GONE | {"state": State.COMPLETED}, said("completed", reason="exit code 0"), note="clean"
            ),
            example(
                at,
                CRASH,
                GONE | {"state": State.FAILED},
                said("failed", "error", reason="exit code 3"),
                rules=NEVER,
                note="never",
            ),
            example(
                tried,
                CRASH,
                GONE | {"state": State.FAILED},
                said("failed", "error", reason="exit code 3; 2 restarts in 100 s are the limit"),
                rules=LIMITED,
                note="limit",
            ),
            example(
                stable,
                CRASH,
                NEXT | {"failures": 1, "restarts": 1},
                *LAUNCHED,
                note="stable",
            ),
            example(at, CRASH, backoff, said("backoff", "warning", delay_s=4.2, failures=3, next=4), note="crash"),
        ]
    return found
