"""What systems that are booted for checks have in common: a folder that they share with us, and what they said."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

GUESTS = Path(__file__).with_name("guests")
SHOWN = 6000  # characters of each log in a message
END_S = 30.0  # for clean-up


class Booted:
    """What a system left behind in the folder, and said on its console, after it was switched off."""

    def __init__(self, folder: Path, console: str, ended: str) -> None:
        self.ended = ended
        self.console = console
        lines = [line for file in folder.glob("*.checks") for line in file.read_text().splitlines()]
        self.checks: dict[str, dict[str, Any]] = {one["check"]: one for one in map(json.loads, lines)}
        self.texts = {file.name: file.read_text(errors="replace") for file in sorted(folder.glob("journal-*"))}
        self.said = {file.stem: file.read_text(errors="replace") for file in folder.glob("*.said")}

    def judge(self, name: str) -> None:
        """AssertionError, with the logs, unless this check was made and held."""
        found = self.checks.get(name)
        if found is None:
            raise AssertionError(f"{name} was not reached: {self.ended}\n{self.logs()}")
        if found["error"]:
            raise AssertionError(f"{found['error']}\n{self.logs()}")

    def logs(self) -> str:
        logs = {"console": self.console, **self.texts}
        return "\n".join(f"--- {name}\n{text[-SHOWN:]}" for name, text in logs.items())


@contextmanager
def boot_folder(python: Path, plan: str) -> Iterator[Path]:
    """A folder with the checks and a program `run` that runs those of a plan with this interpreter."""
    folder = Path(tempfile.mkdtemp(prefix="nsvisor-guest-"))
    try:
        folder.chmod(0o755)
        package = folder / "tests" / "vehicles"
        shutil.copytree(GUESTS, package / "guests", ignore=shutil.ignore_patterns("__pycache__"))
        for empty in (folder / "tests", package):
            (empty / "__init__.py").touch()
        run = folder / "run"
        module = "tests.vehicles.guests.runner"
        run.write_text(f"#!/bin/sh\ncd {folder}\nexec {python} -B -m {module} {folder} {plan} >{folder}/runner 2>&1\n")
        run.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder)


def run_to_its_end(command: Sequence[str], folder: Path, timeout_s: float) -> Booted:
    """Run the vehicle; whatever happens meanwhile, it is ended and has cleaned up before this returns."""
    with (folder / "console").open("w+b") as console:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=console, stderr=subprocess.STDOUT, start_new_session=True
        )
        assert process.stdin is not None
        ended = "it was switched off"
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            ended = f"it did not end within {timeout_s} s"
        finally:
            process.stdin.close()  # asks the vehicle to end, which a signal's death of ours does, too
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        console.seek(0)
        said = console.read().decode(errors="replace")
    runner = folder / "runner"
    return Booted(folder, said + (runner.read_text(errors="replace") if runner.exists() else ""), ended)
