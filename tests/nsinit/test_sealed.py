"""The interpreter's own file is out of reach of a sandbox that has its owner's ids (runc CVE-2019-5736)."""

import fcntl
import os
import shutil
import subprocess
import sys

from supervisor.nsinit.sealed import SEALS
from supervisor.spec.model import Mount
from tests.nsinit.keepers import Keeper
from tests.nsinit.people import Who
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import run, worker

F_GET_SEALS = 1034
SHOW = """
import os, sys
sys.path.insert(0, sys.argv[1])
from supervisor.nsinit.sealed import execute_sealed
execute_sealed()
print(os.readlink("/proc/self/exe"), sys.prefix, len(os.listdir("/proc/self/fd")), sys.argv[2:])
"""


def test_the_keepers_interpreter_cannot_be_written_to(keeper: Keeper) -> None:
    exe = f"/proc/{keeper.pid}/exe"
    if os.readlink(exe).startswith("/memfd:"):
        fd = os.open(exe, os.O_RDONLY)
        assert fcntl.fcntl(fd, F_GET_SEALS) == SEALS
        os.close(fd)
    else:  # then it is a file of somebody else's, whom no sandbox of this user can be
        found = os.stat(exe)
        assert keeper.who.account.uid not in (0, found.st_uid)


def test_one_that_its_user_could_write_to_is_copied(who: Who, folder: Folder) -> None:
    own = folder.top / "python3"
    shutil.copy(os.path.realpath(sys.executable), own)
    who.account.owns(own)
    command = [str(own), "-I", "-S", "-c", SHOW, who.package_parent, "word"]
    base = {"PYTHONHOME": sys.base_prefix}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=base, **who.account.identity())  # type: ignore[call-overload]
    link, rest = done.stdout.split(" ", 1)
    assert link == "/memfd:python"
    assert rest.endswith(" 4 ['word']\n")


def test_a_trap_in_the_commands_place(keeper: Keeper, folder: Folder) -> None:
    """What executes it is the copy, or nothing that the sandbox may write to: either way the file stays as it is."""
    folder.file("trap", "#!/proc/self/exe\nimport os\nprint(os.access('/proc/self/exe', os.W_OK))\n", 0o755)
    mounts = (Mount(type="bind", source=str(folder.top), target="/trap"),)
    ran = run(keeper, worker(["/trap/trap"], mounts=mounts))
    sealed = os.readlink(f"/proc/{keeper.pid}/exe").startswith("/memfd:")
    assert ran.failure is None
    assert sealed or ran.out == "False\n"
