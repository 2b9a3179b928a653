"""What a plan is made of."""

import msgspec


class Step(msgspec.Struct, frozen=True):
    """One phase: its name, what it is about (a path, a map, an address), its operation's arguments."""

    phase: str
    detail: str = ""
    arguments: tuple[str | int, ...] = ()
