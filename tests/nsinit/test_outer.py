"""What surrounds the keeper: an outer container's seccomp, a quota of namespaces, a chroot, a locale."""

import errno

import pytest

from supervisor.spec.model import Namespaces, Network
from tests.nsinit.keepers import Keeper, running_keeper
from tests.nsinit.people import Who
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import Refused, launched, output_of, run, worker

# Answers ENOSYS to clone3 (435 everywhere), as container engines do, then becomes the command.
NO_CLONE3 = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
code = b"".join(struct.pack("HBBI", *line) for line in (
    (0x20, 0, 0, 0), (0x15, 0, 1, 435), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7FFF0000)))
buffer = ctypes.create_string_buffer(code, len(code))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
program = Program(4, ctypes.addressof(buffer))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""
NESTED = ["unshare", "-Ur", "sh", "-c"]


def without_clone3(who: Who) -> list[str]:
    return [who.python, "-I", "-c", NO_CLONE3]


def test_clone_where_clone3_is_hidden(who: Who) -> None:
    with running_keeper(who, wrapper=without_clone3(who)) as keeper:
        assert run(keeper, worker("exit 7")).status == 7 << 8
        with launched(keeper, worker("exec sleep 60", name="db")) as db:
            db.go()
            db.until_end()
            joined = worker("exit 8", network=Network("worker:db"))  # CLONE_PARENT by the old call
            assert run(keeper, joined, joined={"db": db}).status == 8 << 8
        assert run(keeper, worker("exit 9", init=False)).status == 9 << 8


def test_clone_fails_where_clone3_is_hidden(who: Who) -> None:
    """The call that failed is named: the older one."""
    chroot = ["sh", "-c", 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"', "sh"]
    with running_keeper(who, wrapper=["unshare", "-Ur", *chroot, *without_clone3(who)]) as keeper:
        with pytest.raises(Refused) as caught:
            run(keeper, worker("true", user="root"))
        assert (caught.value.phase, caught.value.number, caught.value.syscall) == ("clone", errno.ENOSPC, "clone")
        keeper.settle()


@pytest.mark.parametrize("kind", ["user", "pid", "mnt", "uts", "ipc", "net", "cgroup"])
def test_a_quota_of_zero(who: Who, kind: str) -> None:
    """In a user namespace around the keeper. Each namespace's own phase fails, and nothing is left."""
    phase = {"user": "clone", "pid": "clone", "mnt": "ns.mount", "net": "ns.network"}.get(kind, f"ns.{kind}")
    script = f'echo 0 > /proc/sys/user/max_{kind}_namespaces; exec "$@"'
    with running_keeper(who, wrapper=[*NESTED, script, "sh"]) as keeper:
        keeper.settle()
        before = keeper.descriptors()
        if phase == "clone":
            with pytest.raises(Refused) as caught:
                run(keeper, worker("true", user="root"))
            assert (caught.value.phase, caught.value.number) == ("clone", errno.ENOSPC)
        else:
            failure = run(keeper, worker("true", user="root")).failure
            assert failure is not None
            assert (failure.phase, failure.number, failure.syscall) == (phase, errno.ENOSPC, "unshare")
        keeper.settle()
        assert keeper.descriptors() == before


def test_a_chroot(who: Who, folder: Folder) -> None:
    """No user namespace can be made there, whatever the sysctls say."""
    root = folder.directory("root")
    for name in ("usr", "proc", "dev", "etc", "tmp"):
        folder.directory(f"root/{name}")
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / name).symlink_to(f"usr/{name}")
    binds = "; ".join(f"mount --rbind /{name} {root}/{name}" for name in ("usr", "proc", "dev", "tmp"))
    for extra in {*who.prefixes, who.package_parent} - {"/usr"}:
        if not extra.startswith(("/usr/", "/tmp/")):
            binds += f"; mkdir -p {root}{extra}; mount --rbind {extra} {root}{extra}"
    script = f'set -e; {binds}; exec chroot {root} "$@"'
    with running_keeper(who, wrapper=["unshare", "-Urm", "sh", "-c", script, "sh"]) as keeper:
        with pytest.raises(Refused) as caught:
            run(keeper, worker("true", user="root"))
        assert (caught.value.phase, caught.value.number) == ("clone", errno.EPERM)


def test_the_hosts_pid_namespace_with_a_root_of_its_own(keeper: Keeper) -> None:
    """A fresh proc of the host's pid namespace may not be mounted by a sandbox: the host's own is bound."""
    listed = output_of(keeper, worker("ls -d /proc/1 /proc/self/; echo $$", namespaces=Namespaces(pid=False))).split()
    assert listed[:2] == ["/proc/1", "/proc/self/"]
    assert int(listed[2]) > 2


def test_names_in_any_language_of_the_daemon(who: Who) -> None:
    """What the daemon's locale is does not change how strings are read."""
    for environ in ({}, {"LANG": "C"}, {"LC_ALL": "POSIX"}, {"LANG": "de_DE.ISO-8859-1"}):
        with running_keeper(who, environ=environ) as keeper:
            assert output_of(keeper, worker("echo $WORD", env={"WORD": "Grüße"})) == "Grüße"
