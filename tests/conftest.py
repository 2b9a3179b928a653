"""What all tests share: an ordinary user, the real program run as it, and a census of what a test leaves behind."""

import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests import census, skips
from tests.accounts import Account, me, ordinary_user, program_folder
from tests.program import Program


def pytest_configure() -> None:
    census.adopt_orphans()
    census.note_folders()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    skips.judge(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    skips.judge(report)
    return report


@pytest.fixture(scope="session")
def unprivileged() -> Account:
    """An ordinary user with subordinate ids; whoever runs the tests, if that is not root."""
    return ordinary_user()


@pytest.fixture(scope="session")
def program_bin(unprivileged: Account) -> Iterator[Path]:
    """A folder with `nsvisor` and `python` that the ordinary user can run."""
    folder, copy = program_folder(unprivileged)
    yield folder
    if copy is not None:
        shutil.rmtree(copy)


@pytest.fixture(scope="session", autouse=True)
def nothing_left_in_the_end(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail the last test where a fixture of a module, or of all tests, leaves a process, a mount or a cgroup behind."""
    census.note_folder(tmp_path_factory.getbasetemp())
    processes, belongings = census.children(), census.belongings()
    del belongings["descriptor"]  # plugins' own
    yield
    left = census.leftover(processes) + census.left_behind(belongings)
    assert not left, "left behind by fixtures of more than one test:\n" + "\n".join(left)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fail the test that leaves something behind: a process, a mount, a network device, a cgroup, a descriptor."""
    processes, belongings = census.children(), census.belongings()
    yield
    left = census.leftover(processes) + census.left_behind(belongings)
    assert not left, "left behind:\n" + "\n".join(left)


@pytest.fixture
def nsvisor(unprivileged: Account, program_bin: Path) -> Iterator[Program]:
    """The program as an ordinary user, in folders of its own."""
    program = Program(unprivileged, program_bin)
    yield program
    program.remove()


@pytest.fixture
def root_nsvisor(program_bin: Path) -> Iterator[Program]:
    """The program as root, in folders of its own."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    program = Program(me(), program_bin)
    yield program
    program.remove()
