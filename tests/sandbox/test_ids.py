"""Which ids are mapped, and by whom: root, the ordinary user, hosts that lack something."""

import msgspec
import pytest

from supervisor.sandbox.ids import Identity, Lines, PlanError, identify
from supervisor.spec.facts import HostFacts, IdRange, IdSlice
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
    slices={"web": IdSlice(200000, 300000, 2000)},
)
RANGE = {"uid_map": ["0:200000:1"], "gid_map": ["0:300000:1"]}
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
        ({"user": "www"}, {}, "EINVAL", 'set id_map = "auto" or "keep-id"'),
        ({"groups": ["www"]}, {}, "EINVAL", "groups need more ids than the one that is mapped"),
        ({"groups": [4], "namespaces": {"user": False}}, {}, "EPERM", "a user namespace of the worker's own"),
        ({"id_map": "auto"}, {"slices": {}}, "ENOSPC", "no slice of ids was given"),
        ({"id_map": "auto"}, {"slices": {}, "slice_errors": {"web": ("EBUSY", "in use")}}, "EBUSY", "in use"),
        ({"id_map": "auto"}, {"newgidmap": None}, "ENOENT", "not installed"),
        ({"id_map": "auto", "user": 2000}, {}, "EINVAL", "outside the worker's 2000 ids; set id_count = 2001"),
        ({"id_map": "auto", "groups": [7, 2000]}, {}, "EINVAL", "group 2000 is outside .* id_count = 2001"),
        (
            RANGE | {"uid_map": ["0:200000:9", "9:199999:2"]},
            {},
            "EPERM",
            '"9:199999:2": uid 199999 is not ada.s to map',
        ),
        (RANGE | {"uid_map": ["0:265535:2"]}, {}, "EPERM", "uid 265536 is not ada's to map; .* 200000 to 265535, and"),
        (RANGE | {"uid_map": ["0:1000:2"]}, {}, "EPERM", "uid 1000 is not .*, and 1000 alone is"),
        (RANGE | {"gid_map": ["0:1000:1"]}, {}, "EPERM", "gid 1000 is not .*/etc/subgid .*, and 100 alone is"),
        ({"id_map": "keep-id"}, {"subuid": None}, "EPERM", "/etc/subuid gives ada no subordinate uids"),
        ({"id_map": "keep-id"}, {"subgid": None}, "EPERM", "/etc/subgid gives ada no subordinate gids"),
        ({"id_map": "keep-id"}, {"subuid": None, "user": ""}, "EPERM", "gives 1000 no"),
        ({"id_map": "keep-id"}, {"newuidmap": None}, "ENOENT", "not installed"),
        (RANGE, {"newgidmap": None}, "ENOENT", "not installed"),
    ],
)
def test_what_cannot_be_had(keys: dict[str, object], lacking: dict[str, object], errno_name: str, words: str) -> None:
    with pytest.raises(PlanError, match=words) as caught:
        identify(worker(**keys), msgspec.structs.replace(FACTS, **lacking))
    assert caught.value.phase == ("id.user" if "namespaces" in keys else "id.map")
    assert caught.value.errno_name == errno_name
    assert caught.value.detail


def test_root_needs_no_helpers() -> None:
    found = identify(worker(uid_map=["0:100000:1000"], gid_map=["0:100000:1000"]), ROOT)
    assert (found.by_itself, found.uid_map) == (False, ((0, 100000, 1000),))


@pytest.mark.parametrize(
    ("user", "uid", "lines"),
    [("self", 1000, ((0, 200000, 2000),)), ("root", 0, ((0, 200000, 2000),)), (1999, 1999, ((0, 200000, 2000),))],
)
def test_a_slice(user: str | int, uid: int, lines: Lines) -> None:
    found = identify(worker(id_map="auto", user=user), FACTS)
    assert (found.uid, found.uid_map) == (uid, lines)
    assert found.gid_map == ((0, 300000, 2000),)
    assert (found.root_uid, found.root_gid, found.by_itself) == (0, 0, False)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (101, ((0, 200000, 100), (1000, 200100, 1))),
        (1, ((1000, 200000, 1),)),
        (1000, ((0, 200000, 999), (1000, 200999, 1))),
    ],
)
def test_self_above_the_slice_is_its_last_id(count: int, expected: Lines) -> None:
    facts = msgspec.structs.replace(FACTS, slices={"web": IdSlice(200000, 300000, count)})
    found = identify(worker(id_map="auto"), facts)
    assert found.uid_map == expected
    assert found.root_uid == min(inside for inside, _, _ in expected)
    assert sum(count for _, _, count in found.uid_map) == sum(count for _, _, count in found.gid_map) == count


def test_ranges_that_touch_are_one() -> None:
    spans = (IdRange(200000, 10), IdRange(200010, 10))
    facts = msgspec.structs.replace(FACTS, subuids=spans, subgids=spans)
    lines = ["0:200005:10"]
    assert identify(worker(uid_map=lines, gid_map=lines), facts).uid_map == ((0, 200005, 10),)


def test_groups() -> None:
    assert identify(worker(id_map="auto"), FACTS).user_arguments == (1000, 100, "")
    found = identify(worker(id_map="auto", groups=["www", 7]), FACTS)
    assert found.user_arguments == (1000, 100, "", "", "groups", "www", 7)
    assert found.described == "uid 1000 gid 100 groups www 7"
    assert identify(worker(user="www", id_map="auto", groups=[]), FACTS).described == "www groups none"
    assert identify(worker(groups=[]), FACTS).by_itself


def test_a_group() -> None:
    found = identify(worker(id_map="auto", user="www", group="logs"), FACTS)
    assert found.user_arguments == (1000, 100, "www", "logs")
    assert found.described == "www group logs"
    alone = identify(worker(user=5, group=6), FACTS)
    assert (alone.uid, alone.gid, alone.root_gid, alone.by_itself) == (5, 6, 6, True)
    root = identify(worker(user=5, group=6), ROOT)
    assert (root.uid_map, root.gid_map) == (((5, 5, 1),), ((6, 6, 1),))
    with pytest.raises(PlanError, match="groups need more ids"):
        identify(worker(group="logs"), FACTS)
    with pytest.raises(PlanError, match="group 2000 is outside"):
        identify(worker(id_map="auto", group=2000), FACTS)
