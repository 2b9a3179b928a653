"""One HTTP exchange over one connection: h11 says what the bytes mean, a carrier takes them there."""

from contextlib import suppress
from typing import Any, Self

import h11
import msgspec

from supervisor.control.carriers import Carrier
from supervisor.control.failures import ControlError, Refused
from supervisor.control.models import ErrorBody, EventView

MAX_RECEIVE = 64 * 1024
MAX_HEADER_BYTES = 64 * 1024


class Exchange:
    """A request that is sent, and its answer as it comes. Raises ControlError from every method."""

    def __init__(self, carrier: Carrier, where: str) -> None:
        """`where` is for messages."""
        self._carrier = carrier
        self._where = where
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEADER_BYTES)

    async def send(self, method: str, target: str, body: bytes, accept: str) -> None:
        """Send the request."""
        headers = [("host", "nsvisor"), ("connection", "close"), ("accept", accept)]
        if body:
            headers += [("content-type", "application/json"), ("content-length", str(len(body)))]
        out = self._connection.send(h11.Request(method=method, target=target, headers=headers))
        if body:
            out += self._connection.send(h11.Data(data=body))
        out += self._connection.send(h11.EndOfMessage())
        with suppress(ConnectionError):  # an early refusal: its answer is there to be read
            await self._carrier.send(out)

    async def head(self) -> None:
        """Take the head of the answer. Raises Refused for one that is not 2xx."""
        event = await self._next()
        while isinstance(event, h11.InformationalResponse):
            event = await self._next()
        if event.status_code < 300:
            return
        raw = await self.whole()
        try:
            view = msgspec.json.decode(raw, type=ErrorBody).error
        except msgspec.MsgspecError as error:
            raise ControlError(
                f"cannot understand the answer at {self._where}: status {event.status_code} without an error in JSON"
            ) from error
        raise Refused(event.status_code, view)

    async def chunk(self) -> bytes:
        """The next piece of the body; empty at its end."""
        event = await self._next()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def whole(self) -> bytes:
        """The body."""
        body = b""
        while piece := await self.chunk():
            body += piece
        return body

    async def _next(self) -> Any:
        ended = False
        while True:
            try:
                event = self._connection.next_event()
            except h11.RemoteProtocolError as error:
                if ended:
                    raise self._hung_up() from error
                raise ControlError(f"cannot understand the answer at {self._where}: {error}") from error
            if isinstance(event, h11.ConnectionClosed):
                raise self._hung_up()
            if event is not h11.NEED_DATA:
                return event
            try:
                data = await self._carrier.receive(MAX_RECEIVE)
            except ConnectionError as error:
                raise self._hung_up() from error
            ended = not data
            self._connection.receive_data(data)

    def _hung_up(self) -> ControlError:
        return ControlError(f"cannot read the answer at {self._where}: the daemon hung up")


class EventStream:
    """The events of an exchange, by `async for`, until the daemon ends it."""

    def __init__(self, exchange: Exchange) -> None:
        """The head has been taken."""
        self._exchange = exchange
        self._blocks: list[bytes] = []
        self._rest = b""

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> EventView:
        """The next event. Comments and other fields of the format are passed over."""
        while True:
            while self._blocks:
                lines = self._blocks.pop(0).split(b"\n")
                data = b"\n".join(line[6:] for line in lines if line.startswith(b"data: "))
                if data:
                    return msgspec.json.decode(data, type=EventView)
            piece = await self._exchange.chunk()
            if not piece:
                raise StopAsyncIteration
            *self._blocks, self._rest = (self._rest + piece).split(b"\n\n")
