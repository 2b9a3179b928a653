"""Namespaces that exist already: joined before `clone`, by way of the user namespace that owns them."""

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from supervisor.kernel import clone as flags
from supervisor.runtime.joins import JoinError
from supervisor.sandbox.plan import compile_plan
from supervisor.spec.model import Namespaces, Network
from tests.nsinit.keepers import Keeper, close_all
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import Refused, Sandbox, launched, output_of, run, worker

FILES = {"uts": "uts", "ipc": "ipc", "network": "net", "user": "user", "cgroup": "cgroup", "time": "time"}
NAMES = "readlink " + " ".join(f"/proc/self/ns/{file}" for file in FILES.values())


@contextmanager
def owner(keeper: Keeper, **keys: Any) -> Iterator[Sandbox]:
    """A sandbox called `db` that shows its namespaces and stays."""
    with launched(keeper, worker(f"{NAMES}; exec sleep 60", name="db", **keys)) as sandbox:
        sandbox.go()
        sandbox.until_end()
        assert sandbox.failure is None
        yield sandbox


def names(sandbox: Sandbox) -> dict[str, str]:
    return {kind: sandbox.line() for kind in FILES}


def joining(kind: str, reference: str, **keys: Any) -> Any:
    """A worker that shows its namespaces, one of which is joined."""
    if kind == "network":
        return worker(NAMES, network=Network(reference), **keys)
    return worker(NAMES, namespaces=Namespaces(**{kind: reference}), **keys)


@pytest.mark.parametrize("init", [True, False], ids=["init", "no-init"])
@pytest.mark.parametrize("by", ["worker", "pid", "path"])
@pytest.mark.parametrize("kind", ["uts", "ipc", "network"])
def test_join(keeper: Keeper, kind: str, by: str, init: bool) -> None:
    with owner(keeper, init=init) as db:
        theirs = names(db)
        pid = inner(db) if init else db.pid
        references = {"worker": "worker:db", "pid": f"pid:{pid}", "path": f"path:/proc/{pid}/ns/{FILES[kind]}"}
        ran = run(keeper, joining(kind, references[by]), joined={"db": db})
        assert ran.failure is None
        ours = dict(zip(FILES, ran.out.split(), strict=True))
        assert [name for name in FILES if ours[name] == theirs[name] and name != "time"] == [kind]
        assert ran.phases[:3] == ("ns.join", "ns.join", "clone")


def inner(sandbox: Sandbox) -> int:
    """The workload's pid: PID 1 shows its namespaces to nobody."""
    path = f"/proc/{sandbox.pid}/task/{sandbox.pid}/children"
    with open(path) as file:
        return int(file.read())


def test_join_a_user_namespace(keeper: Keeper) -> None:
    """Then there is no other to own what the sandbox makes; whoever is mapped there is who we are."""
    with owner(keeper, user="root") as db:
        theirs = names(db)
        ran = run(keeper, joining("user", "worker:db", user="root"), joined={"db": db})
        assert ran.failure is None
        ours = dict(zip(FILES, ran.out.split(), strict=True))
        assert [name for name in FILES if ours[name] == theirs[name] and name != "time"] == ["user"]


def test_join_several_of_one_worker(keeper: Keeper) -> None:
    with owner(keeper) as db:
        theirs = names(db)
        box = worker(NAMES, namespaces=Namespaces(uts="worker:db", ipc="worker:db"), network=Network("worker:db"))
        ran = run(keeper, box, joined={"db": db})
        assert ran.phases[:5] == ("ns.join", "ns.join", "ns.join", "ns.join", "clone")
        ours = dict(zip(FILES, ran.out.split(), strict=True))
        assert [name for name in FILES if ours[name] == theirs[name] and name != "time"] == ["uts", "ipc", "network"]


def test_join_a_pid_namespace(keeper: Keeper) -> None:
    """And the user namespace that owns it: a proc of it may be mounted there only."""
    with owner(keeper, user="root") as db:
        assert names(db)
        spaces = Namespaces(user="worker:db", pid="worker:db")
        box = worker("ls -d /proc/[0-9]*; cat /proc/1/comm", namespaces=spaces, user="root")
        seen = output_of(keeper, box, joined={"db": db}).split()
        assert {"/proc/1", "/proc/2"} < set(seen)
        assert seen[-1] == "nsinit"


def test_two_in_one_network(keeper: Keeper) -> None:
    """What one listens on the other reaches."""
    listen = (
        "import socket, time; s = socket.create_server(('127.0.0.1', 7777)); print('up', flush=True); time.sleep(60)"
    )
    call = "import socket; socket.create_connection(('127.0.0.1', 7777)); print('answered')"
    with launched(keeper, worker(["/usr/bin/python3", "-I", "-c", listen], name="db")) as db:
        db.go()
        db.until_end()
        assert db.line() == "up"
        box = worker(["/usr/bin/python3", "-I", "-c", call], network=Network("worker:db"))
        assert output_of(keeper, box, joined={"db": db}) == "answered"


def test_our_own_namespaces_are_not_joined(keeper: Keeper) -> None:
    """Into one's own user namespace setns(2) is EINVAL."""
    with subprocess.Popen(["sleep", "60"], **keeper.who.account.identity()) as process:  # type: ignore[call-overload]
        try:
            box = joining("user", f"pid:{process.pid}")
            if keeper.who.privileged:
                ran = run(keeper, box)
                assert (ran.failure, ran.phases[:2]) == (None, ("ns.join", "clone"))
            else:  # without a user namespace there are no other namespaces for the ordinary user
                with pytest.raises(Refused) as caught:
                    run(keeper, box)
                assert (caught.value.phase, caught.value.number) == ("clone", errno.EPERM)
                assert [frame[4] for frame in caught.value.frames] == ["skipped"]
        finally:
            process.kill()


def test_a_process_that_is_gone(keeper: Keeper) -> None:
    with pytest.raises(JoinError) as caught, launched(keeper, joining("network", "pid:4194304")):
        pass
    assert (caught.value.index, caught.value.error.errno) == (0, errno.ENOENT)


def test_a_worker_that_has_ended(keeper: Keeper) -> None:
    with launched(keeper, worker("exit 0", name="db")) as db:
        db.go()
        db.until_end()
        db.wait()
        with pytest.raises(JoinError) as caught, launched(keeper, joining("uts", "worker:db"), joined={"db": db}):
            pass
        assert caught.value.error.errno in (errno.ESRCH, errno.ENOENT)


def test_a_file_that_is_no_namespace(keeper: Keeper, folder: Folder) -> None:
    box = joining("network", f"path:{folder.file('net')}")
    with pytest.raises(JoinError) as caught, launched(keeper, box):
        pass
    assert (caught.value.index, caught.value.error.errno) == (0, errno.ENOTTY)


def test_a_namespace_of_another_kind(keeper: Keeper) -> None:
    plan = compile_plan(joining("network", "path:/proc/self/ns/uts"), 0, keeper.who.facts)
    uts = os.open("/proc/self/ns/uts", os.O_RDONLY)
    with pytest.raises(Refused) as caught, launched(keeper, plan, joins=[(uts, 0), (uts, flags.CLONE_NEWNET)]):
        pass
    os.close(uts)
    refused = caught.value
    assert (refused.phase, refused.number, refused.syscall) == ("ns.join", errno.EINVAL, "setns")
    assert [frame[4] for frame in refused.frames] == ["skipped"]


def test_a_namespace_of_somebody_else(keeper: Keeper) -> None:
    """Without its owner joined, and without rights in it."""
    with subprocess.Popen(["unshare", "-Urn", "sleep", "60"]) as process:
        try:
            while os.readlink(f"/proc/{process.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
                os.sched_yield()
            net = os.open(f"/proc/{process.pid}/ns/net", os.O_RDONLY)
            own = os.open("/proc/self/ns/net", os.O_RDONLY)
            plan = compile_plan(joining("network", f"pid:{process.pid}"), 0, keeper.who.facts)
            joins = [(own, 0), (net, flags.CLONE_NEWNET)]
            if keeper.who.privileged:
                with launched(keeper, plan, joins=joins):
                    pass
            else:
                with pytest.raises(Refused) as caught, launched(keeper, plan, joins=joins):
                    pass
                assert (caught.value.phase, caught.value.number) == ("ns.join", errno.EPERM)
            close_all([net, own])
        finally:
            process.send_signal(signal.SIGKILL)
