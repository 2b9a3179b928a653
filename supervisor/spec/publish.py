"""The modes of a network that lead out, and what the instances of a worker publish."""

from supervisor.spec.address_forms import Published, parse
from supervisor.spec.model import Worker

PASTA, BRIDGE = OUTWARD = ("pasta", "bridge")  # out of a network namespace of the worker's own


def published(worker: Worker, index: int) -> tuple[Published, ...]:
    """What one instance publishes, in the order of `publish`."""
    return tuple(parse(text, index) for text in worker.network.publish)
