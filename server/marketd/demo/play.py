"""Playing a trace through a courier's uplink, and the books that show what became of each of its positions."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from google.protobuf import timestamp_pb2
from google.type import latlng_pb2
from marketplace.catalog.v1 import catalog_service_pb2
from marketplace.tracking.v1 import position_pb2
from marketplace_client import CourierUplink, MarketplaceClient, MarketplaceError, Outcome

from marketd.demo.records import CheckFailed, require
from marketd.demo.traces.points import TracePoint, waits

_WHOLE_PLAY_SECONDS = 15.0
_FLUSH_SECONDS = 60.0
_ANSWER_SECONDS = 3.0


@dataclass
class Played:
    """What became of a played trace: the outcome of each number, and numbers that got more than one.

    `stored` counts with the outcomes: it is asked for at every position, and a long trace has tens of thousands.
    """

    sent: int = 0
    stored: int = 0
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    repeated: list[int] = field(default_factory=list)
    connections: int = 0

    def note(self, outcome: Outcome) -> None:
        """Write an outcome down; of a number that has one already, the newer counts."""
        before = self.outcomes.get(outcome.seq)
        if before is not None:
            self.repeated.append(outcome.seq)
            self.stored -= before.is_stored
        self.outcomes[outcome.seq] = outcome
        self.stored += outcome.is_stored

    @property
    def rejected(self) -> int:
        """How many were rejected."""
        return len(self.outcomes) - self.stored

    @property
    def owed(self) -> int:
        """How many are sent and not acknowledged."""
        return self.sent - len(self.outcomes)

    def reasons(self) -> dict[str, int]:
        """Why positions were rejected, and how many for each reason."""
        names = position_pb2.RejectionReason.Name
        found = (outcome.rejection for outcome in self.outcomes.values() if outcome.rejection is not None)
        return dict(Counter(names(reason).removeprefix("REJECTION_REASON_") for reason in found))

    def check(self) -> None:
        """Every position has exactly one outcome, and a rejection says why. Raises CheckFailed."""
        missing = sorted(set(range(1, self.sent + 1)) - set(self.outcomes))
        require(not missing, f"{len(missing)} positions were never acknowledged, the first is number {missing[:1]}")
        require(not self.repeated, f"positions {self.repeated[:5]} were acknowledged more than once")
        require(len(self.outcomes) == self.sent, "positions were acknowledged that were never sent")
        unstated = "UNSPECIFIED" in self.reasons()
        require(not unstated, "positions were rejected without a reason")


def to_position(point: TracePoint) -> position_pb2.Position:
    """A recorded point as a position; its number is given by the uplink."""
    sample_time = timestamp_pb2.Timestamp()
    sample_time.FromDatetime(point.time)
    return position_pb2.Position(
        sample_time=sample_time,
        point=latlng_pb2.LatLng(latitude=point.latitude, longitude=point.longitude),
        accuracy_meters=point.accuracy_meters,
        speed_mps=point.speed_mps,
        heading_degrees=point.heading_degrees,
    )


async def play(
    client: MarketplaceClient,
    points: Sequence[TracePoint],
    speed: float | None,
    on_progress: Callable[[Played], None],
    silence_seconds: float,
) -> Played:
    """Send every point of the trace as the signed-in courier, and wait until each has its outcome.

    `points` already have the times they are to be sent with. `speed` is times faster than recorded; None makes the
    whole last about 15 s, 0 does not wait at all. silence_seconds: how long nothing need be acknowledged before the
    server is asked whether it is there. Raises CheckFailed when it is not.
    """
    played = Played()
    heard = time.monotonic()

    def note(outcome: Outcome) -> None:
        nonlocal heard
        heard = time.monotonic()
        played.note(outcome)
        on_progress(played)

    steps = waits(points)
    if speed is None:
        speed = max(1.0, sum(steps) / _WHOLE_PLAY_SECONDS)

    async def send(uplink: CourierUplink) -> None:
        nonlocal heard
        due = time.monotonic()
        for point, step in zip(points, steps, strict=True):
            if speed > 0:
                due += step / speed
                # Short waits add up first: an event loop cannot sleep for a fraction of a millisecond.
                if (pause := due - time.monotonic()) > 0.002:
                    await asyncio.sleep(pause)
            if not played.owed:
                heard = time.monotonic()
            await uplink.send_position(to_position(point))
            played.sent += 1
            on_progress(played)
        await uplink.flush(_FLUSH_SECONDS)

    async with CourierUplink(client, device_id="demo player", on_outcome=note) as uplink:
        sending = asyncio.create_task(send(uplink))
        try:
            while not (await asyncio.wait([sending], timeout=silence_seconds / 8))[0]:
                if played.owed and time.monotonic() - heard >= silence_seconds:
                    await _require_answer(client, played, heard)
                    heard = time.monotonic()
            sending.result()
        finally:
            sending.cancel()
            await asyncio.wait([sending])
        played.connections = uplink.connections
    return played


async def _require_answer(client: MarketplaceClient, played: Played, heard: float) -> None:
    """Raise CheckFailed when the server does not answer. The uplink itself would go on trying for ever."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            await client.catalog.ListProducts(catalog_service_pb2.ListProductsRequest(page_size=1))
    except MarketplaceError as error:
        if error.from_server:
            return
    except TimeoutError:
        pass
    else:
        return
    silent = time.monotonic() - heard
    raise CheckFailed(f"the server is gone: no answer for {silent:.0f} s, {played.owed} positions not acknowledged")
