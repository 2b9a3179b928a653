"""What a configuration text is refused with."""

import pytest

from supervisor.spec.errors import ConfigError
from supervisor.spec.load import load_text

ENVIRON = {"HOME": "/home/ada", "XDG_RUNTIME_DIR": "/run/user/1000"}


def refusal(text: str) -> list[str]:
    """One line per problem."""
    with pytest.raises(ConfigError) as caught:
        load_text(text, "f.toml", ENVIRON)
    return str(caught.value).split("\n")
