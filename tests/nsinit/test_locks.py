"""Capability sets, and the ban on further user namespaces."""

import errno
import json
import os
import shutil
from typing import Any

import pytest

from supervisor.sandbox.hints import hint
from supervisor.spec.capabilities import CAPABILITIES
from supervisor.spec.model import Namespaces, Network, Security
from tests.nsinit.keepers import Keeper, running_keeper
from tests.nsinit.people import Who
from tests.nsinit.probes import SYSTEM_CALLS, census, python
from tests.nsinit.sandboxes import launched, output_of, run, worker

SETS = ("Inh", "Prm", "Eff", "Bnd", "Amb")
BIND, RAW = 1 << 10, 1 << 13
UNSEALED = tuple(name for name in CAPABILITIES if name != "CAP_SYS_RESOURCE")
# What a worker can do to get a user namespace, printed: the errno of each way, 0 where it went well.
WAYS = (
    SYSTEM_CALLS
    + """
import errno, json
LIMIT = "/proc/sys/user/max_user_namespaces"
MS_REMOUNT, MS_BIND = 32, 4096
def tried(result):
    return ctypes.get_errno() if result else 0
def written(path):
    try:
        with open(path, "w") as file:
            file.write("99")
    except OSError as error:
        return error.errno
    return 0
def unshare():
    pid = os.fork()
    if pid == 0:
        os._exit(tried(libc.unshare(0x10000000)))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
found = {"unshare": unshare(), "write": written(LIMIT)}
found["uncover"] = tried(libc.umount2(b"/proc/sys", 2))
while libc.umount2(b"/proc/sys", 2) == 0:
    pass
found["remount"] = tried(libc.mount(None, b"/proc", None, MS_REMOUNT | MS_BIND, None))
found["write then"] = written(LIMIT)
os.makedirs("/tmp/proc", exist_ok=True)
libc.mount(b"proc", b"/tmp/proc", b"proc", 0, None)
found["write below"] = written("/tmp" + LIMIT)
found["unshare then"] = unshare()
found["limit"] = open(LIMIT).read().strip()
print(json.dumps(found))
"""
)


def ways(keeper: Keeper, **keys: Any) -> dict[str, Any]:
    """What came of each; without a seccomp filter, which would be another lock."""
    security = Security(**{"seccomp": "off", **keys})
    found: dict[str, Any] = json.loads(output_of(keeper, python(WAYS, security=security, user="root")))
    return found


def sets_of(keeper: Keeper, user: str = "self", **keys: Any) -> dict[str, int]:
    """The five of a worker, as the kernel shows them."""
    status = census(keeper, user=user, security=Security(**keys))["status"]
    return {kind: int(status[f"Cap{kind}"], 16) for kind in SETS}


def test_inheritable_capabilities_are_none_unless_asked_for(keeper: Keeper) -> None:
    """CVE-2022-24769: a file with inheritable capabilities would pass them on."""
    assert sets_of(keeper) == dict.fromkeys(SETS, 0)
    assert sets_of(keeper, capabilities=("CAP_NET_RAW",), ambient=())["Inh"] == 0


def test_each_set_by_itself(keeper: Keeper) -> None:
    found = sets_of(
        keeper,
        capabilities=("CAP_NET_RAW", "CAP_NET_BIND_SERVICE"),
        bounding=("CAP_NET_RAW", "CAP_NET_BIND_SERVICE", "CAP_CHOWN"),
        inheritable=("CAP_NET_RAW", "CAP_CHOWN"),
    )
    if keeper.who.facts.uid:  # execve leaves what is ambient
        assert found == {"Inh": RAW | 1, "Prm": RAW, "Eff": RAW, "Bnd": BIND | RAW | 1, "Amb": RAW}
    else:  # and gives id 0 all that is bounding; no_new_privs takes away what it did not have
        assert found == {"Inh": RAW | 1, "Prm": BIND | RAW, "Eff": BIND | RAW, "Bnd": BIND | RAW | 1, "Amb": RAW}


def test_all_capabilities(keeper: Keeper) -> None:
    every = (1 << keeper.who.facts.last_cap + 1) - 1
    found = sets_of(keeper, user="root", capabilities=("ALL",), nested_userns=True)
    assert found == dict.fromkeys(SETS, every)


def test_no_further_user_namespaces(keeper: Keeper) -> None:
    found = ways(keeper)
    assert found["unshare"] == found["unshare then"] == errno.ENOSPC
    assert found["limit"] == "0"
    assert found["write"] in {errno.EACCES, errno.EROFS}


def test_the_seal_holds_against_every_capability_but_one(keeper: Keeper) -> None:
    """Uncovering /proc/sys is no way: the kernel asks for CAP_SYS_RESOURCE."""
    found = ways(keeper, capabilities=UNSEALED)
    assert found["remount"] == 0
    assert found["write then"] == errno.EACCES
    assert found["unshare"] == found["unshare then"] == errno.ENOSPC
    assert found["limit"] == "0"


def test_that_one_would_undo_it(keeper: Keeper) -> None:
    """Hence the loader refuses it beside the seal."""
    found = ways(keeper, capabilities=("ALL",))
    assert found["unshare"] == errno.ENOSPC
    assert (found["write then"], found["unshare then"], found["limit"]) == (0, 0, "99")


def test_user_namespaces_where_allowed(keeper: Keeper) -> None:
    assert ways(keeper, nested_userns=True)["unshare"] == 0


def test_bubblewrap_inside_a_sandbox(keeper: Keeper) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("needs bubblewrap")
    words = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "echo", "nested"]
    # Not as the host's id 0, which has a read-only /proc.
    nested = worker(words, security=Security(nested_userns=True, seccomp="off"), user=4321)
    assert output_of(keeper, nested) == "nested"
    ran = run(keeper, worker(words, security=Security(seccomp="off"), user=4321))
    assert ran.code == 1
    assert "namespace" in ran.err


def test_a_sandbox_that_joins_a_sealed_one(keeper: Keeper) -> None:
    """It is made in the other's user namespace; the seal is back when it runs."""
    limit = "/proc/sys/user/max_user_namespaces"
    reader, writer = os.pipe()
    try:
        with launched(keeper, worker(f"cat {limit}; read line; cat {limit}"), stdin=reader) as first:
            first.go()
            first.until_end()
            assert first.line() == "0"
            joining = worker(f"cat {limit}", network=Network("worker:first"))
            assert output_of(keeper, joining, joined={"first": first}) == "0"
            os.write(writer, b"\n")
            assert first.line() == "0"
    finally:
        os.close(reader)
        os.close(writer)


def test_only_a_user_namespace_of_its_own_is_sealed(keeper: Keeper) -> None:
    """The supervisor's own is the host's, or many others'."""
    with open("/proc/sys/user/max_user_namespaces") as file:
        before = file.read()
    shared = Namespaces(**dict.fromkeys(("user", "pid", "mount", "uts", "ipc", "cgroup"), False))
    assert "userns.seal" not in run(keeper, worker("true", namespaces=shared, network=Network("host"))).phases
    with open("/proc/sys/user/max_user_namespaces") as file:
        assert file.read() == before


def test_a_host_with_a_read_only_proc_sys(who: Who) -> None:
    """As in docker: no lock without a word."""
    read_only = 'mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys; exec "$@"'
    shared = {"namespaces": Namespaces(pid=False), "user": "root"}  # a fresh proc could not be mounted either
    with running_keeper(who, wrapper=["unshare", "-Urm", "sh", "-c", read_only, "sh"]) as keeper:
        failure = run(keeper, worker("true", **shared)).failure
        assert failure is not None
        assert (failure.phase, failure.number) == ("userns.seal", errno.EROFS)
        assert "nested_userns" in str(hint("userns.seal", "EROFS"))
        assert run(keeper, worker("exit 3", security=Security(nested_userns=True), **shared)).code == 3


def test_a_mount_namespace_that_is_not_its_own(keeper: Keeper) -> None:
    """Then the host's /proc is the one to write to, and stays the one that is seen."""
    namespaces = Namespaces(mount=False)
    assert output_of(keeper, worker("cat /proc/sys/user/max_user_namespaces", namespaces=namespaces)) == "0"
