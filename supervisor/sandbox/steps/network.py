"""The sandbox's network."""

from supervisor.sandbox.steps.step import Step
from supervisor.spec.model import Worker


def has_own_network(worker: Worker) -> bool:
    """Whether a network namespace is made for it."""
    return worker.network.mode == "none"


def network_steps(worker: Worker) -> list[Step]:
    """Loopback first."""
    return [Step("net.loopback")] if has_own_network(worker) else []
