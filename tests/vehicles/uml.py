"""This machine's root file system under another kernel: User-Mode Linux, with real cgroup controllers. See uml-init.sh.

Debian's package user-mode-linux; neither an image nor /dev/kvm nor root is needed. One processor, no cpuset, no PSI.
"""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.accounts import Account

KERNEL = "linux.uml"
INIT = Path(__file__).with_name("uml-init.sh")
GUEST = Path(__file__).with_name("uml_guest.py")
MEMORY = "700M"
NEEDS = (KERNEL, "getent", "ip", "setpriv", "systemctl", "systemd-run")


def cannot_start() -> str | None:
    """Why it cannot be booted here; None if it can."""
    missing = [program for program in NEEDS if shutil.which(program) is None]
    return f"needs {' '.join(missing)} (packages user-mode-linux, systemd)" if missing else None


class Guest:
    """What a guest said, after it was switched off."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.facts: dict[str, Any] = {}
        self.log: list[dict[str, Any]] = []
        for line in output.splitlines():
            kind, _, rest = line.rstrip("\r").partition(" ")
            if kind == "fact":
                name, _, value = rest.partition(" ")
                self.facts[name] = json.loads(value)
            elif kind == "log" and rest.startswith("{"):
                self.log.append(json.loads(rest))

    def records(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """The daemon's records of this event and with these fields."""
        return [
            one
            for one in self.log
            if one["event"] == event and all(one.get(key) == value for key, value in fields.items())
        ]


def boot(user: Account, python: Path, timeout_s: float) -> Guest:
    """Boot, run uml_guest.py as this user with this interpreter, switch off. AssertionError where it does not end."""
    folder = Path(tempfile.mkdtemp(prefix="nsvisor-uml-"))
    try:
        folder.chmod(0o755)
        for script in (INIT, GUEST):
            shutil.copy(script, folder)
        run = folder / "run"
        run.write_text(f"#!/bin/sh\nexec {python} -B {folder / GUEST.name}\n")
        for file in folder.iterdir():
            file.chmod(0o755)
        words = ["ro", "rootfstype=hostfs", "rootflags=/", f"init={folder / INIT.name}", f"mem={MEMORY}", "quiet"]
        words += [f"uml_dir={folder}", "con0=null,fd:1", "con=null", "ssl=null"]
        words += [f"nsvisor_user={user.name}", f"nsvisor_run={run}"]
        with (folder / "console").open("w+b") as console:
            processor = min(os.sched_getaffinity(0))  # a guest that moves between processors is slow
            process = subprocess.Popen(
                ["taskset", "-c", str(processor), KERNEL, *words],
                stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            try:
                process.wait(timeout_s)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, 9)
                    process.wait()
                console.seek(0)
                output = console.read().decode(errors="replace")
    except subprocess.TimeoutExpired:
        raise AssertionError(f"the guest did not end within {timeout_s} s\n{output}") from None
    finally:
        shutil.rmtree(folder)
    return Guest(output)
