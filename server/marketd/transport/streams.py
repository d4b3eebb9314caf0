"""The two ends of a stream as a servicer sees them: requests that are parsed as they come, and a guarded context.

All writes pass here, so this is where a reader that does not read is noticed: the time at which the waiting write began
is noted, and Calls.run ends the stream when that is too long ago (a timer for each write would cost half a write).
"""

from __future__ import annotations

import time
from typing import Any

import grpc
from google.protobuf.message import Message

from marketd.transport.passage import Passage
from marketd.transport.validation import Parse

EOF = grpc.aio.EOF


class Requests:
    """The requests of a stream, parsed and validated one by one; a bad one ends the stream with its refusal.

    It ends normally also when the client cancelled: only a declared length or a closing message says that an upload is
    whole.
    """

    __slots__ = ("_parse", "_passage", "_read")

    def __init__(self, passage: Passage, parse: Parse) -> None:
        self._passage = passage
        self._read = passage.context.read
        self._parse = parse

    def __aiter__(self) -> Requests:
        return self

    async def __anext__(self) -> Message:
        raw = await self._read()
        self._passage.message_due = 0.0
        if raw is EOF:
            raise StopAsyncIteration
        return self._parse(raw)


class StreamContext:
    """grpc's context with `read` and `write` in messages (or serialized bytes) and trailing metadata that adds up."""

    __slots__ = ("_context", "_parse", "_passage")

    def __init__(self, passage: Passage, parse: Parse | None) -> None:
        self._passage = passage
        self._context = passage.context
        self._parse = parse

    async def read(self) -> Any:
        """The next request, or grpc.aio.EOF."""
        raw = await self._context.read()
        self._passage.message_due = 0.0
        return raw if raw is EOF or self._parse is None else self._parse(raw)

    async def write(self, message: Message | bytes) -> None:
        """Send one answer. One task writes at a time; a write that waits too long ends the stream as SLOW_CONSUMER."""
        passage = self._passage
        raw = message if isinstance(message, bytes) else message.SerializeToString()
        if not passage.has_answered:
            await passage.open()
            passage.has_answered = True
        passage.writing_since = time.monotonic()
        await self._context.write(raw)
        passage.writing_since = 0.0

    def set_trailing_metadata(self, pairs: Any) -> None:
        """Add to the trailing metadata that the chain sends."""
        self._passage.call.trailing.extend(pairs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)
