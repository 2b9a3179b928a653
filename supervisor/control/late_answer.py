"""The answer to POST /v1/reexec, by the program that the daemon has become: on a connection of the one before."""

import os
import socket
from contextlib import suppress
from http import HTTPStatus

import msgspec

SEND_TIMEOUT_S = 1.0


def answer(fd: int, status: HTTPStatus, body: msgspec.Struct) -> None:
    """Send a whole HTTP/1.1 response and close. The descriptor is this one's; a client that has gone misses it."""
    data = msgspec.json.encode(body)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(data)}\r\nconnection: close\r\n\r\n"
    )
    try:
        connection = socket.socket(fileno=fd)
    except OSError:  # it is no socket
        with suppress(OSError):
            os.close(fd)
        return
    with connection, suppress(OSError):
        connection.settimeout(SEND_TIMEOUT_S)
        connection.sendall(head.encode() + data)
