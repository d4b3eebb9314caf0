"""Promo codes raced for by two processes against two workers: exactly so many orders stand with a code as it allows,
while orders that hold it are cancelled and expire; of one buyer on two devices no more than the buyer may have.

Two small rounds in every run, 20 of a hundred orders in the long one. The controls are databases that forget what was
counted: there too many orders stand, and the same looks say so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import pytest
from marketd.kernel.db.uow import UnitOfWork
from marketd.order.expire import expire_group
from marketplace.auth.v1 import auth_service_pb2
from marketplace.cart.v1 import cart_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.promotion.v1 import promotion_service_pb2

from tests.faults import books
from tests.integration.units import transactor
from tests.worlds.faults import Variant, World
from tests.worlds.lines import Account, Lines, register
from tests.worlds.promos import make_code
from tests.worlds.rivals import Move, Outcome, Rivals
from tests.worlds.served import Served
from tests.worlds.things import PASSWORD, new_key

pytestmark = [pytest.mark.usefixtures("both_workers"), pytest.mark.timeout(300)]

LIMIT: Final = 10
EARLIER: Final = 4
"""So many orders have the code before a round; half of them are cancelled in it, the others expire."""
_STANDING: Final = (
    "SELECT count(DISTINCT order_group_id) FROM orders, jsonb_array_elements(promotions) p"
    " WHERE p ->> 'code' = $1 AND state NOT IN ('CANCELLED', 'REJECTED', 'EXPIRED')"
)
_COUNTED: Final = "SELECT usage_count FROM promo_codes WHERE code = $1"


@pytest.fixture(scope="module")
def rivals(served: Served) -> Iterator[Rivals]:
    """The two processes."""
    with Rivals(served.port) as both:
        yield both


@pytest.fixture
async def lines(world: World) -> AsyncIterator[Lines]:
    """Connections to set the rounds up with."""
    async with world.lines(8) as opened:
        yield opened


async def at_most(width: int, work: Sequence[Any]) -> list[Any]:
    """All results, `width` at a time."""
    gate = asyncio.Semaphore(width)

    async def one(each: Any) -> Any:
        async with gate:
            return await each

    return list(await asyncio.gather(*(one(each) for each in work)))


async def made(world: World, lines: Lines, **terms: Any) -> str:
    """A code of the marketplace's; 10 % off all unless said otherwise."""
    asked = promotion_service_pb2.CreatePromoCodeRequest(request_id=new_key(), promo_code=make_code(**terms))
    code: str = (await lines.settled(world.admin, asked)).promo_code.code
    return code


async def quoted(
    world: World, lines: Lines, buyer: Account, variant: Variant, code: str
) -> order_service_pb2.PlaceOrderRequest:
    """What orders the variant with this code alone."""
    await lines.settled(buyer, cart_service_pb2.ClearCartRequest())
    await lines.settled(buyer, cart_service_pb2.ApplyPromoCodeRequest(code=code))
    return await world.quoted(lines, buyer, [(variant, 1)])


async def expire(world: World, groups: Sequence[order_pb2.OrderGroup]) -> None:
    """The groups' time is up, one after the other."""
    async with transactor(world.database_url) as tx:
        for group in groups:

            async def work(uow: UnitOfWork, group_id: str = group.order_group_id) -> None:
                await expire_group(uow, {"order_group_id": group_id})

            await tx.run("test.expire", work)
            await asyncio.sleep(0.002)  # beside the calls, not before them


def cancel(buyer: Account, group: order_pb2.OrderGroup) -> Move:
    request = order_service_pb2.CancelOrderRequest(
        request_id=new_key(), order_id=group.orders[0].order_id, reason=order_pb2.CANCELLATION_REASON_CHANGED_MIND
    )
    return Move(buyer, request, 0.004)


async def one_round(
    world: World, lines: Lines, rivals: Rivals, buyers: Sequence[Account], early: Sequence[Account]
) -> str:
    """All buyers order with a code that LIMIT orders may have; what was refused is tried once more at the end, when
    those who had the code before are gone. Gives the code.
    """
    code = await made(world, lines, usage_limit=LIMIT)
    goods = await world.product(lines, 10 * len(buyers))
    earlier = []
    for buyer in early:
        request = await quoted(world, lines, buyer, goods, code)
        earlier.append((await lines.settled(buyer, request)).order_group)
    placing = await at_most(16, [quoted(world, lines, buyer, goods, code) for buyer in buyers])
    moves = [Move(buyer, request) for buyer, request in zip(buyers, placing, strict=True)]
    half = len(earlier) // 2
    going = [cancel(buyer, group) for buyer, group in zip(early[:half], earlier[:half], strict=True)]
    mine, theirs = [*moves[::2], *going[::2]], [*moves[1::2], *going[1::2]]
    race = asyncio.ensure_future(asyncio.to_thread(rivals.race, mine, theirs))
    await asyncio.gather(race, expire(world, earlier[half:]))
    outcomes = _by_move(mine, theirs, race.result())
    assert all(outcomes[id(move)].is_ok for move in going)
    refused = [move for move in moves if not outcomes[id(move)].is_ok]
    assert {outcomes[id(move)].reason for move in refused} <= {"PROMO_EXHAUSTED"}
    assert len(refused) < len(moves), "nobody got anything"
    again = (refused[::2], refused[1::2])
    second = _by_move(*again, await asyncio.to_thread(rivals.race, *again))
    assert {outcome.reason for outcome in second.values() if not outcome.is_ok} <= {"PROMO_EXHAUSTED"}
    return code


def _by_move(
    mine: Sequence[Move], theirs: Sequence[Move], found: tuple[list[Outcome], list[Outcome]]
) -> dict[int, Outcome]:
    return {id(move): outcome for move, outcome in zip([*mine, *theirs], [*found[0], *found[1]], strict=True)}


async def assert_exactly(world: World, code: str) -> None:
    standing, counted = await world.sql(_STANDING, code), await world.sql(_COUNTED, code)
    assert (standing, counted) == (LIMIT, LIMIT), f"{standing} orders stand with the code, {counted} are counted"


async def many(lines: Lines, count: int) -> list[Account]:
    return await at_most(16, [register(lines) for _ in range(count)])


@pytest.mark.parametrize(
    ("rounds", "orders"), [(2, 16), *(pytest.param(5, 100, marks=pytest.mark.faults, id=f"long-{n}") for n in range(4))]
)
async def test_of_all_who_order_at_once_exactly_as_many_have_the_code_as_it_allows(
    world: World, lines: Lines, rivals: Rivals, rounds: int, orders: int
) -> None:
    buyers, early = await many(lines, orders), await many(lines, EARLIER)
    for _ in range(rounds):
        await assert_exactly(world, await one_round(world, lines, rivals, buyers, early))
    await world.drained()
    await books.assert_sound(world.database_url)


@asynccontextmanager
async def forgetful(world: World, table: str, column: str) -> AsyncIterator[None]:
    """The database counts nothing in this column, so whoever looks at it finds room."""
    connection = await asyncpg.connect(world.database_url, timeout=5)
    try:
        await connection.execute(
            f"CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN NEW.{column} := 0; RETURN NEW; END $$;"
            f" CREATE TRIGGER forget BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION forget()"
        )
        yield
    finally:
        await connection.execute(f"DROP TRIGGER forget ON {table}; DROP FUNCTION forget()")
        # What the next test finds is whole again.
        await connection.execute(
            "UPDATE promo_codes c SET usage_limit = NULL, usage_ceiling = NULL, per_user_limit = NULL,"
            " per_user_ceiling = NULL, usage_count = (SELECT count(*) FROM promo_redemptions r"
            "   WHERE r.promo_code_id = c.promo_code_id AND r.give_back_time IS NULL)"
        )
        await connection.execute(
            "UPDATE promo_uses u SET count = (SELECT count(*) FROM promo_redemptions r WHERE r.user_id = u.user_id"
            " AND r.promo_code_id = u.promo_code_id AND r.give_back_time IS NULL)"
        )
        await connection.close()


async def test_the_round_notices_when_uses_are_not_counted(world: World, lines: Lines, rivals: Rivals) -> None:
    """The control."""
    buyers, early = await many(lines, 16), await many(lines, 0)
    async with forgetful(world, "promo_codes", "usage_count"):
        code = await one_round(world, lines, rivals, buyers, early)
        with pytest.raises(AssertionError, match="16 orders stand"):
            await assert_exactly(world, code)
    await books.assert_sound(world.database_url)


async def second_device(lines: Lines, buyer: Account) -> Account:
    """The same buyer, signed in elsewhere."""
    asked = auth_service_pb2.LoginRequest(login=buyer.email, password=PASSWORD)
    return Account(buyer.user_id, buyer.email, (await lines.call(None, asked)).tokens.access_token)


async def on_two_devices(
    world: World, lines: Lines, rivals: Rivals, buyers: Sequence[Account], codes: Sequence[tuple[str, str]]
) -> list[tuple[Outcome, Outcome]]:
    """Each buyer orders twice at once, on two devices, with these two codes; what became of both."""
    goods = [await world.product(lines, 2 * len(buyers)) for _ in range(2)]
    devices = await at_most(8, [second_device(lines, buyer) for buyer in buyers])

    async def both(buyer: Account, pair: tuple[str, str]) -> list[order_service_pb2.PlaceOrderRequest]:
        # Of other goods each, so that the two have nothing in common but the buyer.
        return [await quoted(world, lines, buyer, goods[n], pair[n]) for n in range(2)]

    requests = await at_most(8, [both(buyer, pair) for buyer, pair in zip(buyers, codes, strict=True)])
    one = [Move(buyer, first) for buyer, (first, _) in zip(buyers, requests, strict=True)]
    other = [Move(device, second) for device, (_, second) in zip(devices, requests, strict=True)]
    mine, theirs = await asyncio.to_thread(rivals.race, one, other)
    return list(zip(mine, theirs, strict=True))


def winners(outcomes: Sequence[tuple[Outcome, Outcome]]) -> list[int]:
    return [sum(outcome.is_ok for outcome in both) for both in outcomes]


def reasons(outcomes: Sequence[tuple[Outcome, Outcome]]) -> set[str]:
    return {outcome.reason for both in outcomes for outcome in both if not outcome.is_ok}


@pytest.mark.parametrize("buyers", [6, pytest.param(60, marks=pytest.mark.faults)])
async def test_a_buyer_on_two_devices_uses_a_code_no_more_often_than_once(
    world: World, lines: Lines, rivals: Rivals, buyers: int
) -> None:
    code = await made(world, lines, per_user_limit=1)
    found = await on_two_devices(world, lines, rivals, await many(lines, buyers), [(code, code)] * buyers)
    assert winners(found) == [1] * buyers
    assert reasons(found) == {"PROMO_EXHAUSTED"}
    assert await world.sql(_STANDING, code) == await world.sql(_COUNTED, code) == buyers
    await books.assert_sound(world.database_url)


async def test_the_devices_are_noticed_when_a_buyers_uses_are_not_counted(
    world: World, lines: Lines, rivals: Rivals
) -> None:
    """The control."""
    code = await made(world, lines, per_user_limit=1)
    buyers = await many(lines, 3)
    async with forgetful(world, "promo_uses", "count"):
        assert winners(await on_two_devices(world, lines, rivals, buyers, [(code, code)] * 3)) == [2] * 3
    await books.assert_sound(world.database_url)


@pytest.mark.parametrize("buyers", [6, pytest.param(60, marks=pytest.mark.faults)])
@pytest.mark.parametrize("is_one_code", [True, False], ids=["one code", "two codes"])
async def test_of_two_first_orders_at_once_one_is_the_first(
    world: World, lines: Lines, rivals: Rivals, buyers: int, is_one_code: bool
) -> None:
    first = await made(world, lines, first_order_only=True)
    second = first if is_one_code else await made(world, lines, first_order_only=True)
    found = await on_two_devices(world, lines, rivals, await many(lines, buyers), [(first, second)] * buyers)
    assert winners(found) == [1] * buyers
    assert reasons(found) == {"PROMO_NOT_APPLICABLE"}
    await books.assert_sound(world.database_url)
