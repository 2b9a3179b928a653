"""Whether a program could go on as this daemon: it is started with `daemon --check`, and says so itself.

What it prints is the contract between versions, as is the first line of the state: JSON, one object, the fields of
Verdict; a later version may add some.
"""

import os
import subprocess
from collections.abc import Mapping

import msgspec
import trio

from supervisor import __version__
from supervisor.host.possible import possible_here
from supervisor.runtime.handover import FORMAT, VARIABLE
from supervisor.runtime.keeper_greeting import SPOKEN
from supervisor.runtime.program import Program
from supervisor.runtime.state import StateFile, UnreadableStateError
from supervisor.spec.errors import ConfigError, Problem
from supervisor.spec.load import find_config, load_config
from supervisor.wire import PROTOCOL

STATE_VARIABLE = "NSVISOR_CHECK_STATE"  # the number of a descriptor, for reading
CHECK_TIMEOUT_S = 60.0
WORDS_LENGTH = 2000  # of what it wrote to standard error, the end


class Verdict(msgspec.Struct, frozen=True):
    """What a program says of itself."""

    version: str
    handover: int  # the format that it takes
    keeper_protocols: tuple[int, ...]  # that it speaks with a keeper
    state_error: str | None = None  # why it cannot read the state
    problems: tuple[Problem, ...] = ()  # of the configuration


class CannotReexecError(Exception):
    """The daemon stays what it is: "cannot re-execute: …"."""

    def __init__(self, why: str) -> None:
        super().__init__(f"cannot re-execute: {why}")


def look(config: str | None, environ: Mapping[str, str]) -> Verdict:
    """The program's side: read the configuration and the state, change nothing."""
    problems: tuple[Problem, ...] = ()
    try:
        possible_here(load_config(find_config(config, environ, os.geteuid())))
    except ConfigError as error:
        problems = error.problems
    return Verdict(__version__, FORMAT, SPOKEN, _state_error(environ.get(STATE_VARIABLE)), problems)


def _state_error(number: str | None) -> str | None:
    if number is None:
        return None
    try:
        StateFile(int(number)).load()
    except (UnreadableStateError, OSError, ValueError) as error:
        return str(error)
    return None


async def check(program: Program, environ: Mapping[str, str], state_fd: int) -> Verdict:
    """The daemon's side. CannotReexecError; ConfigError with all that is wrong with the configuration."""
    verdict = await _ask(program, environ, state_fd)
    if verdict.problems:
        raise ConfigError(verdict.problems)
    if verdict.state_error is not None:
        raise CannotReexecError(
            f"nsvisor {verdict.version} cannot read the state of the workers: {verdict.state_error}"
        )
    if verdict.handover != FORMAT:
        raise CannotReexecError(
            f"nsvisor {verdict.version} takes over by format {verdict.handover}, this is {__version__} with {FORMAT}: "
            "restart it instead"
        )
    if PROTOCOL not in verdict.keeper_protocols:
        spoken = ", ".join(map(str, verdict.keeper_protocols))
        raise CannotReexecError(
            f"nsvisor {verdict.version} cannot talk to the keeper of the workers, which speaks protocol {PROTOCOL} and "
            f"not {spoken}: restart it instead"
        )
    return verdict


async def _ask(program: Program, environ: Mapping[str, str], state_fd: int) -> Verdict:
    words = [*program.arguments, "--check"]
    readable = os.open(f"/proc/self/fd/{state_fd}", os.O_RDONLY | os.O_CLOEXEC)
    given = {name: value for name, value in environ.items() if name not in (VARIABLE, "NOTIFY_SOCKET")}
    try:
        with trio.fail_after(CHECK_TIMEOUT_S):
            done = await trio.run_process(
                words,
                executable=program.path,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                stdin=subprocess.DEVNULL,
                pass_fds=(readable,),
                env={**given, STATE_VARIABLE: str(readable)},
            )
    except OSError as error:
        raise CannotReexecError(f"{program.path}: {error.strerror} (or its interpreter)") from None
    except trio.TooSlowError:
        raise CannotReexecError(f"`{' '.join(words)}` did not end within {CHECK_TIMEOUT_S:g} s") from None
    finally:
        os.close(readable)
    try:
        if done.returncode == 0:
            return msgspec.json.decode(done.stdout, type=Verdict)
        how = f"exit status {done.returncode}"
    except msgspec.DecodeError as error:
        how = f"its answer makes no sense ({error})"
    said = (done.stderr or done.stdout).decode(errors="replace").strip()[-WORDS_LENGTH:]
    raise CannotReexecError(f"`{' '.join(words)}` failed: {how}" + (f": {said}" if said else ""))
