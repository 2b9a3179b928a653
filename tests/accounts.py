"""Who the tests run the program as: an ordinary user, made when root runs them, else whoever does."""

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

NAME = "nsvtest"
SUBORDINATE_COUNT = 65536
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Account:
    """One user, and what a process needs to run as it."""

    name: str
    uid: int
    gid: int
    home: str

    @property
    def is_me(self) -> bool:
        return self.uid == os.geteuid()

    def identity(self) -> dict[str, object]:
        """Keywords for subprocess that make the child this user."""
        return {} if self.is_me else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def owns(self, path: Path) -> Path:
        """Give `path` to this user."""
        if not self.is_me:
            os.chown(path, self.uid, self.gid)
        return path


def account(name: str) -> Account:
    found = pwd.getpwnam(name)
    return Account(found.pw_name, found.pw_uid, found.pw_gid, found.pw_dir)


def me() -> Account:
    return account(pwd.getpwuid(os.geteuid()).pw_name)


def ordinary_user() -> Account:
    """The user who runs the tests; for root: a user of the tests' own, with subordinate ids."""
    if os.geteuid() != 0:
        return me()
    try:
        user = account(NAME)
    except KeyError:
        subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", NAME], check=True, stdin=subprocess.DEVNULL)
        user = account(NAME)
    for file in ("/etc/subuid", "/etc/subgid"):
        _ensure_range(Path(file), user.name)
    return user


def _ensure_range(file: Path, name: str) -> None:
    lines = file.read_text().splitlines() if file.exists() else []
    if any(line.split(":")[0] == name for line in lines):
        return
    ends = [int(start) + int(count) for _, start, count in (line.split(":") for line in lines if line.count(":") == 2)]
    with file.open("a") as out:
        out.write(f"{name}:{max([100000, *ends])}:{SUBORDINATE_COUNT}\n")


def needs_a_range(user: Account) -> None:
    """Skip the test where this user has no subordinate ids to map, or no helper that maps them."""
    if shutil.which("newuidmap") is None:
        pytest.skip("needs newuidmap (package uidmap)")
    lines = Path("/etc/subuid").read_text().splitlines() if Path("/etc/subuid").exists() else []
    if user.uid and not any(line.partition(":")[0] in {user.name, str(user.uid)} for line in lines):
        pytest.skip("needs a line in /etc/subuid")


def interpreter() -> Path:
    """The Python that runs the tests."""
    return Path(sys.executable)


def _reaches(user: Account, python: Path) -> bool:
    command = [python, "-I", "-c", "import supervisor, trio"]
    try:
        probe = subprocess.run(command, check=False, capture_output=True, cwd="/", **user.identity())  # type: ignore[call-overload]
    except PermissionError:
        return False
    return bool(probe.returncode == 0)


def program_folder(user: Account) -> tuple[Path, Path | None]:
    """The folder whose `python` and `nsvisor` this user can run, and what to remove afterwards.

    The environment of the tests where the user can reach it; else, since a clone may lie in a closed folder,
    a copy of it below the temporary folder, with the package built as a wheel and installed.
    """
    mine = interpreter()
    if _reaches(user, mine):
        return mine.parent, None
    top = Path(tempfile.mkdtemp(prefix="nsvisor-test-"))
    top.chmod(0o755)
    target = top / "venv"
    base: str = getattr(sys, "_base_executable", sys.executable)
    subprocess.run([base, "-m", "venv", "--without-pip", target], check=True)
    shutil.copytree(
        sysconfig.get_path("purelib"),
        target / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages",
        ignore=shutil.ignore_patterns("*nsvisor*", "mypy*", "pip*", "hypothesis*", "hatchling*"),
        dirs_exist_ok=True,
    )
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", top, ROOT], check=True)
    wheel = next(top.glob("nsvisor-*.whl"))
    subprocess.run(
        [*pip, "--python", target / "bin" / "python", "install", "--no-deps", "--no-index", wheel], check=True
    )
    return target / "bin", top
