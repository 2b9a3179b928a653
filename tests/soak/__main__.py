"""`python -m tests.soak --minutes 60 [--seed N] [--under systemd|none]`: exit status 1 where something did not hold."""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.accounts import Account, ordinary_user, program_folder
from tests.e2e.private_network import TUN
from tests.program import Program
from tests.soak.fleet import prepare
from tests.soak.place import Alone, UnderSystemd
from tests.soak.report import Report, table, verdict
from tests.soak.soak import Soak
from tests.vehicles.user_manager import cannot_start, user_manager

PATHS = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")
Say = Callable[[str], object]


def under_systemd(seconds: float, seed: int, say: Say, keep: Path | None = None) -> Report:
    """keep: a folder for logs and markers where something did not hold."""
    user = ordinary_user()
    folder, copy = program_folder(user)
    try:
        with user_manager(user, [folder, *PATHS]) as manager:
            enter = ["nsenter", "--target", str(manager.pid), "--mount", "--pid", "--", "sh", "-c", TUN]
            has_tun = subprocess.run(enter, check=False).returncode == 0
            place = UnderSystemd(manager)
            _give(user, place.data)
            report = Soak(place, seed, say, has_tun=has_tun).run(seconds)
            if report.broken and keep is not None:
                _keep(manager.home, keep)
            return report
    finally:
        if copy is not None:
            shutil.rmtree(copy)


def alone(seconds: float, seed: int, say: Say, keep: Path | None = None) -> Report:
    """Without a service manager, and so without a scope: workers die with their keeper."""
    user = ordinary_user()
    folder, copy = program_folder(user)
    program = Program(user, folder)
    try:
        place = Alone(program)
        _give(user, place.data)
        report = Soak(place, seed, say, has_tun=False).run(seconds)
        if report.broken and keep is not None:
            _keep(program.top, keep)
        return report
    finally:
        program.remove()
        if copy is not None:
            shutil.rmtree(copy)


def _keep(top: Path, keep: Path) -> None:
    ignored = shutil.ignore_patterns("*.sock", "*.count", "root", "upper*")
    shutil.copytree(top, keep, symlinks=True, dirs_exist_ok=True, ignore=ignored)


def _give(user: Account, data: Path) -> None:
    for path in prepare(data):
        user.owns(path)


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None, help="of an earlier run, to ask for the same again")
    parser.add_argument("--under", choices=("systemd", "none"), default="systemd")
    arguments = parser.parse_args()
    if arguments.under == "systemd" and (reason := cannot_start()) is not None:
        print(f"cannot soak under systemd: {reason}", file=sys.stderr)
        return 2
    seed = random.SystemRandom().randrange(1 << 32) if arguments.seed is None else arguments.seed
    print(f"{arguments.minutes:g} min, under {arguments.under}, seed {seed}", flush=True)
    keep = Path(tempfile.mkdtemp(prefix="nsvisor-soak-"))
    run = under_systemd if arguments.under == "systemd" else alone
    report = run(arguments.minutes * 60, seed, lambda text: print(text, flush=True), keep)
    print(table(report))
    print(verdict(report), flush=True)
    if not report.broken:
        keep.rmdir()
        return 0
    print(f"logs and markers are in {keep}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
