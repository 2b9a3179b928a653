"""Programs that look around inside a sandbox and print what they see."""

import json
from typing import Any

from supervisor.spec.model import Worker
from tests.nsinit.keepers import Keeper
from tests.nsinit.sandboxes import output_of, worker

PYTHON = "/usr/bin/python3"
SYSTEM_CALLS = "import ctypes, os, platform\nlibc = ctypes.CDLL(None, use_errno=True)\n"
KEYCTL = SYSTEM_CALLS + "KEYCTL = {'x86_64': 250, 'aarch64': 219}[platform.machine()]\n"
# Before anything is imported that could open a descriptor or change a signal.
CENSUS = """
import os
seen = {"fds": {}, "environ": open("/proc/self/environ").read(), "status": {}}
for name in os.listdir("/proc/self/fd"):
    try:
        seen["fds"][name] = os.readlink("/proc/self/fd/" + name)
    except FileNotFoundError:
        pass
for line in open("/proc/self/status"):
    key, _, value = line.partition(":")
    seen["status"][key] = value.strip()
seen["stat"] = open("/proc/self/stat").read().rpartition(")")[2].split()
seen["limits"] = open("/proc/self/limits").read()
try:
    os.close(os.open("/dev/tty", os.O_RDWR))
    seen["terminal"] = True
except OSError:
    seen["terminal"] = False
import ctypes, json, platform, sys
number = {"x86_64": 250, "aarch64": 219}[platform.machine()]
seen["keyring"] = ctypes.CDLL(None).syscall(number, 0, -3, 0)
death = ctypes.c_int(-1)
ctypes.CDLL(None).prctl(2, ctypes.byref(death), 0, 0, 0)
seen["death_signal"] = death.value
seen["ids"] = [os.getresuid(), os.getresgid(), os.getgroups()]
sys.stdout.write(json.dumps(seen))
"""


def python(source: str, **keys: Any) -> Worker:
    """A worker that is a Python program."""
    return worker([PYTHON, "-I", "-S", "-c", source], **keys)


def census(keeper: Keeper, **keys: Any) -> Any:
    """What CENSUS sees; keys: of the worker."""
    return json.loads(output_of(keeper, python(CENSUS, **keys)))
