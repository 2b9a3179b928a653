"""What has to be bound so that a program outside the host view runs inside."""

from pathlib import Path

import pytest

from supervisor.host.environments import directories_of
from supervisor.spec.facts import HostEntry, HostFacts

VIEW = (HostEntry("/usr", "bind", "/usr"),)
FACTS = HostFacts(uid=1000, gid=1000, user="ada", home="/home/ada", privileged=False, view=VIEW)


def test_a_program_is_its_directory() -> None:
    assert directories_of("/opt/tool/bin/run", FACTS) == ["/opt/tool/bin"]


@pytest.mark.parametrize(
    ("home", "more"),
    [
        ("/usr/bin", []),
        ("/opt/python3.12/bin", ["/opt/python3.12"]),
        ("", []),
    ],
)
def test_a_virtual_environment_is_needed_whole_and_its_base(tmp_path: Path, home: str, more: list[str]) -> None:
    (tmp_path / "pyvenv.cfg").write_text(f"home = {home}\nversion = 3.12.1\n" if home else "version = 3\n")
    assert directories_of(f"{tmp_path}/bin/serve", FACTS) == [str(tmp_path), *more]
