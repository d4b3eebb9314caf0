"""Partitions and retention, and the invariants' own alarm, on a real database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from marketd.kernel.db.invariants import violations
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.ids import new_id
from marketd.tracking import invariants, partitions

from tests.worlds.built import Built
from tests.worlds.parts import make_parts

if TYPE_CHECKING:
    from tests.worlds.tracking import Worker, World

_POINT = (
    "INSERT INTO position_points (courier_id, uplink_id, seq, sample_time, receive_time, latitude, longitude, mocked,"
    " flags) VALUES ($1, $2, $3, $4, $4, 52, 13, false, 0)"
)


async def add_point(tx: Transactor, at: datetime, seq: int = 1) -> None:
    await tx.run("test.point", lambda uow: uow.connection.execute(_POINT, new_id(), new_id(), seq, at))


async def places(tx: Transactor) -> list[str]:
    rows = await tx.read(
        lambda unit: unit.connection.fetch("SELECT tableoid::regclass::text AS name FROM position_points ORDER BY 1")
    )
    return [row["name"].removeprefix("position_partitions.position_points_") for row in rows]


async def test_days_are_made_once_and_points_that_came_before_them_move_in(tx: Transactor) -> None:
    now = datetime.now(UTC)
    await add_point(tx, now)
    await add_point(tx, now + timedelta(days=40))
    assert await places(tx) == ["default", "default"]
    made = await tx.run("test.ensure", partitions.ensure)
    assert [day - now.date() for day in made] == [timedelta(days=offset) for offset in (-1, 0, 1, 2)]
    assert sorted(await places(tx)) == sorted([f"{now:%Y%m%d}", "default"])
    assert await tx.run("test.ensure", partitions.ensure) == []


async def test_a_server_makes_its_days_when_it_starts_and_keeps_house_from_then_on(tx: Transactor) -> None:
    await add_point(tx, datetime.now(UTC) - timedelta(days=31))
    await add_point(tx, datetime.now(UTC) - timedelta(days=29))
    built = Built(make_parts(tx), "tracking")
    await built.start()
    # What is older than is kept goes, thirty days by default.
    assert await places(tx) == ["default"]
    await add_point(tx, datetime.now(UTC))
    await add_point(tx, datetime.now(UTC) - timedelta(days=31))
    today = f"{datetime.now(UTC):%Y%m%d}"
    assert await places(tx) == [today, "default", "default"]
    (beat,) = built.slices["tracking"].background
    task = asyncio.create_task(beat())
    try:
        async with asyncio.timeout(30):
            while await places(tx) != [today, "default"]:  # noqa: ASYNC110 - no round announces itself
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_retention_drops_whole_days_and_keeps_the_rest(tx: Transactor) -> None:
    now = datetime.now(UTC)
    await tx.run("test.ensure", partitions.ensure)
    await add_point(tx, now)
    await add_point(tx, now - timedelta(days=1))
    await add_point(tx, now - timedelta(days=5))
    assert await tx.run("test.drop", lambda uow: partitions.drop_old(uow, timedelta(days=3))) == []
    assert len(await places(tx)) == 2
    gone = await tx.run("test.drop", lambda uow: partitions.drop_old(uow, timedelta(0)))
    assert gone == [(now - timedelta(days=1)).date()]
    assert await places(tx) == [f"{now:%Y%m%d}"]


async def test_numbers_are_forgotten_with_their_uplink_and_not_before(world: World, worker: Worker) -> None:
    (courier, _), uplink_id = await world.courier(), new_id()
    await worker.report(courier, uplink_id, [])
    await world.tx.run(
        "test.numbers",
        lambda uow: uow.connection.execute(
            "INSERT INTO position_ledger"
            " SELECT courier_id, uplink_id, n, 1 FROM position_uplinks, generate_series(1, 9) n"
        ),
    )
    keep = timedelta(days=1)

    async def grow_old() -> None:
        older = "UPDATE position_uplinks SET last_time = now() - interval '2 days'"
        await world.tx.run("test.age", lambda uow: uow.connection.execute(older))

    await grow_old()
    # In use again, however old it is: a number that was forgotten would be stored a second time.
    await worker.report(courier, uplink_id, [])
    assert await world.tx.run("test.forget", lambda uow: partitions.forget_uplinks(uow, keep)) == 0
    await grow_old()
    assert await world.tx.run("test.forget", lambda uow: partitions.forget_uplinks(uow, keep)) == 9
    await partitions.keep_house(world.tx, keep)
    count = await world.tx.read(lambda unit: unit.connection.fetchval("SELECT count(*) FROM position_uplinks"))
    assert count == 0


async def test_the_invariants_notice_what_is_stored_twice_lost_or_never_counted(world: World, worker: Worker) -> None:
    courier, courier_id = await world.courier()
    uplink_id, now = new_id(), datetime.now(UTC)
    await worker.report(courier, uplink_id, [])

    async def break_it(statement: str) -> None:
        await world.tx.run("test.break", lambda uow: uow.connection.execute(statement, courier_id, uplink_id))

    for _ in range(2):
        await world.tx.run("test.twice", lambda uow: uow.connection.execute(_POINT, courier_id, uplink_id, 1, now))
    await break_it("INSERT INTO position_ledger VALUES ($1, $2, 2, NULL)")
    await world.tx.run(
        "test.marker",
        lambda uow: uow.connection.execute(
            "INSERT INTO courier_latest_positions (courier_id, sample_time, receive_time, latitude, longitude, seq)"
            " VALUES ($1, $2, $2, 52, 13, 1)",
            courier_id,
            now - timedelta(minutes=1),
        ),
    )
    found = await world.tx.read(lambda unit: violations(unit.connection, invariants.INVARIANTS))
    assert found == [
        f"a position is stored once: position 1 of uplink {uplink_id} is stored 2 times",
        f"what is acknowledged as stored is there: position 2 of uplink {uplink_id} is not there",
        f"what is stored was counted: position 1 of uplink {uplink_id} was never counted",
        f"what is stored was counted: position 1 of uplink {uplink_id} was never counted",
        f"a marker is a stored point of its courier: the marker of courier {courier_id} stands where no position of"
        " theirs was stored",
        f"a marker never goes back: the marker of courier {courier_id} has gone back",
    ]
    await break_it("DELETE FROM position_points WHERE courier_id = $1 AND uplink_id = $2")
    await break_it("DELETE FROM position_ledger WHERE courier_id = $1 AND uplink_id = $2")
    await world.tx.run("test.mend", lambda uow: uow.connection.execute("DELETE FROM courier_latest_positions"))
