"""Who the workload is, inside and outside."""

import errno
import os

import msgspec
import pytest

from supervisor.sandbox.plan import compile_plan
from supervisor.spec.facts import IdRange
from supervisor.spec.model import Mount, Namespaces, Network, Rootfs, Security
from tests.accounts import needs_a_range
from tests.nsinit.keepers import Keeper
from tests.nsinit.probes import census
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import launched, output_of, run, worker

HOST = Network("host")
SHOW = "id -u; id -g; id -G; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups"


def shown(keeper: Keeper, **keys: object) -> tuple[list[str], list[str]]:
    """The ids, and the maps with what setgroups says."""
    lines = output_of(keeper, worker(SHOW, **keys)).splitlines()
    return lines[:3], [" ".join(line.split()) for line in lines[3:]]


def subordinate(keeper: Keeper) -> int:
    """The first of the ids that may be mapped beside one's own; root may map any."""
    facts = keeper.who.facts
    if facts.privileged:
        return 100000
    needs_a_range(keeper.who.account)
    assert facts.subuid is not None
    assert facts.subgid is not None
    assert facts.subuid == facts.subgid
    return facts.subuid.start


def test_self_keeps_the_id(keeper: Keeper) -> None:
    uid, gid = keeper.who.facts.uid, keeper.who.facts.gid
    ids, maps = shown(keeper)
    assert ids[:2] == [str(uid), str(gid)]
    assert maps == [f"{uid} {uid} 1", f"{gid} {gid} 1", "deny"]


def test_root_is_root_inside_only(keeper: Keeper) -> None:
    uid, gid = keeper.who.facts.uid, keeper.who.facts.gid
    ids, maps = shown(keeper, user="root")
    assert ids[:2] == ["0", "0"]
    assert maps == [f"0 {uid} 1", f"0 {gid} 1", "deny"]


def test_a_number(keeper: Keeper) -> None:
    ids, maps = shown(keeper, user=4321)
    assert ids[:2] == ["4321", "4321"]
    outside = 4321 if keeper.who.facts.privileged else keeper.who.facts.uid  # root's number is no root in disguise
    assert maps[0] == f"4321 {outside} 1"


@pytest.mark.parametrize("user", ["self", "root", 33])
def test_real_effective_and_saved_ids_are_all_changed(keeper: Keeper, user: str | int) -> None:
    first = subordinate(keeper)
    facts = keeper.who.facts
    ranges = (f"0:{first}:1000",) if facts.uid == 0 else (f"0:{first}:1000", f"{facts.uid}:{facts.uid}:1")
    wanted = {"self": facts.uid, "root": 0}.get(str(user), user)
    seen = census(keeper, user=user, uid_map=ranges, gid_map=ranges)
    assert seen["ids"] == [[wanted] * 3, [wanted] * 3, []]
    assert seen["status"]["CapEff"] == "0" * 16


def test_a_map_of_ranges(keeper: Keeper) -> None:
    """By newuidmap and newgidmap, or written directly by root."""
    first = subordinate(keeper)
    ranges = (f"0:{first}:100", f"5000:{first + 100}:2")
    ids, maps = shown(keeper, user=5001, uid_map=ranges, gid_map=ranges)
    assert ids == ["5001", "5001", "5001"]
    assert maps[:4] == [f"0 {first} 100", f"5000 {first + 100} 2"] * 2


def test_keep_id(keeper: Keeper) -> None:
    """The own id is itself; all others below the range's size are there, too."""
    facts, count = keeper.who.facts, 60000
    ranges = IdRange(subordinate(keeper), count)
    facts = msgspec.structs.replace(facts, subuid=ranges, subgid=ranges)
    lines = output_of(keeper, compile_plan(worker(SHOW, id_map="keep-id"), 0, facts)).splitlines()
    assert lines[:3] == [str(facts.uid), str(facts.gid), str(facts.gid)]
    below = [f"0 {ranges.start} {facts.uid}"] if facts.uid else []
    own = [f"{facts.uid} {facts.uid} 1"]
    above = [f"{facts.uid + 1} {ranges.start + facts.uid} {count - facts.uid}"]
    assert [" ".join(line.split()) for line in lines[3:]] == [*(below + own + above) * 2, "allow"]


def test_a_name_is_looked_up_inside(keeper: Keeper, folder: Folder) -> None:
    """With its groups; the host's users do not matter."""
    first = subordinate(keeper)
    root = folder.rootfs()
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nbroken\nwww:x:33:34:web:/:/bin/sh\n")
    (root / "etc/group").write_text("web:x:34:\nlogs:x:40:news,www\nnone:x:41:wwww\nmore:x:42:www\n")
    ranges = (f"0:{first}:100",)
    box = {"uid_map": ranges, "gid_map": ranges, "rootfs": Rootfs("dir", str(root)), "mounts": folder.programs()}
    seen = output_of(keeper, worker("id -u; id -g; id -G", user="www", **box)).split("\n")
    assert seen == ["33", "34", "34 40 42"]
    failure = run(keeper, worker("id", user="nobody-here", **box)).failure
    assert failure is not None
    assert (failure.phase, failure.number, failure.syscall) == ("id.user", errno.ENOENT, "getpwnam")
    (root / "etc/passwd").unlink()
    failure = run(keeper, worker("id", user="www", **box)).failure
    assert failure is not None
    assert (failure.phase, failure.number) == ("id.user", errno.ENOENT)


def test_an_id_that_is_not_mapped(keeper: Keeper) -> None:
    first = subordinate(keeper)
    failure = run(keeper, worker("id", user=50, uid_map=(f"0:{first}:10",), gid_map=(f"0:{first}:10",))).failure
    assert failure is not None
    assert (failure.phase, failure.number, failure.syscall) == ("id.user", errno.EINVAL, "setresgid")


def test_one_id_by_the_helpers(keeper: Keeper) -> None:
    """Newgidmap itself denies setgroups where the only group mapped is the user's own."""
    needs_a_range(keeper.who.account)
    facts = keeper.who.facts
    ids, maps = shown(keeper, user="root", uid_map=(f"0:{facts.uid}:1",), gid_map=(f"0:{facts.gid}:1",))
    assert ids[:2] == ["0", "0"]
    assert maps[:2] == [f"0 {facts.uid} 1", f"0 {facts.gid} 1"]


def test_a_root_that_is_not_id_0(keeper: Keeper) -> None:
    """The sandbox is built by the lowest id that is mapped, with every capability kept."""
    first = subordinate(keeper)
    ranges = (f"500:{first}:10",)
    seen = census(keeper, user=505, uid_map=ranges, gid_map=ranges)
    assert seen["ids"] == [[505] * 3, [505] * 3, []]


def test_capabilities_of_an_id_that_is_not_0(keeper: Keeper) -> None:
    first = subordinate(keeper)
    ranges = (f"0:{first}:100",)
    security = Security(capabilities=("CAP_NET_BIND_SERVICE",))
    status = census(keeper, user=7, uid_map=ranges, gid_map=ranges, security=security)["status"]
    assert {int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {1 << 10}


def test_set_uid_programs_gain_nothing(keeper: Keeper) -> None:
    first = subordinate(keeper)
    ranges = (f"0:{first}:100",)
    assert census(keeper, user=7, uid_map=ranges, gid_map=ranges)["status"]["NoNewPrivs"] == "1"
    assert "nosuid" in output_of(keeper, worker("grep ' /usr ' /proc/self/mountinfo"))


def test_without_a_user_namespace(keeper: Keeper) -> None:
    """The supervisor's own; an ordinary user then has no other namespaces either, and root drops all capabilities."""
    facts = keeper.who.facts
    shared = Namespaces(**dict.fromkeys(("user", "pid", "mount", "uts", "ipc", "cgroup"), False))
    with launched(keeper, worker("id -u; exec cat /proc/self/status", namespaces=shared, network=HOST)) as sandbox:
        sandbox.go()
        sandbox.until_end()
        assert sandbox.failure is None
        assert sandbox.line() == str(facts.uid)
        assert f"CapEff:\t{0:016x}" in sandbox.output()
        assert sandbox.wait()[0] == 0


def test_files_made_by_the_worker_are_the_mapped_users(keeper: Keeper, folder: Folder) -> None:
    first = subordinate(keeper)
    place = folder.directory("place", mode=0o777)
    box = worker(
        "echo hello > /data/file",
        user=7,
        uid_map=(f"0:{first}:100",),
        gid_map=(f"0:{first}:100",),
        mounts=(Mount("bind", "/data", str(place)),),
    )
    assert run(keeper, box).status == 0
    found = os.stat(place / "file")
    assert (found.st_uid, found.st_gid) == (first + 7, first + 7)
