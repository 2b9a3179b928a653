"""The id maps of a process as the kernel has them."""


def id_map(pid: int | None, kind: str) -> tuple[str, ...]:
    """INSIDE:OUTSIDE:COUNT of each line; kind is uid or gid. Nothing where there is no such process (any more)."""
    if pid is None:
        return ()
    try:
        with open(f"/proc/{pid}/{kind}_map", encoding="ascii") as file:
            return tuple(":".join(line.split()) for line in file)
    except OSError:  # it has ended, or there are no user namespaces
        return ()
