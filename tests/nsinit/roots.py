"""Folders and root file systems that a keeper's user owns."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from supervisor.spec.model import Mount
from tests.nsinit.people import Who

DIRECTORIES = ("bin", "dev", "etc", "proc", "tmp", "usr", "lib", "lib64", "srv")


class Folder:
    """A place below the temporary folder that its user reaches."""

    def __init__(self, who: Who) -> None:
        self.who = who
        self.top = Path(tempfile.mkdtemp(prefix="nsvisor-test-"))
        self.top.chmod(0o755)
        who.account.owns(self.top)

    def directory(self, name: str, mode: int = 0o755) -> Path:
        """A new one."""
        path = self.top / name
        path.mkdir()
        path.chmod(mode)
        return self.who.account.owns(path)

    def file(self, name: str, text: str = "", mode: int = 0o644) -> Path:
        """A new one."""
        path = self.top / name
        path.write_text(text)
        path.chmod(mode)
        return self.who.account.owns(path)

    def rootfs(self, name: str = "root") -> Path:
        """A root without programs, but with their mount points."""
        root = self.directory(name)
        for directory in DIRECTORIES:
            self.directory(f"{name}/{directory}")
        return root

    def busybox(self, name: str = "busybox") -> Path:
        """A root with nothing in it but a static busybox."""
        root = self.directory(name)
        self.directory(f"{name}/bin")
        busybox = shutil.which("busybox")
        if busybox is None:
            pytest.skip("needs busybox-static")
        self.who.account.owns(Path(shutil.copy(busybox, root / "bin/busybox")))
        for tool in ("sh", "cat", "echo", "ls", "id", "stat", "mount", "touch", "grep", "pwd"):
            os.symlink("busybox", root / "bin" / tool)
        return root

    def programs(self) -> tuple[Mount, ...]:
        """The host's programs, for `rootfs`."""
        return tuple(Mount("bind", f"/{name}", f"/{name}", ("ro",)) for name in ("usr", "bin", "lib", "lib64"))

    def remove(self) -> None:
        """With all that is in it."""
        shutil.rmtree(self.top)
