import os
from pathlib import Path

import msgspec
import pytest

from supervisor.spec.errors import ConfigError
from supervisor.spec.load import find_config, load, load_config, load_text
from supervisor.spec.model import (
    Fleet,
    Limits,
    Mount,
    Network,
    Ready,
    Restart,
    Rootfs,
    Security,
    Stop,
    Supervisor,
    TimeOffsets,
    Worker,
)
from tests.spec.problems import ENVIRON, refusal

WHOLE = """
[supervisor]
start_concurrency = 3
adopt_timeout = "1m"

[worker.api]
command = ["serve", "{index}"]
instances = 2
working_dir = "//srv/"
user = 5
env = { PORT = "80{index}" }
hostname = "api"
rootfs = { kind = "dir", path = "~/root", writable = true }
namespaces = { time = true, cgroup = false, ipc = "path:ns/ipc" }
time_offsets = { monotonic = "1h", boottime = -5 }
network = { mode = "path:$XDG_RUNTIME_DIR/net" }
security = { capabilities = ["chown", "CAP_NET_ADMIN"], no_new_privs = false, seccomp = "off" }
limits = { core = "1MiB", nofile = "unlimited", cpu_time = "1m", as = 5 }
ready = { kind = "tcp", address = "[::1]:80", timeout = "5s" }
restart = { success_exit = [3, "usr1"], max_restarts = 3, window = "1m", reset_after = 0.5 }
stop = { signal = "int", grace = "1500ms" }

[[worker.api.mounts]]
type = "bind"
source = "data"
target = "/var/data/"
options = ["ro"]

[[worker.api.mounts]]
type = "tmpfs"
target = "/tmp"
size = "64MiB"
mode = "1777"
"""


def test_every_form_becomes_its_normal_one() -> None:
    fleet = load_text(WHOLE, "/conf/f.toml", ENVIRON)
    worker = Worker(
        name="api",
        command=("serve", "{index}"),
        instances=2,
        working_dir="/srv",
        user=5,
        env={"PORT": "80{index}"},
        hostname="api",
        rootfs=Rootfs(kind="dir", path="/home/ada/root", writable=True),
        namespaces=msgspec.structs.replace(Worker("", ()).namespaces, time=True, cgroup=False, ipc="path:/conf/ns/ipc"),
        time_offsets=TimeOffsets(monotonic_s=3600, boottime_s=-5),
        network=Network(mode="path:/run/user/1000/net"),
        mounts=(
            Mount(type="bind", target="/var/data", source="/conf/data", options=("ro",)),
            Mount(type="tmpfs", target="/tmp", size_bytes=64 * 1024**2, mode="1777"),
        ),
        security=Security(capabilities=("CAP_CHOWN", "CAP_NET_ADMIN"), no_new_privs=False, seccomp="off"),
        limits=Limits(core=1024**2, nofile="unlimited", cpu_s=60, address_space=5),
        ready=Ready(kind="tcp", address="[::1]:80", timeout_s=5.0),
        restart=Restart(success_exit=(3, "SIGUSR1"), max_restarts=3, window_s=60.0, reset_after_s=0.5),
        stop=Stop(signal="SIGINT", grace_s=1.5),
    )
    assert fleet.workers == {"api": worker}
    assert fleet.supervisor == Supervisor(start_concurrency=3, adopt_timeout_s=60.0)
    assert fleet.files == ("/conf/f.toml",)
    assert isinstance(fleet.workers["api"].time_offsets.monotonic_s, int)


def test_a_command_is_enough() -> None:
    assert load_text('[worker.a]\ncommand = ["x"]').workers == {"a": Worker("a", ("x",))}
    assert load_text("").workers == {}


def test_defaults_lie_under_each_worker() -> None:
    fleet = load_text("""
        [defaults]
        command = ["x"]
        restart = { policy = "always", delay = "1s" }
        env = { A = "1", B = "1" }
        after = ["c"]
        [worker.a]
        restart.delay = "2s"
        env = { B = "2" }
        after = []
        [worker.b]
        [worker.c]
        after = []
    """)
    a, b = fleet.workers["a"], fleet.workers["b"]
    assert (a.restart, b.restart) == (Restart("always", 2.0), Restart("always", 1.0))
    assert (a.env, b.env) == ({"A": "1", "B": "2"}, {"A": "1", "B": "1"})
    assert (a.after, b.after) == ((), ("c",))
    assert list(fleet.workers) == ["a", "b", "c"]


def test_another_kind_does_not_inherit_what_belongs_to_a_kind() -> None:
    fleet = load_text("""
        [defaults]
        command = ["x"]
        rootfs = { kind = "dir", path = "/r", writable = true }
        ready = { kind = "tcp", address = "a:1", timeout = "1s" }
        uid_map = ["0:0:1"]
        gid_map = ["0:0:1"]
        [worker.a]
        rootfs.kind = "host"
        ready.kind = "started"
        id_map = "self"
        [worker.b]
    """)
    a, b = fleet.workers["a"], fleet.workers["b"]
    assert (a.rootfs, a.ready, a.uid_map) == (Rootfs(), Ready(timeout_s=1.0), ())
    assert (b.rootfs.path, b.ready.address, b.uid_map) == ("/r", "a:1", ("0:0:1",))


def test_a_count_of_ids_belongs_to_slices() -> None:
    fleet = load_text("""
        [defaults]
        command = ["x"]
        id_map = "auto"
        id_count = 4096
        [worker.auto]
        [worker.auto-again]
        id_map = "auto"
        [worker.self]
        id_map = "self"
        [worker.written]
        uid_map = ["0:0:1"]
        gid_map = ["0:0:1"]
    """)
    counts = {name: worker.id_count for name, worker in fleet.workers.items()}
    assert counts == {"auto": 4096, "auto-again": 4096, "self": None, "written": None}


def test_who_joins_a_namespace_requires_its_worker() -> None:
    fleet = load_text("""
        [worker.db]
        command = ["x"]
        [worker.many]
        command = ["x"]
        instances = 2
        [worker.a]
        command = ["x"]
        requires = ["many", "db"]
        network.mode = "worker:db"
        namespaces.ipc = "worker:many-1"
    """)
    assert fleet.workers["a"].requires == ("many", "db", "many-1")


def test_environment_files(tmp_path: Path) -> None:
    (tmp_path / "one.env").write_text("A=file\nB=file\nC='file {index}'\n")
    (tmp_path / "two.env").write_text("B=two\n")
    (tmp_path / "f.toml").write_text("""
        [defaults]
        command = ["x"]
        env_file = ["one.env", "two.env"]
        env = { D = "default" }
        [worker.a]
        env = { A = "own" }
    """)
    worker = load_config(str(tmp_path / "f.toml")).workers["a"]
    assert worker.env == {"A": "own", "B": "two", "C": "file {index}", "D": "default"}
    assert worker.env_file == (str(tmp_path / "one.env"), str(tmp_path / "two.env"))


def test_bad_environment_files_are_told_without_their_text(tmp_path: Path) -> None:
    (tmp_path / "bad.env").write_text("A=1\nhunter2\n")
    (tmp_path / "latin").write_bytes(b"A=\xff\n")
    text = '[defaults]\nenv_file = ["bad.env", "latin"]\n[worker.a]\ncommand = ["x"]\n[worker.b]\ncommand = ["x"]\n'
    (tmp_path / "f.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(str(tmp_path / "f.toml"))
    assert str(caught.value).split("\n") == [
        f'{tmp_path}/f.toml:2: defaults.env_file[1] = "latin": not UTF-8: byte 0xff',
        f"{tmp_path}/bad.env:2: not KEY=VALUE",
    ]


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return str(path)


def test_files_of_the_folder_beside_it_are_added(tmp_path: Path) -> None:
    main = write(tmp_path, "nsvisor.toml", '[defaults]\nstop.grace = 1\n[worker.z]\ncommand = ["x"]\n')
    write(tmp_path, "nsvisor.d/b.toml", '[worker.b]\ncommand = ["x"]\nrootfs = { kind = "dir", path = "root" }\n')
    write(tmp_path, "nsvisor.d/a.toml", '[defaults]\nstop.signal = "INT"\n[worker.a]\ncommand = ["x"]\nafter = ["z"]\n')
    write(tmp_path, "nsvisor.d/note.txt", "not TOML")
    write(tmp_path, "nsvisor.d/.hidden.toml", "not TOML")
    fleet = load_config(main)
    assert list(fleet.workers) == ["z", "a", "b"]
    assert {worker.stop for worker in fleet.workers.values()} == {Stop("SIGINT", 1.0)}
    assert fleet.workers["b"].rootfs.path == str(tmp_path / "nsvisor.d" / "root")
    assert [os.path.basename(file) for file in fleet.files] == ["nsvisor.toml", "a.toml", "b.toml"]


def test_nothing_is_set_by_two_files(tmp_path: Path) -> None:
    text = '[supervisor]\nlog_level = "info"\n[defaults]\nenv = { A = "1" }\n[worker.a]\ncommand = ["x"]\n'
    first, second = write(tmp_path, "1.toml", text), write(tmp_path, "2.toml", f"\n{text}")
    with pytest.raises(ConfigError) as caught:
        load([first, second])
    assert str(caught.value).split("\n") == [
        f"{second}:3: supervisor.log_level: set twice; first at {first}:2",
        f"{second}:5: defaults.env.A: set twice; first at {first}:4",
        f"{second}:6: worker.a: defined twice; first at {first}:5",
    ]


def test_problems_of_all_files_in_their_order(tmp_path: Path) -> None:
    first = write(tmp_path, "z.toml", '[worker.a]\ncommand = ["x"]\nafter = ["in-the-broken-file"]\ninit = 3\n')
    second = write(tmp_path, "b.toml", "[worker.in-the-broken-file\n")
    third = str(tmp_path / "missing.toml")
    fourth = str(tmp_path)
    fifth = tmp_path / "latin.toml"
    fifth.write_bytes(b'[worker.b]\ncommand = ["\xe9"]\n')
    with pytest.raises(ConfigError) as caught:
        load([first, second, third, fourth, str(fifth), "a\0b"])
    assert str(caught.value).split("\n") == [
        f'{first}:4: worker.a.init = 3: wrong type; allowed: true or false or "static"',
        f"{second}:1: [worker.in-the-broken-file: not valid TOML: expected ']' at the end of a table declaration",
        f"{third}: cannot read: No such file or directory",
        f"{fourth}: cannot read: it is a directory; name the file in it",
        f"{fifth}:2: not UTF-8: byte 0xe9; allowed: text in UTF-8",
        '"a\\u0000b": cannot read: not a path',
    ]


def test_endless_file() -> None:
    with pytest.raises(ConfigError, match="/dev/zero: cannot read: larger than 16 MiB"):
        load_config("/dev/zero")


def test_folder_that_is_none(tmp_path: Path) -> None:
    main = write(tmp_path, "nsvisor.toml", "")
    write(tmp_path, "nsvisor.d", "")
    with pytest.raises(ConfigError, match=r"nsvisor\.d: cannot read: Not a directory"):
        load_config(main)


def test_byte_order_mark_and_carriage_returns(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    path.write_bytes(b'\xef\xbb\xbf[worker.a]\r\ncommand = ["x"]\r\n')
    assert load_config(str(path)).workers == {"a": Worker("a", ("x",))}


def test_find_config(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "NSVISOR_CONFIG": "/from/environ"}
    assert find_config("/explicit", environ, 1000) == "/explicit"
    assert find_config(None, environ, 1000) == "/from/environ"
    del environ["NSVISOR_CONFIG"]
    with pytest.raises(ConfigError, match=f"looked for {tmp_path}/nsvisor/nsvisor.toml; name one by --config"):
        find_config(None, environ, 1000)
    path = write(tmp_path, "nsvisor/nsvisor.toml", "")
    assert find_config(None, environ, 1000) == path
    with pytest.raises(ConfigError, match=r"neither \$XDG_CONFIG_HOME nor \$HOME is set"):
        find_config(None, {}, 1000)


def test_what_is_wrong_once_hides_what_follows_from_it() -> None:
    assert len(refusal('[worker.a]\ncommand = ["x"]\nrestart = { max_restarts = 2, window = "1x" }')) == 1
    assert len(refusal('[worker.a]\ncommand = ["x"]\nnamespaces.pid = "fasle"\ninit = false')) == 1
    assert len(refusal("[worker]\na = 1")) == 1


def test_a_fleet_survives_the_wire() -> None:
    fleet = load_text(WHOLE, "/conf/f.toml", ENVIRON)
    assert msgspec.json.decode(msgspec.json.encode(fleet), type=Fleet) == fleet
