"""What a reload is to launch, gone through before anything is touched: plans that cannot be made, secrets not there."""

from collections.abc import Mapping
from functools import partial

import trio

from supervisor.policy.diff import FleetDiff
from supervisor.runtime.secrets import look
from supervisor.runtime.turns import Portions
from supervisor.sandbox.ids import PlanError
from supervisor.sandbox.plan import compile_plan
from supervisor.spec.errors import ConfigError, Problem
from supervisor.spec.facts import HostFacts
from supervisor.spec.instances import for_instance
from supervisor.spec.locate import Lines
from supervisor.spec.model import Fleet, Worker, instance_names

SECRETS_TIMEOUT_S = 5.0  # all of them: one may lie on a server that is gone


async def rehearse(new: Fleet, found: FleetDiff, facts: HostFacts, environ: Mapping[str, str]) -> None:
    """Go through each instance that is new or needs another sandbox. ConfigError, with all that was found.

    facts: the host's, as they would be under the new configuration.
    """
    anew = {*found.added, *(change.instance for change in found.changed if change.relaunch)}
    problems: dict[Problem, None] = {}
    portions = Portions()
    for worker in new.workers.values():
        for index, name in enumerate(instance_names(worker)):
            if name not in anew:
                continue
            await portions.rest()
            try:
                compile_plan(worker, index, facts)
            except PlanError as error:
                problems[_problem(new, worker, "", f"{error.phase}: {error}")] = None
            for key, message in await _missing_secrets(worker, index, environ):
                problems[_problem(new, worker, key, message)] = None
    if problems:
        raise ConfigError(problems)


async def _missing_secrets(worker: Worker, index: int, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    missing = []
    for secret in for_instance(worker, index).secrets:
        if secret.optional:
            continue
        key = f"secrets.{secret.id}"
        try:
            with trio.fail_after(SECRETS_TIMEOUT_S):
                await trio.to_thread.run_sync(partial(look, secret, environ), abandon_on_cancel=True)
        except OSError as error:
            missing.append((key, error.strerror or str(error)))
        except trio.TooSlowError:
            missing.append((key, f"{secret.source}: no answer within {SECRETS_TIMEOUT_S:g} s"))
    return missing


def _problem(new: Fleet, worker: Worker, key: str, message: str) -> Problem:
    """At the line of the worker's table."""
    path = ("worker", worker.name)
    for file in new.files:
        try:
            with open(file, encoding="utf-8") as opened:
                lines = Lines(opened.read())
        except (OSError, UnicodeDecodeError):  # changed since it was loaded
            continue
        if path in lines.lines:
            return Problem(file, lines.of(path), ".".join([*path, key]) if key else ".".join(path), message)
    return Problem(new.files[0] if new.files else "", None, ".".join(path), message)
