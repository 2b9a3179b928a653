"""Run the checks of this boot, as root in a booted system, and then restart it or switch it off.

    python -m tests.vehicles.guests.runner OUT PLAN

PLAN names the modules for each boot. A check is a function `check_…` of such a module; they run in the order of the
file, and one that fails is the last of its module. To OUT/MODULE.checks goes one line of JSON for each, and to
OUT/journal-N what the journal says of the boot.
"""

import importlib
import json
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Which modules are run where. A comma: one after the other; a plus: at the same time; a slash: in the next boot.
NSPAWN = "user_service+root_service/second_boot"
UML = "limits,clock"
BOOTS = Path("/var/lib/guest-boots")


def checks(module: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """Name and function of each, in the order of the file."""
    found = vars(importlib.import_module(f"tests.vehicles.guests.{module}"))
    yield from ((name.removeprefix("check_"), made) for name, made in found.items() if name.startswith("check_"))


def names(plan: str) -> list[str]:
    """All checks of a plan: module.check."""
    return [f"{module}.{name}" for module in re.split("[,+/]", plan) for name, _ in checks(module)]


def run(module: str, out: Path) -> None:
    """Run its checks, and tell of each."""
    with (out / f"{module}.checks").open("w", buffering=1) as told:
        for name, check in checks(module):
            began, error = time.monotonic(), ""
            try:
                check()
            except Exception:  # noqa: BLE001  (whatever it is, it is told)
                error = traceback.format_exc()
            took_s = round(time.monotonic() - began, 2)
            told.write(json.dumps({"check": f"{module}.{name}", "error": error, "took_s": took_s}) + "\n")
            if error:
                break


def main(out: Path, plan: str) -> None:
    boot = int(BOOTS.read_text()) + 1 if BOOTS.exists() else 1
    BOOTS.write_text(str(boot))
    boots = plan.split("/")
    try:
        for together in boots[boot - 1].split(","):
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda module: run(module, out), together.split("+")))
        with (out / f"journal-{boot}").open("w") as journal:
            subprocess.run(
                ["journalctl", "--boot", "--no-pager", "--output=short-monotonic"], check=False, stdout=journal
            )
    finally:
        subprocess.run(["systemctl", "reboot" if boot < len(boots) else "poweroff"], check=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
