"""GPS traces with their gaps, jumps and backward clocks, from a courier to the buyer: one made here, and real ones.

The real ones are shared data, not ours: only the made one runs where they are missing. MARKETD_TRACES names another
folder, which has to hold some.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from marketd.delivery.model import DeliveryState
from marketd.kernel.values.clock import SystemClock
from marketd.kernel.values.ids import new_id
from marketd.tracking import partitions
from marketplace.delivery.v1 import delivery_pb2
from marketplace.tracking.v1 import position_pb2

if TYPE_CHECKING:
    from tests.worlds.tracking import Worker, World

ROOT = Path(__file__).resolve().parents[3]
FOLDER = Path(os.environ.get("MARKETD_TRACES", ROOT.parent / "shared" / "data" / "traces"))
TRACES = sorted(path for path in FOLDER.glob("*") if path.suffix in (".plt", ".csv")) if FOLDER.is_dir() else []
if "MARKETD_TRACES" in os.environ and not TRACES:
    raise FileNotFoundError(f"MARKETD_TRACES names {FOLDER}, where no traces are")
MADE = Path("made")


def made() -> Iterator[tuple[float, float, float, float | None]]:
    """A ride of twenty minutes as a phone in a pocket tells it: the same each time."""
    at, draw = 1_700_000_000.0, random.Random(7)  # noqa: S311 - a draw
    for step in range(600):
        at += 2.0
        if step == 200:
            at += 240.0  # a tunnel
        latitude, longitude, accuracy = 52.5 + step * 9e-5, 13.4 + draw.gauss(0, 2e-5), abs(draw.gauss(8, 4))
        if 300 <= step < 304:
            latitude += 0.02  # a receiver that errs agrees with itself
        if step % 50 == 49:
            accuracy = 180.0
        # A clock that is set back, and samples that come in the wrong order.
        yield at - (7.0 if 400 <= step < 410 else 3.0 if step % 40 == 39 else 0.0), latitude, longitude, accuracy


def samples(path: Path) -> Iterator[tuple[float, float, float, float | None]]:
    """(seconds, latitude, longitude, accuracy) in the file's order."""
    if path == MADE:
        yield from made()
        return
    lines = path.read_text().splitlines()
    if path.suffix == ".plt":
        for line in lines[6:]:
            latitude, longitude, _, _, _, day, time = line.split(",")
            at = datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=UTC)
            yield at.timestamp(), float(latitude), float(longitude), None
    else:
        for line in lines[1:]:
            _, longitude, latitude, accuracy, tracked = line.split(";")
            at = datetime.fromisoformat(tracked[:26]).replace(tzinfo=UTC)
            yield at.timestamp(), float(latitude), float(longitude), float(accuracy)


def positions_of(path: Path) -> list[position_pb2.Position]:
    """The trace, shifted to end now with its spacing kept."""
    read = list(samples(path))
    shift = SystemClock().now().timestamp() - max(at for at, *_ in read)
    positions = []
    for seq, (at, latitude, longitude, accuracy) in enumerate(read, start=1):
        position = position_pb2.Position(seq=seq, accuracy_meters=accuracy)
        position.sample_time.FromMicroseconds(round((at + shift) * 1_000_000))
        position.point.latitude, position.point.longitude = latitude, longitude
        positions.append(position)
    return positions


@pytest.mark.parametrize("path", [MADE, *TRACES], ids=lambda path: path.stem)
async def test_every_position_of_a_trace_is_settled_once_over_reconnects_duplicates_and_two_connections(
    world: World, worker: Worker, path: Path
) -> None:
    await world.tx.run("test.partitions", partitions.ensure)
    courier, courier_id = await world.courier()
    bringing = await world.delivery(courier_id)
    await world.step(bringing.delivery_id, DeliveryState.PICKED_UP)
    watching = worker.watch(bringing.buyer, bringing.delivery_id)
    await watching.got("snapshot")
    positions, uplink_id = positions_of(path), new_id()
    # A few that no clock or receiver should give.
    positions[10].point.latitude = 200.0
    positions[20].sample_time.seconds += 3600 * 24 * 365
    third = len(positions) // 3

    first = worker.uplink(courier)
    first.hello(uplink_id)
    for start in range(0, 2 * third, 10):
        first.batch(positions[start : start + 10])
        if start % 50 == 0:
            first.batch(positions[max(0, start - 15) : start + 5])  # duplicates, out of order
    await first.acked(third)
    await first.drop()  # with some of it on its way

    second = worker.uplink(courier)
    second.hello(uplink_id, last_acked_seq=first.acked_seq)
    for start in range(first.acked_seq, len(positions), 37):
        second.batch(positions[start : start + 37])
    await second.acked(len(positions))
    await second.finish()

    rejected = first.rejected + second.rejected
    assert sorted(seq for seq, _ in rejected) == sorted({seq for seq, _ in rejected})
    stored = await world.stored(courier_id)
    assert sorted([*stored, *(seq for seq, _ in rejected)]) == list(range(1, len(positions) + 1))
    assert {11, 21} <= {seq for seq, _ in rejected}

    await world.step(bringing.delivery_id, DeliveryState.CLOSED)
    await watching.ended()
    shown = [message.position for message in watching.of("position")]
    times = [position.sample_time.ToMicroseconds() for position in shown]
    assert shown
    assert times == sorted(set(times))
    assert watching.messages[-1].state_change.state == delivery_pb2.DELIVERY_STATE_CLOSED
