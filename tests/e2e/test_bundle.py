"""OCI bundles with a Debian root, as runc, umoci and podman write their config.json, run and supervised."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.daemons import running
from tests.program import Program

CONFIGS = Path(__file__).with_name("bundles")
# What nobody reads in here.
LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache", "var/lib/apt")
SECCOMP = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}],
}


@pytest.fixture(scope="module")
def distribution() -> Iterator[Path]:
    """A tar of what Debian calls essential, made by mmdebstrap."""
    if shutil.which("mmdebstrap") is None:
        pytest.skip("needs mmdebstrap")
    top = Path("/tmp") / f"nsvisor-test-root-{os.getpid()}"
    top.mkdir(mode=0o755)
    excluded = [f"--dpkgopt=path-exclude=/{path}/*" for path in LEFT_OUT]
    command = ["mmdebstrap", "--quiet", "--variant=essential", *excluded, "bookworm", str(top / "root.tar")]
    try:
        made = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert made.returncode == 0, made.stderr
        yield top / "root.tar"
    finally:
        shutil.rmtree(top)


@pytest.fixture(params=["nsvisor", "root_nsvisor"])
def program(request: pytest.FixtureRequest) -> Program:
    """The program as an ordinary user, and as root."""
    found: Program = request.getfixturevalue(request.param)
    return found


def config(name: str, program: Program) -> dict[str, Any]:
    """One of the files, as its tool would write it for this user."""
    found: dict[str, Any] = json.loads((CONFIGS / f"{name}.json").read_text())
    for key, number in (("uidMappings", program.user.uid), ("gidMappings", program.user.gid)):
        for line in found["linux"].get(key, ()):
            line["hostID"] = number
    return found


def bundle(program: Program, distribution: Path, content: dict[str, Any]) -> Path:
    """A bundle of the user's: all files of the root are theirs. It is made once for each."""
    root = distribution.parent / f"rootfs-{program.user.uid}"
    if not root.exists():
        root.mkdir()
        program.user.owns(root)
        command = ["tar", "--extract", "--no-same-owner", "--exclude=./dev/*", "--file", distribution]
        subprocess.run(command, check=True, cwd=root, **program.user.identity())  # type: ignore[call-overload]
    top = program.folder("bundle")
    program.folder("bundle/shm")
    (top / "rootfs").symlink_to(root)
    program.write("bundle/config.json", json.dumps(content))
    return top


def lines(program: Program, path: Path, script: str, *options: str) -> list[str]:
    """What a script says that the bundle's own shell reads."""
    done = program.run("run", *options, "--bundle", str(path), stdin=script)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_runc_writes_works_unchanged(program: Program, distribution: Path) -> None:
    path = bundle(program, distribution, config("runc", program))
    script = """
    id -u; hostname; . /etc/os-release; echo $ID; grep CapEff /proc/self/status; ulimit -n
    (: >/new) 2>/dev/null || echo read-only
    (echo 1 >/proc/sys/kernel/domainname) 2>/dev/null || echo no sysctl
    cut -d' ' -f2,3 /proc/mounts | grep -E '^(/dev/mqueue|/dev/shm|/dev/pts|/sys|/sys/fs/cgroup) ' | sort
    ls /sys/firmware | wc -l; ls /sys/class/net; grep NoNewPrivs /proc/self/status; echo $TERM
    dpkg --print-architecture
    """
    architecture = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout
    assert lines(program, path, script) == [
        *("0", "runc", "debian", "CapEff:\t0000000020000420", "1024", "read-only", "no sysctl"),
        *("/dev/mqueue mqueue", "/dev/pts devpts", "/dev/shm tmpfs", "/sys sysfs", "/sys/fs/cgroup cgroup2"),
        *("0", "lo", "NoNewPrivs:\t1", "xterm", architecture.strip()),
    ]


@pytest.mark.parametrize(
    ("name", "hostname", "writable"), [("runc-rootless", "runc", False), ("umoci-rootless", "umoci-default", True)]
)
def test_what_is_written_for_a_user_without_root_works_unchanged(
    nsvisor: Program, distribution: Path, name: str, hostname: str, *, writable: bool
) -> None:
    path = bundle(nsvisor, distribution, config(name, nsvisor))
    script = """
    id -u; hostname; (: >/new) 2>/dev/null && echo writable; readlink /proc/self/ns/net
    cat /proc/self/uid_map | tr -s ' '; mountpoint -q /sys && echo sys
    """
    assert lines(nsvisor, path, script) == [
        *("0", hostname, *(["writable"] if writable else []), os.readlink("/proc/self/ns/net")),
        *(f" 0 {nsvisor.user.uid} 1", "sys"),
    ]
    assert (path / "rootfs/new").exists() == writable
    (path / "rootfs/new").unlink(missing_ok=True)


def test_what_podman_writes_is_refused_by_name_and_works_without_that(nsvisor: Program, distribution: Path) -> None:
    content = config("podman", nsvisor)
    path = bundle(nsvisor, distribution, content)
    refused = nsvisor.run("run", "--bundle", str(path))
    assert refused.returncode == 125
    assert {line.split(": ")[1] for line in refused.stderr.splitlines()} == {
        *("process.selinuxLabel", "hooks", "linux.cgroupsPath", "linux.mountLabel"),
    }
    for key in ("cgroupsPath", "mountLabel"):
        del content["linux"][key]
    del content["hooks"], content["process"]["selinuxLabel"]
    content["linux"]["seccomp"] = SECCOMP
    content["process"]["args"] = ["sh", "-s"]
    nsvisor.write("bundle/config.json", json.dumps(content))
    script = """
    id -G; umask; grep 'Max processes' /proc/self/limits | tr -s ' ' | cut -d' ' -f3,4
    cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ping_group_range; echo $container
    mkdir /made 2>&1 | sed 's/.*: //'; echo >/dev/shm/file; cat /etc/hosts | wc -l
    """
    assert lines(nsvisor, path, script) == [
        *("0", "0022", "2048 4096", "200", "0\t0", "podman", "Function not implemented"),
        str(len(Path("/etc/hosts").read_text().splitlines())),
    ]
    assert (path / "shm/file").exists()


def test_supplementary_groups_need_ids_and_get_them(nsvisor: Program, distribution: Path) -> None:
    """As root with groups besides, which umoci writes for an image whose user is in some."""
    content = config("runc", nsvisor)
    content["process"]["user"]["additionalGids"] = [4, 24]
    path = bundle(nsvisor, distribution, content)
    refused = nsvisor.run("run", "--bundle", str(path))
    assert refused.returncode == 125
    assert refused.stderr.startswith("cannot run: id.map: groups need more ids")
    if shutil.which("newuidmap") is None:
        pytest.skip("needs newuidmap (package uidmap)")
    assert lines(nsvisor, path, "id -G", "--keep-id") == ["0 4 24"]


def test_a_bundle_is_supervised(program: Program, distribution: Path) -> None:
    content = config("runc", program)
    content["process"]["args"] = ["sh", "-c", "echo one >>/var/tmp/starts; exec sleep 1000"]
    content["root"]["readonly"] = False
    path = bundle(program, distribution, content)
    starts = path / "rootfs/var/tmp/starts"
    fleet = f"""
    [worker.debian]
    rootfs = {{ kind = "bundle", path = "{path}" }}
    restart = {{ policy = "always", delay = "10ms" }}
    """
    with running(program, fleet) as daemon:
        daemon.wait_state("debian", "ready")
        shown = program.run("exec", "debian", "--", "sh", "-c", "hostname; id -u; cat /etc/debian_version; kill -9 -1")
        assert shown.stdout.splitlines()[:2] == ["runc", "0"], shown.stderr
        assert shown.stdout.splitlines()[2].startswith("12.")
        daemon.wait_record("worker.exited", incarnation=1)
        daemon.wait_record("worker.ready", incarnation=2)
        (inspected,) = json.loads(program.run("inspect", "debian").stdout)
        assert (inspected["instance"]["incarnation"], inspected["exits"][0]["signal"]) == (2, "SIGKILL")
        assert "rootfs.prepare" in program.run("explain", "debian").stdout
        assert starts.read_text() == "one\none\n"
        program.write("bundle/config.json", json.dumps({**content, "hostname": "other"}))
        assert program.run("reload").returncode == 0
        daemon.wait_record("worker.ready", incarnation=3)
        assert program.run("exec", "debian", "--", "hostname").stdout == "other\n"
