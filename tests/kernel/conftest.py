"""Who the kernel is asked by."""

import pytest

from tests.accounts import Account, me
from tests.nsinit.people import EVERYBODY


@pytest.fixture(params=EVERYBODY)
def account(request: pytest.FixtureRequest, unprivileged: Account) -> Account:
    """Root and the ordinary user in turn."""
    return me() if request.param == "root" else unprivileged
