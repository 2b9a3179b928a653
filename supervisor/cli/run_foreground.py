"""The part of `nsvisor run` that runs: Trio, the terminal, phases on standard error, the exit status."""

import os
import re
import sys
import time
from contextlib import nullcontext

import msgspec
import trio
from msgspec.structs import replace

from supervisor.cli.run import BY_SIGNAL, NOT_EXECUTABLE, NOT_FOUND, OURS, TIMED_OUT
from supervisor.cli.words import size, span
from supervisor.host.facts import gather
from supervisor.runtime import address_book
from supervisor.runtime.foreground import Extras, Outcome, run_foreground
from supervisor.runtime.id_book import borrow
from supervisor.runtime.keeper_errors import KeeperGoneError
from supervisor.runtime.sigsys import explain_sigsys
from supervisor.runtime.terminal import Terminal
from supervisor.sandbox.hints import hint
from supervisor.sandbox.ids import PlanError
from supervisor.sandbox.plan import Plan, compile_plan
from supervisor.spec.cgroup_files import CONTROLLERS
from supervisor.spec.facts import CgroupFacts, HostFacts
from supervisor.spec.forms import signal_number
from supervisor.spec.model import Worker
from supervisor.spec.paths import state_dir
from supervisor.spec.records import PhaseRecord

# Of a hint's command, what asks a daemon or a configuration: neither knows of this sandbox.
_OF_A_FLEET = re.compile(r"(?: Try:|;) nsvisor (?:plan|inspect|explain) (?:run|NAME)\b.*")


def run(worker: Worker, extras: Extras, *, log_phases: bool, as_json: bool) -> int:
    """Run it: the exit status for the shell."""
    on_terminal = all(os.isatty(fd) for fd in (0, 1, 2))
    end = "\r\n" if on_terminal else "\n"  # it is raw once the sandbox has its own

    def show(phase: PhaseRecord) -> None:
        if as_json and log_phases:
            print(msgspec.json.encode(phase).decode(), end=end, file=sys.stderr)
        elif log_phases:
            took = f"{phase.duration_us} us"
            note = "" if phase.outcome == "ok" else f"  {phase.outcome.upper()}"
            print(f"{phase.phase:<18}{took:>10}  {phase.detail}{note}", end=end, file=sys.stderr)

    state = state_dir(os.environ, os.geteuid())
    facts = address_book.borrow(worker, borrow(worker, gather(os.environ), state), state)

    def compile_by(facts: HostFacts) -> Plan:
        return compile_plan(worker, extras.index, facts, terminal=on_terminal, passed=extras.pass_fds)

    try:
        # Which controllers there are, only the keeper's place can tell.
        plan = compile_by(replace(facts, cgroups=CgroupFacts(controllers=CONTROLLERS)))
    except PlanError as error:
        print(f"cannot run: {error.phase}: {error}", file=sys.stderr)
        _print_hint(str(hint(error.phase, error.errno_name, error.detail, facts, message=str(error)) or ""))
        return OURS
    try:
        with Terminal() if on_terminal else nullcontext() as terminal:
            outcome = trio.run(run_foreground, worker, plan, compile_by, facts, os.environ, terminal, show, extras)
    except* PlanError as errors:
        print(f"cannot run: {errors.exceptions[0]}", file=sys.stderr)
        _print_hint(str(hint("cgroup.create", "ENODEV") or ""))
        outcome = None
    except* KeeperGoneError as errors:
        print(f"cannot run: no keeper: {errors.exceptions[0]}", file=sys.stderr)
        outcome = None
    if outcome is None:
        return OURS
    _say_limits(outcome)
    if outcome.timed_out:
        print(f"stopped: the time limit of {span(extras.time_limit_s)} is over", file=sys.stderr)
        return TIMED_OUT
    if outcome.status is not None and outcome.status.signal == "SIGSYS":
        call, text = trio.run(explain_sigsys, time.time(), plan, facts)
        print(f"killed by a seccomp filter: {call}" if call else "killed by SIGSYS", file=sys.stderr)
        if outcome.record.failure is None:  # else it has its own
            _print_hint(text)
    return _status(outcome)


def _say_limits(outcome: Outcome) -> None:
    """What was asked for and not applied, and what came of the rest."""
    for phase in outcome.record.phases:
        _, absent, why = phase.detail.partition("not applied: ")
        if phase.phase == "cgroup.create" and absent:
            print(f"limits not applied: {why}", file=sys.stderr)
    if outcome.figures.oom_kills:
        limit, peak = outcome.figures.memory_max_bytes, outcome.figures.memory_peak_bytes
        print(f"out of memory: limit {size(limit)}, peak {size(peak)}", file=sys.stderr)


def _status(outcome: Outcome) -> int:
    if outcome.record.failure is not None:
        return _explain(outcome.record.failure)
    status = outcome.status
    if status is None:
        print("cannot tell how the command ended: the keeper died", file=sys.stderr)
        return OURS
    return status.code or 0 if status.signal is None else signal_status(status.signal)


def signal_status(name: str) -> int:
    """What shells make of a signal that ended a command."""
    bare = name.removeprefix("SIG")
    return BY_SIGNAL + (int(bare) if bare.isdigit() else signal_number(bare))


def _explain(failure: PhaseRecord) -> int:
    why = ": ".join(word for word in (failure.syscall, failure.errno, failure.message) if word)
    about = f" ({failure.detail})" if failure.detail else ""
    print(f"cannot run: {failure.phase}{about}: {why}", file=sys.stderr)
    _print_hint(failure.hint or "")
    if failure.phase == "exec":
        return NOT_FOUND if failure.errno == "ENOENT" else NOT_EXECUTABLE
    return OURS


def _print_hint(text: str) -> None:
    text = _OF_A_FLEET.sub("", text)
    if text:
        print(f"  {text}", file=sys.stderr)
