"""The services on a full systemd, which is booted twice: each test is one check that was made in it (guests/)."""

import pytest

from tests.vehicles.booted import Booted
from tests.vehicles.guests.runner import NSPAWN, names


@pytest.mark.parametrize("check", names(NSPAWN))
def test_on_a_full_systemd(full_system: Booted, check: str) -> None:
    full_system.judge(check)
