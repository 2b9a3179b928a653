"""What of the kernel a sandbox does not see or cannot change, and the settings of its namespaces."""

import os

import msgspec
import pytest

from supervisor.sandbox.plan import compile_plan
from supervisor.spec.masks import MASKED_PATHS, READONLY_PATHS
from supervisor.spec.model import Mount, Namespaces, Network, Rootfs, Security
from tests.nsinit.keepers import Keeper, running_keeper
from tests.nsinit.people import Who
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import output_of, run, worker
from tests.nsinit.test_ids import subordinate
from tests.nsinit.test_mounts import options
from tests.nsinit.test_root import failed

HIDDEN = [path for path in MASKED_PATHS if path.startswith("/proc/") and os.path.exists(path)]
PROTECTED = [path for path in READONLY_PATHS if os.path.exists(path)]


def test_hidden_paths_are_empty(keeper: Keeper) -> None:
    script = "".join(f"cat {path} 2>&1 || ls -A {path}; " for path in HIDDEN)
    assert {"/proc/keys", "/proc/timer_list"} <= set(HIDDEN)
    shown = output_of(keeper, worker(script.replace("2>&1", "2>/dev/null"), user="root"))
    assert shown == ""
    assert output_of(keeper, worker("cat /proc/keys /proc/cpuinfo", masked_paths=())) != ""


def test_protected_paths_are_read_only(keeper: Keeper) -> None:
    for path in PROTECTED:
        point = path if keeper.who.facts.uid else "/proc"  # of the host's root all of it
        assert "ro" in options(keeper, point)


def test_settings_that_root_inside_could_change_are_closed_to_it(keeper: Keeper) -> None:
    script = "export LC_ALL=C; echo 1 > /proc/sys/net/ipv4/ip_forward"
    keys = {"user": "root", "security": Security(capabilities=("CAP_NET_ADMIN",))}
    assert "Read-only file system" in run(keeper, worker(script, **keys)).err
    assert run(keeper, worker(script, **keys, masked_paths=(), readonly_paths=())).code == 0


def test_nothing_is_hidden_where_nothing_is_asked_for(keeper: Keeper) -> None:
    ran = run(keeper, worker("cut -d' ' -f5 /proc/self/mountinfo", masked_paths=(), readonly_paths=()))
    assert "mount.mask" not in ran.phases
    assert [point for point in ran.out.split() if point.startswith("/proc/")] == []


def test_paths_of_the_user_s(keeper: Keeper, folder: Folder) -> None:
    data = folder.directory("data")
    folder.directory("data/inner")
    folder.file("data/inner/file", "text")
    folder.file("data/secret", "text")
    mounts = (Mount("bind", "/tmp", str(data), ("rw",)), Mount("tmpfs", "/tmp/inner/more"))
    ran = run(
        keeper,
        worker(
            "export LC_ALL=C; cat /tmp/secret; ls -A /tmp/other; touch /tmp/inner/x /tmp/inner/more/x; touch /tmp/good",
            mounts=(*mounts, Mount("dir", "/tmp/other/below")),
            masked_paths=("/tmp/secret", "/tmp/other", "/tmp/missing"),
            readonly_paths=("/tmp/inner",),
        ),
    )
    assert (ran.failure, ran.out) == (None, "")
    assert ran.err.count("Read-only file system") == 2
    assert ran.notes["mount.mask"] == "not there: /tmp/missing"
    assert (data / "good").exists()


def test_two_directories_are_hidden_as_one_is(keeper: Keeper) -> None:
    """Where no /proc of its own has the empty one, too."""
    mounts = (
        Mount("tmpfs", "/tmp"),
        Mount("dir", "/tmp/a/x"),
        Mount("dir", "/tmp/b/x"),
        Mount("proc", "/proc", subset="pid"),
    )
    keys = {"mounts": mounts, "masked_paths": ("/tmp/a", "/tmp/b")}
    assert output_of(keeper, worker("ls -A /tmp/a /tmp/b", **keys)).split() == ["/tmp/a:", "/tmp/b:"]
    assert run(keeper, worker("touch /tmp/a/x", user="root", **keys)).code != 0


def test_a_link_in_the_root_does_not_lead_a_cover_astray(keeper: Keeper, folder: Folder) -> None:
    """A worker's own root in which what is to be hidden is a link to something else, outside too."""
    root = folder.rootfs()
    victim = folder.file("victim", "there\n")
    (root / "srv/link").symlink_to(victim)
    keys = {
        "rootfs": Rootfs("dir", str(root)),
        "mounts": folder.programs(),
        "masked_paths": ("/srv/link", "/proc/keys"),
    }
    ran = run(keeper, worker("cat /proc/keys", **keys))
    assert (ran.failure, ran.out, ran.notes["mount.mask"]) == (None, "", "not there: /srv/link")
    assert victim.read_text() == "there\n"


def test_the_host_s_proc_is_covered_too(who: Who) -> None:
    with running_keeper(who) as keeper:
        ran = run(keeper, worker("cat /proc/keys /proc/timer_list", namespaces=Namespaces(pid=False)))
        assert (ran.failure, ran.out, ran.err) == (None, "", "")


def test_what_the_user_mounts_over_proc_is_covered(keeper: Keeper) -> None:
    """And the settings still go to the sandbox's own."""
    mounts = (Mount("bind", "/proc", "/proc"),)
    sysctls = {"net.ipv4.ip_forward": "1"}
    ran = run(
        keeper, worker("cat /proc/keys /proc/timer_list /proc/sys/net/ipv4/ip_forward", mounts=mounts, sysctls=sysctls)
    )
    assert (ran.failure, ran.out) == (None, "1\n")
    assert "ro" in options(keeper, "/proc" if keeper.who.facts.uid == 0 else "/proc/sys", mounts=mounts)


def test_a_null_device_that_is_another_hides_nothing(who: Who) -> None:
    """Found in mount.mask itself: /dev is left out of it by a device list without null."""
    script = 'mount --bind /dev/zero /dev/null && exec "$@"'
    with running_keeper(who, wrapper=["unshare", "-Urm", "sh", "-c", script, "sh"]) as keeper:
        facts = msgspec.structs.replace(keeper.who.facts, device_nodes=("zero",))
        plan = compile_plan(worker("true", user="root"), 0, facts)
        assert failed(run(keeper, plan)) == ("mount.mask", "ENXIO", "open_tree")


@pytest.mark.parametrize(
    ("name", "file", "value"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward", "1"),
        ("net/ipv4/conf/lo/forwarding", "net/ipv4/conf/lo/forwarding", "1"),
        ("net.ipv4.ip_local_port_range", "net/ipv4/ip_local_port_range", "20000\t30000"),
    ],
)
def test_a_setting_of_the_network(keeper: Keeper, name: str, file: str, value: str) -> None:
    with open(f"/proc/sys/{file}") as host:
        before = host.read()
    shown = output_of(keeper, worker(f"cat /proc/sys/{file}", sysctls={name: value}))
    assert shown == value
    with open(f"/proc/sys/{file}") as host:
        assert host.read() == before


def test_a_setting_of_ipc(keeper: Keeper) -> None:
    sysctls = {"kernel.shmmni": "77", "kernel.sem": "32000 1024000000 500 77", "fs.mqueue.msg_max": "13"}
    files = "/proc/sys/kernel/shmmni /proc/sys/kernel/sem /proc/sys/fs/mqueue/msg_max"
    shown = output_of(keeper, worker(f"cat {files}", user="root", sysctls=sysctls))
    assert shown.split() == ["77", "32000", "1024000000", "500", "77", "13"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("net.ipv4.nothing", "1", "ENOENT"),
        ("net.ipv4.ip_forward", "x", "EINVAL"),
        ("net.ipv4", "1", "EISDIR"),
    ],
)
def test_settings_that_fail(keeper: Keeper, name: str, value: str, expected: str) -> None:
    phase, found, _ = failed(run(keeper, worker("true", sysctls={name: value})))
    assert (phase, found) == ("sysctl.set", expected)


def test_a_setting_goes_to_no_file_that_lies_over_it(keeper: Keeper, folder: Folder) -> None:
    """CVE-2025-52881: what is written for /proc lands elsewhere."""
    victim = folder.file("victim", "there\n")
    mounts = (Mount("bind", "/proc/sys/net/ipv4/ip_forward", str(victim), ("rw",)),)
    ran = run(keeper, worker("true", mounts=mounts, sysctls={"net.ipv4.ip_forward": "1"}))
    assert failed(ran) == ("sysctl.set", "EXDEV", "openat2")
    assert victim.read_text() == "there\n"


def test_a_setting_of_ipc_wants_the_id_0(keeper: Keeper) -> None:
    first = subordinate(keeper)
    one = {"uid_map": (f"1:{first}:1",), "gid_map": (f"1:{first}:1",), "user": 1}
    ran = run(keeper, worker("true", sysctls={"kernel.shmmni": "77"}, **one))
    assert failed(ran) == ("sysctl.set", "EACCES", "openat2")
    two = {"uid_map": (f"0:{first}:2",), "gid_map": (f"0:{first}:2",), "user": 1}
    assert output_of(keeper, worker("cat /proc/sys/kernel/shmmni", sysctls={"kernel.shmmni": "7"}, **two)) == "7"


def test_the_network_of_others_is_not_ours_to_set(keeper: Keeper) -> None:
    """Refused at load; and by the kernel, should a plan say it: root's worker has no rights outside either."""
    first = subordinate(keeper)
    one = {"uid_map": (f"1:{first}:1",), "gid_map": (f"1:{first}:1",), "user": 1}
    ran = run(keeper, worker("true", network=Network("host"), sysctls={"net.ipv4.ip_forward": "1"}, **one))
    assert failed(ran)[0] == "sysctl.set"
