"""How what a probe asks for is written: URLs and patterns. Each function gives the normal form, or raises FormError."""

import re
from urllib.parse import urlsplit

from supervisor.spec.forms import FormError, tcp_address

HTTP_PORT = 80
LONGEST_PATTERN = 1000


def http_url(text: str) -> str:
    """An absolute http URL of printable ASCII without user, password and fragment."""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise FormError(f"not a URL: {error}") from None
    if url.scheme == "https":
        raise FormError("TLS is not spoken by probes", 'http://…, or kind = "tcp", or a command that speaks it')
    if url.scheme != "http" or not url.hostname:
        raise FormError("not an http URL")
    if "@" in url.netloc or url.fragment or not text.isascii() or not text.isprintable() or " " in text:
        raise FormError("a user, a fragment, spaces or letters that are not ASCII in a URL", "http://HOST:PORT/PATH")
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    tcp_address(f"{host}:{HTTP_PORT if port is None else port}")
    return text


def http_parts(url: str) -> tuple[str, int, str, str]:
    """Host and port to connect to, the Host field, and the target of the request."""
    parts = urlsplit(url)
    path = parts.path or "/"
    return parts.hostname or "", parts.port or HTTP_PORT, parts.netloc, f"{path}?{parts.query}" if parts.query else path


def pattern(text: str) -> str:
    """A regular expression of Python's re that does not match an empty line."""
    if len(text) > LONGEST_PATTERN:
        raise FormError(f"{len(text)} characters long", f"at most {LONGEST_PATTERN}")
    try:
        found = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise FormError(f"not a regular expression: {error}") from None
    if found.search("") is not None:
        raise FormError("it matches every line, even an empty one")
    return text
