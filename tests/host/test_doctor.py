import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from supervisor.host import check_kernel, check_session, check_workers, probe
from supervisor.host.doctor import Check, checks
from supervisor.host.facts import gather
from supervisor.spec import remedies
from supervisor.spec.facts import HostFacts, IdRange
from supervisor.spec.model import Fleet, Mount, Namespaces, Network, Rootfs, Worker
from tests.accounts import Account

FACTS = HostFacts(uid=1000, gid=1000, user="ada", home="/home/ada", privileged=False, view=())
PROGRAM = """
import msgspec, os, sys
from supervisor.host.doctor import checks
print(msgspec.json.encode(checks()).decode())
"""


def plain(**keys: object) -> Worker:
    return Worker(name="web", command=("sh",), **keys)  # type: ignore[arg-type]


def by_name(found: Iterable[Check]) -> dict[str, Check]:
    return {check.name: check for check in found}


def doctor_as(account: Account, program_bin: Path, setup: str = "") -> dict[str, Check]:
    """Run all checks as that user; with setup, as root of a user namespace after those shell commands."""
    run = [str(program_bin / "python"), "-I", "-c", PROGRAM]
    command = ["unshare", "-Urm", "sh", "-c", setup + '; exec "$@"', "sh", *run] if setup else run
    done = subprocess.run(
        command,
        capture_output=True,
        check=True,
        cwd="/",
        timeout=60,
        env={"PATH": os.environ["PATH"], "HOME": account.home},
        **account.identity(),  # type: ignore[call-overload]
    )
    return by_name(msgspec.json.decode(done.stdout, type=list[Check]))


def test_an_ordinary_user_on_this_host(unprivileged: Account, program_bin: Path) -> None:
    found = doctor_as(unprivileged, program_bin)
    assert found["user namespaces"].found == "made one, with mount, uts, ipc, network, cgroup"
    assert [check for check in found.values() if check.status == "fail"] == []
    assert {"python", "kernel", "fresh proc", "runtime directory", "state directory", "open files"} <= set(found)
    assert all(check.fix for check in found.values() if check.status != "ok")


def test_user_namespaces_disabled(unprivileged: Account, program_bin: Path) -> None:
    found = doctor_as(unprivileged, program_bin, "echo 0 > /proc/sys/user/max_user_namespaces")
    assert found["user.max_user_namespaces"].status == "fail"
    assert found["user namespaces: clone"].found == "ENOSPC"
    assert found["user namespaces: clone"].fix == "sudo sysctl -w user.max_user_namespaces=15000"


def test_one_kind_of_namespace_disabled(unprivileged: Account, program_bin: Path) -> None:
    found = doctor_as(unprivileged, program_bin, "echo 0 > /proc/sys/user/max_uts_namespaces")
    assert found["user namespaces: ns.uts"].found == "ENOSPC"
    assert "max_uts_namespaces" in (found["user.max_uts_namespaces"].fix or "")


def test_a_covered_proc(unprivileged: Account, program_bin: Path) -> None:
    found = doctor_as(unprivileged, program_bin, "mount --bind /dev/null /proc/version")
    assert found["fresh proc"].status == "fail"
    assert "/proc/version" in found["fresh proc"].found


def test_a_chroot_is_told_by_its_mount_table() -> None:
    root = "22 1 8:1 / / rw - ext4 /dev/sda rw\n"
    proc = "23 22 0:5 / /proc rw - proc proc rw\n"
    assert list(check_kernel.check_chroot(root + proc)) == []
    assert [check.status for check in check_kernel.check_chroot(proc)] == ["fail"]


@pytest.mark.parametrize(
    ("release", "status", "word"),
    [
        ("5.4.0-26-generic", "fail", "5.4"),
        ("5.10.0", "warn", "mount_setattr"),
        ("6.1.0-18-amd64", "warn", "PIDFD_GET_INFO"),
        ("6.15.2", "ok", "6.15.2"),
        ("unknown", "fail", "unknown"),
    ],
)
def test_kernel_versions(release: str, status: str, word: str) -> None:
    found = check_kernel.check_version(release)
    assert found.status == status
    assert word in f"{found.found} {found.fix}"


def test_only_namespaces_that_workers_make_count() -> None:
    shared = plain(namespaces=Namespaces(user=False, pid=False, uts="pid:1"), network=Network(mode="host"), instances=3)
    assert check_kernel.wanted_namespaces([shared]) == {"mount": 3, "ipc": 3, "cgroup": 3}
    assert check_kernel.wanted_namespaces([shared, plain()])["mount"] == 4


def test_quotas_smaller_than_the_fleet(tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "user/max_user_namespaces").write_text("10\n")
    (tmp_path / "user/max_net_namespaces").write_text("100\n")
    found = by_name(check_kernel.check_sysctls({"user": 20, "net": 20, "time": 1}, str(tmp_path)))
    assert found["user.max_user_namespaces"].found == "10, and the workers need 20"
    assert found["user.max_time_namespaces"].status == "warn"
    assert found["namespace quotas"].found == "enough of net"


def test_ubuntus_restriction_is_named(tmp_path: Path) -> None:
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel/apparmor_restrict_unprivileged_userns").write_text("1\n")
    trial = {"clone": "ok", "id.map": "EPERM"}
    (check,) = check_kernel.check_user_namespaces(trial, FACTS, str(tmp_path))
    assert "apparmor" in (check.fix or "")
    (check,) = check_kernel.check_user_namespaces(trial, FACTS, "/nonexistent")
    assert "apparmor" not in (check.fix or "")


def test_the_trial_itself() -> None:
    assert set(probe.probe().values()) == {"ok"}


def test_a_trial_that_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert "exit status 1" in probe.probe()["clone"]


def test_runtime_directory(tmp_path: Path) -> None:
    uid = os.getuid()
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    tmp_path.chmod(0o700)
    assert check_session.check_runtime_dir(environ, uid).status == "ok"
    tmp_path.chmod(0o755)
    assert check_session.check_runtime_dir(environ, uid).fix == f"chmod 0700 {tmp_path}"
    assert check_session.check_runtime_dir(environ, uid + 1).status == "fail"
    assert check_session.check_runtime_dir({"XDG_RUNTIME_DIR": f"{tmp_path}/missing"}, uid).status == "fail"
    assert check_session.check_runtime_dir({}, 1000).status == "warn"


def test_state_directory_is_made_where_its_parent_allows(tmp_path: Path) -> None:
    good = check_session.check_state_dir({"XDG_STATE_HOME": f"{tmp_path}/a/b"}, os.getuid())
    assert good.status == "ok"
    assert "MiB free" in good.found
    (tmp_path / "file").write_text("")
    assert check_session.check_state_dir({"XDG_STATE_HOME": f"{tmp_path}/file"}, os.getuid()).status == "fail"


def test_lingering_and_user_manager(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    (manager,) = check_session.check_systemd(environ, FACTS, str(tmp_path))
    assert manager.status == "warn"
    assert manager.fix == "sudo systemctl start user@1000.service"
    (alone,) = check_session.check_systemd({}, FACTS, str(tmp_path))
    assert alone.status == "ok"


def test_cgroups(tmp_path: Path) -> None:
    own = "1:name=systemd:/\n0::/user.slice/own\n"
    assert "not mounted" in check_session.check_cgroup(own, str(tmp_path)).found
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    assert "not delegated" in check_session.check_cgroup(own, str(tmp_path)).found
    (tmp_path / "user.slice/own").mkdir(parents=True)
    (tmp_path / "user.slice/own/cgroup.controllers").write_text("memory pids\n")
    assert check_session.check_cgroup(own, str(tmp_path)).found == "/user.slice/own is ours"
    assert check_session.check_cgroup("1:name=systemd:/\n", str(tmp_path)).status == "warn"


def test_controllers_against_the_limits_that_are_asked_for(tmp_path: Path) -> None:
    place = tmp_path / "user.slice/user-1000.slice/user@1000.service"
    place.mkdir(parents=True)
    (place / "cgroup.controllers").write_text("memory pids\n")

    def said(**keys: Any) -> Check:
        worker = msgspec.convert({"name": "a", "command": ["x"], **keys}, Worker)
        (check,) = check_session.check_controllers([worker], FACTS, "0::/", str(tmp_path))
        return check

    plain = said(limits={"memory": 1 << 26})
    assert (plain.status, plain.found) == ("ok", "memory, pids delegated, not cpu, cpuset, io")
    missing = said(limits={"cpu": 1.0, "memory": 1 << 26})
    assert missing.status == "warn"
    assert missing.found.endswith("; limits ask for cpu")
    assert missing.fix == remedies.DELEGATE_CONTROLLERS
    assert said(limits={"cpuset": "0"}, limits_required=True).status == "fail"
    (place / "cgroup.controllers").write_text("\n")
    assert said(limits={"pids": 9}).found == "none delegated, not cpu, cpuset, io, memory, pids; limits ask for pids"


def test_descriptors_for_the_fleet() -> None:
    def said(instances: int, limits: tuple[int, int]) -> str:
        worker = Worker(name="w", command=("true",), instances=instances)
        return check_session.check_descriptors(Fleet(workers={"w": worker}), limits).status

    assert said(200, (1024, 4096)) == "ok"  # the daemon raises its soft limit itself
    assert said(1000, (1024, 4096)) == "fail"
    assert said(10_000, (-1, -1)) == "ok"


def test_keys_for_the_fleet(tmp_path: Path) -> None:
    (tmp_path / "sys/kernel/keys").mkdir(parents=True)
    (tmp_path / "sys/kernel/keys/maxkeys").write_text("200\n")
    (tmp_path / "key-users").write_text("    0:     9 8/8 3/1000000 40/25000000\n 1000:    7 7/7 150/200 35/20000\n")
    (check,) = check_session.check_keys(100, 1000, str(tmp_path))
    assert (check.status, check.found) == ("ok", "200, 150 in use")
    (check,) = check_session.check_keys(300, 1000, str(tmp_path))
    assert check.status == "warn"
    assert list(check_session.check_keys(300, 1000, str(tmp_path / "missing"))) == []


def test_id_helpers_are_asked_for_only_where_ranges_are_mapped() -> None:
    assert list(check_workers.check_id_helpers([plain()], FACTS)) == []
    found = by_name(check_workers.check_id_helpers([plain(id_map="keep-id")], FACTS))
    assert found["newuidmap"].fix == "sudo apt install uidmap"
    assert (found["/etc/subuid"].fix or "").endswith(" ada")
    able = msgspec.structs.replace(
        FACTS, newuidmap="/bin/true", newgidmap="/bin/true", subuid=IdRange(1, 10), subgid=IdRange(1, 65536)
    )
    found = by_name(check_workers.check_id_helpers([plain(uid_map=("0:1000:1",))], able))
    assert [check.status for check in found.values()] == ["fail", "fail", "warn", "ok"]
    root = msgspec.structs.replace(FACTS, privileged=True)
    assert list(check_workers.check_id_helpers([plain(id_map="keep-id")], root)) == []


def test_what_workers_name_must_exist(tmp_path: Path) -> None:
    facts = gather(os.environ)
    home = tmp_path / "home"
    home.mkdir()
    (home / "tool").write_text("")
    (home / "tool").chmod(0o755)
    workers = {
        "good": Worker(name="good", command=("sh",)),
        "mount": plain(mounts=(Mount(type="bind", source=f"{tmp_path}/gone", target="/srv"),)),
        "root": Worker(name="root", command=("sh",), rootfs=Rootfs(kind="dir", path=f"{tmp_path}/gone")),
        "home": Worker(name="home", command=(f"{home}/tool",)),
    }
    found = by_name(checks(Fleet(workers=workers), facts))
    assert found["workers"].found == "root, binds and command found: good"
    assert found["worker.web.mounts"].fix == f"correct the path, or create it: mkdir -p {tmp_path}/gone"
    assert found["worker.root.rootfs"].status == "fail"
    assert f'source = "{home}"' in (found["worker.home.command"].fix or "")
