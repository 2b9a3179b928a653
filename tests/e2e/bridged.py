"""A network namespace in which a daemon may make bridges: root's, or a user's in a user namespace of its own."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.accounts import Account
from tests.e2e.private_network import PrivateNetwork, path_of
from tests.program import Program


class Bridged(PrivateNetwork):
    """Held by a process."""

    def wrap(self, program: Program) -> Program:
        """Have it run in here: as root, or as a user who is root of the user namespace around."""
        enter = [path_of("nsenter"), "--target", str(self.pid), "--net", f"--wd={program.top}"]
        program.wrapper = [*enter, *([] if program.user.uid == 0 else ["--user", "--preserve-credentials"]), "--"]
        return program

    def ip(self, *words: str) -> Any:
        """Configure the network in here: what is answered, decoded."""
        enter = ["nsenter", "--target", str(self.pid), "--net"]
        done = subprocess.run([*enter, "ip", "-json", *words], check=True, capture_output=True, text=True)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def devices(self) -> dict[str, str]:
        """Names and aliases of all network devices, but for the loopback."""
        return {one["ifname"]: one.get("ifalias", "") for one in self.ip("link") if one["ifname"] != "lo"}


@contextmanager
def bridged(user: Account) -> Iterator[Bridged]:
    """Made for this user."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    words = ["unshare", "--net", *([] if user.uid == 0 else ["--map-root-user"])]
    words += ["sh", "-c", "ip link set lo up && echo up && exec sleep 600"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, **user.identity()) as holder:  # type: ignore[call-overload]
        try:
            assert holder.stdout.readline() == "up\n"
            yield Bridged(holder.pid)
        finally:
            holder.kill()
