import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from supervisor.host.facts import gather
from supervisor.runtime.foreground import run_foreground
from supervisor.sandbox.plan import Plan, compile_plan
from supervisor.spec.facts import HostFacts
from supervisor.spec.model import Stop, Worker
from supervisor.spec.records import PhaseRecord
from tests.nsinit.keepers import children
from tests.runtime.fleets import ENVIRON, descriptors, links, until

ROOT = Path(__file__).parents[2]
SCRIPT = """
import os, sys, trio
from supervisor.host.facts import gather
from supervisor.runtime.foreground import run_foreground
from supervisor.sandbox.plan import compile_plan
from supervisor.spec.model import Worker
worker = Worker(name="run", command=tuple(sys.argv[1:]))
facts = gather(os.environ)
plan = compile_plan(worker, 0, facts)
outcome = trio.run(run_foreground, worker, plan, lambda _: plan, facts, os.environ, None, lambda _: None)
print(outcome.status.code, outcome.status.signal)
"""


async def run(*command: str, **keys: object) -> tuple[list[PhaseRecord], object, object]:
    worker = Worker(name="run", command=command, **keys)  # type: ignore[arg-type]
    facts = gather(ENVIRON)
    phases: list[PhaseRecord] = []

    def plan_by(facts: HostFacts) -> Plan:
        return compile_plan(worker, 0, facts)

    outcome = await run_foreground(worker, plan_by(facts), plan_by, facts, ENVIRON, None, phases.append)
    return phases, outcome.status, outcome.record.failure


@pytest.mark.parametrize(("script", "expected"), [("exit 3", (3, None)), ("kill -KILL $$", (None, "SIGKILL"))])
async def test_it_ends_with_its_status(script: str, expected: tuple[object, object]) -> None:
    before = descriptors()
    _, status, failure = await run("sh", "-c", script)
    assert failure is None
    assert (status.code, status.signal) == expected  # type: ignore[attr-defined]
    assert links(descriptors() - before) == []


async def test_a_set_up_that_fails_leaves_nothing() -> None:
    before = descriptors()
    phases, _, failure = await run("no-such-command")
    assert failure is phases[-1]
    assert phases[-1].phase == "exec"
    assert links(descriptors() - before) == []


async def test_signals_are_passed_on() -> None:
    async with trio.open_nursery() as nursery:

        async def end() -> None:
            await until(lambda: any(children(pid) for pid in children(os.getpid())), "a sandbox")
            await trio.sleep(0.2)
            os.kill(os.getpid(), signal.SIGTERM)

        nursery.start_soon(end)
        _, status, _ = await run("sleep", "1000", stop=Stop(grace_s=1.0))
    assert status.signal == "SIGTERM"  # type: ignore[attr-defined]


async def test_the_sandbox_ends_with_the_one_who_runs_it() -> None:
    with subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", SCRIPT, "sh", "-c", "echo up; exec sleep 1000"],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=ENVIRON | {"PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        (keeper,) = children(process.pid)
        (sandbox,) = children(keeper)
        watched = [os.pidfd_open(pid) for pid in (keeper, sandbox)]
        process.kill()
        process.wait()
    for fd in watched:
        with trio.fail_after(5):
            await trio.lowlevel.wait_readable(fd)
        os.close(fd)
