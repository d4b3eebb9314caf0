"""HTTP/2 by hand: a client that may send what no gRPC library sends, and may stop reading where it likes.

Frames are those of hyperframe, headers of hpack without its table, so that one block of bytes serves any stream.
"""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from hpack import Decoder, Encoder
from hpack.struct import NeverIndexedHeaderTuple
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, CONTINUATION = 1, 9
END_STREAM, END_HEADERS = 1, 4
DEFAULT_WINDOW: Final = 65_535
Headers = Sequence[tuple[str, str]]


def frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    """A frame of any kind and flags, right or not."""
    return struct.pack(">I", len(body))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + body


def message(body: bytes, *, compressed: bool = False) -> bytes:
    """A gRPC message: a flag, the length, the bytes."""
    return struct.pack(">?I", compressed, len(body)) + body


def block(path: str, extra: Iterable[tuple[str, str]] = ()) -> bytes:
    """The headers of a call, which may be sent on any stream of any connection."""
    pairs = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        *extra,
    ]
    return Encoder().encode([NeverIndexedHeaderTuple(name, value) for name, value in pairs])


@dataclass
class Stream:
    """What came back on one stream."""

    headers: list[tuple[str, str]] = field(default_factory=list)
    data: bytes = b""
    reset: int | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def status(self) -> str:
        """The grpc-status; empty when there is none."""
        return dict(self.headers).get("grpc-status", "")

    @property
    def reason(self) -> str:
        """The reason of the status' ErrorInfo; empty when it has none."""
        found = dict(self.headers).get("grpc-status-details-bin")
        return _detail(found, error_details_pb2.ErrorInfo()).reason if found else ""

    @property
    def retry_seconds(self) -> float:
        """RetryInfo's delay; 0 when there is none."""
        found = dict(self.headers).get("grpc-status-details-bin")
        return float(_detail(found, error_details_pb2.RetryInfo()).retry_delay.ToNanoseconds()) / 1e9 if found else 0.0


def _detail(text: str, into: error_details_pb2.ErrorInfo) -> error_details_pb2.ErrorInfo:
    status = status_pb2.Status.FromString(base64.b64decode(text + "=" * (-len(text) % 4)))
    for packed in status.details:
        if packed.Is(into.DESCRIPTOR):
            packed.Unpack(into)
    return into


class Connection:
    """One connection. It reads what comes on every stream, unless it was opened with another window."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, reads: bool) -> None:
        self._reads = reads
        self._reader = reader
        self._writer = writer
        self._decoder = Decoder(max_header_list_size=1 << 20)
        self._next = 1
        self._task: asyncio.Task[None] | None = None
        self.streams: dict[int, Stream] = {}
        self.goaway: GoAwayFrame | None = None
        self.closed = asyncio.Event()
        self.settings: dict[int, int] = {}

    @classmethod
    async def open(cls, port: int, *, window: int = DEFAULT_WINDOW, host: str = "127.0.0.1") -> Self:
        """Connect, and take frames until `close`. `window`: of each answer the server may send so much and no more."""
        connection = cls(*await asyncio.open_connection(host, port), reads=window == DEFAULT_WINDOW)
        settings = SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: window})
        connection.write(PREFACE + settings.serialize())
        connection._task = asyncio.create_task(connection._read())
        return connection

    def write(self, data: bytes) -> None:
        """Send bytes as they are; without effect on a connection that is closed."""
        if not self._writer.is_closing():
            self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the kernel has taken what was written."""
        await self._writer.drain()

    def begin(self, headers: bytes, *, end: bool = False) -> int:
        """Open a stream with a block of headers; its number."""
        number, self._next = self._next, self._next + 2
        self.streams[number] = Stream()
        self.write(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), number, headers))
        return number

    def say(self, number: int, data: bytes, *, end: bool = True) -> None:
        """Send data on a stream."""
        sent = DataFrame(number, data=data, flags=["END_STREAM"] if end else [])
        self.write(sent.serialize())

    def call(self, headers: bytes, body: bytes = b"") -> int:
        """A whole call with one message; its stream's number."""
        number = self.begin(headers)
        self.say(number, message(body))
        return number

    def reset(self, number: int, code: int = 8) -> None:
        """Reset a stream (CANCEL)."""
        self.write(RstStreamFrame(number, error_code=code).serialize())

    def ping(self) -> None:
        """Send a ping."""
        self.write(PingFrame(0, opaque_data=b"12345678").serialize())

    async def end_of(self, number: int, seconds: float) -> Stream:
        """The stream once it is over; raises TimeoutError."""
        stream = self.streams[number]
        async with asyncio.timeout(seconds):
            await stream.ended.wait()
        return stream

    async def close(self) -> None:
        """End the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._writer.close()

    async def _read(self) -> None:
        try:
            while True:
                head, length = Frame.parse_frame_header(memoryview(await self._reader.readexactly(9)))
                head.parse_body(memoryview(await self._reader.readexactly(length)))
                self._take(head)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed.set()
            for stream in self.streams.values():
                stream.ended.set()

    def _take(self, got: Frame) -> None:
        stream = self.streams.get(got.stream_id)
        match got:
            case SettingsFrame() if "ACK" not in got.flags:
                self.settings |= got.settings
                self.write(SettingsFrame(0, flags=["ACK"]).serialize())
            case PingFrame() if "ACK" not in got.flags:
                self.write(PingFrame(0, opaque_data=got.opaque_data, flags=["ACK"]).serialize())
            case GoAwayFrame():
                self.goaway = got
            case HeadersFrame():
                pairs = self._decoder.decode(got.data)
                if stream is not None:
                    stream.headers += [(str(name), str(value)) for name, value in pairs]
            case DataFrame() if got.data:
                # The connection's window stays open, so that one stream that is not read does not stop the others.
                self.write(WindowUpdateFrame(0, window_increment=len(got.data)).serialize())
                if stream is not None:
                    stream.data += got.data
                    if self._reads:
                        self.write(WindowUpdateFrame(got.stream_id, window_increment=len(got.data)).serialize())
            case RstStreamFrame() if stream is not None:
                stream.reset = got.error_code
                stream.ended.set()
        if stream is not None and "END_STREAM" in got.flags:
            stream.ended.set()
