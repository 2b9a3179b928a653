"""Keepers and folders for attacks, as root and as the ordinary user."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.accounts import Account
from tests.nsinit.conftest import folder, keeper, own_keeper, shared_keeper, who
from tests.nsinit.people import Who, somebody
from tests.nsinit.roots import Folder

__all__ = ["folder", "keeper", "own_keeper", "shared_keeper", "who"]


@pytest.fixture
def root(unprivileged: Account, program_bin: Path) -> Who:
    """Root, for what only the host's root could do, or have done to it."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    return somebody("root", unprivileged, program_bin)


@pytest.fixture
def root_folder(root: Who) -> Iterator[Folder]:
    """A folder of root's."""
    folder = Folder(root)
    yield folder
    folder.remove()
