from pathlib import Path

import pytest

from supervisor.spec.advice import warnings
from supervisor.spec.load import load_text


def said(top: Path, text: str) -> list[str]:
    """What is said of these workers, without file and line."""
    for name in ("there", "up"):
        (top / name).mkdir(exist_ok=True)
    (top / "file").touch()
    fleet = load_text(text, str(top / "f.toml"))
    return [str(problem).partition(": ")[2].replace(f"{top}/", "") for problem in warnings(fleet)]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ('lower = ["there", "up"]', []),
        ('lower = ["there", "gone"]', ['lower[1] = "gone": does not exist']),
        ('lower = ["file"]', ['lower[0] = "file": is no directory']),
        ('lower = ["there"], upper = "up"', []),
        ('lower = ["there"], upper = "gone"', ['upper = "gone": does not exist']),
        ('lower = ["there"], upper = "up", work = "new"', []),
        ('lower = ["there"], upper = "up", work = "file"', ['work = "file": is no directory']),
        ('lower = ["there"], upper = "up", work = "/proc"', ['work = "/proc": lies on another file system than upper']),
    ],
)
def test_directories_of_an_overlay(tmp_path: Path, keys: str, expected: list[str]) -> None:
    for table, key in (
        (f'rootfs = {{ kind = "overlay", {keys} }}', "worker.a.rootfs"),
        (f'mounts = [{{ type = "overlay", target = "/x", {keys} }}]', "worker.a.mounts[0]"),
    ):
        found = said(tmp_path, f'[worker.a]\ncommand = ["x"]\n{table}')
        assert found == [f"{key}.{one}" for one in expected]


def test_each_instance_s_own(tmp_path: Path) -> None:
    (tmp_path / "root-0").mkdir()
    text = (
        '[worker.a]\ncommand = ["x"]\ninstances = 2\nrootfs = { kind = "dir", path = "root-{index}", writable = true }'
    )
    assert said(tmp_path, text) == ['worker.a.rootfs.path = "root-1": does not exist']


def test_a_directory_that_two_write_to(tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to("there")
    one = 'command = ["x"]\nrootfs = { kind = "dir", path = "NAME", writable = true }\n'
    text = f"[worker.a]\n{one}[worker.b]\n{one}".replace("NAME", "there", 1).replace("NAME", "alias")
    nothing = "writes to it too, and nothing keeps them apart: give each a directory or an overlay"
    assert said(tmp_path, text) == [f'worker.b.rootfs.path = "alias": a {nothing}']
    both = f"[worker.a]\ninstances = 2\n{one}".replace("NAME", "there")
    assert said(tmp_path, both) == [f'worker.a.rootfs.path = "there": a-0 {nothing}']
    assert said(tmp_path, text.replace("true", "false")) == []


def test_a_layer_that_another_writes_to(tmp_path: Path) -> None:
    text = """[worker.a]
command = ["x"]
rootfs = { kind = "overlay", lower = ["there"], upper = "up" }
[worker.b]
command = ["x"]
rootfs = { kind = "overlay", lower = ["up", "there"] }
"""
    assert said(tmp_path, text) == [
        'worker.b.rootfs.lower[0] = "up": a writes to it while it is a layer here: what is seen then is undefined'
    ]
