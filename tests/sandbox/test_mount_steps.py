"""Mounts, files, secrets, settings and hidden paths, as steps of a plan."""

from typing import Any

import msgspec
import pytest

from supervisor.phases import PHASES
from supervisor.sandbox.plan import Step
from supervisor.spec.facts import HostFacts
from supervisor.spec.masks import MASKED_PATHS, READONLY_PATHS
from tests.sandbox.test_plan import FACTS, ROOT, phases, plan, step

API = {"mount.proc", "mount.sysfs", "mount.cgroup", "mount.mqueue", "mount.devpts"}
EVERYTHING = msgspec.structs.replace(FACTS, absent=())


def mount(kind: str, target: str, **keys: Any) -> dict[str, Any]:
    return {"type": kind, "target": target, **keys}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (
            mount("bind", "/t", source="/s", optional=True),
            Step("mount.bind", "/s -> /t optional", ("/s", "/t", "optional")),
        ),
        (
            mount("proc", "/t", hidepid="invisible", options=["ro"]),
            Step("mount.proc", "/t hidepid=invisible ro", ("/t", "fresh", "hidepid=invisible", "ro")),
        ),
        (mount("sysfs", "/sys"), Step("mount.sysfs", "/sys", ("/sys", "fresh"))),
        (
            mount("cgroup", "/c", options=["rw"], optional=True),
            Step("mount.cgroup", "/c rw optional", ("/c", "rw", "optional")),
        ),
        (mount("mqueue", "/m"), Step("mount.mqueue", "/m", ("/m",))),
        (mount("devpts", "/p"), Step("mount.devpts", "/p", ("/p", "620"))),
        (mount("symlink", "/l", source="x"), Step("mount.file", "/l -> x", ("symlink", "/l", "x"))),
        (mount("dir", "/d", mode="0700"), Step("mount.file", "/d directory 0700", ("dir", "/d", "0700"))),
        (
            mount("file", "/f", content="ä", options=["rw"]),
            Step("mount.file", "/f 2 bytes rw", ("file", "/f", "644", "ä", "rw")),
        ),
    ],
)
def test_each_type(written: dict[str, Any], expected: Step) -> None:
    found = [one for one in plan(mounts=[written]).steps if one.phase == expected.phase]
    assert found[-1] == expected


def test_sysfs_of_a_network_that_is_not_its_own() -> None:
    found = step(plan(mounts=[mount("sysfs", "/sys")], network={"mode": "host"}), "mount.sysfs")
    assert found == Step("mount.sysfs", "/sys, the host's", ("/sys", "host"))


def test_the_kernels_own_come_first_in_the_order_of_the_vocabulary() -> None:
    mounts = [
        mount("tmpfs", "/srv"),
        mount("devpts", "/srv/pts"),
        mount("mqueue", "/dev/mqueue"),
        mount("cgroup", "/sys/fs/cgroup"),
        mount("sysfs", "/sys"),
    ]
    found = plan(mounts=mounts)
    listed = [(one.phase, one.arguments[0]) for one in found.steps if one.phase in {*API, "mount.tmpfs"}]
    assert listed == [
        ("mount.proc", "/proc"),
        ("mount.sysfs", "/sys"),
        ("mount.cgroup", "/sys/fs/cgroup"),
        ("mount.mqueue", "/dev/mqueue"),
        ("mount.tmpfs", "/tmp"),
        ("mount.tmpfs", "/srv"),
        ("mount.devpts", "/srv/pts"),
    ]
    assert listed[:4] == sorted(listed[:4], key=lambda one: list(PHASES).index(one[0]))


def test_what_takes_the_place_of_a_default() -> None:
    found = plan(mounts=[mount("proc", "/proc", subset="pid"), mount("tmpfs", "/dev/shm")])
    assert step(found, "mount.proc").arguments == ("/proc", "fresh", "subset=pid")
    assert step(found, "mount.dev").arguments[0] == ""


def test_secrets_are_one_step_each_and_say_nothing_of_where_they_come_from() -> None:
    secrets = [
        {"id": "a", "source": "/from/a"},
        {"id": "b", "env": "FROM_B", "target": "/etc/b", "mode": "0440"},
        {"id": "c", "credential": "from-c", "target": "/run/secrets/d", "optional": True},
    ]
    found = plan(secrets=secrets, user="root")
    assert [one for one in found.steps if one.phase == "mount.secret"] == [
        Step("mount.secret", "/run/secrets/a mode 0400", ("a", "/run/secrets/a", "0400", 0, 0, "", "more", 0)),
        Step("mount.secret", "/etc/b mode 0440", ("b", "/etc/b", "0440", 0, 0, "", "own", 0)),
        Step("mount.secret", "/run/secrets/d mode 0400", ("c", "/run/secrets/d", "0400", 0, 0, "", "last", 1)),
    ]
    assert not {"/from/a", "FROM_B", "from-c"} & {str(word) for one in found.steps for word in one.arguments}


def test_settings_come_before_proc_is_closed() -> None:
    found = plan(sysctls={"net.ipv4.ip_forward": "1"})
    assert step(found, "sysctl.set") == Step("sysctl.set", "net.ipv4.ip_forward = 1", ("sys/net/ipv4/ip_forward", "1"))
    assert phases(found).index("sysctl.set") < phases(found).index("mount.mask") < phases(found).index("rootfs.seal")


def masks(facts: HostFacts = EVERYTHING, **keys: Any) -> tuple[bool, list[str], list[str]]:
    """All of /proc; hidden; read-only."""
    whole, count, *paths = step(plan(facts, **keys), "mount.mask").arguments
    return bool(whole), [str(path) for path in paths[: int(count)]], [str(path) for path in paths[int(count) :]]


def test_hidden_paths_below_sys_where_there_is_one() -> None:
    below_proc = [path for path in MASKED_PATHS if path.startswith("/proc/")]
    assert masks() == (False, below_proc, list(READONLY_PATHS))
    assert masks(mounts=[mount("sysfs", "/sys")]) == (False, list(MASKED_PATHS), list(READONLY_PATHS))
    assert masks(rootfs={"kind": "dir", "path": "/r"}) == (False, list(MASKED_PATHS), list(READONLY_PATHS))


def test_paths_of_the_users_are_as_they_are_written() -> None:
    found = masks(FACTS, masked_paths=["/x", "/proc/kcore"], readonly_paths=["/y"])
    assert found == (False, ["/x"], ["/y"])  # without what this host's kernel does not have
    assert "mount.mask" not in phases(plan(masked_paths=[], readonly_paths=[]))


@pytest.mark.parametrize(
    ("keys", "whole"),
    [
        ({}, True),
        ({"user": "root"}, True),
        ({"user": 5}, False),
        ({"namespaces": {"user": False}}, True),
        ({"namespaces": {"user": False}, "user": 5}, False),
        ({"namespaces": {"user": False}, "user": "www"}, True),
        ({"uid_map": ["0:100000:10"], "gid_map": ["0:100000:10"], "user": "root"}, False),
        ({"uid_map": ["5:0:1", "0:7:1"], "gid_map": ["5:0:1", "0:7:1"], "user": 0}, True),
        ({"readonly_paths": ["/proc/sys"]}, False),
    ],
)
def test_all_of_proc_is_closed_to_the_hosts_root(keys: dict[str, Any], whole: bool) -> None:
    root = msgspec.structs.replace(ROOT, absent=())
    assert masks(root, **keys)[0] == whole
    assert not masks(**{key: value for key, value in keys.items() if "map" not in key and key != "user"})[0]
