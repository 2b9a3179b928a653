"""A keeper of another version: the present one without what came later, or with another number.

As supervisor/nsinit/__main__.py, which it stands in for.
"""

import sys

PROTOCOL = 2
VERSION = "0.0.1"

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    from supervisor.nsinit import keeper, keeper_main, messages
    from supervisor.nsinit.reception import Reception

    class Old(Reception):
        """Says what protocol 2 said."""

        def say(self, *tokens: str | int, fds: list[int] | None = None) -> None:
            """Without the version, and without the report."""
            if PROTOCOL < 3 and tokens[0] in ("keeper", "held"):
                tokens = tokens[:-1]
            super().say(*tokens, fds=fds)

    keeper.Reception = Old  # type: ignore[attr-defined]
    messages.PROTOCOL, messages.__version__ = PROTOCOL, VERSION  # type: ignore[attr-defined]
    if PROTOCOL < 3:
        for verb in ("adopt", "forget", "rule", "timeout", "listen"):
            del messages.VERBS[verb]
    keeper_main.main(sys.argv[2:])
