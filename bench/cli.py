"""Whole processes, from their start to their end: the commands."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from context import Context
from daemon import NSVISOR, running
from figures import Report
from launch import sandbox
from memory import FLEET, start
from supervisors import Supervisord

WORKERS = 5
BARE, TRIO = "python3 -c pass", "python3 -c 'import trio'"
SUPERVISORCTL = "supervisorctl status"


def took_ms(words: list[str], environ: dict[str, str]) -> float:
    before = time.monotonic()
    subprocess.run(
        words, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
    )
    return (time.monotonic() - before) * 1e3


def measure(context: Context) -> list[Report]:
    workload, scale = context.workload, context.scale
    report = Report("cli", f"whole processes; {WORKERS} workers", "ms", {}, base=BARE)
    place = context.fresh()
    environ = dict(os.environ, XDG_RUNTIME_DIR=str(place / "run"), XDG_STATE_HOME=str(place / "state"))
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    completing = environ | {"_NSVISOR_COMPLETE": "bash_complete", "COMP_WORDS": "nsvisor st", "COMP_CWORD": "1"}
    program, python = str(NSVISOR), sys.executable
    cases: dict[str, tuple[list[str], dict[str, str]]] = {
        BARE: ([python, "-c", "pass"], environ),
        TRIO: ([python, "-c", "import trio"], environ),
        "nsvisor --version": ([program, "--version"], environ),
        "nsvisor, completion": ([program], completing),
        "nsvisor ps": ([program, "ps"], environ),
        "nsvisor run -- true": ([program, "run", "--", "true"], environ),
    }
    peer = Supervisord(workload, context.fresh(), WORKERS, lambda number: [number, "idle"], bwrap=False)
    why = Supervisord.missing(bwrap=False)
    control = Path(Supervisord.found() or "supervisord").with_name("supervisorctl")
    config = FLEET.format(count=WORKERS, init="false", sandbox=sandbox(workload))
    try:
        if why is None:
            peer.prepare()
            peer.start()
            workload.first_of_all(WORKERS, 30.0)
            cases[SUPERVISORCTL] = ([str(control), "-c", str(peer.top / "conf"), "status"], plain)
        else:
            report.notes.append(f"left out: {why}")
        with running(place, config) as daemon:
            start(daemon, WORKERS)
            for words, around in cases.values():
                took_ms(words, around)
            for _ in range(scale.cli_rounds):
                for name in random.sample(list(cases), len(cases)):
                    report.samples.setdefault(name, []).append(took_ms(*cases[name]))
    finally:
        peer.end()
    report.aim("nsvisor ps, against supervisorctl status", "nsvisor ps", SUPERVISORCTL, 1.0)
    report.aim("--version, against a bare interpreter", "nsvisor --version", BARE, 2.0)
    report.aim("completion, against a bare interpreter", "nsvisor, completion", BARE, 2.0)
    report.aim("nsvisor run -- true, against an import of trio", "nsvisor run -- true", TRIO, 2.5)
    return [report]
