"""The registry of open calls: by account and session, so that a revoke ends their streams, and for the drain.

Handlers stay in it until their `finally` blocks have run; grpcio's own stop() returns before that. One sweep a tick
stands in for a timer a call: it ends calls that send no message, unary calls that outlived their deadline, and streams
whose reader stopped reading.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence, Sized
from uuid import UUID

import structlog

from marketd.kernel.call.refusals import DeadlineExceeded, Draining, Refusal
from marketd.transport.edge.arriving import Arriving, Waiter
from marketd.transport.edge.unread import Unread, UnreadBounds
from marketd.transport.passage import Passage
from marketd.transport.refusals import BearerTokenExpired, SlowConsumer
from marketd.transport.rules import Kind, Rule

_log = structlog.get_logger(__name__)

DrainHook = Callable[[], Awaitable[None]]

_SWEEP_SECONDS = 0.1
_HOOK_SECONDS = 1.0
# After the hooks have told the readers, streams get this long to leave by themselves before they are ended.
_NOTICE_SECONDS = 0.25
# A handler whose grace is over is cancelled; its `finally` blocks get this long.
DRAIN_CLEANUP_SECONDS = 5.0


class Calls:
    """The calls that this process is serving now."""

    def __init__(
        self,
        *,
        arriving: tuple[int, int] = (512, 64),
        vital_arriving: tuple[int, int] = (256, 64),
        unread: UnreadBounds | None = None,
        slow_write_seconds: float = 5.0,
    ) -> None:
        self.unary: set[Passage] = set()
        self.streams: set[Passage] = set()
        self.arriving = Arriving(*arriving)
        """Those of both that wait for their one message."""
        self.vital_arriving = Arriving(*vital_arriving)
        """The same of health, which takes nobody else's places and loses none to them."""
        self.unread = Unread(unread or UnreadBounds())
        self._by_account: dict[UUID, set[Passage]] = {}
        self._by_session: dict[UUID, set[Passage]] = {}
        self._slow_write_seconds = slow_write_seconds
        self._stream_sweep_seconds = min(1.0, slow_write_seconds / 4)
        self._hooks: list[DrainHook] = []
        self._waiters: list[tuple[Sequence[Sized], asyncio.Future[None]]] = []

    def open(self, passage: Passage) -> None:
        """Count the call; from here on the drain waits for it."""
        (self.unary if passage.rule.kind is Kind.UNARY else self.streams).add(passage)

    def identify(self, passage: Passage) -> None:
        """File a stream under its caller, and end it when the caller's token ends."""
        caller = passage.call.caller
        holder = caller.user_id or caller.guest_cart_id
        if holder is not None:
            self._by_account.setdefault(holder, set()).add(passage)
        if caller.session_id is not None:
            self._by_session.setdefault(caller.session_id, set()).add(passage)
        if caller.expires is not None:
            left = max(caller.expires - time.time(), 0.0)
            passage.expiry = asyncio.get_running_loop().call_later(left, passage.end, BearerTokenExpired())

    def close(self, passage: Passage) -> None:
        """The handler has finished, its `finally` blocks included. The answer of a unary call goes out after this."""
        if passage.room is not None:
            passage.room.leave(passage)
            passage.room = None
        if passage.message_due:  # it never came
            (self.vital_arriving if passage.rule.vital else self.arriving).discard(passage)
        # A refusal is a status alone, which waits for no window: only what has an answer can be left unread.
        if passage.answer_bytes is not None or passage.status is not None:
            self.unread.add(passage)
        if passage.rule.kind is Kind.UNARY:
            self.unary.discard(passage)
        else:
            self.streams.discard(passage)
            if passage.expiry is not None:
                passage.expiry.cancel()
            caller = passage.call.caller
            _unfile(self._by_account, caller.user_id or caller.guest_cart_id, passage)
            _unfile(self._by_session, caller.session_id, passage)
        if self._waiters:
            self._wake()

    def streams_of(self, holder: UUID) -> int:
        """How many streams the account, or the guest of a cart, has open here."""
        return len(self._by_account.get(holder, ()))

    def end_session(self, session_id: UUID, refusal: Refusal) -> int:
        """End every stream of the session with this refusal; unary calls finish. Returns how many were ended."""
        return _end(self._by_session.get(session_id, ()), refusal)

    def end_account(self, user_id: UUID, refusal_of: Callable[[Rule], Refusal]) -> int:
        """End every stream of the account with the refusal for its method; unary calls finish.

        Returns how many were ended.
        """
        passages = list(self._by_account.get(user_id, ()))
        for passage in passages:
            passage.end(refusal_of(passage.rule))
        return len(passages)

    def on_drain(self, hook: DrainHook) -> None:
        """Run `hook` when the drain begins, at most a second: to tell readers on their streams where things go on."""
        self._hooks.append(hook)

    async def run(self) -> None:
        """Sweep until cancelled; the server runs this beside itself."""
        streams_due = 0.0
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = time.monotonic()
            for call in [*self.arriving.late(now), *(call for call in self.unary if _late(call, now))]:
                call.end(DeadlineExceeded())
            self.unread.look()
            if now >= streams_due:
                streams_due = now + self._stream_sweep_seconds
                for passage in list(self.streams):
                    if passage.writing_since and now - passage.writing_since > self._slow_write_seconds:
                        passage.end(SlowConsumer())
                    elif _late(passage, now):
                        passage.end(DeadlineExceeded())

    async def drain(self, grace: float) -> None:
        """Tell and end the streams, let unary calls finish within `grace` seconds, cancel the rest, await them all."""
        until = time.monotonic() + grace
        await asyncio.gather(*(self._tell(hook) for hook in self._hooks))
        await self._empty([self.streams], min(_NOTICE_SECONDS, grace))
        _end(self.streams, Draining())
        await self.idle(until - time.monotonic())
        _end([*self.unary, *self.streams, *self.arriving], Draining())
        if not await self.idle(DRAIN_CLEANUP_SECONDS):
            left = sorted({call.rule.method for call in [*self.unary, *self.streams]})
            _log.error("handlers outlived the drain", methods=left)

    async def idle(self, seconds: float) -> bool:
        """Wait until no call is open, at most `seconds`; says whether that is so."""
        return await self._empty([self.unary, self.streams, self.arriving], seconds)

    async def _tell(self, hook: DrainHook) -> None:
        try:
            async with asyncio.timeout(_HOOK_SECONDS):
                await hook()
        except Exception:  # noqa: BLE001 - one hook must not keep the others' streams from ending in good order
            _log.exception("a drain hook failed")

    async def _empty(self, sets: Sequence[Sized], seconds: float) -> bool:
        """Wait until the sets are empty, at most `seconds`; says whether they are."""
        if any(sets):
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append((sets, waiter))
            await asyncio.wait([waiter], timeout=max(seconds, 0.0))
            self._waiters = [entry for entry in self._waiters if entry[1] is not waiter]
        return not any(sets)

    def _wake(self) -> None:
        for sets, waiter in self._waiters:
            if not waiter.done() and not any(sets):
                waiter.set_result(None)


def _late(passage: Passage, now: float) -> bool:
    if passage.message_due and now > passage.message_due:
        return True
    deadline = passage.call.deadline
    return deadline is not None and now > deadline


def _end(calls: Iterable[Waiter], refusal: Refusal) -> int:
    ended = list(calls)
    for call in ended:
        call.end(refusal)
    return len(ended)


def _unfile(index: dict[UUID, set[Passage]], key: UUID | None, passage: Passage) -> None:
    filed = index.get(key) if key is not None else None
    if filed is not None and key is not None:
        filed.discard(passage)
        if not filed:
            del index[key]
