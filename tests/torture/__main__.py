"""`python -m tests.torture --rounds 200 [--seed N]`: exit status 1 where something did not hold. Needs root once."""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.accounts import ordinary_user, program_folder
from tests.torture.rounds import Report, Torture
from tests.torture.service import Service
from tests.vehicles.user_manager import cannot_start, user_manager


def torture(rounds: int, seed: int, keep: Path | None = None) -> Report:
    """Under a user manager of its own. keep: a folder for logs and markers where something did not hold."""
    user = ordinary_user()
    folder, copy = program_folder(user)
    try:
        with user_manager(user, [folder, "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]) as manager:
            report = Torture(Service(manager), seed).run(rounds)
            if report.broken and keep is not None:
                shutil.copytree(manager.home, keep, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))
            return report
    finally:
        if copy is not None:
            shutil.rmtree(copy)


def table(report: Report) -> str:
    """For people."""
    rows = [("kills", sum(report.kills.values()))]
    rows += [(f"  at {moment}", count) for moment, count in sorted(report.kills.items())]
    rows += [(name, figure) for name, figure in report.figures.items()]  # type: ignore[misc]
    lines = [f"{name:<20} {figure:>10}" for name, figure in rows]
    return "\n".join([f"{report.rounds} rounds, seed {report.seed}", *lines])


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None, help="of an earlier run, to repeat what it did")
    arguments = parser.parse_args()
    if (reason := cannot_start()) is not None:
        print(f"cannot torture here: {reason}", file=sys.stderr)
        return 2
    seed = random.SystemRandom().randrange(1 << 32) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    keep = Path(tempfile.mkdtemp(prefix="nsvisor-torture-"))
    report = torture(arguments.rounds, seed, keep)
    print(table(report))
    if not report.broken:
        keep.rmdir()
        print("holds: every invariant")
        return 0
    print(f"\nbroken (repeat with --seed {seed}; logs and markers are in {keep}):")
    for what in report.broken:
        print(f"  {what}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
