"""What carries the bytes of a client's exchange: anyio, or a plain socket where nothing else is to happen meanwhile."""

import socket
from collections.abc import Coroutine
from typing import Any, Protocol, Self, TypeVar

Answer = TypeVar("Answer")


class Carrier(Protocol):
    """A connection. OSError where it breaks."""

    async def send(self, data: bytes) -> None:
        """Send all of it."""

    async def receive(self, at_most: int) -> bytes:
        """What has come; nothing at the end."""

    async def aclose(self) -> None:
        """Close it."""


class OverAnyio:
    """Under asyncio and Trio alike."""

    def __init__(self, stream: Any) -> None:
        """Take over an anyio.abc.ByteStream."""
        self._stream = stream

    @classmethod
    async def connect(cls, path: str) -> Self:
        """OSError."""
        import anyio  # noqa: PLC0415 45 ms that most verbs need not pay

        return cls(await anyio.connect_unix(path))

    async def send(self, data: bytes) -> None:
        """As a Carrier."""
        import anyio  # noqa: PLC0415

        try:
            await self._stream.send(data)
        except anyio.BrokenResourceError as error:
            raise ConnectionError(str(error)) from error

    async def receive(self, at_most: int) -> bytes:
        """As a Carrier."""
        import anyio  # noqa: PLC0415

        try:
            received: bytes = await self._stream.receive(at_most)
        except anyio.EndOfStream:
            return b""
        except anyio.BrokenResourceError as error:
            raise ConnectionError(str(error)) from error
        return received

    async def aclose(self) -> None:
        """As a Carrier."""
        await self._stream.aclose()


class Blocking:
    """The process waits; what awaits nothing else can be run by `at_once`, without an event loop."""

    timeout_s: float | None = None  # for each wait; TimeoutError

    def __init__(self, connected: socket.socket) -> None:
        """Take it over."""
        self._socket = connected

    @classmethod
    async def connect(cls, path: str) -> Self:
        """OSError."""
        connected = socket.socket(socket.AF_UNIX)
        try:
            connected.settimeout(cls.timeout_s)
            connected.connect(path)
        except BaseException:
            connected.close()
            raise
        return cls(connected)

    async def send(self, data: bytes) -> None:
        """As a Carrier."""
        self._socket.sendall(data)

    async def receive(self, at_most: int) -> bytes:
        """As a Carrier."""
        return self._socket.recv(at_most)

    async def aclose(self) -> None:
        """As a Carrier."""
        self._socket.close()


def at_once(coroutine: "Coroutine[Any, Any, Answer]") -> Answer:
    """Run one that waits by Blocking only."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        answer: Answer = done.value
        return answer
    coroutine.close()
    raise RuntimeError("it awaits what needs an event loop")
