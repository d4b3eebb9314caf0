"""One watched delivery on this worker: its state, its newest visible position, and its watchers.

Every message is serialized once for an audience and shared by all its watchers. All methods run on the loop without
waiting, so a watcher that joins sees a state and then everything after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from marketd.delivery.model import DeliveryState
from marketd.kernel.events.events import StoredEvent
from marketd.kernel.events.watch import ResetReason, ResumeTokens
from marketd.tracking.values import MICROS, Fix
from marketd.tracking.watch import convert
from marketd.tracking.watch.messages import ETA_CHANGED, LATE, bodies_of, eta_of
from marketd.tracking.watch.values import Audience, WatchedDelivery, audience_of
from marketd.tracking.watch.watcher import NO_POSITION, Watcher


class DeliveryChannel:
    """A delivery's events from `seq` on, and positions, for those who follow it."""

    def __init__(self, resume: ResumeTokens, watched: WatchedDelivery, seq: int, *, late: bool) -> None:
        self.watched = watched
        self.seq = seq
        self.late = late
        self.watchers: tuple[set[Watcher], ...] = tuple(set() for _ in Audience)
        self._resume = resume
        # What the tokens are bound to.
        self._context = watched.delivery_id.bytes
        self._shown: list[Fix | None] = [None for _ in Audience]
        self._number = 0

    @property
    def delivery_id(self) -> UUID:
        """Whose channel it is."""
        return self.watched.delivery_id

    @property
    def courier_id(self) -> UUID | None:
        """Whose positions it shows."""
        courier = self.watched.courier
        return courier.courier_id if courier is not None else None

    @property
    def is_empty(self) -> bool:
        """Whether nobody watches any more."""
        return not any(self.watchers)

    def join(self, watcher: Watcher, beat_time: float) -> None:
        """The watcher gets everything from now on, and its first heartbeat at `beat_time` on the loop's clock."""
        watcher.beat_time = beat_time
        self.watchers[watcher.audience].add(watcher)

    def leave(self, watcher: Watcher) -> None:
        """The watcher gets nothing more."""
        self.watchers[watcher.audience].discard(watcher)

    def show(self, fix: Fix, body: bytes, now_micros: int) -> None:
        """A new position of the courier; `body` is its message without a token."""
        for audience in Audience:
            shown = self._shown[audience]
            if (shown is not None and fix.sample_micros <= shown.sample_micros) or not self.watched.shows(
                fix, audience
            ):
                continue
            self._shown[audience] = fix
            watchers = self.watchers[audience]
            if watchers:
                self._number += 1
                frame = self._token(self.seq, fix.sample_micros, now_micros) + body
                for watcher in watchers:
                    watcher.show(self._number, fix.sample_micros, frame)

    def tell(self, event: StoredEvent, watched: WatchedDelivery | None, now_micros: int) -> None:
        """The delivery's next event; `watched` is the delivery read after it, None when only estimates changed."""
        if event.seq <= self.seq:
            return
        if watched is not None:
            changed = watched.courier is None or watched.courier.courier_id != self.courier_id
            # The row may be ahead of this event; what is told follows the events, so only the last one closes.
            self.watched = watched
            if changed:
                self._shown = [None for _ in Audience]
                self._end_strangers()
        if event.event_type in (ETA_CHANGED, LATE):
            self.watched = replace(self.watched, eta=eta_of(event))
            self.late = self.late or event.event_type == LATE
        self.seq = event.seq
        closes = event.payload.get("state") == DeliveryState.CLOSED
        for audience in Audience:
            watchers = self.watchers[audience]
            if not watchers:
                continue
            frames = self.frames_of(event, audience, self._shown_micros(audience), now_micros)
            for place, frame in enumerate(frames, start=1):
                self._number += 1
                for watcher in watchers:
                    watcher.tell(self._number, frame, final=closes and place == len(frames))

    def frames_of(self, event: StoredEvent, audience: Audience, sample_micros: int, now_micros: int) -> list[bytes]:
        """The event's messages. Only the last has the event's own token, so a cut between them loses nothing."""
        bodies = bodies_of(event, self.watched.courier)
        last = len(bodies) - 1
        return [
            self._token(event.seq if place == last else event.seq - 1, sample_micros, now_micros) + body
            for place, body in enumerate(bodies)
        ]

    def snapshot(self, audience: Audience, *, seq: int, after_micros: int, now_micros: int) -> tuple[int, bytes]:
        """The delivery now, under a token that stands at `seq`; without a position older than `after_micros`.

        The first of the two is the sample time up to which the watcher is then told.
        """
        fix = self._shown[audience]
        if fix is not None and fix.sample_micros < after_micros:
            fix = None
        sample = fix.sample_micros if fix is not None else after_micros
        body = convert.snapshot_body(self.watched, audience, fix, late=self.late, now_micros=now_micros)
        return sample, self._token(seq, sample, now_micros) + body

    def reset(self, audience: Audience, reason: ResetReason, now_micros: int) -> bytes:
        """The word that the token was of no use; its token stands where the snapshot after it will."""
        return self._token(self.seq, self._shown_micros(audience), now_micros) + convert.reset_body(reason)

    def beat(self, body: bytes, loop_time: float, next_time: float, now_micros: int) -> None:
        """Send the heartbeat to those watchers for whom it is time; their next one is due at `next_time`."""
        for audience in Audience:
            frame: bytes | None = None
            for watcher in _due(self.watchers[audience], loop_time):
                frame = frame or self._token(self.seq, self._shown_micros(audience), now_micros) + body
                watcher.beat_time = next_time
                watcher.beat(frame)

    def _end_strangers(self) -> None:
        """End those who followed it as its courier: it is somebody else's now."""
        for audience in Audience:
            for watcher in self.watchers[audience]:
                if audience_of(self.watched, watcher.caller) is not audience:
                    watcher.dismiss(self.delivery_id)

    def _shown_micros(self, audience: Audience) -> int:
        fix = self._shown[audience]
        return fix.sample_micros if fix is not None else NO_POSITION

    def _token(self, seq: int, sample_micros: int, now_micros: int) -> bytes:
        return convert.token_part(self._resume.issue(self._context, seq, sample_micros, now_micros // MICROS))


def _due(watchers: Iterable[Watcher], loop_time: float) -> Iterable[Watcher]:
    return [watcher for watcher in watchers if watcher.beat_time <= loop_time]
