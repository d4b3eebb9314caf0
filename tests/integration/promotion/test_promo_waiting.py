"""An order that waits for a code judges it as it is when its turn comes."""

from __future__ import annotations

import asyncio
from uuid import UUID

from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.promotion import service

from tests.worlds.ends import Ends
from tests.worlds.promos import Promos


async def test_a_use_that_is_given_back_while_an_order_waits_is_the_orders(promos: Promos, other: Promos) -> None:
    made = await promos.create(usage_limit=1)
    promotion = await promos.promotion(made.promo_code_id)
    group = await promos.redeem(new_id(), promotion)

    async def ending(uow: UnitOfWork) -> None:
        await service.give_back(uow, group, [UUID(made.promo_code_id)])

    ends = Ends(promos.market)
    async with ends.held(ending) as held:
        placing = asyncio.create_task(other.redeem(new_id(), promotion))
        await ends.waits_for_a_lock(placing)
        await held.commit()
    await placing
    assert await promos.uses(made.promo_code_id) == 1
    assert await promos.built.violations() == []


async def test_a_limit_that_is_raised_while_an_order_waits_lets_it_pass(promos: Promos, other: Promos) -> None:
    made = await promos.create(usage_limit=1)
    promotion = await promos.promotion(made.promo_code_id)
    await promos.redeem(new_id(), promotion)

    async def raising(uow: UnitOfWork) -> None:
        await uow.connection.execute(
            "UPDATE promo_codes SET usage_limit = 2, usage_ceiling = 2 WHERE promo_code_id = $1",
            UUID(made.promo_code_id),
        )

    ends = Ends(promos.market)
    async with ends.held(raising) as held:
        placing = asyncio.create_task(other.redeem(new_id(), promotion))
        await ends.waits_for_a_lock(placing)
        await held.commit()
    await placing
    assert await promos.uses(made.promo_code_id) == 2
    assert await promos.built.violations() == []
