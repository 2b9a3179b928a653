"""This machine's root file system under another kernel: User-Mode Linux, with real cgroup controllers. See uml-init.sh.

Debian's package user-mode-linux; neither an image nor /dev/kvm is needed. One processor, no cpuset, no PSI. It boots a
full systemd; what is checked in it is in guests/: one function for each check, run there as root.
"""

import os
import shutil
from pathlib import Path

from tests.vehicles.booted import Booted, boot_folder, run_to_its_end

KERNEL = "linux.uml"
INIT = Path(__file__).with_name("uml-init.sh")
SYSTEM = Path(__file__).with_name("full-system.sh")
MEMORY = "900M"
NEEDS = (KERNEL, "busybox", "loginctl", "setpriv", "taskset", "unshare", "useradd")


def cannot_start() -> str | None:
    """Why it cannot be booted here; None if it can."""
    if os.geteuid() != 0:
        return "needs root: files that the kernel's user cannot read are missing in the guest"
    missing = [program for program in NEEDS if shutil.which(program) is None]
    return f"needs {' '.join(missing)} (packages user-mode-linux, busybox-static, libpam-systemd)" if missing else None


def boot(program_bin: Path, plan: str, timeout_s: float) -> Booted:
    """Boot, run the checks of this plan (see guests/runner.py), switch off."""
    with boot_folder(program_bin / "python", plan) as folder:
        for script in (INIT, SYSTEM):
            shutil.copy(script, folder)
        words = ["ro", "rootfstype=hostfs", "rootflags=/", f"init={folder / INIT.name}", f"mem={MEMORY}", "quiet"]
        words += [f"uml_dir={folder}", "con0=null,fd:1", "con=null", "ssl=null", f"nsvisor_work={folder}"]
        processor = min(os.sched_getaffinity(0))  # a guest that moves between processors is slow
        # Its processes are those of a pid namespace, which ends with us.
        ties = ["setpriv", "--pdeathsig=KILL", "--", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
        return run_to_its_end([*ties, "taskset", "-c", str(processor), KERNEL, *words], folder, timeout_s)
