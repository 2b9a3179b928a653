from pathlib import Path

import pytest

from supervisor.host.subid import may_map, subordinate_range
from supervisor.spec.facts import IdRange


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ada:100000:65536\n", IdRange(100000, 65536)),
        ("1000:200000:65536\n", IdRange(200000, 65536)),
        ("bob:1:65536\nada:300000:65536\n", IdRange(300000, 65536)),
        ("ada:5000:10\nada:100000:65536\nada:200000:99999\n", IdRange(100000, 65536)),
        ("ada:5000:10\nada:6000:20\n", IdRange(6000, 20)),
        ("adam:5000:70000\n10000:1:70000\n", None),
        ("# ada\nada:x:1\nada:1\nada:7:0\n:1:65536\n", None),
        ("", None),
    ],
)
def test_the_first_sufficient_range_else_the_largest(tmp_path: Path, text: str, expected: IdRange | None) -> None:
    file = tmp_path / "subuid"
    file.write_text(text)
    assert subordinate_range(str(file), "ada", 1000) == expected


def test_a_user_without_a_name_is_found_by_number(tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_text(":1:65536\n1000:100000:65536\n")
    assert subordinate_range(str(file), "", 1000) == IdRange(100000, 65536)


def test_no_file_is_no_range(tmp_path: Path) -> None:
    assert subordinate_range(str(tmp_path / "missing"), "ada", 1000) is None


def test_a_helper_needs_the_set_uid_bit_or_capabilities(tmp_path: Path) -> None:
    helper = tmp_path / "newuidmap"
    helper.write_text("")
    helper.chmod(0o755)
    assert not may_map(str(helper))
    assert not may_map(str(tmp_path / "missing"))
    assert may_map("/usr/bin/passwd")  # set-uid root on every distribution
