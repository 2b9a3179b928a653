import os
import stat
from pathlib import Path

import pytest

from supervisor.runtime.directories import DirectoryError, private_directory
from tests.accounts import Account
from tests.nsinit.people import acting_as


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_made_with_its_parents_for_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    assert private_directory(str(path)) == str(path)
    assert mode(path) == 0o700
    assert private_directory(str(path)) == str(path)


@pytest.mark.parametrize("open_mode", [0o755, 0o777, 0o710, 0o1777])
def test_one_that_is_open_to_others_is_closed(tmp_path: Path, open_mode: int) -> None:
    path = tmp_path / "open"
    path.mkdir()
    path.chmod(open_mode)
    private_directory(str(path))
    assert mode(path) == 0o700


def test_a_link_is_refused_even_to_a_directory_of_ours(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    with pytest.raises(DirectoryError, match="link: it is not a directory"):
        private_directory(str(tmp_path / "link"))
    with pytest.raises(DirectoryError, match=r"cannot make .*dangling"):
        private_directory(str(tmp_path / "dangling"))
    assert mode(tmp_path / "real") == 0o755
    assert not (tmp_path / "nothing").exists()


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DirectoryError, match=r"cannot make .*file"):
        private_directory(str(tmp_path / "file"))


def test_somebody_elses_is_refused(tmp_path: Path, unprivileged: Account) -> None:
    path = Path("/proc/sys")
    if not unprivileged.is_me:
        path = tmp_path / "theirs"
        path.mkdir()
        unprivileged.owns(path)
    with pytest.raises(DirectoryError, match=rf"{path}: it belongs to uid \d+, not to {os.geteuid()}"):
        private_directory(str(path))


def test_where_nothing_can_be_made(unprivileged: Account) -> None:
    with acting_as(unprivileged), pytest.raises(DirectoryError, match="cannot make /proc/nsvisor"):
        private_directory("/proc/nsvisor")
