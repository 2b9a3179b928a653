import os
import shutil
from pathlib import Path

import pytest

from supervisor.host import static_init
from supervisor.host.static_init import find_static_init, is_static, is_static_init, with_static_init
from supervisor.spec.errors import ConfigError
from supervisor.spec.load import load_config

FLEET = '[worker.a]\ncommand = ["x"]\n\n[worker.b]\ncommand = ["x"]\ninit = "static"\n'


def test_a_program_with_an_interpreter_is_not_static() -> None:
    head = Path(os.path.realpath("/bin/sh")).read_bytes()[:4096]
    assert head.startswith(b"\x7fELF")
    assert not is_static(head)
    assert not is_static(b"#!/bin/sh\n")
    assert not is_static(b"\x7fELF\x02\x01")


@pytest.mark.skipif(shutil.which("catatonit") is None, reason="no catatonit")
def test_catatonit_is_found() -> None:
    assert find_static_init() == "/usr/bin/catatonit"
    assert find_static_init(("/usr/bin/tini", "/bin/sh", "/nowhere", "/usr/bin", "/usr/bin/catatonit")) == (
        "/usr/bin/catatonit"
    )


@pytest.mark.skipif(shutil.which("catatonit") is None or os.geteuid() != 0, reason="no catatonit, or not root")
@pytest.mark.parametrize(
    ("mode", "owner", "usable"), [(0o755, 0, True), (0o775, 0, False), (0o755, 1, False), (0o700, 0, False)]
)
def test_nobody_but_root_may_be_able_to_change_it(tmp_path: Path, mode: int, owner: int, usable: bool) -> None:
    copy = tmp_path / "init"
    shutil.copy("/usr/bin/catatonit", copy)
    copy.chmod(mode)
    os.chown(copy, owner, 0)
    assert is_static_init(str(copy)) is usable


def test_refused_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "f.toml"
    file.write_text(FLEET)
    fleet = load_config(str(file))
    monkeypatch.setattr(static_init, "find_static_init", lambda: "")
    with pytest.raises(ConfigError) as refused:
        with_static_init(fleet)
    text = str(refused.value)
    assert text.startswith(f'{file}:6: worker.b.init = "static": this host has no static init (/usr/bin/catatonit, ')
    assert "install the package catatonit" in text
    monkeypatch.setattr(static_init, "find_static_init", lambda: "/usr/bin/catatonit")
    assert with_static_init(fleet) is fleet
