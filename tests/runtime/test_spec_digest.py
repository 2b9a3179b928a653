from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from supervisor.policy.diff import FLEET_KEYS, LIVE_KEYS, diff
from supervisor.runtime.spec_digest import digest
from supervisor.spec.model import Fleet, Health, Log, Namespaces, Ready, Restart, Stop, Worker

WEB = Worker(name="web", command=("sleep", "1"))


def test_it_tells_what_a_reload_would_launch_anew_for() -> None:
    assert digest(WEB) == digest(replace(WEB, restart=Restart(policy="never"), instances=3, after=("db",)))
    assert digest(WEB) != digest(replace(WEB, command=("sleep", "2")))
    assert digest(WEB) != digest(replace(WEB, namespaces=Namespaces(pid=False)))
    assert digest(replace(WEB, env={"A": "1", "B": "2"})) == digest(replace(WEB, env={"B": "2", "A": "1"}))


CHANGES: list[dict[str, Any]] = [
    {"after": ("db",)},
    {"autostart": False},
    {"health": Health(kind="tcp", address="127.0.0.1:1")},
    {"health": Health(kind="notify")},
    {"instances": 2},
    {"log": Log(sink="null")},
    {"ready": Ready(kind="tcp", address="127.0.0.1:1")},
    {"ready": Ready(kind="notify")},
    {"requires": ("db",)},
    {"restart": Restart(policy="always")},
    {"setup_timeout_s": 1.0},
    {"stop": Stop(signal="SIGINT")},
    {"working_dir": "/srv"},
    {"env_file": ("/x",)},
]


@pytest.mark.parametrize("change", CHANGES, ids="-".join)
def test_it_differs_where_a_reload_would_relaunch(change: dict[str, Any]) -> None:
    """So a crash before a reload, and a re-execution, restart whom the reload would have restarted, and no other."""
    changed = replace(WEB, **change)
    found = diff(Fleet(workers={"web": WEB}), Fleet(workers={"web": changed})).changed
    assert (digest(changed) != digest(WEB)) is any(one.relaunch for one in found)


def test_every_live_key_is_tried() -> None:
    tried = {key for change in CHANGES for key in change}
    names = {field.encode_name for field in msgspec.structs.fields(Worker) if field.name in tried}
    assert names >= LIVE_KEYS | FLEET_KEYS - {"name"}


def test_a_key_that_an_older_program_did_not_have_changes_nothing() -> None:
    """An upgrade is not to restart everything."""

    class Newer(Worker, frozen=True):
        mood: str = "calm"
        nested: Restart = msgspec.field(default_factory=Restart)

    newer = Newer(name="web", command=("sleep", "1"))
    assert digest(newer) == digest(WEB)
    assert digest(replace(newer, mood="bright")) != digest(WEB)
