"""Following one delivery: what a new or returning watcher is told first, and then everything after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit
from marketd.kernel.events import outbox
from marketd.kernel.events.events import StoredEvent
from marketd.kernel.events.watch import ResetReason, ResumePlace, ResumeTokens
from marketd.tracking import deliveries
from marketd.tracking.values import instant
from marketd.tracking.watch.channel import DeliveryChannel
from marketd.tracking.watch.hub import Hub
from marketd.tracking.watch.values import Audience, WatchedDelivery, audience_of
from marketd.tracking.watch.watcher import NO_POSITION, Watcher

# More events than any delivery has in a day; beyond it a snapshot says as much.
MAX_MISSED = 1_000


async def follow(
    tx: Transactor,
    hub: Hub,
    resume: ResumeTokens,
    caller: Caller,
    delivery_id: UUID,
    *,
    resume_token: str,
    max_rate_hz: float,
) -> AsyncIterator[bytes]:
    """The messages of one watcher, serialized, until the delivery closes. Raises NotFound, WatcherTooSlow."""
    seq, watched, audience = await tx.read(lambda unit: read_watched(unit, caller, delivery_id))
    channel = await hub.follow(delivery_id, watched, seq)
    place, problem = _read_token(hub, resume, channel, resume_token)
    after = place.extra if place is not None else NO_POSITION
    watcher = Watcher(caller, audience, max_rate_hz=max_rate_hz, after_micros=after)
    hub.join(channel, watcher)
    try:
        if audience_of(channel.watched, caller) is not audience:
            raise NotFound("delivery", delivery_id)  # the channel knows of another courier already
        # Nothing waits between the join and these lines: what is told here and what the watcher gets meet exactly.
        last_seq, closed = channel.seq, channel.watched.is_closed
        first = [channel.reset(audience, problem, hub.now_micros)] if problem is not None else []
        first.append(_snapshot(hub, channel, watcher, place))
        missed: list[bytes] = []
        if place is not None:
            # The state may be ahead of the channel's events; a watcher who leaves now must not miss the last one.
            events = await _read_missed(tx, delivery_id, place.seq, None if closed else last_seq)
            if events is None:
                first = [
                    channel.reset(audience, ResetReason.EVENTS_LOST, hub.now_micros),
                    _snapshot(hub, channel, watcher, None),
                ]
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


async def read_watched(unit: ReadUnit, caller: Caller, delivery_id: UUID) -> tuple[int, WatchedDelivery, Audience]:
    """The delivery and its last event, for a caller who may follow it. Raises NotFound for anybody else.

    The event's number is read first, so that whatever the state may be ahead of is told again, never left out.
    """
    seq = await outbox.last_seq(unit.connection, delivery_id)
    watched = await deliveries.read_watched_delivery(unit, delivery_id)
    audience = audience_of(watched, caller) if watched is not None else None
    if watched is None or audience is None:
        raise NotFound("delivery", delivery_id)
    return seq, watched, audience


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


def _read_token(
    hub: Hub, resume: ResumeTokens, channel: DeliveryChannel, token: str
) -> tuple[ResumePlace | None, ResetReason | None]:
    """The place to go on from, or None and why not; both None without a token."""
    if not token:
        return None, None
    place = resume.read(token, channel.delivery_id.bytes)
    if place is None or place.seq > channel.seq:
        return None, ResetReason.TOKEN_UNKNOWN
    if place.is_too_old(instant(hub.now_micros)):
        return None, ResetReason.TOKEN_TOO_OLD
    return place, None


def _snapshot(hub: Hub, channel: DeliveryChannel, watcher: Watcher, place: ResumePlace | None) -> bytes:
    """The delivery now. A returning watcher's token stays behind what it has missed until that is told."""
    after = place.extra if place is not None else NO_POSITION
    seq = place.seq if place is not None else channel.seq
    sample, frame = channel.snapshot(watcher.audience, seq=seq, after_micros=after, now_micros=hub.now_micros)
    watcher.seen(sample)
    return frame
