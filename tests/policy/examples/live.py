"""Where a child is coming up, or up."""

from msgspec.structs import replace

from supervisor.policy.restart import (
    Action,
    Adopted,
    BecameReady,
    Deadline,
    Extend,
    HandedOver,
    Kill,
    KillTree,
    Probe,
    Requirements,
    Restart,
    Signal,
    Start,
    State,
    Stop,
    Unhealthy,
)
from tests.policy.examples.base import (
    CREATING,
    LAUNCHED,
    LIMITED,
    NEVER,
    NEXT,
    NOW,
    PROBED,
    READY,
    RUNNING,
    WINDOWLESS,
    Changes,
    Example,
    ended,
    example,
    said,
)


def creating() -> list[Example]:
    kill: Changes = {"state": State.STOPPING, "since": NOW, "deadline": NOW + 5, "killed": True}

    def killed(by: str) -> tuple[Action, ...]:
        return KillTree(3), said("stopping", by=by, signal="SIGKILL", grace_s=0.0)

    ready: Changes = {"state": State.READY, "since": NOW, "ready_at": NOW, "deadline": NOW + 60}
    running: Changes = {"state": State.RUNNING, "since": NOW, "deadline": NOW + 30}
    is_ready = said("ready", after_ms=10000)
    probing = (Probe(3), said("running"))
    gone = Requirements(met=False, why="requires:db")
    return [
        example(CREATING, Start("op"), {}),
        example(
            CREATING, Stop("op"), kill | {"wanted": False, "stopped_by": "op", "requested_by": "op"}, *killed("op")
        ),
        example(CREATING, Restart("op"), kill | {"again": True, "requested_by": "op"}, *killed("op")),
        example(CREATING, Kill("op", "KILL"), kill | {"requested_by": "op"}, *killed("op")),
        example(CREATING, gone, kill | {"again": True, "requested_by": gone.why}, *killed(gone.why), note="gone"),
        example(CREATING, Requirements(met=True, why=""), {}),
        example(CREATING, HandedOver(3), ready, is_ready),
        example(CREATING, HandedOver(3), running, *probing, rules=PROBED, note="probed"),
        example(CREATING, Adopted(3, ready=False), ready, is_ready),
        example(CREATING, Adopted(3, ready=True), ready, is_ready, rules=PROBED, note="ready"),
        example(CREATING, Adopted(3, ready=False), running, *probing, rules=PROBED, note="probed"),
        example(CREATING, ended("interrupted"), NEXT, *LAUNCHED, rules=NEVER, note="interrupted"),
    ]


def up() -> list[Example]:
    found = []
    for at in (RUNNING, READY):
        stop: Changes = {"state": State.STOPPING, "since": NOW, "deadline": NOW + 10}
        gone = Requirements(met=False, why="requires:db")

        def stopping(by: str) -> tuple[Action, ...]:
            return Signal(3, "SIGTERM"), said("stopping", by=by, signal="SIGTERM", grace_s=10.0)

        found += [
            example(at, Start("op"), {}),
            example(
                at, Stop("op"), stop | {"wanted": False, "stopped_by": "op", "requested_by": "op"}, *stopping("op")
            ),
            example(at, Restart("op"), stop | {"again": True, "requested_by": "op"}, *stopping("op")),
            example(at, gone, stop | {"again": True, "requested_by": gone.why}, *stopping(gone.why), note="gone"),
            example(at, Requirements(met=True, why=""), {}),
            example(
                at,
                Unhealthy(3, "HTTP 503"),
                stop | {"requested_by": "unhealthy", "unhealthy": "HTTP 503"},
                *stopping("unhealthy"),
            ),
            example(at, Kill("op", "HUP"), {"requested_by": "op", "kill_signal": "SIGHUP"}, Signal(3, "SIGHUP")),
            example(at, Kill("op", "SIGKILL"), {"requested_by": "op", "kill_signal": "SIGKILL"}, Signal(3, "SIGKILL")),
        ]
    ready: Changes = {"state": State.READY, "since": NOW, "ready_at": NOW, "deadline": NOW + 60}
    late: Changes = {"since": 1025.0, "deadline": 1035.0, "requested_by": "ready-timeout"}
    settled: Changes = {"failures": 0, "crash_loop": False, "stable": True, "deadline": None}
    return [
        *found,
        example(RUNNING, BecameReady(3), ready, said("ready", after_ms=10000), rules=PROBED),
        example(RUNNING, Adopted(3, ready=True), ready, said("ready", after_ms=10000), rules=PROBED, note="ready"),
        example(RUNNING, Adopted(3, ready=False), {}, Probe(3), rules=PROBED),
        example(
            RUNNING, Adopted(3, ready=False), {"deadline": 1029.0}, Probe(3), rules=PROBED, now=1024.0, note="late"
        ),
        example(RUNNING, Deadline(), {}, rules=PROBED, note="too-early"),
        example(RUNNING, Extend(3, 100.0), {"deadline": NOW + 100}, rules=PROBED),
        example(RUNNING, Extend(3, 5.0), {}, rules=PROBED, note="never-shorter"),
        example(RUNNING, Extend(3, 1e6), {"deadline": 995.0 + 300}, rules=PROBED, note="not-for-ever"),
        example(READY, Extend(3, 100.0), {}),
        example(
            RUNNING,
            Deadline(),
            late | {"state": State.STOPPING},
            said("ready_timeout", "error", timeout_s=30.0),
            Signal(3, "SIGTERM"),
            said("stopping", by="ready-timeout", signal="SIGTERM", grace_s=10.0),
            rules=PROBED,
            now=1025.0,
        ),
        example(READY, BecameReady(3), {}),
        example(READY, Adopted(3, ready=False), {}),
        example(READY, Deadline(), {}, now=1055.9, note="too-early"),
        example(READY, Deadline(), settled, said("stable", failures=2), now=1056.0),
        example(
            replace(READY, failures=0),
            Deadline(),
            settled,
            said("stable", "debug", failures=0),
            now=1056.0,
            note="quiet",
        ),
        example(
            replace(READY, failures=7, crash_loop=True, starts=(990.0,)),
            Deadline(),
            settled | {"starts": ()},
            said("stable", failures=7),
            rules=WINDOWLESS,
            now=1056.0,
            note="no-window",
        ),
        example(
            replace(READY, starts=(990.0,)),
            Deadline(),
            settled,
            said("stable", failures=2),
            rules=LIMITED,
            now=1056.0,
            note="window",
        ),
    ]
