"""`nsvisor` as an operator runs it beside the soak: to an end, or following until it is ended."""

import json
import random
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from typing import Any

import psutil

from tests.soak.place import Place
from tests.torture.invariants import Invariants

FOLLOWERS = (
    ("logs", "-f", "-n", "5"),
    ("logs", "-f", "--json", "flood"),
    ("logs", "-f", "--all"),
    ("events",),
    ("events", "--json"),
)
MOST_FOLLOWERS = 4
UNKNOWN = 3  # there is no such worker, in this variant
# Who is started by nohup or in the background has SIGINT ignored, and so has what it starts.
GENTLY = signal.SIGTERM if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else signal.SIGINT


class Commands:
    """What is started here is ended here."""

    def __init__(self, place: Place, invariants: Invariants) -> None:
        self.place = place
        self.invariants = invariants
        self._followers: list[tuple[float, subprocess.Popen[bytes], Any, tuple[str, ...]]] = []

    def run(self, *arguments: str, timeout_s: float = 400.0) -> "subprocess.CompletedProcess[str] | None":
        """To its end; None where that took too long, which is said."""
        words, environ = self.place.words(*arguments)
        pipe = subprocess.PIPE
        try:
            done = subprocess.run(
                words,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=pipe,
                stderr=pipe,
                env=environ,
                text=True,
                errors="replace",
                timeout=timeout_s,
                cwd="/",
            )
        except subprocess.TimeoutExpired:
            self.invariants.say(f"nsvisor {' '.join(arguments)}: no end after {timeout_s} s")
            return None
        self._judge(arguments, done.stderr)
        return done

    def json(self, *arguments: str) -> bool:
        """One whose output is JSON; whether it succeeded."""
        done = self.run(*arguments)
        if done is None or done.returncode != 0:
            return done is None or done.returncode == UNKNOWN
        json.loads(done.stdout)
        return True

    def follow(self, dice: random.Random) -> None:
        """Another follower, for some seconds; one in four does not read what it is sent."""
        arguments = dice.choice(FOLLOWERS)
        reads = dice.random() < 0.75
        for_s = dice.uniform(0.5, 15)
        self.tidy()
        if len(self._followers) >= MOST_FOLLOWERS:
            return
        words, environ = self.place.words(*arguments)
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with its follower
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if reads else subprocess.PIPE,
            stderr=errors,
            env=environ,
            cwd="/",
        )
        self._followers.append((time.monotonic() + for_s, process, errors, arguments))

    def tidy(self, *, everything: bool = False) -> None:
        """End those whose time has come."""
        for one in list(self._followers):
            ends_at, process, errors, arguments = one
            if not everything and time.monotonic() < ends_at and process.poll() is None:
                continue
            self._followers.remove(one)
            self._signal(process, signal.SIGKILL if process.stdout else GENTLY)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                self.invariants.say(f"nsvisor {' '.join(arguments)} does not end on {GENTLY.name}")
                self._signal(process, signal.SIGKILL)
                process.wait()
            if process.stdout:
                process.stdout.close()
            errors.seek(0)
            self._judge(arguments, errors.read().decode(errors="replace"))
            errors.close()

    def _signal(self, process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
        """To the command itself, so that what has entered namespaces for it waits for it and leaves too."""
        with suppress(psutil.Error, ProcessLookupError):
            entering = psutil.Process(process.pid)
            while process.poll() is None and entering.name() == "nsenter":
                for child in entering.children():
                    child.send_signal(number)
                    return
                time.sleep(0.01)
            process.send_signal(number)

    def _judge(self, arguments: tuple[str, ...], errors: str) -> None:
        interrupted = errors.rstrip().endswith("KeyboardInterrupt") or "Fatal Python error: init" in errors
        if "Traceback" in errors and not interrupted:  # Python itself may have been on its way up
            self.invariants.say(f"nsvisor {' '.join(arguments)}: {errors}")
