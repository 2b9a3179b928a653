"""Writing a sandbox's id maps from outside: by newuidmap(1) and newgidmap(1), or directly where privileged."""

import errno

import trio

from supervisor.sandbox.plan import Plan
from supervisor.spec.facts import HostFacts


async def write_maps(pid: int, plan: Plan, facts: HostFacts) -> None:
    """Write both maps of a process that waits for them. OSError: EPERM with what the helper said, ENOENT no helper."""
    for kind, lines, helper in (
        ("gid", plan.gid_map, facts.newgidmap),
        ("uid", plan.uid_map, facts.newuidmap),
    ):
        if facts.privileged:
            with open(f"/proc/{pid}/{kind}_map", "w") as file:  # noqa: ASYNC230  (procfs does not block)
                file.write("".join(f"{inside} {outside} {count}\n" for inside, outside, count in lines))
        elif helper is None:
            raise OSError(errno.ENOENT, f"new{kind}map is not installed")
        else:
            await _run_helper(helper, [str(pid), *(str(number) for line in lines for number in line)])


async def _run_helper(helper: str, arguments: list[str]) -> None:
    done = await trio.run_process(
        [helper, *arguments], capture_stdout=True, capture_stderr=True, check=False, env={"LANG": "C.UTF-8"}
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
        raise OSError(errno.EPERM, said)
