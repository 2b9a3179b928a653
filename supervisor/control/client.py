"""A client of the control socket: h11 over anyio, under asyncio and Trio alike, or without an event loop."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from supervisor.control.carriers import Blocking, Carrier, OverAnyio
from supervisor.control.exchange import EventStream, Exchange
from supervisor.control.failures import ControlError, NoDaemon, NotPermitted

Answer = TypeVar("Answer")
Query = Sequence[tuple[str, str]]
JSON = "application/json"


class ControlClient:
    """One request, one connection: the socket is local, and nothing is left to time out."""

    def __init__(self, socket_path: str, carrier: type[OverAnyio | Blocking] = OverAnyio) -> None:
        """Nothing is connected yet."""
        self._path = socket_path
        self._carrier = carrier

    async def get(self, path: str, kind: type[Answer], query: Query = ()) -> Answer:
        """GET, decoded as `kind`. Raises ControlError."""
        return self._decode(await self.get_raw(path, query), kind)

    async def post(self, path: str, body: msgspec.Struct | Mapping[str, Any], kind: type[Answer]) -> Answer:
        """POST, decoded as `kind`. Raises ControlError."""
        return self._decode(await self.post_raw(path, body), kind)

    async def get_raw(self, path: str, query: Query = ()) -> bytes:
        """GET, as it came. Raises ControlError."""
        async with self._exchange("GET", _target(path, query)) as exchange:
            return await exchange.whole()

    async def post_raw(self, path: str, body: msgspec.Struct | Mapping[str, Any]) -> bytes:
        """POST, as it came. Raises ControlError."""
        async with self._exchange("POST", _target(path, ()), msgspec.json.encode(body)) as exchange:
            return await exchange.whole()

    @asynccontextmanager
    async def events(self, query: Query = ()) -> AsyncIterator[EventStream]:
        """Events as `query` asks for them (see /v1/events), until the daemon ends. Raises ControlError."""
        target = _target("/v1/events", query)
        async with self._exchange("GET", target, accept="text/event-stream") as exchange:
            yield EventStream(exchange)

    @asynccontextmanager
    async def _exchange(
        self, method: str, target: str, body: bytes = b"", accept: str = JSON
    ) -> AsyncIterator[Exchange]:
        carrier = await self._connect()
        try:
            exchange = Exchange(carrier, self._path)
            await exchange.send(method, target, body, accept)
            await exchange.head()
            yield exchange
        except TimeoutError as error:
            raise ControlError(f"cannot read the answer at {self._path}: it takes too long") from error
        finally:
            await carrier.aclose()

    async def _connect(self) -> Carrier:
        try:
            return await self._carrier.connect(self._path)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            raise NoDaemon(
                f"cannot reach the daemon at {self._path}: is it running? "
                "start it with `nsvisor daemon` or `systemctl --user start nsvisor`"
            ) from error
        except PermissionError as error:
            raise NotPermitted(
                f"cannot reach the daemon at {self._path}: permission denied (it answers to its own user only)"
            ) from error
        except OSError as error:
            raise ControlError(f"cannot reach the daemon at {self._path}: {error.strerror or error}") from error

    def _decode(self, raw: bytes, kind: type[Answer]) -> Answer:
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.MsgspecError as error:
            raise ControlError(
                f"cannot understand the answer at {self._path}: {error} (is the daemon of another version?)"
            ) from error


def _target(path: str, query: Query) -> str:
    quoted = quote(path)
    return f"{quoted}?{urlencode(query)}" if query else quoted
