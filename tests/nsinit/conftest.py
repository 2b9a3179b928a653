"""Keepers for the tests of nsinit, as root and as the ordinary user."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.accounts import Account
from tests.nsinit.keepers import Keeper, running_keeper
from tests.nsinit.people import EVERYBODY, Who, somebody
from tests.nsinit.roots import Folder


@pytest.fixture(scope="session", params=EVERYBODY)
def who(request: pytest.FixtureRequest, unprivileged: Account, program_bin: Path) -> Who:
    """Root and the ordinary user in turn; only the latter where an ordinary user runs the tests."""
    return somebody(request.param, unprivileged, program_bin)


@pytest.fixture(scope="session")
def shared_keeper(who: Who) -> Iterator[Keeper]:
    """One keeper for many tests."""
    with running_keeper(who) as keeper:
        yield keeper


@pytest.fixture
def keeper(who: Who, shared_keeper: Keeper) -> Iterator[Keeper]:
    """The shared one, or its replacement: what a test leaves in it, or does to it, fails that test and no other."""
    with ExitStack() as stack:
        keeper = shared_keeper
        if not keeper.is_well():
            keeper = stack.enter_context(running_keeper(who))
        keeper.settle()
        before = keeper.descriptors()
        yield keeper
        keeper.settle()
        assert keeper.inbox == []
        assert keeper.descriptors() == before


@pytest.fixture
def own_keeper(who: Who) -> Iterator[Keeper]:
    """A keeper for one test, to be killed, left or provoked."""
    with running_keeper(who) as keeper:
        yield keeper


@pytest.fixture
def folder(who: Who) -> Iterator[Folder]:
    """A folder of the user's own."""
    folder = Folder(who)
    yield folder
    folder.remove()
