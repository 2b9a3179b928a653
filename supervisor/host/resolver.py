"""The host's name servers (resolv.conf(5))."""

RESOLV_CONF = "/etc/resolv.conf"
BEHIND_STUB = "/run/systemd/resolve/resolv.conf"  # whom systemd-resolved asks; its stub listens on the loopback only
OPTIONS = ("search", "domain", "options")


def resolver(path: str = RESOLV_CONF, behind: str = BEHIND_STUB) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Addresses of name servers, and the lines of search, domain and options."""
    servers, options = _read(path)
    if servers and all(server.startswith("127.") or server == "::1" for server in servers):
        servers = _read(behind)[0] or servers
    return servers, options


def _read(path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [words for line in file if (words := line.split()) and words[0][0] not in "#;"]
    except OSError:
        return (), ()
    servers = tuple(words[1] for words in lines if words[0] == "nameserver" and len(words) > 1)
    return servers, tuple(" ".join(words) for words in lines if words[0] in OPTIONS)
