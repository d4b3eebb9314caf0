"""Shoppers who go on whatever happens: they repeat what they do not know the end of, and remember what was answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import asyncpg
import grpc
from google.protobuf import timestamp_pb2
from google.protobuf.message import Message
from marketplace.payment.v1 import payment_pb2
from marketplace_client import CourierUplink, MarketplaceClient, Outcome

from tests.worlds.faults import Variant, World
from tests.worlds.lines import Account, Answer, Lines, register
from tests.worlds.things import payment

RATE_AT_LEAST: Final = 50.0
"""Operations a second before a fault, or the run proves nothing (I9)."""


class CountingLines(Lines):
    """Connections that remember when each call was answered."""

    def __init__(self, port: int, count: int) -> None:
        super().__init__(port, count)
        self.answered: list[float] = []
        self._moved = asyncio.Event()

    async def settle(
        self,
        account: Account | None,
        request: Message,
        *,
        seconds: float = 45.0,
        channel: grpc.aio.Channel | None = None,
    ) -> Answer:
        """`settle`, for as long as a restart takes on a slow machine."""
        answer = await super().settle(account, request, seconds=seconds, channel=channel)
        self.answered.append(time.monotonic())
        self._moved.set()
        return answer

    async def until_answered(self, count: int, seconds: float = 45.0) -> None:
        """Wait until `count` calls more have been answered."""
        wanted = len(self.answered) + count
        async with asyncio.timeout(seconds):
            while len(self.answered) < wanted:
                self._moved.clear()
                await self._moved.wait()

    def rate(self, since: float) -> float:
        """Answers a second since then."""
        return sum(each >= since for each in self.answered) / (time.monotonic() - since)


@dataclass
class Shopping:
    """What was acknowledged to the shoppers."""

    world: World
    lines: CountingLines
    goods: Variant
    pause_seconds: float
    """Of each shopper, from one order to the next."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    placed: dict[str, str] = field(default_factory=dict)
    """Order group to account."""
    paid: set[str] = field(default_factory=set)
    pending: set[str] = field(default_factory=set)
    """Confirmed, and answered before the money was known to be taken."""

    async def shop(self, buyer: Account) -> None:
        """Buy again and again; ends with nothing unknown."""
        while not self.stop.is_set():
            request = await self.world.quoted(self.lines, buyer, [(self.goods, 1)])
            group = (await self.lines.settled(buyer, request)).order_group
            self.placed[group.order_group_id] = buyer.user_id
            answered = await self.lines.settled(buyer, payment(group))
            # PENDING is an answer too: the provider could not be reached, and the reconciler goes on by itself.
            if answered.payment.state == payment_pb2.PAYMENT_STATE_CAPTURED:
                self.paid.add(group.order_group_id)
            else:
                self.pending.add(group.order_group_id)
            await asyncio.sleep(self.pause_seconds)

    async def assert_nothing_lost(self) -> None:
        """Every acknowledged order exists once, is paid when that was acknowledged, and no other exists (I2, I3)."""
        rows = await self._rows()
        assert {row["group_id"] for row in rows} == self.placed.keys()
        assert self.paid | self.pending == self.placed.keys(), "they stop only when they have confirmed"
        for row in rows:
            assert row["orders"] == 1
            if row["group_id"] in self.paid:
                assert (row["paid"], row["captured"]) == (1, row["total"]), row

    async def assert_pending_get_paid(self, seconds: float = 60.0) -> None:
        """The reconciler settles what was answered as PENDING, each with one charge."""
        async with asyncio.timeout(seconds):
            while left := [row for row in await self._rows() if (row["paid"], row["captured"]) != (1, row["total"])]:
                assert {row["group_id"] for row in left} <= self.pending
                await asyncio.sleep(0.2)

    async def ride(self, courier: Account) -> None:
        """Send positions until told to stop; then each has one outcome, and what was stored is there once (I11)."""
        stored: list[int] = []

        def hear(outcome: Outcome) -> None:
            if outcome.is_stored:
                stored.append(outcome.seq)

        async with MarketplaceClient(f"127.0.0.1:{self.world.port}", access_token=courier.token) as client:
            uplink = CourierUplink(client, batch_size=20, on_outcome=hear)
            async with uplink:
                sent = 0
                while not self.stop.is_set():
                    now = timestamp_pb2.Timestamp()
                    now.GetCurrentTime()
                    sent = await uplink.send(52.53 + sent * 1e-6, 13.40, now, accuracy_meters=5.0)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self.stop.wait(), 0.05)
                await uplink.flush(45.0)
            assert uplink.stored + uplink.rejected == sent > 0
        statement = "SELECT array_agg(seq ORDER BY seq) FROM position_points WHERE uplink_id = $1::text::uuid"
        assert await self.world.sql(statement, uplink.uplink_id) == stored

    async def _rows(self) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.world.database_url, timeout=5)
        try:
            return await connection.fetch(
                "SELECT g.order_group_id::text AS group_id, count(*) AS orders,"
                " count(*) FILTER (WHERE o.state = 'PAID') AS paid, max(p.captured_amount_minor) AS captured,"
                " max(g.total_minor) AS total FROM order_groups g JOIN orders o USING (order_group_id)"
                " JOIN payments p ON p.payment_id = g.payment_id WHERE g.buyer_id = ANY($1::text[]::uuid[])"
                " GROUP BY 1",
                sorted(set(self.placed.values())),
            )
        finally:
            await connection.close()


@asynccontextmanager
async def shoppers(world: World, count: int, *, pause_seconds: float = 0) -> AsyncIterator[Shopping]:
    """`count` shoppers and a courier on the road, at work inside the block; afterwards all that they began is known and
    nothing is lost.
    """
    async with CountingLines(world.port, max(4, count)) as lines:
        shopping = Shopping(world, lines, await world.product(lines, 100_000), pause_seconds)
        buyers = [await register(lines) for _ in range(count)]
        courier, _ = await world.courier(lines)
        async with asyncio.TaskGroup() as group:
            group.create_task(shopping.ride(courier))
            for buyer in buyers:
                group.create_task(shopping.shop(buyer))
            try:
                yield shopping
            finally:
                shopping.stop.set()
        await shopping.assert_nothing_lost()
        await shopping.assert_pending_get_paid()
