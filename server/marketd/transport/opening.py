"""The headers of an answer stream: they go out with its first answer, though not in one piece with it.

A stream that fails before is then a status alone, which REST shows as the HTTP status that it is. A watch that has
nothing to say yet sends them after a moment, since whoever reads through a proxy would like to know that it stands.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from marketd.kernel.call.call import Call

_MOMENT_SECONDS: Final = 0.5


class Opening:
    """Sends the headers, once.

    Never as a part of a write: grpcio forgets that it sent them when the write that carries them is cancelled; then it
    can send no status, and the client hangs.
    """

    __slots__ = ("_call", "_context", "_sending", "_timer")

    def __init__(self, call: Call, context: Any) -> None:
        self._call = call
        self._context = context
        self._sending: asyncio.Future[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(_MOMENT_SECONDS, self._begin)

    def _begin(self) -> asyncio.Future[None]:
        if self._sending is None:
            # Of a stream that is still open, the log can be searched for it as well.
            headers = (("x-request-id", self._call.correlation_id), *self._call.leading)
            self._sending = asyncio.ensure_future(self._context.send_initial_metadata(headers))
            self._sending.add_done_callback(_seen)
        return self._sending

    async def send(self) -> None:
        """See that they are out."""
        self._timer.cancel()
        await asyncio.shield(self._begin())

    async def settle(self) -> None:
        """Wait for those that are under way, and send none any more: the status may follow."""
        self._timer.cancel()
        if self._sending is not None:
            await asyncio.wait([self._sending])

    @property
    def has_begun(self) -> bool:
        """Whether they are out or on their way, so that HTTP's status is said."""
        return self._sending is not None

    def leave(self) -> None:
        """The call is over."""
        self._timer.cancel()


def _seen(sending: asyncio.Future[None]) -> None:
    # A client that goes away ends it with an error that nobody may be waiting for.
    if not sending.cancelled():
        sending.exception()
