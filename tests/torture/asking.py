"""Requests to a daemon that may be killed at any moment."""

import http.client
import json
import socket
from typing import Any

PATIENCE_S = 60.0


class NotThereError(OSError):
    """No daemon answers: it was killed, or is not yet there."""


class RefusedError(AssertionError):
    """A request was answered, by an error."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(self._path)


def ask_at(place: str, method: str, path: str, body: dict[str, object]) -> Any:
    """One request at this socket. NotThereError, RefusedError."""
    connection = _Connection(place)
    try:
        data = json.dumps(body) if method == "POST" else None
        connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise NotThereError(str(error)) from None
    finally:
        connection.close()
    if answer.status != 200:
        raise RefusedError(f"{path} {body}: {answer.status} {text.decode()}")
    return json.loads(text)
