"""A fleet with limits under the user service: see limits_fleet.py, which is run as the user, and test_uml_limits.py."""

import subprocess
from pathlib import Path

from tests.vehicles.guests.machine import BIN, UID, UserService, make_user, wait_for

OUT = Path(__file__).resolve().parents[3] / "limits.said"


def check_fleet() -> None:
    make_user()
    user = UserService()
    with OUT.open("w") as said:
        done = subprocess.run(
            [BIN / "python", "-B", Path(__file__).with_name("limits_fleet.py")],
            check=False, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, env=user.environ(),
            user=UID, group=UID, extra_groups=[], cwd="/", timeout=500,
        )  # fmt: skip
    assert done.returncode == 0, OUT.read_text()


def check_nothing_is_left_of_it() -> None:
    wait_for(lambda: not list(Path("/sys/fs/cgroup").rglob("nsvisor-workers-*")), "the cgroups to go")
