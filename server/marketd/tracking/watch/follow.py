"""Following one delivery: what a new or returning watcher is told first, and then everything after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.events import outbox
from marketd.kernel.events.events import StoredEvent
from marketd.tracking.service import read_watched
from marketd.tracking.watch.channel import Channel
from marketd.tracking.watch.cursors import NO_POSITION, Cursor, Cursors
from marketd.tracking.watch.hub import Hub
from marketd.tracking.watch.watcher import Watcher

# More events than any delivery has in a day; beyond it a snapshot says as much.
MAX_MISSED = 1_000


async def follow(
    tx: Transactor,
    hub: Hub,
    cursors: Cursors,
    caller: Caller,
    delivery_id: UUID,
    *,
    resume_token: str,
    max_rate_hz: float,
) -> AsyncIterator[bytes]:
    """The messages of one watcher, serialized, until the delivery closes. Raises NotFound, WatcherTooSlow."""
    seq, followed, audience = await tx.read(lambda unit: read_watched(unit, caller, delivery_id))
    channel = await hub.follow(delivery_id, followed, seq)
    cursor, problem = _read_token(hub, cursors, channel, resume_token)
    after = cursor.sample_micros if cursor is not None else NO_POSITION
    watcher = Watcher(audience, max_rate_hz=max_rate_hz, after_micros=after)
    hub.join(channel, watcher)
    try:
        # Nothing waits between the join and these lines: what is told here and what the watcher gets meet exactly.
        place, closed = channel.seq, channel.followed.is_closed
        first = [channel.reset(audience, problem, hub.now_micros)] if problem else []
        first.append(_snapshot(hub, channel, watcher, cursor))
        missed: list[bytes] = []
        if cursor is not None:
            # The state may be ahead of the channel's events; a watcher who leaves now must not miss the last one.
            events = await _read_missed(tx, delivery_id, cursor.seq, None if closed else place)
            if events is None:
                first = [channel.reset(audience, "EVENTS_LOST", hub.now_micros), _snapshot(hub, channel, watcher, None)]
            else:
                for event in events:
                    missed += channel.frames_of(event, audience, after, hub.now_micros)
        for frame in (*first, *missed):
            yield frame
        final = closed
        while not final:
            frame, final = await watcher.next()
            yield frame
    finally:
        hub.leave(channel, watcher)


async def _read_missed(
    tx: Transactor, delivery_id: UUID, after_seq: int, last_seq: int | None
) -> list[StoredEvent] | None:
    """The events after `after_seq` up to `last_seq` (None: all there are); None when some are not kept any more."""
    if last_seq is not None and after_seq >= last_seq:
        return []
    events = await tx.read(lambda unit: outbox.read_aggregate(unit.connection, delivery_id, after_seq, MAX_MISSED))
    if last_seq is not None:
        events = [event for event in events if event.seq <= last_seq]
    end = last_seq if last_seq is not None else after_seq + len(events)
    whole = [event.seq for event in events] == list(range(after_seq + 1, end + 1))
    return events if whole else None


def _read_token(hub: Hub, cursors: Cursors, channel: Channel, token: str) -> tuple[Cursor | None, str]:
    """The cursor to go on from, or None and why not; both empty without a token."""
    if not token:
        return None, ""
    cursor = cursors.read(token, channel.delivery_id)
    if cursor is None or cursor.seq > channel.seq:
        return None, "TOKEN_UNKNOWN"
    if cursor.is_too_old(hub.now_micros):
        return None, "TOKEN_TOO_OLD"
    return cursor, ""


def _snapshot(hub: Hub, channel: Channel, watcher: Watcher, cursor: Cursor | None) -> bytes:
    """The delivery now. A returning watcher's cursor stays behind what it has missed until that is told."""
    after = cursor.sample_micros if cursor is not None else NO_POSITION
    seq = cursor.seq if cursor is not None else channel.seq
    sample, frame = channel.snapshot(watcher.audience, seq=seq, after_micros=after, now_micros=hub.now_micros)
    watcher.seen(sample)
    return frame
