"""The socket for sd_notify(3) in a plan."""

from typing import Any

import msgspec
import pytest

from supervisor.sandbox.plan import Step
from tests.sandbox.test_plan import FACTS, phases, plan, step

DAEMON = msgspec.structs.replace(FACTS, notify_directory="/run/user/1000/nsvisor/notify")


def environment(**keys: Any) -> dict[str, str]:
    words = [str(word) for word in step(plan(DAEMON, **keys), "exec").arguments[1:]]
    return dict(word.split("=", 1) for word in words[int(words[0]) + 1 :])


@pytest.mark.parametrize(
    ("keys", "variables"),
    [
        ({}, {}),
        ({"ready": {"kind": "notify"}}, {"NOTIFY_SOCKET": "/dev/nsvisor/notify"}),
        (
            {"health": {"kind": "notify", "timeout": 1.5}},
            {"NOTIFY_SOCKET": "/dev/nsvisor/notify", "WATCHDOG_USEC": "1500000"},
        ),
        (
            {"ready": {"kind": "notify"}, "namespaces": {"mount": False}},
            {"NOTIFY_SOCKET": "/run/user/1000/nsvisor/notify/web"},
        ),
    ],
)
def test_what_a_worker_is_told(keys: dict[str, Any], variables: dict[str, str]) -> None:
    found = {name: value for name, value in environment(**keys).items() if name.startswith(("NOTIFY", "WATCHDOG"))}
    assert found == variables
    assert ("mount.file" in phases(plan(DAEMON, **keys))) == (variables.get("NOTIFY_SOCKET", "").startswith("/dev"))


def test_where_the_file_is_made() -> None:
    found = step(plan(DAEMON, ready={"kind": "notify"}), "mount.file")
    assert found == Step("mount.file", "/dev/nsvisor/notify socket", ("socket", "/dev/nsvisor/notify"))
    assert "mount.file" not in phases(plan(ready={"kind": "notify"})), "there is no daemon"
