"""What every watch shares: a race-free snapshot and what comes after it, a beat when nothing does, and resume tokens.

A watch follows ids of the feed. Its reader reads short, from the database, after the place that was told last: a
sequence number, or one for each id; nothing is held while it waits, and a lost wake-up costs at most one poll.
"""

from __future__ import annotations

import struct
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Final, Generic, TypeVar
from uuid import UUID

from marketd.kernel.call.tokens import SignedToken
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit
from marketd.kernel.events import outbox
from marketd.kernel.events.events import StoredEvent
from marketd.kernel.events.feed import Feed
from marketd.kernel.values.clock import Clock

BEAT_SECONDS: Final = 10.0
POLL_SECONDS: Final = 2.0
RESUME_LIFETIME: Final = timedelta(hours=24)
OF_NO_USE: Final = -1
"""A number that no event has and none comes after: the reader begins again with a snapshot."""
TOO_OLD: Final = -2
"""As OF_NO_USE, of a token that was ours once."""

N = TypeVar("N")
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Batch(Generic[N, P]):
    """What a reader found: `news` with their places, and where the watch stands after them.

    `more`: a further read finds more at once. `is_over`: nothing will follow.
    """

    seq: P
    news: Sequence[tuple[P, N]]
    more: bool = False
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Beat:
    """Nothing happened; `time` is the server's clock."""

    time: datetime


class ResetReason(StrEnum):
    """Why a watch begins anew instead of going on (marketplace.type.v1.StreamResetReason)."""

    TOKEN_TOO_OLD = "TOKEN_TOO_OLD"  # noqa: S105 - no password
    TOKEN_UNKNOWN = "TOKEN_UNKNOWN"  # noqa: S105 - no password
    EVENTS_LOST = "EVENTS_LOST"

    @classmethod
    def of(cls, after: int) -> ResetReason:
        """Why nothing could be told after this number of `ResumeTokens.after`."""
        return {OF_NO_USE: cls.TOKEN_UNKNOWN, TOO_OLD: cls.TOKEN_TOO_OLD}.get(after, cls.EVENTS_LOST)


Reader = Callable[[ReadUnit, P | None], Awaitable[Batch[N, P]]]
"""Reads what comes after a place; None asks for the snapshot."""


async def watch(
    tx: Transactor,
    feed: Feed,
    keys: Collection[UUID],
    read: Reader[P, N],
    *,
    after: P | None,
    beat_seconds: float = BEAT_SECONDS,
    poll_seconds: float = POLL_SECONDS,
) -> AsyncGenerator[tuple[P, N | Beat], None]:
    """News in order, each with its place, until the reader says that it is over. Close it to stop.

    A new watch is refused by a full pool or an absent database; one that goes on, or resumes, waits such troubles out.
    """
    # Before the first read, so that nothing that is committed in between is slept over.
    interest = feed.watch(*keys)
    try:
        begun, seq, told = after is not None, after, time.monotonic()
        now: datetime | None = None

        async def look(unit: ReadUnit, place: P | None) -> Batch[N, P]:
            nonlocal now
            now = unit.now
            return await read(unit, place)

        while True:
            work = partial(look, place=seq)
            batch = await (tx.read_patiently(work) if begun else tx.read(work))
            begun, seq = True, batch.seq
            for number, item in batch.news:
                told = time.monotonic()
                yield number, item
            if batch.is_over:
                return
            if batch.more:
                continue
            quiet = beat_seconds - (time.monotonic() - told)
            if quiet <= 0 and now is not None:
                told, quiet = time.monotonic(), beat_seconds
                yield seq, Beat(now)
            await interest.wait(min(quiet, poll_seconds))
    finally:
        interest.close()


async def missed_events(
    unit: ReadUnit, key: UUID, after: int, *, limit: int = 200
) -> tuple[list[StoredEvent], bool] | None:
    """The committed events after a number, and whether there may be more; None when some of them are not kept.

    A number ahead of the newest event counts as not kept: it is none of ours.
    """
    events = await outbox.read_aggregate(unit.connection, key, after, limit)
    if events:
        return (events, len(events) == limit) if events[0].seq == after + 1 else None
    last = await outbox.last_seq(unit.connection, key)
    if last == after:
        return [], False
    if last < after:
        return None
    # Committed between the two reads, or swept away since.
    events = await outbox.read_aggregate(unit.connection, key, after, limit)
    return (events, True) if events and events[0].seq == after + 1 else None


@dataclass(frozen=True, slots=True)
class ResumePlace:
    """Where a watch stood: the number of the last event told, what the slice adds, and when the token was made."""

    seq: int
    extra: int
    issue_seconds: int

    def is_too_old(self, now: datetime) -> bool:
        """Whether the token's life is over."""
        return now.timestamp() - self.issue_seconds > RESUME_LIFETIME.total_seconds()


class ResumeTokens:
    """Makes and reads resume tokens of one kind of watch, bound to what is watched and, where it matters, by whom."""

    _LAYOUT: Final = struct.Struct(">qqI")

    def __init__(self, secret: bytes, purpose: str, clock: Clock) -> None:
        self._tokens = SignedToken(secret, purpose)
        self._clock = clock

    def issue(self, context: bytes, seq: int, extra: int, now_seconds: int) -> bytes:
        """The token as ASCII bytes, as it goes into a message."""
        return self._tokens.issue(self._LAYOUT.pack(seq, extra, now_seconds), context)

    def read(self, token: str, context: bytes) -> ResumePlace | None:
        """The place in a token; None when it is not ours or of another watch."""
        body = self._tokens.read(token, context)
        return None if body is None or len(body) != self._LAYOUT.size else ResumePlace(*self._LAYOUT.unpack(body))

    def token(self, context: bytes, seq: int) -> str:
        """The token of a place that is a number alone."""
        return self.issue(context, seq, 0, int(self._clock.now().timestamp())).decode("ascii")

    def after(self, token: str, context: bytes) -> int | None:
        """The number to go on after: None without a token, OF_NO_USE for one that is not ours, TOO_OLD."""
        if not token:
            return None
        place = self.read(token, context)
        if place is None:
            return OF_NO_USE
        return TOO_OLD if place.is_too_old(self._clock.now()) else place.seq
