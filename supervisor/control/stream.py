"""One connection as Hypercorn sees it, with what Hypercorn leaves to chance: an end."""

import contextlib
import socket

import trio


class ControlStream(trio.abc.HalfCloseableStream):
    """A socket stream that knows when its client has said its last, and that can be cut off while it is in use."""

    def __init__(self, stream: trio.SocketStream) -> None:
        """The stream is this one's from now on."""
        self._stream = stream
        self.socket = stream.socket
        self.read_out = trio.Event()  # the client sends no more
        self.requests = 0  # under way
        self.active_at = trio.current_time()  # when it came, or was last read from or written to
        self.outlasting = 0  # of them, to be answered by the program that the daemon becomes
        self.unread_since: float | None = None  # Trio's clock: an answer waits for its client to read

    def hang_up(self) -> None:
        """Receive no more: the client's writes fail, what is on its way out still gets there."""
        self._shut_down(socket.SHUT_RD)

    def cut(self) -> None:
        """Break off both ways. A send that waits for room fails."""
        self._shut_down(socket.SHUT_RDWR)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """As in trio."""
        data = await self._stream.receive_some(max_bytes)
        self.active_at = trio.current_time()
        if not data:
            self.read_out.set()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As in trio."""
        self.unread_since = trio.current_time()
        try:
            await self._stream.send_all(data)
        finally:
            self.unread_since = None
            self.active_at = trio.current_time()

    async def wait_send_all_might_not_block(self) -> None:
        """As in trio."""
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """As in trio."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """As in trio."""
        await self._stream.aclose()

    def _shut_down(self, how: int) -> None:
        with contextlib.suppress(OSError, trio.ClosedResourceError):
            self.socket.shutdown(how)
