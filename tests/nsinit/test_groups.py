"""Supplementary groups: those asked for, those of the group file inside, and those that the caller has."""

import errno
import os

import pytest

from supervisor.sandbox.ids import PlanError
from supervisor.spec.model import Namespaces, Network, Rootfs
from tests.nsinit.keepers import Keeper
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import output_of, run, worker
from tests.nsinit.test_ids import subordinate

SHOW = "id -u; id -g; id -G"


@pytest.fixture
def ranges(keeper: Keeper) -> tuple[str, ...]:
    return (f"0:{subordinate(keeper)}:100",)


def test_numbers(keeper: Keeper, ranges: tuple[str, ...]) -> None:
    seen = output_of(keeper, worker(SHOW, user=7, uid_map=ranges, gid_map=ranges, groups=(20, 4))).split("\n")
    assert seen == ["7", "7", "7 4 20"]


def test_names_are_looked_up_inside(keeper: Keeper, ranges: tuple[str, ...], folder: Folder) -> None:
    """They replace the groups that the file gives the user; none at all is a choice, too."""
    root = folder.rootfs()
    (root / "etc/passwd").write_text("www:x:33:34:web:/:/bin/sh\n")
    (root / "etc/group").write_text("web:x:34:\nlogs:x:40:www\nbroken\nodd:x:y:\nmore:x:42:\n")
    box = {"uid_map": ranges, "gid_map": ranges, "rootfs": Rootfs("dir", str(root)), "mounts": folder.programs()}
    assert output_of(keeper, worker("id -G", user="www", **box)) == "34 40"
    assert output_of(keeper, worker("id -G", user="www", groups=("more", 50), **box)) == "34 42 50"
    assert output_of(keeper, worker("id -G", user="www", groups=(), **box)) == "34"
    failure = run(keeper, worker("id", user=7, groups=("more", "odd"), **box)).failure
    assert failure is not None
    assert (failure.phase, failure.number, failure.syscall) == ("id.user", errno.ENOENT, "getgrnam")
    assert "odd" in failure.text


def test_the_group_itself(keeper: Keeper, ranges: tuple[str, ...], folder: Folder) -> None:
    """Of a user by number or by name; with one mapped id it may have any number."""
    root = folder.rootfs()
    (root / "etc/passwd").write_text("www:x:33:34:web:/:/bin/sh\n")
    (root / "etc/group").write_text("logs:x:40:www\n")
    box = {"uid_map": ranges, "gid_map": ranges, "rootfs": Rootfs("dir", str(root)), "mounts": folder.programs()}
    assert output_of(keeper, worker(SHOW, user=7, group="logs", **box)).split("\n") == ["7", "40", "40"]
    assert output_of(keeper, worker(SHOW, user="www", group=50, **box)).split("\n") == ["33", "50", "50 40"]
    assert output_of(keeper, worker(SHOW, user="www", group=50, groups=(3,), **box)).split("\n")[2] == "50 3"
    assert output_of(keeper, worker("id -u; id -g", user=7, group=8)).split("\n") == ["7", "8"]
    assert output_of(keeper, worker("id -u; id -g", user="root", group=8)).split("\n") == ["0", "8"]


def test_a_group_that_is_not_mapped(keeper: Keeper, ranges: tuple[str, ...]) -> None:
    failure = run(keeper, worker("id", uid_map=ranges, gid_map=ranges, user=7, groups=(100,))).failure
    assert failure is not None
    assert (failure.phase, failure.number, failure.syscall) == ("id.user", errno.EINVAL, "setgroups")


def test_one_id_has_none(keeper: Keeper) -> None:
    with pytest.raises(PlanError, match="groups need more ids"):
        run(keeper, worker("id", groups=(4,)))


def test_in_the_supervisors_own_namespace(keeper: Keeper) -> None:
    """Only a privileged one may set them; that group is the host's then."""
    shared = Namespaces(**dict.fromkeys(("user", "pid", "mount", "uts", "ipc", "cgroup"), False))
    box = worker(SHOW, namespaces=shared, network=Network("host"), user=7, groups=(20,))
    if not keeper.who.privileged:
        with pytest.raises(PlanError, match="groups need a user namespace"):
            run(keeper, box)
        return
    assert os.geteuid() == 0
    assert output_of(keeper, box).split("\n") == ["7", "7", "7 20"]
