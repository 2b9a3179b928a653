"""The program where the newer mount calls are hidden from it, as an older kernel or an outer container does."""

import os

import pytest

from tests.e2e.daemons import running
from tests.kernel import hidden_calls
from tests.program import Program

HIDDEN = {"mount_setattr": ("mount_setattr",), "all": (*hidden_calls.NEW_MOUNT_CALLS, "clone3")}
FLEET = """
[worker.plain]
command = ["sleep", "42021"]
[worker.overlaid]
command = ["/usr/bin/sh", "-c", "echo > /kept && exec /usr/bin/sleep 42022"]
rootfs = { kind = "overlay", lower = ["TOP/lower"], upper = "TOP/upper" }
mounts = [
    { type = "bind", source = "/usr", target = "/usr", options = ["ro"] },
    { type = "symlink", source = "usr/lib", target = "/lib" },
    { type = "symlink", source = "usr/lib64", target = "/lib64" },
]
"""


@pytest.mark.parametrize(("who", "hidden"), [("nsvisor", "mount_setattr"), ("nsvisor", "all"), ("root_nsvisor", "all")])
def test_it_works_without_them(who: str, hidden: str, request: pytest.FixtureRequest) -> None:
    program: Program = request.getfixturevalue(who)
    program.wrapper = hidden_calls.wrapper(str(program.bin / "python"), "ENOSYS", *HIDDEN[hidden])
    done = program.run("run", "--", "sh", "-c", "touch /x 2>/dev/null; touch /tmp/x && ls /.. /tmp")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == ["/tmp:", "x"]
    assert not {"x", os.path.basename(program.top), "boot"} & set(done.stdout.split()[:-2])
    shared = program.folder("shared")
    for name in ("lower", "upper"):
        program.folder(f"shared/{name}")
    with running(program, FLEET.replace("TOP", str(shared))) as daemon:
        for name in ("plain", "overlaid"):
            daemon.wait_state(name, "ready")
    assert (shared / "upper" / "kept").exists()
