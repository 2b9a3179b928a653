"""config.json of OCI bundles, read as a worker's table. What cannot be had is refused by its own key and line."""

import json
from pathlib import Path
from typing import Any

import pytest

from supervisor.spec.bundle.config import BundleSource
from supervisor.spec.errors import ConfigError
from supervisor.spec.load import load_config, load_text
from supervisor.spec.model import Worker

LEAST: dict[str, Any] = {
    "ociVersion": "1.0.2",
    "root": {"path": "rootfs"},
    "process": {"args": ["sh"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
    "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "mount", "ipc", "uts", "user", "cgroup")]},
}


def bundle(tmp_path: Path, **changes: Any) -> Path:
    """A bundle whose config.json is the least one with these members of the top replaced."""
    (tmp_path / "rootfs").mkdir(exist_ok=True)
    (tmp_path / "config.json").write_text(json.dumps({**LEAST, **changes}, indent=1))
    return tmp_path


def table(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = BundleSource(str(bundle(tmp_path, **changes)), "w").data["worker"]["w"]
    return found


def process(**changes: Any) -> dict[str, Any]:
    return {"process": {**LEAST["process"], **changes}}


def linux(**changes: Any) -> dict[str, Any]:
    return {"linux": {**LEAST["linux"], **changes}}


def problems(tmp_path: Path, **changes: Any) -> list[str]:
    path = bundle(tmp_path, **changes)
    with pytest.raises(ConfigError) as raised:
        load_text(f'[worker.w]\nrootfs = {{ kind = "bundle", path = "{path}" }}')
    return [str(problem).removeprefix(f"{path}/config.json") for problem in raised.value.problems]


def worker(tmp_path: Path, keys: str = "", **changes: Any) -> Worker:
    path = bundle(tmp_path, **changes)
    text = f'[worker.w]\nrootfs = {{ kind = "bundle", path = "{path}" }}\n{keys}'
    return load_text(text).workers["w"]


def test_the_least_bundle(tmp_path: Path) -> None:
    found = worker(tmp_path)
    assert (found.command, found.working_dir, found.user) == (("sh",), "/", 0)
    assert (found.rootfs.kind, found.rootfs.path, found.rootfs.writable) == ("dir", str(tmp_path / "rootfs"), True)
    assert (found.network.mode, found.namespaces.time, found.namespaces.pid) == ("none", False, True)


@pytest.mark.parametrize(
    ("changes", "path", "value"),
    [
        (process(env=["A=1", "B=x=y"]), ("env",), {"A": "1", "B": "x=y"}),
        (process(noNewPrivileges=False), ("security", "no_new_privs"), False),
        (process(user={"uid": 5, "gid": 6, "umask": 18, "additionalGids": [7]}), ("umask",), "0022"),
        (process(user={"uid": 5, "gid": 6, "additionalGids": [7]}), ("group",), 6),
        (process(user={"uid": 5, "gid": 6, "additionalGids": [7]}), ("groups",), [7]),
        (process(user={"uid": 5, "gid": 6, "additionalGids": [6]}), ("groups",), None),
        (process(user={"uid": 5, "gid": 6, "additionalGids": [6, 7]}), ("groups",), [7]),
        (process(rlimits=[{"type": "RLIMIT_NOFILE", "soft": 5, "hard": 9}]), ("limits", "nofile"), "5:9"),
        (process(rlimits=[{"type": "RLIMIT_CPU", "soft": 5, "hard": 5}]), ("limits", "cpu_time"), 5),
        (process(rlimits=[{"type": "RLIMIT_CORE", "soft": 2**64 - 1, "hard": 2**64 - 1}]), ("limits", "core"),
         "unlimited"),
        (process(capabilities={"permitted": ["CAP_KILL"], "effective": ["CAP_KILL"], "bounding": ["CAP_KILL"]}),
         ("security",), {"capabilities": ["CAP_KILL"], "bounding": ["CAP_KILL"], "inheritable": [], "ambient": []}),
        (process(oomScoreAdj=100), ("limits", "oom_score_adj"), 100),
        (process(scheduler={"policy": "SCHED_FIFO", "priority": 3}), ("limits", "scheduling"), "fifo:3"),
        (process(scheduler={"policy": "SCHED_OTHER", "nice": 4, "priority": 0}), ("limits", "nice"), 4),
        (process(ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 4}), ("limits", "ionice"), "best-effort:4"),
        (process(ioPriority={"class": "IOPRIO_CLASS_IDLE", "priority": 0}), ("limits", "ionice"), "idle"),
        ({"hostname": "box"}, ("hostname",), "box"),
        ({"root": {"path": "rootfs", "readonly": True}}, ("rootfs", "writable"), False),
        (linux(sysctl={"net.ipv4.ip_forward": "1"}), ("sysctls",), {"net.ipv4.ip_forward": "1"}),
        (linux(maskedPaths=["/proc/kcore"]), ("masked_paths",), ["/proc/kcore"]),
        (linux(uidMappings=[{"containerID": 0, "hostID": 1000, "size": 1}]), ("uid_map",), ["0:1000:1"]),
        (linux(timeOffsets={"monotonic": {"secs": 5, "nanosecs": 0}}), ("time_offsets", "monotonic"), 5),
        (linux(personality={"domain": "LINUX32"}), ("personality",), ["linux32"]),
        (linux(resources={"memory": {"limit": 64, "swap": 100}}), ("limits",), {"memory": 64, "memory_swap": 36}),
        (linux(resources={"memory": {"limit": -1}, "pids": {"limit": 9}}), ("limits",), {"pids": 9}),
        (linux(resources={"cpu": {"quota": 50000, "period": 100000}}), ("limits", "cpu"), "50%"),
        (linux(resources={"cpu": {"shares": 1024, "cpus": "0-1"}}), ("limits",), {"cpu_weight": 39, "cpuset": "0-1"}),
        (linux(resources={"blockIO": {"weight": 1000}}), ("limits", "io_weight"), 10000),
        (linux(resources={"unified": {"memory.high": "1000", "pids.max": "max"}}), ("limits",), {"memory_high": 1000}),
        (linux(devices=[{"path": "/dev/null", "type": "c", "major": 1, "minor": 3}]), ("mounts",), None),
        ({"annotations": {"x": "y"}, "mounts": [{"destination": "/proc", "type": "proc"}]}, ("mounts",), None),
    ],
)  # fmt: skip
def test_a_member_and_its_key(tmp_path: Path, changes: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    found: Any = table(tmp_path, **changes)
    for part in path:
        found = found.get(part)
    assert found == value


@pytest.mark.parametrize(
    ("mount", "value"),
    [
        ({"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
          "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
         {"type": "tmpfs", "target": "/dev/shm", "mode": "1777", "size": "65536KiB",
          "options": ["nosuid", "noexec", "nodev"]}),
        ({"destination": "/data", "type": "bind", "source": "data$1", "options": ["rbind", "rprivate", "ro"]},
         {"type": "bind", "target": "/data", "source": "{}/data$$1", "options": ["rbind", "private", "ro"]}),
        ({"destination": "data", "type": "none", "source": "/srv", "options": ["bind"]},
         {"type": "bind", "target": "/data", "source": "/srv", "options": ["bind"]}),
        ({"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["ro", "relatime"]},
         {"type": "cgroup", "target": "/sys/fs/cgroup", "optional": True, "options": ["ro", "relatime"]}),
        ({"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid"]},
         {"type": "mqueue", "target": "/dev/mqueue", "options": ["nosuid"]}),
    ],
)  # fmt: skip
def test_a_mount(tmp_path: Path, mount: dict[str, Any], value: dict[str, Any]) -> None:
    found = table(tmp_path, mounts=[mount])["mounts"]
    assert found == [{key: one.format(tmp_path) if isinstance(one, str) else one for key, one in value.items()}]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ociVersion": "2.0.0"}, 'ociVersion: not supported; allowed: version 1, such as "1.0.2"'),
        ({"root": None}, "root: missing"),
        ({"hooks": {"prestart": [{"path": "/x"}]}}, "hooks: not supported"),
        (process(apparmorProfile="x"), "process.apparmorProfile: not supported"),
        (process(selinuxLabel="x"), "process.selinuxLabel: not supported"),
        (process(execCPUAffinity={"initial": "0"}), "process.execCPUAffinity: not supported"),
        (process(env=["A"]), "process.env[0]: wrong type; allowed: a NAME=VALUE string"),
        (process(rlimits=[{"type": "RLIMIT_CORE"}]),
         'process.rlimits[0]: wrong type; allowed: an object with "type", "soft" and "hard"'),
        (process(capabilities={"permitted": ["CAP_KILL"], "effective": []}),
         "process.capabilities.effective: differs from permitted; allowed: the same names in both"),
        (linux(cgroupsPath="/x"), "linux.cgroupsPath: not supported"),
        (linux(mountLabel="x"), "linux.mountLabel: not supported"),
        (linux(intelRdt={"closID": "x"}), "linux.intelRdt: not supported"),
        (linux(resources={"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}),
         "linux.resources.hugepageLimits: not supported"),
        (linux(resources={"memory": {"reservation": 5}}), "linux.resources.memory.reservation: not supported"),
        (linux(resources={"memory": {"swap": 5}}), "linux.resources.memory.swap: needs limit, too"),
        (linux(namespaces=[{"type": "moon"}]),
         "linux.namespaces[0]: no such namespace; allowed: pid, network, mount, ipc, uts, user, cgroup, time"),
        (linux(devices=[{"path": "/dev/nsvisor-no-such", "type": "c", "major": 1, "minor": 3}]),
         "linux.devices[0].path: the host's /dev/nsvisor-no-such: No such file or directory"),
        (linux(devices=[{"path": "/proc/self/mem", "type": "c", "major": 1, "minor": 3}]),
         "linux.devices[0]: the host's /proc/self/mem is another device"),
        ({"mounts": [{"destination": "/x", "type": "ext4", "source": "/dev/sda"}]},
         "mounts[0].type: not supported; allowed: bind, cgroup, devpts, mqueue, proc, sysfs, tmpfs"),
        ({"mounts": [{"destination": "/x", "type": "tmpfs", "options": ["huge=always"]}]},
         'mounts[0].options[0]: "huge=always" is not supported for tmpfs'),
        ({"mounts": [{"destination": "/x", "type": "bind", "source": "/y", "uidMappings": [{}]}]},
         "mounts[0].uidMappings: not supported"),
        ({"moon": 1}, "moon: not supported"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    (problem,) = problems(tmp_path, **changes)
    assert problem.split(": ", 1)[1] == said


def test_a_problem_names_its_line(tmp_path: Path) -> None:
    lines = json.dumps({**LEAST, **linux(mountLabel="x")}, indent=1).splitlines()
    (problem,) = problems(tmp_path, **linux(mountLabel="x"))
    line = int(problem.split(":")[1])
    assert "mountLabel" in lines[line - 1]


def test_a_value_that_the_model_refuses_is_told_by_the_bundle_s_own_key(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, hostname="no spaces")
    assert "config.json" not in problem
    assert ': hostname = "no spaces": ' in problem


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    changes = {"hooks": {"poststop": [{}]}, **linux(cgroupsPath="/x", mountLabel="y")}
    assert len(problems(tmp_path, **changes)) == 3


def test_own_keys_win_over_the_bundle_and_the_bundle_over_defaults(tmp_path: Path) -> None:
    path = bundle(tmp_path, hostname="from-bundle", **process(env=["A=1", "B=1"]))
    text = f"""
        [defaults]
        hostname = "from-defaults"
        working_dir = "/nowhere"
        env = {{ C = "1" }}
        [worker.w]
        rootfs = {{ kind = "bundle", path = "{path}", writable = false }}
        command = ["own"]
        env = {{ A = "2" }}
    """
    found = load_text(text).workers["w"]
    assert (found.hostname, found.working_dir, found.command) == ("from-bundle", "/", ("own",))
    assert (found.env, found.rootfs.writable) == ({"A": "2", "B": "1", "C": "1"}, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "1: not valid JSON: expecting property name enclosed in double quotes"),
        ('{\n"a": 1,\n"a": 2}', '1: not usable: the key "a" is there twice in one object'),
        ("[]", " : wrong type; allowed: an object"),
        ("[" * 100_000, "1: not usable: nested too deeply"),
    ],
)
def test_not_a_config(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError) as raised:
        BundleSource(str(tmp_path), "w")
    assert str(raised.value.problems[0]).removeprefix(f"{tmp_path}/config.json:").strip() == said.strip(" :")


def test_no_bundle_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.json: cannot read: No such file or directory"):
        BundleSource(str(tmp_path), "w")


def test_a_worker_whose_bundle_is_not_there_is_told_by_its_key(tmp_path: Path) -> None:
    file = tmp_path / "f.toml"
    file.write_text('[defaults]\nrootfs = { kind = "bundle", path = "/no-such" }\n[worker.w]\n')
    with pytest.raises(ConfigError) as raised:
        load_config(str(file), {})
    assert [str(problem) for problem in raised.value.problems] == [
        f'{file}:2: defaults.rootfs.path = "/no-such": config.json: cannot read: No such file or directory'
    ]
