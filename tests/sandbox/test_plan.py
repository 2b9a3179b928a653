"""Plans as data: what is in them, in which order, and that nothing else goes into them."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.phases import PHASES
from supervisor.sandbox.ids import PlanError
from supervisor.sandbox.plan import Join, Plan, Step, compile_plan
from supervisor.spec.facts import HostEntry, HostFacts, IdRange
from supervisor.spec.masks import MASKED_PATHS, READONLY_PATHS
from supervisor.spec.model import Worker
from supervisor.wire import decode_plan, encode_plan

FACTS = HostFacts(
    uid=1000,
    gid=1000,
    user="ada",
    home="/home/ada",
    privileged=False,
    view=(HostEntry("/usr", "bind", "/usr"),),
    subuid=IdRange(200000, 65536),
    subgid=IdRange(200000, 65536),
    newuidmap="/usr/bin/newuidmap",
    newgidmap="/usr/bin/newgidmap",
    last_cap=40,
    timezone="Europe/Berlin",
    absent=tuple({*MASKED_PATHS, *READONLY_PATHS} - {"/proc/keys", "/proc/sys"}),
    device_nodes=("null", "tty"),
)
ROOT = msgspec.structs.replace(FACTS, uid=0, gid=0, user="root", home="/root", privileged=True)
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHARED = dict.fromkeys(("user", "pid", "mount", "uts", "ipc", "cgroup"), False)


def worker(**keys: Any) -> Worker:
    return msgspec.convert({"name": "web", "command": ["serve", "--port", "80"], **keys}, Worker)


def plan(facts: HostFacts = FACTS, index: int = 0, *, terminal: bool = False, **keys: Any) -> Plan:
    return compile_plan(worker(**keys), index, facts, terminal=terminal)


def phases(found: Plan) -> list[str]:
    return [step.phase for step in found.steps]


def step(found: Plan, phase: str) -> Step:
    (only,) = (one for one in found.steps if one.phase == phase)
    return only


def test_by_default() -> None:
    found = plan()
    assert [(step.phase, step.detail) for step in found.steps] == [
        ("clone", "user pid"),
        ("parent.bind", ""),
        ("id.map", "uid 1000 gid 1000, written by itself"),
        ("id.root", "uid 1000 gid 1000"),
        ("ns.uts", ""),
        ("ns.ipc", ""),
        ("ns.network", ""),
        ("ns.cgroup", ""),
        ("net.loopback", ""),
        ("ns.mount", ""),
        ("mount.propagation", "/ slave, recursively"),
        ("rootfs.prepare", "host, a read-only view"),
        ("mount.dev", "/dev"),
        ("mount.proc", "/proc"),
        ("userns.seal", ""),
        ("uts.hostname", "web"),
        ("mount.tmpfs", "/tmp"),
        ("mount.mask", "hide /proc/keys; read-only /proc/sys"),
        ("rootfs.seal", "/ read-only"),
        ("root.pivot", ""),
        ("session.new", ""),
        ("cwd.enter", "/"),
        ("cap.bound", "keep none"),
        ("id.user", "uid 1000 gid 1000"),
        ("cap.drop", "keep none"),
        ("fd.close", "keep 0-2"),
        ("lock.no_new_privs", ""),
        ("lock.seccomp", step(found, "lock.seccomp").detail),
        ("exec", "serve --port 80"),
    ]
    assert step(found, "lock.seccomp").detail.startswith("default: ")
    assert (found.instance, found.joins, found.new_user, found.new_pid) == ("web", (), True, True)
    assert (found.uid_map, found.gid_map) == ((), ())
    assert step(found, "id.map").arguments == ("self", 1000, 1000)
    assert step(found, "mount.dev").arguments == (64 * 1024 * 1024, "null", "tty")
    assert step(found, "mount.tmpfs").arguments == ("/tmp", "", "1777")
    assert step(found, "cap.bound").arguments == (0, 40)
    assert step(found, "id.user").arguments == (1000, 1000, "")
    assert step(found, "exec").arguments == (
        *(1, 3, "serve", "--port", "80"),
        *(PATH, "HOME=/tmp", "LANG=C.UTF-8", "TZ=Europe/Berlin"),
    )


def test_without_an_init_nothing_stays() -> None:
    found = plan(init=False)
    assert phases(found) == phases(plan())
    assert step(found, "exec").arguments[0] == 0


@pytest.mark.parametrize(
    ("keys", "terminal"),
    [({}, True), ({"limits": {"nofile": 64}}, False), ({"namespaces": {"pid": False, "mount": False}}, False)],
)
def test_a_process_of_its_own_where_the_workload_differs_from_pid_1(keys: dict[str, Any], terminal: bool) -> None:
    found = plan(terminal=terminal, **keys)
    after = phases(found)[phases(found).index("init.fork") + 1 :]
    assert after[0] == "session.new"
    assert step(found, "session.new").arguments == (int(terminal),)
    assert step(found, "exec").arguments[0] == 0
    assert "init.fork" not in phases(plan(terminal=terminal, init=False, **keys))


def test_no_mount_namespace_no_root() -> None:
    found = plan(namespaces={"mount": False})
    assert not {phase for phase in phases(found) if phase.startswith(("mount.", "rootfs.", "root."))}
    assert "HOME=/home/ada" in step(found, "exec").arguments


def test_no_namespaces_at_all() -> None:
    shared: dict[str, Any] = {"namespaces": SHARED, "network": {"mode": "host"}}
    least = ["clone", "parent.bind", "init.fork", "session.new", "cwd.enter", "fd.close", "lock.no_new_privs"]
    least += ["lock.seccomp", "exec"]
    assert phases(plan(**shared)) == least
    privileged = phases(plan(ROOT, **shared))
    assert [phase for phase in privileged if phase not in least] == ["cap.bound", "id.user", "cap.drop"]
    assert step(plan(**shared), "clone").detail == "no namespaces"


def test_joins_come_first_each_after_its_owner() -> None:
    found = plan(namespaces={"uts": "worker:db", "ipc": "pid:7"}, network={"mode": "worker:db"})
    assert found.joins == (
        Join("uts", "worker:db", owner=True),
        Join("uts", "worker:db"),
        Join("ipc", "pid:7", owner=True),
        Join("ipc", "pid:7"),
        Join("network", "worker:db"),
    )
    assert [(one.phase, one.detail) for one in found.steps[:6]] == [
        ("ns.join", "user, the owner of uts worker:db"),
        ("ns.join", "uts worker:db"),
        ("ns.join", "user, the owner of ipc pid:7"),
        ("ns.join", "ipc pid:7"),
        ("ns.join", "network worker:db"),
        ("clone", "user pid"),
    ]
    joined = {"ns.uts", "ns.ipc", "ns.network", "net.loopback", "uts.hostname"}
    assert not joined & set(phases(found))


def test_a_user_namespace_that_is_joined_is_the_first_and_the_owner_of_what_comes_with_it() -> None:
    found = plan(namespaces={"user": "worker:db", "pid": "worker:db"})
    assert found.joins == (Join("user", "worker:db"), Join("pid", "worker:db"))
    assert found.is_watched
    assert (found.new_user, found.new_pid) == (False, False)
    assert not {"id.map", "id.root"} & set(phases(found))


def test_keep_id() -> None:
    found = plan(id_map="keep-id")
    lines = "0:200000:1000,1000:1000:1,1001:201000:64536"
    assert step(found, "id.map") == Step("id.map", f"uid {lines} gid {lines}", ("outside", lines, lines))
    assert step(found, "id.root").arguments == (0, 0)
    assert found.uid_map == ((0, 200000, 1000), (1000, 1000, 1), (1001, 201000, 64536))
    with pytest.raises(PlanError):
        plan(msgspec.structs.replace(FACTS, subuid=None), id_map="keep-id")


def test_mounts_in_file_order() -> None:
    mounts = [
        {"type": "tmpfs", "target": "/b", "size": 4096, "mode": "0700", "options": ["noexec"]},
        {"type": "bind", "target": "/a", "source": "/srv", "options": ["ro"]},
        {"type": "bind", "target": "/tmp", "source": "/scratch"},
    ]
    found = plan(mounts=mounts)
    at = phases(found).index("uts.hostname") + 1
    assert [(one.phase, one.detail, one.arguments) for one in found.steps[at : at + 3]] == [
        ("mount.tmpfs", "/b size 4096 noexec", ("/b", "4096", "0700", "noexec")),
        ("mount.bind", "/srv -> /a ro", ("/srv", "/a", "ro")),
        ("mount.bind", "/scratch -> /tmp", ("/scratch", "/tmp")),
    ]


@pytest.mark.parametrize("writable", [True, False])
def test_a_directory_as_root(writable: bool) -> None:
    found = plan(rootfs={"kind": "dir", "path": "/srv/root", "writable": writable})
    assert step(found, "rootfs.prepare") == Step("rootfs.prepare", "dir /srv/root", ("dir", "/srv/root", int(writable)))
    assert ("rootfs.seal" in phases(found)) == (not writable)
    assert "mount.tmpfs" not in phases(found)
    assert "HOME=/" in step(found, "exec").arguments


def test_time_offsets_follow_their_namespace_at_once() -> None:
    found = plan(namespaces={"time": True}, time_offsets={"monotonic": 60, "boottime": -1})
    at = phases(found).index("ns.time")
    assert found.steps[at + 1] == Step("time.offsets", "monotonic 60 s, boottime -1 s", (60, -1))


def test_the_hosts_proc_where_a_fresh_one_may_not_be_mounted() -> None:
    def proc(facts: HostFacts = FACTS, **spaces: Any) -> tuple[str | int, ...]:
        return step(plan(facts, namespaces=spaces), "mount.proc").arguments

    assert proc() == ("/proc",)
    assert proc(pid=False) == ("/proc", "host")
    assert proc(ROOT, pid=False, user=False) == ("/proc",)


def test_limits_and_capabilities() -> None:
    found = plan(
        limits={"nofile": 64, "as": "unlimited", "cpu_time": 5},
        security={"capabilities": ["CAP_CHOWN", "CAP_SYS_ADMIN"], "no_new_privs": False},
    )
    assert step(found, "limit.rlimit").arguments == ("cpu", 5, "as", "unlimited", "nofile", 64)
    assert step(found, "cap.drop") == Step("cap.drop", "keep CAP_CHOWN CAP_SYS_ADMIN", (1 | 1 << 21,) * 3)
    assert "lock.no_new_privs" not in phases(found)


def test_sets_of_capabilities_apart() -> None:
    found = plan(security={"capabilities": ["CAP_CHOWN"], "bounding": ["ALL"], "ambient": [], "nested_userns": True})
    assert step(found, "cap.bound") == Step("cap.bound", "keep ALL", ((1 << 41) - 1, 40))
    assert step(found, "cap.drop") == Step("cap.drop", "keep CAP_CHOWN, inheritable none, ambient none", (1, 0, 0))
    assert "userns.seal" not in phases(found)
    newest = msgspec.structs.replace(FACTS, last_cap=37)
    found = plan(newest, security={"capabilities": ["ALL"], "nested_userns": True})
    assert step(found, "cap.drop").arguments == ((1 << 38) - 1,) * 3


def test_capabilities_without_a_user_namespace_are_the_supervisors_own() -> None:
    with pytest.raises(PlanError, match="need a user namespace"):
        plan(namespaces=SHARED, security={"capabilities": ["CAP_CHOWN"]})
    assert step(plan(ROOT, namespaces=SHARED, security={"capabilities": ["CAP_CHOWN"]}), "cap.drop").arguments[0] == 1


def test_locks_and_attributes_in_their_order() -> None:
    found = plan(
        umask="0077",
        personality=["LINUX32"],
        limits={"oom_score_adj": 5, "nofile": 9, "nice": 1, "affinity": "0-1"},
        security={"landlock": {"read": ["/usr"], "write": [], "bind_tcp": [80], "signals": False}},
    )
    order = ["id.root", "limit.oom", "ns.mount"]
    assert [one for one in phases(found) if one in order] == order
    last = phases(found)[phases(found).index("fd.close") + 1 :]
    assert last[:4] == ["process.umask", "process.personality", "lock.no_new_privs", "lock.landlock"]
    assert step(found, "limit.sched").arguments == ("affinity", "0-1", "nice", "1")
    assert "limit.rlimit" not in phases(found)
    landlock = step(found, "lock.landlock")
    assert landlock.detail == "read /usr, write nothing, bind_tcp 80, no signals outside"
    pairs = ("read", "", "read", "/usr", "write", "", "bind_tcp", "", "bind_tcp", 80, "signals", "")
    assert landlock.arguments == (0, 9, *pairs)


def test_each_instance_has_its_own_name_and_number() -> None:
    many: dict[str, Any] = {"instances": 3, "command": ["serve", "{index}"], "env": {"PORT": "80{index}"}}
    found = plan(index=2, **many)
    assert (found.instance, step(found, "uts.hostname").arguments) == ("web-2", ("web-2",))
    assert step(found, "exec").detail == "serve 2"
    assert "PORT=802" in step(found, "exec").arguments
    assert step(plan(hostname="box", **many), "uts.hostname").arguments == ("box",)


def test_the_worker_has_the_last_word_on_its_environment() -> None:
    words = step(plan(env={"PATH": "/bin", "HOME": "/srv", "A": "b=c"}), "exec").arguments
    assert set(words[5:]) == {"PATH=/bin", "HOME=/srv", "LANG=C.UTF-8", "TZ=Europe/Berlin", "A=b=c"}
    without = msgspec.structs.replace(FACTS, timezone=None)
    assert not [word for word in step(plan(without), "exec").arguments if str(word).startswith("TZ=")]


Space = st.sampled_from([True, False, "worker:db", "pid:7", "path:/run/ns"])


def test_descriptors_passed_on_are_the_workloads_alone() -> None:
    """PID 1 would have them too: the workload is a process apart."""
    spec = worker()
    assert "init.fork" not in phases(compile_plan(spec, 0, FACTS))
    found = compile_plan(spec, 0, FACTS, passed=(5, 3))
    assert "init.fork" in phases(found)
    assert step(found, "fd.close") == Step("fd.close", "keep 0-2, 5, 3", (1024, 5, 3))


def test_without_an_index_texts_stand_as_they_are() -> None:
    found = compile_plan(worker(command=["echo", "{index}"]), None, FACTS)
    assert (found.instance, step(found, "exec").detail) == (worker().name, "echo {index}")


@given(
    spaces=st.fixed_dictionaries(dict.fromkeys(("user", "pid", "mount", "uts", "ipc", "cgroup", "time"), Space)),
    network=st.sampled_from(["none", "host", "worker:db", "pid:9", "path:/run/net"]),
    more=st.fixed_dictionaries(
        {},
        optional={
            "init": st.booleans(),
            "user": st.sampled_from(["self", "root", 5]),
            "id_map": st.sampled_from(["self", "keep-id"]),
            "rootfs": st.sampled_from([{"kind": "dir", "path": "/r"}, {"kind": "dir", "path": "/r", "writable": True}]),
            "mounts": st.just([{"type": "tmpfs", "target": "/t"}, {"type": "bind", "source": "/s", "target": "/b"}]),
            "limits": st.just({"core": 0}),
            "domainname": st.just("nis"),
        },
    ),
    facts=st.sampled_from([FACTS, ROOT]),
    terminal=st.booleans(),
)
def test_whatever_is_asked_for_the_order_is_the_vocabularys(
    spaces: dict[str, Any], network: str, more: dict[str, Any], facts: HostFacts, terminal: bool
) -> None:
    keys = {"namespaces": spaces, "network": {"mode": network}, **more}
    found = plan(facts, terminal=terminal, **keys)
    assert found == plan(facts, terminal=terminal, **keys)  # nothing but spec and facts goes in
    order = list(PHASES)
    places = [order.index(phase) for phase in phases(found)]
    mounts = [order.index("mount.bind"), order.index("mount.tmpfs")]  # the user's own, in file order
    assert sorted(places) == places or any(place in mounts for place in places)
    others = [place for place in places if place not in mounts]
    assert sorted(others) == others
    assert len(set(others)) == len(others) or "ns.join" in phases(found)
    assert phases(found)[len(found.joins)] == "clone"
    assert phases(found)[-1] == "exec"
    assert set(phases(found)[: len(found.joins)]) <= {"ns.join"}
    sent = encode_plan([(one.phase, (*one.arguments,)) for one in found.steps])
    assert decode_plan(sent) == [(one.phase, [str(word) for word in one.arguments]) for one in found.steps]
