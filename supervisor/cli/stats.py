"""`nsvisor stats`."""

import time
from typing import TYPE_CHECKING

import click

from supervisor.cli.acting import seconds
from supervisor.cli.common import ask, json_option, names_argument
from supervisor.cli.group import Settings
from supervisor.cli.output import print_json, print_table

if TYPE_CHECKING:
    from supervisor.control.client import ControlClient
    from supervisor.control.models import StatsView, UsageView

TITLES = ("NAME", "PID", "CPU", "CPU TIME", "MEM", "LIMIT", "PROCESSES", "PRESSURE")
RIGHT = frozenset(TITLES[1:])
SHORTEST_INTERVAL_S = 0.2


@click.command("stats")
@names_argument()
@click.option("-i", "--interval", metavar="TIME", help="Go on, every so often, as in 2s.")
@json_option()
@click.pass_obj
def command(settings: Settings, names: tuple[str, ...], interval: str | None, as_json: bool) -> None:
    """Show CPU and memory use of each sandbox, whole trees, and of the daemon.

    MEM is what the cgroup counts, where it has the memory controller: with page cache. PRESSURE is the share of the
    last 10 s in which something waited for CPU, memory or I/O.

    CPU is the use since it was last asked for; 100% is one CPU. With --json and --interval: one object per line.
    """
    import msgspec  # noqa: PLC0415

    from supervisor.control.models import StatsView  # noqa: PLC0415

    pause_s = seconds(interval)
    if pause_s is not None and pause_s < SHORTEST_INTERVAL_S:
        raise click.UsageError(f"cannot measure more often than every {SHORTEST_INTERVAL_S:g} s")

    async def question(client: "ControlClient") -> None:
        while True:
            stats = await client.get("/v1/stats", StatsView, [("name", name) for name in names])
            if not as_json:
                show(stats)
            elif pause_s is None:
                print_json(stats)
            else:
                print(msgspec.json.encode(stats).decode(), flush=True)
            if pause_s is None:
                return
            time.sleep(pause_s)  # noqa: ASYNC251 there is no event loop

    ask(settings, question)


def show(stats: "StatsView") -> None:
    """As a table."""
    print_table(TITLES, [_row(one) for one in (*stats.instances, stats.daemon)], RIGHT)


def _row(usage: "UsageView") -> tuple[str, ...]:
    from supervisor.cli import words  # noqa: PLC0415

    cgroup = usage.cgroup
    memory, limit, tasks, pressure = usage.rss_bytes, None, usage.processes, words.ABSENT
    if cgroup is not None:
        memory = memory if cgroup.memory_bytes is None else cgroup.memory_bytes
        limit = cgroup.memory_max_bytes
        felt = [f"{name} {part:.0f}%" for name, part in cgroup.pressure.items() if part >= 1]
        pressure = " ".join(felt) or words.ABSENT
    return (
        usage.name,
        words.ABSENT if usage.pid is None else str(usage.pid),
        words.percent(usage.cpu_percent),
        words.span(usage.cpu_s),
        words.size(memory),
        words.size(limit),
        words.ABSENT if tasks is None else str(tasks),
        pressure,
    )
