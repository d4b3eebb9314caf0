"""Everything that changes stocks at once, on two workers: nothing is oversold that is tracked, and what is not tracked
is counted exactly, while counts, adjustments and changes of policy run beside the orders.

The same race without a guard is the control: each that is taken away is noticed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from marketd.inventory import repository, service, stocks
from marketd.inventory.errors import InsufficientStock
from marketd.inventory.model import MAX_QUANTITY, StockPolicy
from marketd.inventory.values import Adjustment, StockLine
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id

from tests.integration.units import transactor
from tests.worlds.stocks import broken, counts, seller, stock, untold

TRACKED, UNTRACKED, CONTINUE = StockPolicy.TRACKED, StockPolicy.UNTRACKED, StockPolicy.CONTINUE
ON_HAND = 3


@dataclass
class Race:
    """Who races, for what, and what is done of it."""

    workers: tuple[Transactor, Transactor]
    owner: Caller
    variants: dict[str, UUID]
    on_hand: dict[UUID, int] = field(default_factory=dict)
    reserved: dict[UUID, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.on_hand = dict.fromkeys(self.variants.values(), ON_HAND)
        self.reserved = dict.fromkeys(self.variants.values(), 0)

    async def run(self, buyers: int, orders: int) -> list[str]:
        """Race; all that was wrong then."""
        workers = [self.buy(number, orders) for number in range(buyers)]
        await asyncio.gather(*workers, self.adjust(orders), self.switch(orders))
        await self.end()
        tx = self.workers[0]
        for name, variant in self.variants.items():
            on_hand, reserved, oversold = await counts(tx, variant)
            done = (self.on_hand[variant], self.reserved[variant])
            if (on_hand, reserved) != done or oversold != max(0, reserved - on_hand):
                self.wrong.append(f"{name} is {on_hand} {reserved} {oversold}, and {done} was done")
        self.wrong += await broken(tx)
        self.wrong += await tx.read(lambda unit: untold(unit.connection, list(self.variants.values())))
        return self.wrong

    async def buy(self, number: int, orders: int) -> None:
        """Order some of all, and take it back, or have it shipped and perhaps brought back."""
        pick = random.Random(number)  # noqa: S311 - the same in every run
        tx = self.workers[number % 2]
        for _ in range(orders):
            names = pick.sample(sorted(self.variants), pick.randint(1, 3))
            lines = [StockLine(self.variants[name], pick.randint(1, 3)) for name in names]
            order = new_id()
            if not await self.do(tx, partial(service.reserve, lines=lines, reference=order), lines, reserved=1):
                if not {"tracked", "switched"} & set(names):
                    self.wrong.append(f"{names} were refused")
                continue
            await asyncio.sleep(0)
            end = pick.random()
            if end < 0.4:
                await self.do(tx, partial(service.release, lines=lines, reference=order), lines, reserved=-1)
            elif end < 0.8:
                await self.do(tx, partial(service.ship, lines=lines, reference=order), lines, reserved=-1, on_hand=-1)
                if end < 0.6:
                    await self.do(tx, partial(service.put_back, lines=lines, reference=order), lines, on_hand=1)

    async def end(self) -> None:
        """However the race went, one of them is owed in the end, and one is asked for in vain."""
        tx, order = self.workers[0], new_id()
        many, fewer = ([StockLine(self.variants["continue"], quantity)] for quantity in (50, 40))
        await self.do(tx, partial(service.reserve, lines=many, reference=order), many, reserved=1)
        await self.do(tx, partial(service.release, lines=fewer, reference=order), fewer, reserved=-1)
        vain = [StockLine(self.variants["tracked"], 50)]
        if await self.do(tx, partial(service.reserve, lines=vain, reference=order), vain, reserved=1):
            self.wrong.append("50 were sold of what is tracked")

    async def adjust(self, times: int) -> None:
        """Put some in and take some out."""
        pick = random.Random(99)  # noqa: S311 - the same in every run
        for number in range(times):
            variant, delta = pick.choice(sorted(self.variants.values())), pick.choice((-2, -1, 1, 2))
            step = partial(stocks.adjust_stock, caller=self.owner, adjustment=Adjustment(variant, delta))
            await self.do(self.workers[number % 2], step, [StockLine(variant, delta)], on_hand=1)

    async def switch(self, times: int) -> None:
        """One of them is sold by another policy again and again."""
        variant = self.variants["switched"]
        for number in range(times):

            async def work(uow: UnitOfWork, policy: StockPolicy) -> None:
                await service.lock_stocks(uow, [variant])
                await service.set_policies(uow, {variant: policy})

            policy = (TRACKED, CONTINUE, TRACKED, UNTRACKED)[number % 4]
            await self.do(self.workers[number % 2], partial(work, policy=policy), [])

    async def do(
        self,
        tx: Transactor,
        step: Callable[[UnitOfWork], Awaitable[Any]],
        lines: list[StockLine],
        *,
        reserved: int = 0,
        on_hand: int = 0,
    ) -> bool:
        """Do it and count it; False when there was too little."""
        try:
            await tx.run("t", step, seconds=30)
        except InsufficientStock:
            return False
        except asyncpg.PostgresError as error:
            self.wrong.append(str(error))
            return False
        for line in lines:
            self.reserved[line.variant_id] += reserved * line.quantity
            self.on_hand[line.variant_id] += on_hand * line.quantity
        return True


async def _race(tx: Transactor, other: Transactor) -> Race:
    seller_id, owner = await seller(tx)
    policies = {"tracked": TRACKED, "untracked": UNTRACKED, "continue": CONTINUE, "switched": TRACKED}
    variants = {name: (await stock(tx, seller_id, ON_HAND, policy=policy))[0] for name, policy in policies.items()}
    return Race((tx, other), owner, variants)


async def test_nothing_is_oversold_but_on_purpose_and_all_is_counted(tx: Transactor, database_url: str) -> None:
    async with transactor(database_url, pool_size=10) as other:
        assert await (await _race(tx, other)).run(8, 8) == []


NO_CONDITION = ("_RESERVE", "THEN 0 ELSE", f"THEN -{MAX_QUANTITY} ELSE")
NO_COUNT = ("_RESERVE", "ELSE GREATEST(0, l.reserved + l.quantity - l.on_hand) END", "ELSE l.oversold END")
NOT_LOWERED = ("_RELEASE", "LEAST(s.oversold", "GREATEST(s.oversold")


@pytest.mark.parametrize("fault", [NO_CONDITION, NO_COUNT, NOT_LOWERED], ids=lambda fault: fault[2])
async def test_the_race_notices_each_guard_that_is_taken_away(
    tx: Transactor, database_url: str, monkeypatch: pytest.MonkeyPatch, fault: tuple[str, str, str]
) -> None:
    """Without the table's CHECK, which refuses each of them by itself (test_inventory_policies)."""
    name, text, instead = fault
    statement = getattr(repository, name)
    assert text in statement
    monkeypatch.setattr(repository, name, statement.replace(text, instead))
    drop = "ALTER TABLE stocks DROP CONSTRAINT ck_stocks_reserved"
    await tx.run("t", lambda uow: uow.connection.execute(drop))
    async with transactor(database_url, pool_size=10) as other:
        assert await (await _race(tx, other)).run(4, 3)
