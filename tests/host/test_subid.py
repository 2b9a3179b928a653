from pathlib import Path

import pytest

from supervisor.host.subid import all_lines, may_map, subordinate_ranges, sufficient_range
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
    assert sufficient_range(subordinate_ranges(str(file), "ada", 1000)) == expected


def test_a_user_without_a_name_is_found_by_number(tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_text(":1:65536\n1000:100000:65536\n")
    assert subordinate_ranges(str(file), "", 1000) == (IdRange(100000, 65536),)


def test_no_file_is_no_range(tmp_path: Path) -> None:
    assert subordinate_ranges(str(tmp_path / "missing"), "ada", 1000) == ()


def test_a_helper_needs_the_set_uid_bit_or_capabilities(tmp_path: Path) -> None:
    helper = tmp_path / "newuidmap"
    helper.write_text("")
    helper.chmod(0o755)
    assert not may_map(str(helper))
    assert not may_map(str(tmp_path / "missing"))
    assert may_map("/usr/bin/passwd")  # set-uid root on every distribution


def test_all_lines_in_order(tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_text("ada:5000:10\nbob:1:2\n1000:6000:20\nnonsense\n")
    assert subordinate_ranges(str(file), "ada", 1000) == (IdRange(5000, 10), IdRange(6000, 20))
    assert all_lines(str(file)) == [("ada", IdRange(5000, 10)), ("bob", IdRange(1, 2)), ("1000", IdRange(6000, 20))]


@pytest.mark.parametrize(
    ("nsswitch", "asked"),
    [
        ("subid: sss\n", True),
        (" subid:  files sss # both\n", True),
        ("subid: files\n", False),
        ("# subid: sss\n", False),
    ],
)
def test_getsubids_is_asked_where_files_do_not_tell(
    tmp_path: Path, nsswitch: str, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "subgid").write_text("ada:5000:10\n")
    (tmp_path / "nsswitch").write_text(nsswitch)
    program = tmp_path / "getsubids"
    program.write_text('#!/bin/sh\n[ "$*" = "-g ada" ] && echo "0: ada 100000 65536" && echo "1: ada 300000 7"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = subordinate_ranges(str(tmp_path / "subgid"), "ada", 1000, str(tmp_path / "nsswitch"))
    assert found == ((IdRange(100000, 65536), IdRange(300000, 7)) if asked else (IdRange(5000, 10),))
    if asked:
        monkeypatch.setenv("PATH", "/nowhere")
        assert subordinate_ranges(str(tmp_path / "subgid"), "ada", 1000, str(tmp_path / "nsswitch")) == ()
