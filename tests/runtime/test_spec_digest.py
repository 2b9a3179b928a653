import msgspec
from msgspec.structs import replace

from supervisor.runtime.spec_digest import digest
from supervisor.spec.model import Namespaces, Restart, Worker

WEB = Worker(name="web", command=("sleep", "1"))


def test_it_tells_what_a_reload_would_launch_anew_for() -> None:
    assert digest(WEB) == digest(replace(WEB, restart=Restart(policy="never"), instances=3, after=("db",)))
    assert digest(WEB) != digest(replace(WEB, command=("sleep", "2")))
    assert digest(WEB) != digest(replace(WEB, namespaces=Namespaces(pid=False)))
    assert digest(replace(WEB, env={"A": "1", "B": "2"})) == digest(replace(WEB, env={"B": "2", "A": "1"}))


def test_a_key_that_an_older_program_did_not_have_changes_nothing() -> None:
    """An upgrade is not to restart everything."""

    class Newer(Worker, frozen=True):
        mood: str = "calm"
        nested: Restart = msgspec.field(default_factory=Restart)

    newer = Newer(name="web", command=("sleep", "1"))
    assert digest(newer) == digest(WEB)
    assert digest(replace(newer, mood="bright")) != digest(WEB)
