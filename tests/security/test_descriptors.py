"""What is open when the command starts leads nowhere outside (runc CVE-2024-21626)."""

import errno
import os

from tests.nsinit.keepers import Keeper
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import output_of, run, worker
from tests.security.attempts import without


def test_a_directory_as_standard_input(keeper: Keeper, folder: Folder) -> None:
    folder.file("secret", "text\n")
    reading = worker("cat /proc/self/fd/0/secret")
    directory = os.open(folder.top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert output_of(keeper, without(keeper, reading, "fd.close"), stdin=directory) == "text"
        failure = run(keeper, reading, stdin=directory).failure
    finally:
        os.close(directory)
    assert failure is not None
    assert (failure.phase, failure.number) == ("fd.close", errno.EISDIR)


def test_no_descriptor_of_the_set_ups_is_a_way_out(keeper: Keeper) -> None:
    """Tried as working directories: what is a directory is in the new root, and the old one is at none of them."""
    entered = 0
    for number in range(3, 12):
        ran = run(keeper, worker("pwd -P", working_dir=f"/proc/self/fd/{number}"))
        if ran.failure is None:
            entered += 1
            assert ran.out in {"/\n", "/proc\n"}
        else:
            assert ran.failure.phase == "cwd.enter"
    assert entered
