"""Real GPS traces, with their gaps, jumps and backward clocks, from a courier to the buyer.

They are shared data, not ours (MARKETD_TRACES names another folder). Where there are none, one is
made that has their faults.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
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


def samples(path: Path) -> Iterator[tuple[float, float, float, float | None]]:
    """(seconds, latitude, longitude, accuracy) in the file's order."""
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


def made(folder: Path) -> Path:
    """A ride of 300 points a second apart with a gap, a jump to another town and a clock that goes back."""
    path = folder / "made.csv"
    lines = ["id;longitude;latitude;accuracy;tracked_at"]
    for number in range(300):
        seconds = number + (600 if number >= 100 else 0) - (30 if 200 <= number < 210 else 0)
        longitude = 13.4 + number * 0.0001 + (1.0 if number == 150 else 0.0)
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        lines.append(f"{number};{longitude:.6f};52.5;{5 + number % 20};{at:%Y-%m-%d %H:%M:%S.%f}")
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("trace", TRACES or [None], ids=lambda trace: trace.stem if trace else "made")
async def test_every_position_of_a_trace_is_settled_once_over_reconnects_duplicates_and_two_connections(
    world: World, worker: Worker, trace: Path | None, tmp_path: Path
) -> None:
    await world.tx.run("test.partitions", partitions.ensure)
    courier, courier_id = await world.courier()
    bringing = await world.delivery(courier_id)
    await world.step(bringing.delivery_id, DeliveryState.PICKED_UP)
    watching = worker.watch(bringing.buyer, bringing.delivery_id)
    await watching.got("snapshot")
    positions, uplink_id = positions_of(trace or made(tmp_path)), new_id()
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
