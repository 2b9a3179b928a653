"""Which ids are mapped, and by whom: root, the ordinary user, hosts that lack something."""

import msgspec
import pytest

from supervisor.sandbox.ids import Identity, PlanError, identify
from supervisor.spec.facts import HostFacts, IdRange
from supervisor.spec.model import Namespaces, Worker

FACTS = HostFacts(
    uid=1000,
    gid=100,
    user="ada",
    home="/home/ada",
    privileged=False,
    view=(),
    subuid=IdRange(200000, 65536),
    subgid=IdRange(300000, 5000),
    newuidmap="/usr/bin/newuidmap",
    newgidmap="/usr/bin/newgidmap",
)
ROOT = HostFacts(uid=0, gid=0, user="root", home="/root", privileged=True, view=())


def worker(**keys: object) -> Worker:
    return msgspec.convert({"name": "web", "command": ["true"], **keys}, Worker)


@pytest.mark.parametrize(
    ("user", "uid", "gid"), [("self", 1000, 100), ("ada", 1000, 100), ("root", 0, 0), (33, 33, 33), (0, 0, 0)]
)
def test_one_id_is_written_by_the_sandbox_itself(user: str | int, uid: int, gid: int) -> None:
    assert identify(worker(user=user), FACTS) == Identity(uid, gid, root_uid=uid, root_gid=gid)


def test_keep_id() -> None:
    """All inside ids below the range's size; one's own is itself, each outside id is used once."""
    found = identify(worker(id_map="keep-id"), FACTS)
    assert found.uid_map == ((0, 200000, 1000), (1000, 1000, 1), (1001, 201000, 64536))
    assert found.gid_map == ((0, 300000, 100), (100, 100, 1), (101, 300100, 4900))
    assert (found.uid, found.gid, found.root_uid, found.root_gid, found.by_itself) == (1000, 100, 0, 0, False)


@pytest.mark.parametrize("own", [0, 1, 65535, 65536, 70000])
def test_keep_id_at_the_edges(own: int) -> None:
    facts = msgspec.structs.replace(FACTS, uid=own, subgid=FACTS.subuid, privileged=own == 0)
    lines = identify(worker(id_map="keep-id"), facts).uid_map
    inside = [number for start, _, count in lines for number in range(start, start + count)]
    outside = [number for _, start, count in lines for number in range(start, start + count)]
    assert len(set(inside)) == len(inside) == len(set(outside))
    assert dict(zip(inside, outside, strict=True))[own] == own
    assert all(count > 0 for _, _, count in lines)
    assert set(range(min(own, 65535))) <= set(inside)


def test_lines_as_written() -> None:
    found = identify(worker(uid_map=["500:1000:1", "0:200000:10"], gid_map=["7:300000:2"], user=7), FACTS)
    assert found.uid_map == ((500, 1000, 1), (0, 200000, 10))
    assert found.gid_map == ((7, 300000, 2),)
    assert (found.root_uid, found.root_gid) == (0, 7)


def test_a_name_is_left_to_the_sandbox() -> None:
    found = identify(worker(user="www", id_map="keep-id"), FACTS)
    assert (found.name, found.described) == ("www", "www")
    assert identify(worker(user=5), FACTS).described == "uid 5 gid 5"


@pytest.mark.parametrize("space", [False, "pid:1"])
def test_no_user_namespace_of_its_own_no_map(space: bool | str) -> None:
    spaces = msgspec.convert({"user": space}, Namespaces)
    assert identify(worker(namespaces=spaces), FACTS) == Identity(1000, 100, mapped=False)
    assert identify(worker(namespaces=spaces, user="www"), FACTS).name == "www"


@pytest.mark.parametrize(
    ("keys", "lacking", "errno_name", "words"),
    [
        ({"user": "www"}, {}, "EINVAL", 'id_map = "keep-id"'),
        ({"id_map": "keep-id"}, {"subuid": None}, "EPERM", "/etc/subuid gives ada no subordinate uids"),
        ({"id_map": "keep-id"}, {"subgid": None}, "EPERM", "/etc/subgid gives ada no subordinate gids"),
        ({"id_map": "keep-id"}, {"subuid": None, "user": ""}, "EPERM", "gives 1000 no"),
        ({"id_map": "keep-id"}, {"newuidmap": None}, "ENOENT", "not installed"),
        ({"uid_map": ["0:1:1"], "gid_map": ["0:1:1"]}, {"newgidmap": None}, "ENOENT", "not installed"),
    ],
)
def test_what_cannot_be_had(keys: dict[str, object], lacking: dict[str, object], errno_name: str, words: str) -> None:
    with pytest.raises(PlanError, match=words) as caught:
        identify(worker(**keys), msgspec.structs.replace(FACTS, **lacking))
    assert (caught.value.phase, caught.value.errno_name) == ("id.map", errno_name)
    assert caught.value.detail


def test_root_needs_no_helpers() -> None:
    found = identify(worker(uid_map=["0:100000:1000"], gid_map=["0:100000:1000"]), ROOT)
    assert (found.by_itself, found.uid_map) == (False, ((0, 100000, 1000),))
