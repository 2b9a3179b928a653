import pytest

from supervisor.spec.env_file import EnvFileError, parse

TEXT = r"""
# comment
; comment
PLAIN=some text here
  SPACED  =   padded
EMPTY=
SINGLE='a "b" $c \n
second line'
DOUBLE="a 'b' \"c\" \$d \x \
joined"
BOTH="one"' two'
ESCAPED=a\ b\\c\
d
TRAILING=a\ ~
HASH=a#b
EQUALS=a=b"c"
LAST="no newline"
"""


def test_values() -> None:
    assert parse(TEXT.replace("~", "  ")) == {
        "PLAIN": "some text here",
        "SPACED": "padded",
        "EMPTY": "",
        "SINGLE": 'a "b" $c \\n\nsecond line',
        "DOUBLE": "a 'b' \"c\" $d \\x joined",
        "BOTH": "one two",
        "ESCAPED": "a b\\cd",
        "TRAILING": "a ",
        "HASH": "a#b",
        "EQUALS": 'a=b"c"',
        "LAST": "no newline",
    }


def test_carriage_returns_and_no_last_newline() -> None:
    assert parse("A=1\r\nB=2") == {"A": "1", "B": "2"}
    assert parse("") == {}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("A=1\njust words\nB=2", 2, "not KEY=VALUE"),
        ("=x", 1, "an environment variable without a name"),
        ("export A=1", 1, "white space in the variable's name (no `export` here)"),
        ("A=1\nB='open\n\n", 2, "a quote that is not closed"),
        ('A="open\\', 1, "a quote that is not closed"),
        ("A=x\0y", 1, "a NUL byte"),
        ("A\0=x", 1, "a NUL byte in an environment variable's name"),
    ],
)
def test_bad_lines(text: str, line: int, message: str) -> None:
    with pytest.raises(EnvFileError) as caught:
        parse(text)
    assert (caught.value.line, str(caught.value)) == (line, message)
