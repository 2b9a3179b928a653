import pytest

from supervisor.spec import paths
from supervisor.spec.paths import PathError, expand

ENVIRON = {"HOME": "/home/ada", "XDG_RUNTIME_DIR": "/run/user/1000", "XDG_DATA_HOME": "relative", "OTHER": "/o"}


def test_runtime_dir() -> None:
    assert paths.runtime_dir(ENVIRON, 1000) == "/run/user/1000/nsvisor"
    assert paths.runtime_dir({}, 1000) == "/tmp/nsvisor-1000"
    assert paths.runtime_dir({}, 0) == "/run/nsvisor"
    assert paths.control_socket(ENVIRON, 1000) == "/run/user/1000/nsvisor/control.sock"


def test_state_dir() -> None:
    assert paths.state_dir(ENVIRON, 1000) == "/home/ada/.local/state/nsvisor"
    assert paths.state_dir({"XDG_STATE_HOME": "/s", "HOME": "/h"}, 0) == "/s/nsvisor"
    assert paths.state_dir({"HOME": "/root"}, 0) == "/var/lib/nsvisor"
    assert paths.state_dir({}, 1000) == "/tmp/nsvisor-1000/state"


def test_config_candidates() -> None:
    assert paths.config_candidates(ENVIRON, 1000) == ["/home/ada/.config/nsvisor/nsvisor.toml"]
    assert paths.config_candidates({"XDG_CONFIG_HOME": "/c"}, 0) == [
        "/c/nsvisor/nsvisor.toml",
        "/etc/nsvisor/nsvisor.toml",
    ]
    assert paths.config_candidates({}, 1000) == []


@pytest.mark.parametrize(
    ("path", "expanded"),
    [
        ("/abs", "/abs"),
        ("rel/x", "/conf/rel/x"),
        ("../x", "/x"),
        ("~", "/home/ada"),
        ("~/x", "/home/ada/x"),
        ("$HOME/x", "/home/ada/x"),
        ("${XDG_RUNTIME_DIR}/x", "/run/user/1000/x"),
        ("$XDG_CONFIG_HOME/x", "/home/ada/.config/x"),
        ("$XDG_DATA_HOME/x", "/home/ada/.local/share/x"),  # a relative one counts as unset
        ("a$$HOME", "/conf/a$HOME"),
        ("./~", "/conf/~"),
    ],
)
def test_expand(path: str, expanded: str) -> None:
    assert expand(path, "/conf", ENVIRON) == expanded


@pytest.mark.parametrize(
    ("path", "environ", "message"),
    [
        ("~bob/x", ENVIRON, "not another user's home"),
        ("$OTHER/x", ENVIRON, r"\$OTHER is not expanded"),
        ("a$", ENVIRON, "is not expanded"),
        ("~/x", {}, r"\$HOME is not set"),
        ("$HOME/x", {"HOME": "rel"}, r"\$HOME is not set"),
        ("$XDG_RUNTIME_DIR/x", {}, r"\$XDG_RUNTIME_DIR is not set"),
    ],
)
def test_cannot_expand(path: str, environ: dict[str, str], message: str) -> None:
    with pytest.raises(PathError, match=message):
        expand(path, "/conf", environ)
