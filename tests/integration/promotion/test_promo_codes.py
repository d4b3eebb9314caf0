"""Promo codes on real Postgres: who makes, sees and changes which, and what a code cannot be."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from google.type.money_pb2 import Money
from marketd.audit import log
from marketd.audit.values import AuditFilter
from marketd.kernel.call.caller import Role
from marketd.kernel.call.refusals import (
    AlreadyExists,
    EtagMismatch,
    IllegalTransition,
    NotFound,
    PageTokenInvalid,
    ValidationFailed,
)
from marketd.promotion.repository import codes
from marketplace.promotion.v1 import promo_code_pb2
from marketplace.promotion.v1 import promotion_service_pb2 as pb

from tests.worlds.promos import FIXED, FREE_DELIVERY, PERCENT, Promos, euros, new_code, percent, window

ACTIVE = promo_code_pb2.PROMO_CODE_STATE_ACTIVE
EXHAUSTED = promo_code_pb2.PROMO_CODE_STATE_EXHAUSTED
EXPIRED = promo_code_pb2.PROMO_CODE_STATE_EXPIRED
DISABLED = promo_code_pb2.PROMO_CODE_STATE_DISABLED
SCHEDULED = promo_code_pb2.PROMO_CODE_STATE_SCHEDULED
PLATFORM = promo_code_pb2.PROMO_CODE_FUNDING_PLATFORM
SELLER = promo_code_pb2.PROMO_CODE_FUNDING_SELLER
YEAR = timedelta(days=365)


async def terms_version(promos: Promos, promo_code_id: str) -> int:
    found = await promos.market.tx.read(lambda unit: codes.read(unit.connection, UUID(promo_code_id)))
    assert found is not None
    return found.terms_version


async def test_a_code_comes_back_as_it_was_given(promos: Promos) -> None:
    market, now = promos.market, promos.market.clock.now()
    shop = await market.shop()
    variant = await market.variant(shop)
    product_id = await market.value("SELECT product_id FROM variants WHERE variant_id = $1", variant)
    given: dict[str, Any] = {
        "code": f"Spring-{new_code()[-12:]}",
        "kind": PERCENT,
        "percent": percent("12.5"),
        "scope": promo_code_pb2.PromoCodeScope(product_ids=[str(product_id)], seller_ids=[str(shop.seller_id)]),
        "min_subtotal": euros(2_000),
        "max_discount": euros(5_005),
        "window": window(now - YEAR, now + YEAR),
        "usage_limit": 10,
        "per_user_limit": 2,
        "first_order_only": True,
        "stackable": False,
        "description": "12.5 % off lamps",
    }
    made = await promos.create(shop.caller, **given)
    for name, value in given.items():
        assert getattr(made, name) == value
    assert (made.seller_id, made.funded_by) == (str(shop.seller_id), SELLER)
    assert (made.state, made.usage_count) == (ACTIVE, 0)
    assert await promos.get(shop.caller, made.promo_code_id) == made
    assert await promos.get(market.admin, made.promo_code_id) == made
    # As it was read it passes, and changes nothing, not even its etag.
    same = pb.UpdatePromoCodeRequest(promo_code=made)
    same.update_mask.paths.append("*")
    assert (await market.call(shop.caller, promos.servicer.UpdatePromoCode, same)).promo_code == made


async def test_an_admin_makes_the_marketplaces_codes_and_sellers_their_own(promos: Promos) -> None:
    market = promos.market
    shop, rival = await market.shop(), await market.shop()
    platform = await promos.create()
    assert (platform.HasField("seller_id"), platform.funded_by) == (False, PLATFORM)
    assert (await promos.create(seller_id=str(shop.seller_id))).funded_by == SELLER
    named = await promos.create(shop.caller, seller_id=str(shop.seller_id))
    for seller_id in (str(rival.seller_id), str(uuid4())):
        with pytest.raises(ValidationFailed) as refused:
            await promos.create(shop.caller, seller_id=seller_id)
        assert [each.field for each in refused.value.fields] == ["promo_code.seller_id"]
        assert refused.value.message == "promo_code.seller_id: is not your shop; leave it out"
    with pytest.raises(ValidationFailed, match=r"promo_code.seller_id: is no seller"):
        await promos.create(seller_id=str(uuid4()))
    with pytest.raises(NotFound):
        await promos.create(await market.account(Role.SELLER))
    for foreign in (named, platform):
        with pytest.raises(NotFound):
            await promos.get(rival.caller, foreign.promo_code_id)
        with pytest.raises(NotFound):
            await promos.update(rival.caller, foreign.promo_code_id, description="mine")
        with pytest.raises(NotFound):
            await promos.disable(rival.caller, foreign.promo_code_id)


async def test_a_code_is_there_once_whatever_its_case_also_when_it_is_disabled(promos: Promos) -> None:
    code = new_code()
    made = await promos.create(code=code)
    shop = await promos.market.shop()
    for again in (code, code.lower(), code.upper()):
        with pytest.raises(AlreadyExists) as refused:
            await promos.create(shop.caller, code=again)
        assert refused.value.metadata == {"resource": "promo_code", "field": "code"}
    await promos.disable(promos.market.admin, made.promo_code_id)
    with pytest.raises(AlreadyExists):
        await promos.create(code=code.swapcase())


WRONG: Final[list[tuple[dict[str, Any], list[str]]]] = [
    ({"percent": None}, ["percent"]),
    ({"percent": None, "amount": euros(5)}, ["percent", "amount"]),
    ({"kind": FIXED}, ["amount"]),
    ({"kind": FIXED, "amount": euros(0)}, ["amount"]),
    ({"kind": FIXED, "percent": percent("5")}, ["percent", "amount"]),
    ({"kind": FIXED, "amount": euros(5), "max_discount": euros(3)}, ["max_discount"]),
    ({"kind": FREE_DELIVERY, "percent": percent("5")}, ["percent"]),
    ({"kind": FREE_DELIVERY, "amount": euros(5)}, ["amount"]),
    ({"max_discount": euros(0)}, ["max_discount"]),
    ({"min_subtotal": Money(currency_code="USD", units=1)}, ["min_subtotal.currency_code"]),
    ({"min_subtotal": Money(currency_code="EUR", nanos=1)}, ["min_subtotal.nanos"]),
    ({"scope": {"category_ids": [str(uuid4())]}}, ["scope.category_ids[0]"]),
    (
        {"scope": {"seller_ids": [str(uuid4())], "product_ids": [str(uuid4())]}},
        ["scope.seller_ids[0]", "scope.product_ids[0]"],
    ),
]


async def test_what_a_code_cannot_be_is_named_by_its_path(promos: Promos) -> None:
    for fields, paths in WRONG:
        with pytest.raises(ValidationFailed) as refused:
            await promos.create(**fields)
        assert [each.field for each in refused.value.fields] == [f"promo_code.{path}" for path in paths]


async def test_a_window_must_not_end_before_it_begins(promos: Promos) -> None:
    now = promos.market.clock.now()
    for end in (now, now - YEAR):
        with pytest.raises(ValidationFailed, match=r"promo_code.window.end_time: must be after"):
            await promos.create(window=window(now, end))
    made = await promos.create(window=window(now + YEAR, None))
    assert (made.state, made.window.HasField("end_time")) == (SCHEDULED, False)
    with pytest.raises(ValidationFailed, match=r"window.end_time"):
        await promos.update(promos.market.admin, made.promo_code_id, window=window(now, now))


async def test_a_sellers_code_is_for_its_own_goods_alone(promos: Promos) -> None:
    market = promos.market
    shop, rival = await market.shop(), await market.shop()
    own, foreign = [
        str(await market.value("SELECT product_id FROM variants WHERE variant_id = $1", await market.variant(each)))
        for each in (shop, rival)
    ]
    with pytest.raises(ValidationFailed) as refused:
        await promos.create(shop.caller, scope={"product_ids": [own, foreign], "seller_ids": [str(rival.seller_id)]})
    assert [each.field for each in refused.value.fields] == [
        "promo_code.scope.seller_ids[0]",
        "promo_code.scope.product_ids[1]",
    ]
    made = await promos.create(shop.caller, scope={"product_ids": [own]})
    with pytest.raises(ValidationFailed, match=r"scope.product_ids\[0\]"):
        await promos.update(shop.caller, made.promo_code_id, scope={"product_ids": [foreign]})
    assert (await promos.create(scope={"product_ids": [own, foreign]})).scope.product_ids == [own, foreign]
    # A product that is gone by now may stay where it stood, and nothing else can come.
    await market.execute("UPDATE products SET delete_time = now(), state = 'ARCHIVED' WHERE product_id = $1", UUID(own))
    kept = await promos.update(
        shop.caller, made.promo_code_id, scope={"product_ids": [own], "seller_ids": [str(shop.seller_id)]}
    )
    assert kept.scope.product_ids == [own]


_LAMPS: Final = uuid4()
CHANGES: Final[list[tuple[dict[str, Any], bool]]] = [
    ({"percent": percent("20")}, True),
    ({"min_subtotal": euros(1)}, True),
    ({"max_discount": euros(1)}, True),
    ({"window": window(None, None)}, True),
    ({"scope": promo_code_pb2.PromoCodeScope()}, True),
    ({"first_order_only": True}, True),
    ({"stackable": False}, True),
    ({"usage_limit": 5}, False),
    ({"per_user_limit": 5}, False),
    ({"description": "other words"}, False),
]


async def test_quotes_outlive_a_change_of_limits_and_words_and_no_other(promos: Promos) -> None:
    market, now = promos.market, promos.market.clock.now()
    shop = await market.shop()
    for fields, is_other in CHANGES:
        made = await promos.create(window=window(now - YEAR), scope={"seller_ids": [str(shop.seller_id)]})
        changed = await promos.update(market.admin, made.promo_code_id, **fields)
        assert changed.etag != made.etag
        assert await terms_version(promos, made.promo_code_id) == (2 if is_other else 1), fields
    # Each part of what a code says counts by itself.
    product_id = await market.value("SELECT product_id FROM variants WHERE variant_id = $1", await market.variant(shop))
    await market.execute(
        "INSERT INTO categories (category_id, name, name_key, slug, description, position, path, version, create_time,"
        " update_time) VALUES ($1, 'Lamps', 'lamps', 'lamps', '', 0, ARRAY[$1::uuid], 1, now(), now())",
        _LAMPS,
    )
    alone: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"kind": FIXED, "percent": None, "amount": euros(500)}, {"amount": euros(400)}),
        ({"window": window(now - YEAR, now + YEAR)}, {"window": window(now - YEAR, now + 2 * YEAR)}),
        ({"window": window(now - YEAR, now + YEAR)}, {"window": window(now - 2 * YEAR, now + YEAR)}),
        ({}, {"scope": {"product_ids": [str(product_id)]}}),
        ({}, {"scope": {"category_ids": [str(_LAMPS)]}}),
    ]
    for given, changes in alone:
        made = await promos.create(**given)
        await promos.update(market.admin, made.promo_code_id, **changes)
        assert await terms_version(promos, made.promo_code_id) == 2, changes


async def test_an_update_is_judged_by_its_etag_and_keeps_it_when_nothing_changes(promos: Promos) -> None:
    admin = promos.market.admin
    made = await promos.create(usage_limit=5)
    await promos.redeem(uuid4(), await promos.promotion(made.promo_code_id))
    used = await promos.get(admin, made.promo_code_id)
    assert (used.usage_count, used.etag, used.update_time) == (1, made.etag, made.update_time)
    same = await promos.update(admin, made.promo_code_id, usage_limit=5, etag=made.etag)
    assert same.etag == made.etag
    changed = await promos.update(admin, made.promo_code_id, usage_limit=6, etag=made.etag)
    with pytest.raises(EtagMismatch) as refused:
        await promos.update(admin, made.promo_code_id, usage_limit=7, etag=made.etag)
    assert refused.value.metadata == {"etag": changed.etag}
    with pytest.raises(EtagMismatch):
        await promos.disable(admin, made.promo_code_id, etag=made.etag)


async def test_what_is_named_and_has_no_value_is_cleared(promos: Promos) -> None:
    market = promos.market
    shop = await market.shop()
    made = await promos.create(
        min_subtotal=euros(100),
        max_discount=euros(100),
        window=window(market.clock.now()),
        scope={"seller_ids": [str(shop.seller_id)]},
        usage_limit=3,
        per_user_limit=3,
        description="words",
    )
    names = ("min_subtotal", "max_discount", "window", "scope", "usage_limit", "per_user_limit", "description")
    cleared = await promos.update(market.admin, made.promo_code_id, *names)
    assert not any(cleared.HasField(name) for name in names)  # type: ignore[arg-type]
    again = await promos.update(market.admin, made.promo_code_id, usage_limit=0, description="", stackable=False)
    assert (again.HasField("usage_limit"), again.HasField("description"), again.stackable) == (False, False, False)
    for name in ("percent", "*"):
        with pytest.raises(ValidationFailed, match=r"promo_code.percent: must be above 0"):
            await promos.update(market.admin, made.promo_code_id, name)
    with pytest.raises(ValidationFailed, match=r"promo_code.amount: must be left out"):
        await promos.update(market.admin, made.promo_code_id, amount=euros(5))


async def test_a_code_is_disabled_for_good(promos: Promos) -> None:
    market = promos.market
    shop = await market.shop()
    made = await promos.create(shop.caller)
    made = await promos.update(shop.caller, made.promo_code_id, description="soon over")
    disabled = await promos.disable(shop.caller, made.promo_code_id, etag=made.etag)
    assert (disabled.state, disabled.HasField("disable_time")) == (DISABLED, True)
    assert await promos.disable(shop.caller, made.promo_code_id, etag=made.etag) == disabled
    with pytest.raises(IllegalTransition) as refused:
        await promos.update(shop.caller, made.promo_code_id, description="back")
    assert refused.value.metadata == {"current": "DISABLED", "allowed": ""}
    assert "make another one" in refused.value.message
    kinds = await market.tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT event_type FROM outbox_events WHERE aggregate_id = $1 ORDER BY seq", UUID(made.promo_code_id)
        )
    )
    assert [row["event_type"] for row in kinds] == [
        "promo_code.created",
        "promo_code.updated",
        "promo_code.disabled",
    ]


async def test_who_changed_what_stands_in_the_audit_log(promos: Promos) -> None:
    market = promos.market
    made = await promos.create(min_subtotal=euros(1_000))
    await promos.update(market.admin, made.promo_code_id, min_subtotal=euros(2_050), usage_limit=7)
    await promos.disable(market.admin, made.promo_code_id)
    wanted = AuditFilter(resource_ids=(made.promo_code_id,), descending=False)
    entries = await market.tx.read(lambda unit: log.list_entries(unit, wanted, None, 10))
    assert [(each.resource_type, each.comment) for each in entries] == [
        ("promo_code", ""),
        ("promo_code", ""),
        ("promo_code", "no more"),
    ]
    created, updated, disabled = [
        {change.field: (change.before, change.after) for change in each.changes} for each in entries
    ]
    assert (created["kind"], created["min_subtotal"]) == ((None, "PERCENT"), (None, "10.00 EUR"))
    assert updated == {"min_subtotal": ("10.00 EUR", "20.50 EUR"), "usage_limit": (None, "7")}
    assert set(disabled) == {"disable_time"}


async def test_lists_show_a_seller_its_own_codes_and_an_admin_all(promos: Promos) -> None:
    market, now = promos.market, promos.market.clock.now()
    admin, shop, rival = market.admin, await market.shop(), await market.shop()
    mark = new_code()[:14]
    names = [f"{mark}-{n}" for n in range(5)]
    made = [
        await promos.create(shop.caller, code=names[0]),
        await promos.create(shop.caller, code=names[1], window=window(now + YEAR)),
        await promos.create(rival.caller, code=names[2], window=window(None, now - YEAR)),
        await promos.create(code=names[3], usage_limit=1),
        await promos.create(code=names[4]),
    ]
    await promos.redeem(uuid4(), await promos.promotion(made[3].promo_code_id))
    await promos.disable(admin, made[4].promo_code_id)
    assert await promos.list(shop.caller) == [names[1], names[0]]
    assert await promos.list(shop.caller, seller_ids=[str(rival.seller_id)]) == []
    assert await promos.list(admin, code_prefix=mark.lower(), page_size=2) == names[::-1]
    assert await promos.list(admin, code_prefix=mark, order_by="code", page_size=2) == names
    both = [str(shop.seller_id), str(rival.seller_id)]
    assert await promos.list(admin, seller_ids=both, order_by="create_time") == names[:3]
    assert await promos.list(admin, code_prefix=mark, fundings=[PLATFORM], order_by="code") == names[3:]
    assert await promos.list(admin, code_prefix=mark, fundings=[SELLER], order_by="code") == names[:3]
    states = [ACTIVE, SCHEDULED, EXPIRED, EXHAUSTED, DISABLED]
    for state, name in zip(states, names, strict=True):
        assert await promos.list(admin, code_prefix=mark, states=[state]) == [name]
        (found,) = [each for each in made if each.code == name]
        assert (await promos.get(admin, found.promo_code_id)).state == state
    with pytest.raises(ValidationFailed, match="order_by"):
        await promos.list(admin, order_by="usage_count")
    with pytest.raises(PageTokenInvalid):
        await promos.list(admin, page_token="of nobody")
    assert await promos.list(await market.account(Role.SELLER)) == []
