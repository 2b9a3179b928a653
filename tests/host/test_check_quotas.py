"""Processes: the user's limit, the cgroups' and the kernel's, against what a fleet makes."""

from pathlib import Path

from supervisor.host.check_quotas import OWN, check_processes, wanted_processes
from supervisor.spec.model import Network, Worker

FLEET = [Worker(name="w", command=("true",), instances=100), Worker(name="bare", command=("true",), init=False)]
NEED = OWN + 201


def host(folder: Path, *, own: str = "max", above: str = "max", pid_max: int = 32768) -> str:
    service = folder / "sys/fs/cgroup/user.slice/nsvisor.service"
    service.mkdir(parents=True, exist_ok=True)
    (service / "pids.max").write_text(f"{own}\n")
    (service.parent / "pids.max").write_text(f"{above}\n")
    (folder / "proc/self").mkdir(parents=True, exist_ok=True)
    (folder / "proc/self/cgroup").write_text("1:name=systemd:/other\n0::/user.slice/nsvisor.service\n")
    (folder / "proc/sys/kernel").mkdir(parents=True, exist_ok=True)
    (folder / "proc/sys/kernel/pid_max").write_text(f"{pid_max}\n")
    return f"{folder}/"


def said(root: str, limit: int = -1, uid: int = 1000) -> list[tuple[str, str]]:
    return [(check.name, check.status) for check in check_processes(FLEET, uid, root, limit)]


def test_wanted_processes() -> None:
    assert wanted_processes(FLEET) == NEED
    pasta = Worker(name="p", command=("true",), instances=10, network=Network(mode="pasta"))
    assert wanted_processes([pasta]) == OWN + 30


def test_enough(tmp_path: Path) -> None:
    assert said(host(tmp_path, own=str(NEED), above=str(NEED), pid_max=NEED), NEED) == [("processes", "ok")]


def test_each_bound_is_named(tmp_path: Path) -> None:
    few = NEED - 1
    assert said(host(tmp_path), few) == [("RLIMIT_NPROC", "warn")]
    assert said(host(tmp_path), few, uid=0) == [("processes", "ok")]  # root is not counted
    assert said(host(tmp_path, own=str(few))) == [("pids.max of /user.slice/nsvisor.service", "warn")]
    assert said(host(tmp_path, above=str(few))) == [("pids.max of /user.slice", "warn")]
    assert said(host(tmp_path, pid_max=few)) == [("kernel.pid_max", "warn")]
