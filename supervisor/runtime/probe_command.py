"""A command executed in the sandbox as a probe: the worker's locks and limits, but not its cgroup."""

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from supervisor.runtime.execution import PROBE, Caller, Execution, NotUpError, SetupError
from supervisor.runtime.probe_answer import Answer, CannotProbe, shown
from supervisor.sandbox.exec_plan import Command

if TYPE_CHECKING:
    from supervisor.runtime.instance import Instance

LINE_BYTES = 1024  # of standard error are looked at
END_S = 5.0  # for a killed one to be gone


async def probe_command(instance: "Instance", words: tuple[str, ...]) -> Answer:
    """Whether it exits with 0. CannotProbe. Killed, with all that it started, when this is cancelled."""
    words = tuple(word.replace("{index}", str(instance.index)) for word in words)
    try:
        execution = Execution(instance, Command(words), Caller(os.getpid(), os.geteuid()), part=PROBE)
    except (NotUpError, OSError) as error:
        raise CannotProbe(str(error)) from None
    try:
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return await _run(execution, reader, writer)
        finally:
            os.close(reader)
    except OSError as error:  # our own want of descriptors
        raise CannotProbe(f"{words[0]}: {error.strerror}") from None
    finally:
        with trio.CancelScope(shield=True), trio.move_on_after(END_S):
            await execution.end()
        execution.close()


async def _run(execution: Execution, reader: int, writer: int) -> Answer:
    name = execution.command.words[0]
    os.set_blocking(writer, True)
    null = execution.instance.services.null_fd
    try:
        await execution.start((null, null, writer), os.close)
    except SetupError as error:
        failure = error.failure
        if failure.phase != "exec":
            raise CannotProbe(f"{failure.phase}: {failure.errno or ''} {failure.message or ''}".strip()) from None
        return Answer(ok=False, seen=f"{name}: {failure.errno or 'not executed'}")
    finally:
        os.close(writer)
    return await _result(execution, reader)


async def _result(execution: Execution, reader: int) -> Answer:
    said = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_read, reader, said)
        status = await execution.wait()
        with trio.move_on_after(0.05):  # what it wrote last; others may hold the pipe open
            await trio.lowlevel.wait_readable(reader)
        nursery.cancel_scope.cancel()
    with suppress(BlockingIOError):
        said += os.read(reader, LINE_BYTES)
    if status is None or execution.why == "worker":
        raise CannotProbe("it ended with its worker" if status else "its keeper is gone")
    line = next((text for one in bytes(said[:LINE_BYTES]).splitlines() if (text := shown(one))), "")
    ending = f"killed by {status.signal}" if status.signal else f"exit code {status.code}"
    return Answer(ok=status.code == 0, seen=f"{ending}: {line}" if line else ending)


async def _read(reader: int, said: bytearray) -> None:
    """Keep the beginning, and the pipe from being full."""
    while True:
        await trio.lowlevel.wait_readable(reader)
        chunk = os.read(reader, 65536)
        if not chunk:
            return
        said += chunk[: max(0, LINE_BYTES - len(said))]
