"""One open StreamLocations: what it has to tell its courier, and when it ends.

The reader (servicer) hands messages in, the writer task settles them, and `next` gives the answers in turn. Nothing is
queued for the courier but the newest of each kind, so a courier that does not read costs no memory.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from marketd.kernel.call.refusals import Draining, Refusal
from marketd.tracking.uplink import convert
from marketd.tracking.uplink.acks import Acks, Rejections
from marketd.tracking.uplink.couriers import HeardCourier
from marketd.tracking.uplink.intake import Intake
from marketd.tracking.uplink.judge import Sample
from marketd.tracking.uplink.open import Earlier
from marketd.tracking.uplink.sending_rate import SendingRate, UplinkMode

ACK_SECONDS: Final = 0.25
IDLE_INTERVAL_SECONDS: Final = 10.0
RETRY_AFTER_SECONDS: Final = 0.5
# Overflow rule: pings beyond this are dropped, the oldest first; a client that floods them needs no answer to each.
MAX_PINGS: Final = 16


class UplinkStream:
    """The server's side of one stream, from hello on.

    It listens to its uplink before the database says what is known of that (`open`): what is committed between the two
    would else be told by nobody.
    """

    def __init__(
        self,
        courier: HeardCourier,
        acks: Acks,
        intake: Intake,
        rate: SendingRate,
        read_earlier: Callable[[int], Awaitable[Earlier]],
    ) -> None:
        """read_earlier: reads the rejections of earlier streams and reports above a number, once the stream is open."""
        self.epoch = 0
        self._read_earlier = read_earlier
        self._courier = courier
        self._acks = acks
        self._intake = intake
        self._rate = rate
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._hello = True
        self._ack_time = 0.0
        self._ack_timer: asyncio.TimerHandle | None = None
        self._pings: deque[convert.Ping] = deque(maxlen=MAX_PINGS)
        self._directive: convert.Down | None = None
        self._is_live: bool | None = None
        self._refusal: Exception | None = None
        self._input_over = False
        self._drain: convert.Down | None = None
        self._draining = False

    def open(self, epoch: int, sent_seq: int, earlier: Earlier) -> None:
        """What the database knows: the stream's epoch, what the client has seen, and what it may not know."""
        self.epoch = epoch
        self._acks.sent_seq = sent_seq
        self._acks.read(*earlier)

    # -- from the courier

    async def receive(self, samples: Sequence[Sample]) -> None:
        """Positions of one message. Waits while there is no room for more, so the stream is not read meanwhile."""
        uplink = self._acks.uplink
        await self._intake.room(uplink)
        now = self._intake.hub.now_micros
        for seq, reason in self._intake.take(self._courier, uplink, samples, now):
            self._acks.reject(seq, reason)
            self._wake.set()
        # Times ahead of the clock would fill the bucket for nothing.
        newest = max((min(sample.sample_micros or 0, now) for sample in samples), default=0)
        if samples and self._rate.count(len(samples), newest, self._loop.time()):
            self._direct()

    def ping(self, ping: convert.Ping) -> None:
        """The courier asks for a pong."""
        self._pings.append(ping)
        self._wake.set()

    def close_input(self, error: Exception | None = None) -> None:
        """The courier sends no more; what was received is still acknowledged. With an error it ends at once."""
        self._input_over = True
        if error is not None:
            self._fail(error)
        self._intake.writer.hurry()
        self._wake.set()

    # -- from the other side

    @property
    def untold(self) -> int:
        """See acks.Listener."""
        return self._acks.untold

    def settled(self, rejected: Rejections, repeated: Rejections) -> None:
        """See acks.Listener."""
        for seq, reason in rejected:
            self._acks.reject(seq, reason)
        for seq, reason in repeated:
            self._acks.reject_again(seq, reason)
        self._wake.set()

    def failed(self, error: Exception) -> None:
        """See acks.Listener."""
        self._fail(error)

    def end(self, refusal: Refusal) -> None:
        """See couriers.Stream."""
        self._fail(refusal)

    def deliveries_changed(self, *, is_live: bool) -> None:
        """See couriers.Stream."""
        changed, self._is_live = self._is_live is not None and self._is_live is not is_live, is_live
        if changed:  # how it is at the start needs no word: the client sends as it thinks right
            self._direct()

    def drain(self) -> None:
        """The server goes down: say so, acknowledge what is here, and end."""
        if not self._draining:
            self._draining = True
            self._drain = convert.drain_message(RETRY_AFTER_SECONDS)
            self._intake.writer.hurry()
            self._wake.set()

    # -- to the courier

    async def next(self) -> convert.Down | None:
        """The next message to the courier; None when the stream has come to its good end. Raises why it ends badly."""
        while True:
            message = self._take()
            if message is not None:
                return message
            if self._acks.reads_on and self._acks.read_to is not None and self._refusal is None:
                self._acks.read(*await self._read_earlier(self._acks.read_to))
                continue
            if self._refusal is not None:
                raise self._refusal
            if not self._acks.uplink.pending and not self._acks.is_due:
                if self._draining:
                    raise Draining
                if self._input_over:
                    return None
            self._wake.clear()
            await self._wake.wait()

    def close(self) -> None:
        """Drop the timer."""
        if self._ack_timer is not None:
            self._ack_timer.cancel()

    def _take(self) -> convert.Down | None:
        if self._refusal is not None:
            return None
        if self._drain is not None:
            drain, self._drain = self._drain, None
            return drain
        if self._pings:
            return convert.pong_message(self._pings.popleft(), self._intake.hub.now_micros)
        if self._hello or (self._acks.is_due and not self._acks.reads_on and self._may_ack()):
            # The first one answers hello, also when there is nothing new in it.
            self._hello = False
            self._ack_time = self._loop.time()
            acked_seq, rejected = self._acks.take()
            self._acks.uplink.told.set()
            return convert.ack_message(acked_seq, rejected, self._intake.hub.now_micros)
        if self._directive is not None:
            directive, self._directive = self._directive, None
            return directive
        return None

    def _may_ack(self) -> bool:
        """Whether the last acknowledgement is long enough ago; the last ones of a stream do not wait."""
        due = self._ack_time + ACK_SECONDS
        if self._input_over or self._draining or self._loop.time() >= due:
            return True
        if self._ack_timer is None:
            self._ack_timer = self._loop.call_at(due, self._ring)
        return False

    def _ring(self) -> None:
        self._ack_timer = None
        self._wake.set()

    def _direct(self) -> None:
        if self._rate.is_throttled:
            interval, mode = self._rate.min_interval_seconds, UplinkMode.THROTTLED
        elif self._is_live:
            interval, mode = self._rate.min_interval_seconds, UplinkMode.LIVE
        else:
            interval, mode = IDLE_INTERVAL_SECONDS, UplinkMode.IDLE
        self._directive = convert.directive_message(interval, mode)
        self._wake.set()

    def _fail(self, error: Exception) -> None:
        if self._refusal is None:
            self._refusal = error
        self._wake.set()
