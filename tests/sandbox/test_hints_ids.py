"""What an operator is told when a worker's ids cannot be had: from the plan's refusal to the hint."""

import msgspec
import pytest

from supervisor.sandbox.hints import hint
from supervisor.sandbox.ids import PlanError, identify
from supervisor.spec.facts import IdSlice
from tests.sandbox.test_ids import FACTS, RANGE, worker


@pytest.mark.parametrize(
    ("keys", "lacking", "sentence", "command"),
    [
        ({"user": "www"}, {}, "one id only", None),
        ({"groups": [4]}, {}, "one id only", None),
        ({"id_map": "auto", "user": 4000}, {}, "0 to id_count - 1", "nsvisor plan web"),
        ({"id_map": "auto", "groups": [4000]}, {}, "0 to id_count - 1", "nsvisor plan web"),
        ({"id_map": "auto"}, {"slices": {}}, "used up", "usermod --add-subuids"),
        (
            {"id_map": "auto"},
            {"slices": {}, "slice_errors": {"web": ("ENOSPC", "/etc/subgid gives ada no subordinate gids")}},
            "has no range of subordinate ids",
            "usermod --add-subuids 100000-165535",
        ),
        (
            {"id_map": "auto"},
            {"slices": {}, "slice_errors": {"web": ("EBUSY", "in use")}},
            "Another nsvisor",
            "lslocks",
        ),
        ({"id_map": "auto"}, {"slices": {}, "slice_errors": {"web": ("EIO", "x")}}, "change their owner", "nsvisor"),
        ({"id_map": "auto"}, {"newuidmap": None}, "not installed", "apt install uidmap"),
        (RANGE | {"uid_map": ["0:1:1"]}, {}, "and no others", "grep -e ada /etc/subuid"),
        (RANGE | {"uid_map": ["0:1:1"]}, {"subuid": None}, "has no range", "usermod"),
        ({"id_map": "keep-id"}, {"subuid": None}, "has no range", "usermod"),
    ],
)
def test_a_refusal_has_its_hint(
    keys: dict[str, object], lacking: dict[str, object], sentence: str, command: str | None
) -> None:
    facts = msgspec.structs.replace(FACTS, **lacking)
    with pytest.raises(PlanError) as caught:
        identify(worker(**keys), facts)
    error = caught.value
    found = hint(error.phase, error.errno_name, error.detail, facts, message=str(error), instance="web")
    assert found is not None
    assert sentence in found.sentence
    assert (found.command is None) if command is None else (command in str(found.command))


def test_a_slice_of_another_worker_is_not_ones_own() -> None:
    facts = msgspec.structs.replace(FACTS, slices={"db": IdSlice(200000, 300000, 100)})
    with pytest.raises(PlanError, match="no slice"):
        identify(worker(id_map="auto"), facts)


@pytest.mark.parametrize(
    ("phase", "errno_name", "syscall", "words"),
    [
        ("id.user", "ENOENT", "getgrnam", "A name in groups"),
        ("id.user", "ENOENT", "getpwnam", "/etc/passwd"),
        ("mount.dev", "EACCES", "mkdirat", "lacks this mount point"),
        ("mount.proc", "EACCES", "openat2", "root directory is closed"),
    ],
)
def test_by_system_call(phase: str, errno_name: str, syscall: str, words: str) -> None:
    assert words in str(hint(phase, errno_name, "/dev", FACTS, syscall=syscall))
