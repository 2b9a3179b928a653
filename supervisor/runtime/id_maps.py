"""Writing a sandbox's id maps from outside: by newuidmap(1) and newgidmap(1), or directly where privileged."""

import errno

import trio

from supervisor.sandbox.plan import Plan
from supervisor.spec.facts import HostFacts


async def write_maps(pid: int, plan: Plan, facts: HostFacts) -> None:
    """Write both maps of a process that waits for them. OSError: EPERM with what the helper said, ENOENT no helper."""
    maps = (("gid", plan.gid_map, facts.newgidmap), ("uid", plan.uid_map, facts.newuidmap))
    failures: list[OSError] = []
    async with trio.open_nursery() as nursery:  # both helpers at once: most of their time is their start
        for kind, lines, helper in maps:
            if facts.privileged:
                _write(f"/proc/{pid}/{kind}_map", lines, failures)
            elif helper is None:
                failures.append(OSError(errno.ENOENT, f"new{kind}map is not installed"))
            else:
                arguments = [str(pid), *(str(number) for line in lines for number in line)]
                nursery.start_soon(_run_helper, helper, arguments, failures)
    if failures:
        raise failures[0]


def _write(path: str, lines: tuple[tuple[int, int, int], ...], failures: list[OSError]) -> None:
    try:
        with open(path, "w") as file:
            file.write("".join(f"{inside} {outside} {count}\n" for inside, outside, count in lines))
    except OSError as error:
        failures.append(error)


async def _run_helper(helper: str, arguments: list[str], failures: list[OSError]) -> None:
    try:
        done = await trio.run_process(
            [helper, *arguments], capture_stdout=True, capture_stderr=True, check=False, env={"LANG": "C.UTF-8"}
        )
    except OSError as error:
        failures.append(error)
        return
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
        failures.append(OSError(errno.EPERM, said))
