"""What becomes of promo codes when a shop, an account, or what is in their scope ends."""

from __future__ import annotations

from uuid import UUID

import pytest
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.values.ids import new_id
from marketplace.errors.v1 import error_reason_pb2 as reasons

from tests.worlds.ends import Ends
from tests.worlds.promos import Promos, percent


async def test_a_shops_codes_rest_while_it_does_not_sell(promos: Promos) -> None:
    market, ends = promos.market, Ends(promos.market)
    shop, buyer = await market.shop(), await market.buyer()
    await market.add(buyer, await market.variant(shop))
    made = await promos.create(shop.caller)
    assert (await promos.validate(buyer, made.code)).applicable
    for move, back in (("Suspend", "Reinstate"), ("Close", "Reinstate")):
        await ends.move(move, shop, "for now")
        answer = await promos.validate(buyer, made.code)
        assert answer.problem.reason == reasons.ERROR_REASON_PROMO_NOT_APPLICABLE
        if move == "Close":
            with pytest.raises(NotFound):
                await promos.update(shop.caller, made.promo_code_id, description="mine")
            changed = await promos.update(market.admin, made.promo_code_id, percent=percent("20"))
            assert (await promos.get(market.admin, made.promo_code_id)) == changed
        await ends.move(back, shop, "again")
        assert (await promos.validate(buyer, made.code)).applicable
    assert (await promos.get(shop.caller, made.promo_code_id)).promo_code_id == made.promo_code_id


async def test_a_scope_whose_things_are_gone_is_never_wider(promos: Promos) -> None:
    market = promos.market
    shop, buyer = await market.shop(), await market.buyer()
    variants = [await market.variant(shop) for _ in range(2)]
    for variant in variants:
        await market.add(buyer, variant)
    category_id = new_id()
    await market.execute(
        "INSERT INTO categories (category_id, name, name_key, slug, description, position, path, version, create_time,"
        " update_time) VALUES ($1::uuid, $2, $2, $2, '', 0, ARRAY[$1::uuid], 1, now(), now())",
        category_id,
        category_id.hex,
    )
    gone, kept = [
        await market.value("SELECT product_id FROM variants WHERE variant_id = $1", variant) for variant in variants
    ]
    of_category = await promos.create(scope={"category_ids": [str(category_id)]})
    of_product = await promos.create(scope={"product_ids": [str(gone)]})
    assert (await promos.validate(buyer, of_product.code)).applicable
    await market.execute("DELETE FROM categories WHERE category_id = $1", category_id)
    await market.execute(
        "WITH dead AS (UPDATE variants SET active = false, delete_time = now() WHERE product_id = $1)"
        " UPDATE products SET state = 'ARCHIVED', delete_time = now() WHERE product_id = $1",
        gone,
    )
    for made in (of_category, of_product):
        answer = await promos.validate(buyer, made.code)
        assert answer.problem.reason == reasons.ERROR_REASON_PROMO_NOT_APPLICABLE
        assert (await promos.get(market.admin, made.promo_code_id)).scope == made.scope
    everything = await promos.create()
    (line,) = (await promos.validate(buyer, everything.code)).line_discounts
    assert UUID(line.variant_id) == variants[1]
    assert kept is not None


async def test_what_a_deleted_account_has_used_stays_counted(promos: Promos) -> None:
    buyer = await promos.market.buyer()
    made = await promos.create(usage_limit=1, per_user_limit=1)
    promotion = await promos.promotion(made.promo_code_id, buyer.user_id)
    group = await promos.redeem(buyer.known_user_id, promotion)
    await Ends(promos.market).delete(buyer)
    assert await promos.uses(made.promo_code_id) == 1
    assert await promos.built.violations() == []
    await promos.give_back(group, made.promo_code_id)
    assert await promos.uses(made.promo_code_id) == 0
