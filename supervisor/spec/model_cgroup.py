"""The limits of a whole worker, set in its cgroup (cgroups(7), version 2)."""

from typing import Annotated, Literal

from msgspec import Meta, field

from supervisor.spec.fields import SIZE, Record

Amount = Annotated[int, Meta(ge=0, le=2**63 - 1, extra_json_schema=SIZE)] | Literal["unlimited"]
Cpus = (
    Annotated[float, Meta(gt=0, le=100_000)]
    | Annotated[
        str,
        Meta(
            description='"50%" of one CPU, or a number of CPUs, such as 1.5', extra_json_schema={"x-form": "cpu-share"}
        ),
    ]
)
Weight = Annotated[int, Meta(ge=1, le=10_000)]
CpuList = Annotated[
    int | str, Meta(description='numbers of CPUs, such as "0-3,6"', extra_json_schema={"x-form": "cpu-list"})
]


class CgroupLimits(Record, frozen=True):
    """The part of [worker.NAME.limits] that a cgroup enforces."""

    memory_bytes: Amount | None = field(default=None, name="memory")
    memory_high_bytes: Amount | None = field(default=None, name="memory_high")
    memory_swap_bytes: Amount | None = field(default=None, name="memory_swap")
    pids: Annotated[int, Meta(ge=1, le=2**22)] | Literal["unlimited"] | None = None
    cpu: Cpus | None = None  # a number, once read
    cpu_weight: Weight | None = None
    io_weight: Weight | None = None
    cpuset: CpuList | None = None
    oom_group: bool = True
