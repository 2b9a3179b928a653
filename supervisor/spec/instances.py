"""A worker as one of its instances sees it."""

import msgspec

from supervisor.spec.model import Worker

INDEX = "{index}"


def for_instance(worker: Worker, index: int) -> Worker:
    """The worker with `{index}` replaced in its command and in the values of its environment."""
    number = str(index)
    if not any(INDEX in text for text in (*worker.command, *worker.env.values())):
        return worker
    return msgspec.structs.replace(
        worker,
        command=tuple(argument.replace(INDEX, number) for argument in worker.command),
        env={name: value.replace(INDEX, number) for name, value in worker.env.items()},
    )
