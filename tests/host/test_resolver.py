"""resolv.conf, and whom a resolver on the loopback asks."""

from pathlib import Path

import pytest

from supervisor.host.resolver import resolver

STUB = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch example.org lab.example.org\n"


@pytest.mark.parametrize(
    ("text", "behind", "expected"),
    [
        ("# comment\n; another\n\nnameserver 192.0.2.1 \nnameserver\n", "", (("192.0.2.1",), ())),
        (
            STUB,
            "nameserver 192.0.2.7\n",
            (("192.0.2.7",), ("options edns0 trust-ad", "search example.org lab.example.org")),
        ),
        ("nameserver ::1\n", "", (("::1",), ())),
        ("nameserver 127.0.0.1\nnameserver 192.0.2.1\n", "nameserver 192.0.2.7\n", (("127.0.0.1", "192.0.2.1"), ())),
        (None, "nameserver 192.0.2.7\n", ((), ())),
    ],
)
def test_what_is_read(
    tmp_path: Path, text: str | None, behind: str, expected: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    files = tmp_path / "resolv.conf", tmp_path / "behind"
    for file, content in zip(files, (text, behind), strict=True):
        if content is not None:
            file.write_text(content)
    assert resolver(*map(str, files)) == expected
