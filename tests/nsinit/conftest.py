"""Keepers for the tests of nsinit, as root and as the ordinary user."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.accounts import Account
from tests.nsinit.keepers import Keeper, running_keeper
from tests.nsinit.people import EVERYBODY, Who, somebody


@pytest.fixture(scope="session", params=EVERYBODY)
def who(request: pytest.FixtureRequest, unprivileged: Account, program_bin: Path) -> Who:
    """Root and the ordinary user in turn; only the latter where an ordinary user runs the tests."""
    return somebody(request.param, unprivileged, program_bin)


@pytest.fixture(scope="session")
def _shared(who: Who) -> Iterator[Keeper]:
    with running_keeper(who) as keeper:
        yield keeper


@pytest.fixture
def keeper(_shared: Keeper) -> Iterator[Keeper]:
    """A keeper that serves many tests: what one leaves in it fails that one."""
    _shared.settle()
    before = _shared.descriptors()
    yield _shared
    _shared.settle()
    assert _shared.inbox == []
    assert _shared.descriptors() == before


@pytest.fixture
def own_keeper(who: Who) -> Iterator[Keeper]:
    """A keeper for one test, to be killed, left or provoked."""
    with running_keeper(who) as keeper:
        yield keeper
