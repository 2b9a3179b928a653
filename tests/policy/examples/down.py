"""Where no child is there."""

from msgspec.structs import replace

from supervisor.policy.restart import (
    Adopted,
    Deadline,
    Probe,
    Requirements,
    Restart,
    Start,
    State,
    Stop,
)
from tests.policy.examples.base import (
    BACKOFF,
    COMPLETED,
    FAILED,
    FORGIVEN,
    LAUNCHED,
    LIMITED,
    NEEDY,
    NEXT,
    NOW,
    PROBED,
    STOPPED,
    WAITING,
    Changes,
    Example,
    example,
    said,
)


def parked() -> list[Example]:
    """Nothing is there and nothing to come."""
    found = []
    for at in (STOPPED, COMPLETED, FAILED):
        up: Changes = {"wanted": True, "stopped_by": None}
        wait: Changes = {"state": State.WAITING, "since": NOW}
        adopted: Changes = {"incarnation": 9, "launched_at": NOW, "since": NOW}
        found += [
            example(at, Start("op"), up | FORGIVEN | NEXT, *LAUNCHED),
            example(at, Start("op"), up | FORGIVEN | wait, said("waiting", by="op"), rules=NEEDY, note="needy"),
            example(at, Restart("op"), up | NEXT, *LAUNCHED),
            example(at, Restart("op"), up | wait, said("waiting", by="op"), rules=NEEDY, note="needy"),
            example(at, Stop("shutdown"), {}, note="stays-stopped-by-hand"),
            example(replace(at, stopped_by=None, wanted=True), Stop("op"), {"wanted": False, "stopped_by": "op"}),
            example(at, Requirements(met=True, why=""), {}),
            example(at, Requirements(met=False, why="requires:db"), {}, note="gone"),
            example(
                at,
                Adopted(9, ready=True),
                up | adopted | {"state": State.READY, "ready_at": NOW, "deadline": NOW + 60},
                rules=PROBED,
                note="ready",
            ),
            example(
                at,
                Adopted(9, ready=False),
                up | adopted | {"state": State.RUNNING, "deadline": NOW + 30},
                Probe(9),
                rules=PROBED,
            ),
        ]
    return found


def pending() -> list[Example]:
    """Nothing is there, but a launch is to come."""
    found = []
    for at in (WAITING, BACKOFF):
        adopted: Changes = {"incarnation": 9, "launched_at": NOW, "since": NOW}
        found += [
            example(
                at,
                Stop("op"),
                {"state": State.STOPPED, "since": NOW, "deadline": None, "wanted": False, "stopped_by": "op"},
                said("stopped", by="op"),
            ),
            example(
                at,
                Adopted(9, ready=True),
                adopted | {"state": State.READY, "ready_at": NOW, "deadline": NOW + 60},
                rules=PROBED,
                note="ready",
            ),
            example(
                at,
                Adopted(9, ready=False),
                adopted | {"state": State.RUNNING, "deadline": NOW + 30},
                Probe(9),
                rules=PROBED,
            ),
        ]
    wait: Changes = {"state": State.WAITING, "since": NOW, "deadline": None}
    return [
        *found,
        example(WAITING, Start("op"), FORGIVEN),
        example(WAITING, Restart("op"), {}),
        example(WAITING, Requirements(met=True, why=""), NEXT, *LAUNCHED, rules=NEEDY),
        example(WAITING, Requirements(met=False, why="requires:db"), {}, rules=NEEDY, note="gone"),
        example(BACKOFF, Start("op"), FORGIVEN | NEXT, *LAUNCHED),
        example(BACKOFF, Start("op"), FORGIVEN | wait, said("waiting", by="op"), rules=NEEDY, note="needy"),
        example(BACKOFF, Restart("op"), NEXT, *LAUNCHED),
        example(BACKOFF, Restart("op"), wait, said("waiting", by="op"), rules=NEEDY, note="needy"),
        example(BACKOFF, Requirements(met=True, why=""), {}, rules=NEEDY),
        example(
            BACKOFF, Requirements(met=False, why="requires:db"), wait, said("waiting", by="requires:db"), rules=NEEDY
        ),
        example(BACKOFF, Deadline(), {}, now=1002.9, note="too-early"),
        example(
            BACKOFF,
            Deadline(),
            NEXT | {"restarts": 6, "since": 1003.0, "launched_at": 1003.0},
            *LAUNCHED,
            now=1003.0,
        ),
        example(
            replace(BACKOFF, starts=(800.0, 950.0)),
            Deadline(),
            NEXT | {"restarts": 6, "since": 1003.0, "launched_at": 1003.0, "starts": (950.0, 1003.0)},
            *LAUNCHED,
            rules=LIMITED,
            now=1003.0,
            note="limited",
        ),
    ]
