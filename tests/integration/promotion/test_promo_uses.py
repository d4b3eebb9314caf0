"""Uses of codes: counted once a group, within the limits whoever races, and given back once.

Each race stands beside a control without the guard, which the same rules find.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.promotion import service
from marketd.promotion.errors import PromoExhausted, PromoExpired, PromoNotApplicable, PromoNotFound, TermsChanged
from marketd.promotion.values import Promotion

from tests.worlds.ends import Ends
from tests.worlds.promos import Promos, nobody_ordered, percent, window

DAY = timedelta(days=1)


async def outcomes(*calls: Awaitable[object]) -> list[str]:
    """How each of them ended: `ok`, or the name of the refusal."""
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert all(not isinstance(each, BaseException) or isinstance(each, Refusal) for each in done), done
    return sorted(type(each).__name__ if isinstance(each, Refusal) else "ok" for each in done)


async def test_a_use_counts_once_for_a_group_and_is_given_back_once(promos: Promos) -> None:
    made, more = [await promos.create(usage_limit=2, per_user_limit=2) for _ in range(2)]
    ids, buyer = [made.promo_code_id, more.promo_code_id], new_id()
    groups = [await promos.redeem(buyer, *[await promos.promotion(each, buyer) for each in ids]) for _ in range(2)]
    assert [await promos.uses(each) for each in ids] == [2, 2]
    assert await promos.built.violations() == []
    await promos.give_back(groups[0], ids[0])
    await promos.give_back(groups[0], ids[0])
    await promos.give_back(new_id(), *ids)
    assert [await promos.uses(each) for each in ids] == [1, 2]
    both = {group: [UUID(each) for each in ids] for group in groups}
    await promos.market.tx.run("test.give_back", lambda uow: service.give_back_all(uow, both))
    assert [await promos.uses(each) for each in ids] == [0, 0]
    assert await promos.built.violations() == []
    await promos.redeem(buyer, await promos.promotion(ids[0], buyer))
    assert await promos.uses(ids[0]) == 1


async def test_what_was_quoted_is_used_as_it_was_quoted_or_not_at_all(promos: Promos) -> None:
    admin, now, buyer = promos.market.admin, promos.market.clock.now(), new_id()
    rows: list[tuple[dict[str, Any], Callable[[str], Awaitable[object]], type[Exception]]] = [
        ({}, lambda code: promos.update(admin, code, percent=percent("9")), TermsChanged),
        ({}, lambda code: promos.disable(admin, code), TermsChanged),
        ({"usage_limit": 1}, lambda code: used(promos, code), PromoExhausted),
        ({"usage_limit": 2}, lambda code: lowered(promos, code), PromoExhausted),
        ({"per_user_limit": 1}, lambda code: used(promos, code, buyer), PromoExhausted),
    ]
    for fields, change, refusal in rows:
        made = await promos.create(**fields)
        promotion = await promos.promotion(made.promo_code_id, buyer)
        await change(made.promo_code_id)
        before = await promos.uses(made.promo_code_id)
        with pytest.raises(refusal) as refused:
            await promos.redeem(buyer, promotion)
        if isinstance(refused.value, Refusal):
            assert refused.value.metadata == {"code": made.code}
        assert await promos.uses(made.promo_code_id) == before
    ends = await promos.create(window=window(None, now + DAY))
    promotion = await promos.promotion(ends.promo_code_id)
    with pytest.raises(PromoExpired, match="was valid until"):
        await redeem_at(promos, promotion, now + 2 * DAY)
    assert await promos.built.violations() == []


async def redeem_at(promos: Promos, promotion: Promotion, instant: Any) -> None:
    """Use the code up at that instant."""

    async def late(uow: UnitOfWork) -> None:
        uow.now = instant
        await service.redeem(uow, new_id(), new_id(), [promotion], nobody_ordered)

    await promos.market.tx.run("test.late", late)


async def used(promos: Promos, promo_code_id: str, user_id: UUID | None = None) -> None:
    """Somebody else, or this one, uses it."""
    await promos.redeem(user_id or new_id(), await promos.promotion(promo_code_id, user_id))


async def lowered(promos: Promos, promo_code_id: str) -> None:
    """It is used as often as it may be, and then may be used less."""
    for _ in range(2):
        await used(promos, promo_code_id)
    await promos.update(promos.market.admin, promo_code_id, usage_limit=1)


async def test_a_limit_may_be_lowered_below_what_was_used(promos: Promos) -> None:
    made, buyer = await promos.create(usage_limit=3, per_user_limit=3), new_id()
    promotion = await promos.promotion(made.promo_code_id)
    groups = [await promos.redeem(buyer, promotion) for _ in range(3)]
    changed = await promos.update(promos.market.admin, made.promo_code_id, usage_limit=2, per_user_limit=1)
    assert (changed.usage_count, changed.usage_limit) == (3, 2)
    assert await promos.built.violations() == []
    await promos.give_back(groups[0], made.promo_code_id)
    with pytest.raises(PromoExhausted):
        await promos.redeem(new_id(), promotion)
    await promos.give_back(groups[1], made.promo_code_id)
    with pytest.raises(PromoExhausted, match="one account"):
        await promos.redeem(buyer, promotion)
    await promos.redeem(new_id(), promotion)
    assert await promos.built.violations() == []


async def test_a_limit_that_is_raised_lets_as_many_more_use_the_code(promos: Promos) -> None:
    made, buyer = await promos.create(usage_limit=1, per_user_limit=1), new_id()
    promotion = await promos.promotion(made.promo_code_id)
    await promos.redeem(buyer, promotion)
    await promos.update(promos.market.admin, made.promo_code_id, usage_limit=3, per_user_limit=2)
    for user_id in (buyer, new_id()):
        await promos.redeem(user_id, promotion)
    with pytest.raises(PromoExhausted):
        await promos.redeem(new_id(), promotion)
    assert await promos.uses(made.promo_code_id) == 3
    assert await promos.built.violations() == []


async def test_a_first_order_is_the_only_one_that_stands(promos: Promos) -> None:
    made = await promos.create(first_order_only=True)
    promotion = await promos.promotion(made.promo_code_id)
    asked: list[UUID | None] = []

    async def has_ordered(_unit: UnitOfWork | ReadUnit, _user_id: UUID, besides: UUID | None) -> bool:
        asked.append(besides)
        return len(asked) > 1

    group = await promos.redeem(new_id(), promotion, history=has_ordered)
    assert asked == [group]  # the order that is being placed is none before
    with pytest.raises(PromoNotApplicable, match="ordered before") as refused:
        await promos.redeem(new_id(), promotion, history=has_ordered)
    assert refused.value.metadata == {"code": made.code}
    assert await promos.uses(made.promo_code_id) == 1


async def test_a_code_is_found_as_it_was_issued(promos: Promos) -> None:
    made, tx = await promos.create(), promos.market.tx
    found = await tx.read(lambda unit: service.find_code(unit, f" {made.code.lower()}"))
    assert (str(found.promo_code_id), found.code) == (made.promo_code_id, made.code)
    with pytest.raises(PromoNotFound) as refused:
        await tx.read(lambda unit: service.find_code(unit, "NOBODYS"))
    assert refused.value.metadata == {"code": "NOBODYS"}


async def test_of_a_code_that_is_not_there_any_more_the_cart_is_told(promos: Promos) -> None:
    found = await promos.market.tx.read(lambda unit: service.evaluate(unit, [new_id()], [], None, None, nobody_ordered))
    assert [each.reason.value for each in found.problems] == ["PROMO_NOT_FOUND"]


# -- races


async def test_of_many_at_once_as_many_use_a_code_as_may(promos: Promos, other: Promos) -> None:
    made = await promos.create(usage_limit=4)
    promotion = await promos.promotion(made.promo_code_id)
    workers = (promos, other)
    groups: list[tuple[Promos, UUID]] = []

    async def order(place: int) -> None:
        worker = workers[place % 2]
        groups.append((worker, await worker.redeem(new_id(), promotion)))

    assert await outcomes(*map(order, range(12))) == ["PromoExhausted"] * 8 + ["ok"] * 4
    assert await promos.uses(made.promo_code_id) == 4
    # Two give theirs back, twice each, while others try on: as many get in as went out, and none is lost.
    given = [worker.give_back(group, made.promo_code_id) for worker, group in groups[:2] for _ in range(2)]
    ended = await outcomes(*given, *map(order, range(8)))
    stand = 4 - 2 + ended.count("ok") - len(given)
    assert await promos.uses(made.promo_code_id) == stand <= 4
    assert await promos.built.violations() == []


async def test_an_account_uses_a_code_as_often_as_it_may_from_all_its_devices(promos: Promos, other: Promos) -> None:
    made, buyer = await promos.create(per_user_limit=1), new_id()
    promotion = await promos.promotion(made.promo_code_id)
    ended = await outcomes(*(worker.redeem(buyer, promotion) for worker in (promos, other) * 3))
    assert ended == ["PromoExhausted"] * 5 + ["ok"]
    assert await promos.uses(made.promo_code_id) == 1
    assert await promos.built.violations() == []


async def test_orders_with_the_same_codes_in_any_order_never_wait_in_a_circle(promos: Promos, other: Promos) -> None:
    made = [await promos.create() for _ in range(3)]
    promotions = [await promos.promotion(each.promo_code_id) for each in made]
    turns = [promotions, promotions[::-1], promotions[1:] + promotions[:1]]
    workers = (promos, other)
    await asyncio.gather(*(workers[n % 2].redeem(new_id(), *turns[n % 3]) for n in range(12)))
    assert [await promos.uses(each.promo_code_id) for each in made] == [12] * 3


async def test_a_change_of_terms_and_an_order_at_once_are_one_after_the_other(promos: Promos, other: Promos) -> None:
    made = await promos.create()
    promotion = await promos.promotion(made.promo_code_id)
    ends = Ends(promos.market)

    async def order(uow: UnitOfWork) -> None:
        await service.redeem(uow, new_id(), new_id(), [promotion], nobody_ordered)

    async with ends.held(order) as held:
        changing = asyncio.create_task(
            other.update(other.market.admin, made.promo_code_id, percent=percent("90"), usage_limit=9)
        )
        await ends.waits_for_a_lock(changing)
        await held.commit()
    assert (await changing).usage_count == 1  # it has seen the use
    with pytest.raises(TermsChanged):
        await promos.redeem(new_id(), promotion)
    assert await promos.built.violations() == []


# -- the same without the guards


async def unguarded(workers: tuple[Promos, Promos], promo_code_id: str, users: list[UUID]) -> None:
    """Look first and write then, as who knows no better; all have looked before one writes."""
    seen = asyncio.Barrier(len(users))

    async def order(worker: Promos, user_id: UUID) -> None:
        async def work(uow: UnitOfWork) -> None:
            code, run = UUID(promo_code_id), uow.connection
            used = await run.fetchval("SELECT usage_count FROM promo_codes WHERE promo_code_id = $1", code)
            of_user = await run.fetchval(
                "SELECT COALESCE(max(count), 0) FROM promo_uses WHERE promo_code_id = $1 AND user_id = $2",
                code,
                user_id,
            )
            await seen.wait()
            assert used == of_user == 0  # below each limit of 1
            await run.execute("UPDATE promo_codes SET usage_count = usage_count + 1 WHERE promo_code_id = $1", code)
            await run.execute(
                "INSERT INTO promo_uses AS u VALUES ($1, $2, 1) ON CONFLICT (promo_code_id, user_id)"
                " DO UPDATE SET count = u.count + 1",
                code,
                user_id,
            )
            await run.execute("INSERT INTO promo_redemptions VALUES ($1, $2, $3, now(), NULL)", new_id(), code, user_id)

        await worker.market.tx.run("test.unguarded", work)

    await asyncio.gather(*(order(worker, user_id) for worker, user_id in zip(workers, users, strict=True)))


async def test_a_limit_that_is_looked_at_first_is_passed_and_found(promos: Promos, other: Promos) -> None:
    made = await promos.create(usage_limit=1)
    # The table refuses it by itself, so that has to go too.
    await promos.market.execute("ALTER TABLE promo_codes DROP CONSTRAINT ck_promo_codes_usage_count")
    await unguarded((promos, other), made.promo_code_id, [new_id(), new_id()])
    assert await promos.uses(made.promo_code_id) == 2
    (wrong,) = await promos.built.violations()
    assert wrong == f"a code is not used more often than it may be: {made.promo_code_id} was used 2 times of 1"


async def test_a_limit_of_accounts_that_is_looked_at_first_is_passed_and_found(promos: Promos, other: Promos) -> None:
    made, buyer = await promos.create(per_user_limit=1), uuid4()
    await unguarded((promos, other), made.promo_code_id, [buyer, buyer])
    (wrong,) = await promos.built.violations()
    assert "was used 2 times of 1" in wrong


async def test_uses_that_do_not_add_up_are_found(promos: Promos) -> None:
    made = await promos.create()
    await promos.redeem(new_id(), await promos.promotion(made.promo_code_id))
    assert await promos.built.violations() == []
    for statement, rule in (
        ("UPDATE promo_codes SET usage_count = usage_count - 1", "a code's uses are its redemptions that stand"),
        ("UPDATE promo_uses SET count = 2", "an account's uses are its redemptions that stand"),
        ("DELETE FROM promo_uses", "an account's uses are its redemptions that stand"),
    ):
        await promos.market.execute(statement)
        assert [each.split(":")[0] for each in await promos.built.violations()][-1] == rule
