from pathlib import Path

import pytest

from supervisor.spec.advice import warnings
from supervisor.spec.load import load_config, load_text


def test_what_is_missing_on_the_disk(tmp_path: Path) -> None:
    there, missing = tmp_path / "there", tmp_path / "missing"
    there.write_text("")
    config = tmp_path / "f.toml"
    config.write_text(f"""[defaults]
command = ["x"]
mounts = [
  {{ type = "bind", source = "{there}", target = "/a" }},
  {{ type = "bind", source = "missing", target = "/b" }},
]
[worker.a]
rootfs = {{ kind = "dir", path = "there" }}
restart.delay = 0
[worker.b]
rootfs = {{ kind = "dir", path = "missing" }}
network.mode = "path:missing"
namespaces.ipc = "pid:4194304999"
""")
    assert list(map(str, warnings(load_config(str(config))))) == [
        f'{config}:8: worker.a.rootfs.path = "{there}": is no directory',
        f'{config}:5: defaults.mounts[1].source = "{missing}": does not exist',
        f"{config}:9: worker.a.restart.delay = 0.0: a worker that fails at once is restarted without pause and end",
        f'{config}:11: worker.b.rootfs.path = "{missing}": does not exist',
        f'{config}:13: worker.b.namespaces.ipc = "pid:4194304999": no such process',
        f'{config}:12: worker.b.network.mode = "path:{missing}": does not exist',
    ]


def test_nothing_to_say(tmp_path: Path) -> None:
    config = tmp_path / "f.toml"
    config.write_text('[worker.a]\ncommand = ["x"]\nrootfs = { kind = "dir", path = "." }\n')
    assert warnings(load_config(str(config))) == ()


def test_no_workers_and_no_file() -> None:
    (problem,) = warnings(load_text("", "/nowhere/f.toml"))
    assert str(problem) == "/nowhere/f.toml: no workers: add a table [worker.NAME] with a command"


def test_file_that_is_gone() -> None:
    fleet = load_text('[worker.a]\ncommand = ["x"]\nrootfs = { kind = "dir", path = "/no" }', "/nowhere/f.toml")
    (problem,) = warnings(fleet)
    assert str(problem) == '/nowhere/f.toml: worker.a.rootfs.path = "/no": does not exist'


def test_a_seal_that_is_lifted_for_others(tmp_path: Path) -> None:
    config = tmp_path / "f.toml"
    text = """[worker.a]
command = ["x"]
security = { seccomp = "off", nested_userns = NESTED }
[worker.b]
command = ["x"]
network = { mode = "worker:a" }
"""
    config.write_text(text.replace("NESTED", "false"))
    (found,) = warnings(load_config(str(config)))
    assert str(found).startswith(f'{config}:3: worker.a.security.seccomp = "off": b joins it')
    config.write_text(text.replace("NESTED", "true"))
    assert warnings(load_config(str(config))) == ()


@pytest.mark.parametrize(
    ("uid", "keys", "warned"),
    [
        (0, "", True),
        (1000, "", False),
        (0, 'id_map = "auto"\n', False),
        (0, "user = 1000\n", False),
        (0, "namespaces = { user = false }\n", False),
    ],
)
def test_the_hosts_root_with_cap_sys_admin(monkeypatch: pytest.MonkeyPatch, uid: int, keys: str, warned: bool) -> None:
    monkeypatch.setattr("os.geteuid", lambda: uid)
    fleet = load_text(f'[worker.a]\ncommand = ["x"]\n{keys}security = {{ capabilities = ["CAP_SYS_ADMIN"] }}\n')
    said = [str(problem) for problem in warnings(fleet) if "read-only mount" in str(problem)]
    assert len(said) == warned
