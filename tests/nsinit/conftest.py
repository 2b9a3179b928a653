"""Keepers for the tests of nsinit, as root and as the ordinary user."""

from collections.abc import Iterator
from contextlib import ExitStack
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
def keepers() -> Iterator[dict[str, tuple[ExitStack, Keeper]]]:
    keepers: dict[str, tuple[ExitStack, Keeper]] = {}
    yield keepers
    for stack, _ in keepers.values():
        stack.close()


@pytest.fixture
def keeper(who: Who, keepers: dict[str, tuple[ExitStack, Keeper]]) -> Iterator[Keeper]:
    """A keeper that serves many tests: what one leaves in it, or does to it, fails that one."""
    if who.account.name not in keepers:
        stack = ExitStack()
        keepers[who.account.name] = stack, stack.enter_context(running_keeper(who))
    stack, keeper = keepers.pop(who.account.name)
    keeper.settle()
    before = keeper.descriptors()
    try:
        yield keeper
        keeper.settle()
        assert keeper.inbox == []
        assert keeper.descriptors() == before
        keepers[who.account.name] = stack, keeper
    finally:
        if who.account.name not in keepers:
            stack.close()


@pytest.fixture
def own_keeper(who: Who) -> Iterator[Keeper]:
    """A keeper for one test, to be killed, left or provoked."""
    with running_keeper(who) as keeper:
        yield keeper
