"""Attacks tried inside a sandbox: `NAME: attempt` pairs in, NAME and the errno of each (0 where it worked) out."""

import errno
import json
from typing import Any

from msgspec.structs import replace

from supervisor.sandbox.plan import Plan, compile_plan
from supervisor.spec.model import Worker
from tests.nsinit.keepers import Keeper
from tests.nsinit.probes import SYSTEM_CALLS, python
from tests.nsinit.sandboxes import run

HEAD = (
    SYSTEM_CALLS
    + """
import errno, fcntl, json, socket, struct, sys, termios
libc.syscall.restype = ctypes.c_long
found = {}
def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def opened(path, flags=os.O_WRONLY):
    os.close(os.open(path, flags))
def attempt(function):
    def tried(*arguments):
        try:
            function(*arguments)
        except OSError as error:
            return error.errno
        return 0
    found[function.__name__] = tried()
    return tried
"""
)
TAIL = """
print(json.dumps(found))
"""


def attempting(source: str, **keys: Any) -> Worker:
    """A worker that makes the attempts: functions decorated with @attempt; keys: of the worker."""
    return python(HEAD + source + TAIL, **keys)


def outcomes(keeper: Keeper, what: Worker | Plan, **options: Any) -> dict[str, str]:
    """What came of each attempt: an errno's name, or "" where it worked."""
    ran = run(keeper, what, **options)
    assert (ran.failure, ran.status) == (None, 0), ran
    found: dict[str, int] = json.loads(ran.out)
    return {name: errno.errorcode[number] if number else "" for name, number in found.items()}


def without(keeper: Keeper, worker: Worker, *phases: str) -> Plan:
    """Its plan with these phases left out: what the attack does where they are not."""
    plan = compile_plan(worker, 0, keeper.who.facts)
    assert {step.phase for step in plan.steps} >= set(phases)
    return replace(plan, steps=tuple(step for step in plan.steps if step.phase not in phases))
