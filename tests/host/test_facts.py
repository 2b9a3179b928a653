import os
import pwd
import subprocess
from pathlib import Path

import msgspec
import pytest

from supervisor.host import facts
from supervisor.host.facts import gather
from supervisor.spec.facts import HostFacts
from tests.accounts import Account, needs_a_range

PROGRAM = "import msgspec; from supervisor.host.facts import gather; print(msgspec.json.encode(gather({})).decode())"


def gathered_by(account: Account, program_bin: Path, *before: str) -> HostFacts:
    done = subprocess.run(
        [*before, program_bin / "python", "-I", "-c", PROGRAM],
        capture_output=True,
        check=True,
        cwd="/",
        timeout=30,
        **account.identity(),  # type: ignore[call-overload]
    )
    return msgspec.json.decode(done.stdout, type=HostFacts)


def test_this_process() -> None:
    found = gather(os.environ)
    assert (found.uid, found.gid) == (os.getuid(), os.getgid())
    assert found.user == pwd.getpwuid(os.getuid()).pw_name
    assert found.home == pwd.getpwuid(os.getuid()).pw_dir
    assert 36 <= found.last_cap < 64
    assert {"null", "zero", "urandom"} <= set(found.device_nodes)
    assert found.view


def test_an_ordinary_user(unprivileged: Account, program_bin: Path) -> None:
    needs_a_range(unprivileged)
    found = gathered_by(unprivileged, program_bin)
    assert (found.uid, found.user, found.home) == (unprivileged.uid, unprivileged.name, unprivileged.home)
    assert not found.privileged
    assert found.newuidmap is not None  # os.defpath, as there is no PATH
    assert found.subuid is not None
    assert found.subuid.count >= 65536


def test_root_of_a_user_namespace_counts_as_privileged(unprivileged: Account, program_bin: Path) -> None:
    found = gathered_by(unprivileged, program_bin, "unshare", "--user", "--map-root-user")
    assert found.privileged
    assert found.uid == 0


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("CapEff:\t000001ffffffffff\n", True),
        ("CapEff:\t0000000000200000\n", False),  # CAP_SYS_ADMIN alone
        ("CapEff:\t00000000002000c0\n", True),
        ("CapPrm:\t000001ffffffffff\nCapEff:\t0000000000000000\n", False),
        ("", False),
    ],
)
def test_privileged_is_read_from_the_effective_set(status: str, expected: bool) -> None:
    assert facts._privileged(status) is expected


def test_tz_wins_over_the_hosts_zone() -> None:
    assert gather({"TZ": "Asia/Tokyo"}).timezone == "Asia/Tokyo"


def test_helpers_are_looked_up_in_path(tmp_path: Path) -> None:
    for name in ("newuidmap", "newgidmap"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
    assert gather({"PATH": str(tmp_path)}).newuidmap == str(tmp_path / "newuidmap")
    assert gather({"PATH": "/nonexistent"}).newgidmap is None
