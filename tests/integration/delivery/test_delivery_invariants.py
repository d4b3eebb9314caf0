"""`marketd check` finds deliveries, couriers and orders that disagree; each of these is planted by hand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest
from alembic import command
from marketd.delivery.invariants import INVARIANTS
from marketd.kernel.db.invariants import violations
from marketd.schema import migrate

if TYPE_CHECKING:
    from tests.worlds.delivery import World

OVER = "UPDATE orders SET state = 'CANCELLED'"
CLOSED = "UPDATE deliveries SET state = 'CLOSED', outcome = 'CANCELLED', close_time = now()"
NAMES_NOBODY = "UPDATE orders SET courier_id = NULL"
OFF_SHIFT = "UPDATE shifts SET end_time = now()"
GONE = "UPDATE couriers SET state = 'CLOSED'"
SUSPENDED = "UPDATE couriers SET state = 'SUSPENDED'"
BLOCKED = "UPDATE accounts SET state = 'BLOCKED'"
ROLE_TAKEN = "DELETE FROM account_roles WHERE role = 'COURIER'"
SENT_NOWHERE = "UPDATE orders SET address = NULL, eta_earliest_time = NULL, eta_latest_time = NULL"
READ = "UPDATE outbox_events SET publish_time = now()"

SHOWN = "UPDATE deliveries SET proof_media_ids = ARRAY[delivery_id]"

PLANTED = {
    "an open delivery of an order that is over": (False, (OVER, READ), "ASSIGNED but its order is CANCELLED"),
    "a delivery that ended without its order": (False, (CLOSED,), "CANCELLED but its order is READY"),
    "an order that names nobody": (False, (NAMES_NOBODY,), "names delivery"),
    "what waits for somebody off shift": (False, (OFF_SHIFT, SUSPENDED), "its courier is off shift"),
    "goods with somebody who is no courier": (True, (OFF_SHIFT, GONE), "its courier is CLOSED"),
    "what is sent nowhere": (False, (SENT_NOWHERE,), "although nothing of its order is sent"),
    "a courier whose account is blocked": (False, (BLOCKED,), "is active, and the account is BLOCKED"),
    "a courier without the role": (False, (ROLE_TAKEN,), "is active, and the account is ACTIVE without the role"),
    "a picture that nobody keeps": (True, (SHOWN,), "shows a picture that it does not hold"),
    "a shift of somebody who is suspended": (True, (SUSPENDED,), "runs though its courier is SUSPENDED"),
}


async def plant(world: World, statement: str) -> None:
    await world.tx.run("test.plant", lambda uow: uow.connection.execute(statement))


@pytest.mark.parametrize("what", PLANTED)
async def test_what_disagrees_is_found(world: World, what: str) -> None:
    in_hands, statements, wrong = PLANTED[what]
    await (world.picked_up() if in_hands else world.assigned())
    assert await world.violations() == []
    for statement in statements:
        await plant(world, statement)
    assert any(wrong in violation for violation in await world.violations())


async def test_who_is_suspended_may_have_goods_and_what_its_event_will_close_may_wait(world: World) -> None:
    await world.picked_up()
    for statement in (OFF_SHIFT, SUSPENDED):
        await plant(world, statement)
    assert await world.violations() == []
    ready, _, _ = await world.assigned()
    await world.cancel(ready)
    assert await world.violations() == []


async def test_a_delivery_of_before_that_nobody_has_yet_is_named_by_its_order(world: World, database_url: str) -> None:
    await world.ready()
    await asyncio.to_thread(command.downgrade, migrate.config(database_url), "0028")
    connection = await asyncpg.connect(database_url)
    # The version before wrote it down with the courier.
    await connection.execute("UPDATE orders SET delivery_id = NULL")
    await connection.close()
    await asyncio.to_thread(migrate.upgrade, database_url)
    other = await asyncpg.connect(database_url)
    try:
        assert await violations(other, INVARIANTS) == []
    finally:
        await other.close()
