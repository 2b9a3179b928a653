"""Where slices come from: subordinate lines, or the host's range for containers."""

import os
from pathlib import Path

import msgspec
import pytest

from supervisor.host.id_pools import FIRST, LAST, account_at, default_count, picks, pools, taken
from supervisor.spec.facts import HostFacts, IdRange, IdSlice

USER = HostFacts(uid=1000, gid=1000, user="ada", home="/", privileged=False, view=())
ROOT = msgspec.structs.replace(USER, uid=0, gid=0, user="root", privileged=True)
LINES = {"subuids": (IdRange(100000, 65536), IdRange(500000, 10)), "subgids": (IdRange(200000, 1000), IdRange(1, 20))}
WHOLE = "         0          0 4294967295\n"


def host_map(folder: Path, text: str = WHOLE) -> str:
    (folder / "uid_map").write_text(text)
    return str(folder / "uid_map")


@pytest.mark.parametrize("facts", [USER, ROOT])
def test_subordinate_lines_side_by_side(facts: HostFacts, tmp_path: Path) -> None:
    """Of root too, where it has some."""
    facts = msgspec.structs.replace(facts, **LINES)
    assert not picks(facts)
    assert pools(facts, host_map(tmp_path)) == (IdSlice(100000, 200000, 1000), IdSlice(500000, 1, 10))
    assert default_count(facts) == 1024
    assert taken(facts) == ()


def test_a_user_without_lines_has_nothing(tmp_path: Path) -> None:
    assert pools(USER, host_map(tmp_path)) == ()
    assert pools(msgspec.structs.replace(USER, subuids=LINES["subuids"]), host_map(tmp_path)) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (WHOLE, (IdSlice(FIRST, FIRST, LAST - FIRST + 1),)),
        ("0 1000 1\n1 100000 65536\n", ()),
        ("0 100000 600000\n", (IdSlice(FIRST, FIRST, 600000 - FIRST),)),
        ("0 1 10\n600000 100000 200000\n", (IdSlice(655360, 655360, 144640),)),
    ],
)
def test_root_picks_from_what_its_own_namespace_has(text: str, expected: object, tmp_path: Path) -> None:
    assert picks(ROOT)
    assert default_count(ROOT) == 65536
    assert pools(ROOT, host_map(tmp_path, text)) == expected


def test_what_is_anothers(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("root:x:0:0::/:/bin/sh\nbig:x:600000:600000::/:\nbroken\nodd:x:y:1::\n")
    (tmp_path / "group").write_text("team:x:700000:big\n")
    (tmp_path / "subuid").write_text("ada:100000:65536\nbob:524288:65536\n")
    locks = tmp_path / "nspawn-uid"
    locks.mkdir()
    (locks / "1048576").touch()
    (locks / "lock").touch()
    expected = {IdRange(600000, 1), IdRange(700000, 1), IdRange(524288, 65536), IdRange(1048576, 65536)}
    assert set(taken(ROOT, str(tmp_path), str(locks))) == expected
    assert taken(ROOT, str(tmp_path / "nowhere"), str(tmp_path / "nowhere")) == ()


def test_an_account_is_seen() -> None:
    assert account_at(IdSlice(os.getuid(), 1878900000, 1))
    assert account_at(IdSlice(1878900000, os.getgid(), 1))
    assert not account_at(IdSlice(1878900000, 1878900000, 1))
