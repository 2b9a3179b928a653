"""Secrets: what they are called, where they go and whose they are. Their content never comes near a plan."""

from supervisor.sandbox.ids import identify
from supervisor.sandbox.steps.step import Step
from supervisor.spec.facts import HostFacts
from supervisor.spec.model import Worker
from supervisor.spec.model_sandbox import SECRETS


def secret_steps(worker: Worker, facts: HostFacts) -> list[Step]:
    """One each. The last one below /run/secrets closes it."""
    if not worker.secrets:
        return []
    identity = identify(worker, facts)
    shared = [secret.id for secret in worker.secrets if secret.place.rpartition("/")[0] == SECRETS]
    steps = []
    for secret in worker.secrets:
        target = secret.place
        place = "own" if secret.id not in shared else "last" if secret.id == shared[-1] else "more"
        owner = (identity.uid, identity.gid, identity.name)
        arguments = (secret.id, target, secret.mode, *owner, place, int(secret.optional))
        steps.append(Step("mount.secret", f"{target} mode {secret.mode}", arguments))
    return steps
