"""The systems that are booted once for all tests which look at what was checked in them."""

from pathlib import Path

import pytest

from tests.vehicles import nspawn, uml
from tests.vehicles.booted import Booted
from tests.vehicles.guests.runner import NSPAWN, UML

TIMEOUT_S = 600.0  # each takes half a minute on an idle machine


@pytest.fixture(scope="session")
def full_system(program_bin: Path) -> Booted:
    """What was checked on a full systemd in a container."""
    reason = nspawn.cannot_start()
    if reason is not None:
        pytest.skip(reason)
    return nspawn.boot(program_bin, NSPAWN, TIMEOUT_S)


@pytest.fixture(scope="session")
def uml_system(program_bin: Path) -> Booted:
    """What was checked under another kernel, with real controllers."""
    reason = uml.cannot_start()
    if reason is not None:
        pytest.skip(reason)
    return uml.boot(program_bin, UML, TIMEOUT_S)
