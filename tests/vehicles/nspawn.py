"""A full systemd, with a login manager and a lingering user, booted from this machine's own files: see nspawn.sh.

What is checked in it is in guests/: one function for each check, run there as root.
"""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from tests.accounts import ROOT
from tests.vehicles.booted import Booted, boot_folder, run_to_its_end

SCRIPT = Path(__file__).with_name("nspawn.sh")
NEEDS = ("loginctl", "setpriv", "su", "systemd-nspawn", "unshare", "useradd")


def cannot_start() -> str | None:
    """Why it cannot be booted here; None if it can."""
    if os.geteuid() != 0:
        return "needs root, for mounts and a login manager"
    missing = [program for program in NEEDS if shutil.which(program) is None]
    return f"needs {' '.join(missing)} (packages systemd-container, libpam-systemd, passwd)" if missing else None


def boot(program_bin: Path, plan: str, timeout_s: float) -> Booted:
    """Boot, run the checks of this plan (see guests/runner.py), switch off."""
    with boot_folder(program_bin / "python", plan) as folder:
        binds = {program_bin.parent, Path(sys.base_prefix), Path(sysconfig.get_path("purelib")), ROOT}
        outside = [str(one) for one in sorted(binds) if not one.is_relative_to("/usr")]
        return run_to_its_end([str(SCRIPT), str(folder), str(folder / "run"), *outside], folder, timeout_s)
