"""Variants on real Postgres: made, changed and deleted one by one and by the feed, always with their product."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from uuid import UUID, uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.type.money_pb2 import Money
from marketd.catalog import service
from marketd.catalog.errors import LastVariant
from marketd.catalog.model import MAX_VARIANTS
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import AlreadyExists, EtagMismatch, NotFound, ValidationFailed
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.clock import SystemClock
from marketd.kernel.values.ids import new_id
from marketplace.catalog.v1 import catalog_service_pb2 as pb
from marketplace.catalog.v1 import product_pb2
from marketplace.inventory.v1 import stock_pb2

from tests.integration.test_catalog_products import Shop, euros, picture, variant
from tests.worlds import calls

ADMIN = Caller(new_id(), None, frozenset({Role.ADMIN}))
CREATED, UPDATED = pb.VARIANT_OUTCOME_CREATED, pb.VARIANT_OUTCOME_UPDATED
UNCHANGED, STALE = pb.VARIANT_OUTCOME_UNCHANGED, pb.VARIANT_OUTCOME_STALE


@pytest.fixture
async def shop(tx: Transactor) -> Shop:
    return await Shop(tx).open()


async def _create(shop: Shop, product: product_pb2.Product, **fields: Any) -> product_pb2.Variant:
    new = product_pb2.Variant(product_id=product.product_id, **fields)
    return (await calls.call(shop.owner, shop.catalog.CreateVariant, pb.CreateVariantRequest(variant=new))).variant


async def _update(
    shop: Shop, known: product_pb2.Variant, *mask: str, caller: Caller | None = None, **fields: Any
) -> product_pb2.Variant:
    wanted = product_pb2.Variant(variant_id=known.variant_id, **fields)
    request = pb.UpdateVariantRequest(variant=wanted, update_mask=FieldMask(paths=mask))
    return (await calls.call(caller or shop.owner, shop.catalog.UpdateVariant, request)).variant


async def _delete(shop: Shop, known: product_pb2.Variant, **fields: Any) -> None:
    request = pb.DeleteVariantRequest(variant_id=known.variant_id, **fields)
    await calls.call(shop.owner, shop.catalog.DeleteVariant, request)


def _item(
    sku: str, version: int | None = None, product: product_pb2.Product | None = None, **fields: Any
) -> pb.VariantUpsert:
    return pb.VariantUpsert(
        product_id="" if product is None else product.product_id,
        variant=product_pb2.Variant(sku=sku, **fields),
        source_version=version,
    )


async def _upsert(shop: Shop, *items: pb.VariantUpsert) -> list[pb.VariantUpsertResult]:
    request = pb.BatchUpsertVariantsRequest(items=items, request_id=str(uuid4()))
    return list((await calls.call(shop.owner, shop.catalog.BatchUpsertVariants, request)).results)


async def _clothes(shop: Shop, *sizes: str, **fields: Any) -> product_pb2.Product:
    return await shop.make(variants=[variant(sku=size, options={"Size": size}, **fields) for size in sizes])


async def test_a_variant_is_made_behind_the_others_and_its_product_shows_it(shop: Shop) -> None:
    made = await _clothes(shop, "M")
    small = await _create(
        shop,
        made,
        sku="S",
        options={"size": "S"},
        price=euros(300),
        initial_quantity=7,
        stock_policy=stock_pb2.STOCK_POLICY_CONTINUE,
        requires_shipping=False,
    )
    assert (small.product_id, small.position, dict(small.options)) == (made.product_id, 2, {"Size": "S"})
    assert (small.stock_policy, small.requires_shipping) == (stock_pb2.STOCK_POLICY_CONTINUE, False)
    now = await shop.get(made, shop.owner)
    assert (now.price, now.etag != made.etag) == (euros(300), True)
    assert [item.variant_id for item in now.variants] == [made.variants[0].variant_id, small.variant_id]


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"options": {"Color": "Red"}}, "variant.options"),
        ({"options": {"SIZE": "m"}}, "variant.options"),
        ({"options": {"Size": "L"}, "compare_at_price": euros(5)}, "variant.compare_at_price"),
        ({"options": {"Size": "L"}, "price": euros(5), "compare_at_price": euros(5)}, "variant.compare_at_price"),
    ],
)
async def test_a_variant_that_does_not_go_with_its_product_is_refused(
    shop: Shop, fields: dict[str, Any], where: str
) -> None:
    made = await _clothes(shop, "M")
    with pytest.raises(ValidationFailed) as refusal:
        await _create(shop, made, **fields)
    assert refusal.value.fields[0].field == where


@pytest.mark.parametrize("options", [{}, {"Size": "M"}])
async def test_who_wants_options_for_what_has_none_is_told_the_way(shop: Shop, options: dict[str, str]) -> None:
    made = await shop.make(variants=[variant()])
    with pytest.raises(ValidationFailed, match="delete its variant and make all of them with options"):
        await _create(shop, made, options=options)
    await _delete(shop, made.variants[0])
    for size in ("S", "M"):
        await _create(shop, made, options={"Size": size})
    assert list((await shop.get(made, shop.owner)).option_names) == ["Size"]


async def test_a_draft_begins_without_variants_and_without_prices_and_lists_by_price_all_the_same(shop: Shop) -> None:
    bare = await shop.make(variants=[])
    unpriced = await shop.make(variants=[product_pb2.Variant()])
    priced = [await shop.make(variants=[variant(price)]) for price in (100, 0)]
    assert not bare.HasField("price")
    assert not unpriced.variants[0].HasField("price")
    found: list[str] = []
    token = ""
    while True:
        request = pb.ListProductsRequest(
            seller_ids=[str(shop.seller_id)], order_by="price", page_size=1, page_token=token
        )
        page = await calls.call(shop.owner, shop.catalog.ListProducts, request)
        found += [product.product_id for product in page.products]
        token = page.next_page_token
        if not token:
            break
    assert set(found[:2]) == {bare.product_id, unpriced.product_id}
    assert found[2:] == [priced[1].product_id, priced[0].product_id]
    first = await _create(shop, bare, options={"Size": "S"}, price=euros(900))
    now = await shop.get(bare, shop.owner)
    assert (list(now.option_names), now.price) == (["Size"], euros(900))
    await _update(shop, unpriced.variants[0], sku="X")
    with pytest.raises(AlreadyExists):
        await _update(shop, first, sku="x")


def _said(known: product_pb2.Variant) -> set[str]:
    return {field.name for field, _ in known.ListFields()}


CLEARED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sku": ({"sku": "A-1"}, {"sku": ""}),
    "price": ({"price": euros(500)}, {"price": Money()}),
    "compare_at_price": ({"price": euros(500), "compare_at_price": euros(900)}, {"compare_at_price": Money()}),
    "barcode": ({"barcode": "123"}, {"barcode": ""}),
}


@pytest.mark.parametrize("name", CLEARED)
async def test_what_may_be_absent_of_a_variant_is_cleared_without_a_mask_and_by_one(shop: Shop, name: str) -> None:
    given, empty = CLEARED[name]
    for by_mask in (False, True):
        made = await shop.make(variants=[product_pb2.Variant(**given)])
        known = made.variants[0]
        assert name in _said(known)
        cleared = await (_update(shop, known, name) if by_mask else _update(shop, known, **empty))
        assert name not in _said(cleared)


async def test_what_has_no_value_is_as_if_never_said_when_the_mask_names_it(shop: Shop) -> None:
    made = await shop.make(
        variants=[
            product_pb2.Variant(
                weight_grams=5,
                active=False,
                requires_shipping=False,
                stock_policy=stock_pb2.STOCK_POLICY_UNTRACKED,
            )
        ]
    )
    named = await _update(shop, made.variants[0], "weight_grams", "active", "requires_shipping", "stock_policy")
    assert (named.HasField("weight_grams"), named.active, named.requires_shipping) == (False, True, True)
    assert named.stock_policy == stock_pb2.STOCK_POLICY_TRACKED


async def test_an_update_changes_what_it_names_with_the_product_and_nothing_changes_nothing(shop: Shop) -> None:
    made = await _clothes(shop, "M", "L")
    known = made.variants[0]
    changed = await _update(shop, known, "price", price=euros(200), barcode="not named", etag=known.etag)
    assert (changed.price, changed.barcode) == (euros(200), "")
    now = await shop.get(made, shop.owner)
    assert (now.price, now.etag != made.etag) == (euros(200), True)
    again = await _update(shop, known, price=euros(200), options={"Size": "M"}, etag=changed.etag)
    assert again == changed
    assert (await shop.get(made, shop.owner)).etag == now.etag
    with pytest.raises(EtagMismatch):
        await _update(shop, known, barcode="x", etag=known.etag)
    sold = await _update(shop, known, stock_policy=stock_pb2.STOCK_POLICY_UNTRACKED)
    assert (sold.stock_policy, sold.etag != changed.etag) == (stock_pb2.STOCK_POLICY_UNTRACKED, True)
    assert sold.stock_state == product_pb2.STOCK_STATE_IN_STOCK


async def test_a_published_product_keeps_something_to_buy(shop: Shop) -> None:
    made = await _clothes(shop, "M", "L")
    await shop.publish(made)
    first, last = made.variants
    await _delete(shop, first)
    for attempt in (
        _delete(shop, last),
        _update(shop, last, active=False),
        _update(shop, last, price=Money()),
        _upsert(shop, _item("L", active=False)),
    ):
        with pytest.raises(LastVariant) as refusal:
            await attempt
        assert "archive the product" in refusal.value.message
    assert refusal.value.metadata == {"current": "PUBLISHED", "allowed": "ARCHIVED"}
    await shop.archive(made)
    await _delete(shop, last)
    assert not (await shop.get(made, shop.owner)).variants


async def test_a_deleted_variant_is_gone_for_everybody_and_its_names_are_free(shop: Shop) -> None:
    made = await shop.make(
        variants=[variant(price, sku=size, options={"Size": size}) for size, price in (("M", 450), ("L", 900))],
        images=[picture("https://x.y/1.jpg")],
    )
    gone = made.variants[0]
    with pytest.raises(EtagMismatch):
        await _delete(shop, gone, etag='"stale"')
    await _delete(shop, gone, etag=gone.etag)
    now = await shop.get(made, shop.owner)
    assert (made.price, now.price, now.etag != made.etag) == (euros(450), euros(900), True)
    for attempt in (_delete(shop, gone), _update(shop, gone, barcode="x"), _update(shop, gone, caller=ADMIN)):
        with pytest.raises(NotFound):
            await attempt
    await _delete(shop, gone, allow_missing=True)
    again = await _create(shop, made, sku="M", options={"Size": "M"}, price=euros(1))
    assert again.variant_id != gone.variant_id
    offer = await shop.tx.read(lambda unit: service.read_offers(unit.connection, [UUID(gone.variant_id)]))
    assert not next(iter(offer.values())).is_buyable, "a cart still knows what it was"


async def test_nobody_else_touches_a_variant_and_what_an_admin_does_is_written_down(shop: Shop, tx: Transactor) -> None:
    made = await _clothes(shop, "M")
    rival = await Shop(tx).open()
    for attempt in (
        _update(shop, made.variants[0], barcode="x", caller=rival.owner),
        _create(rival, made, options={"Size": "L"}),
        _delete(rival, made.variants[0]),
        _upsert(rival, _item("own", 1, made)),
    ):
        with pytest.raises(NotFound):
            await attempt
    await _update(shop, made.variants[0], barcode="by the shop")
    await _update(shop, made.variants[0], barcode="by an admin", caller=ADMIN)
    entries = await tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT changes::text AS changes FROM audit_entries WHERE resource_id = $1", made.variants[0].variant_id
        )
    )
    assert len(entries) == 1
    assert "by the shop" in entries[0]["changes"]
    assert "by an admin" in entries[0]["changes"]


async def test_a_feed_makes_and_changes_variants_by_their_sku(shop: Shop) -> None:
    made = await _clothes(shop, "M")
    results = await _upsert(
        shop,
        _item("m", 5, price=euros(777), stock_policy=stock_pb2.STOCK_POLICY_UNTRACKED),
        _item("L", 5, made, options={"Size": "L"}, price=euros(10), initial_quantity=3),
        _item("m", 4, price=euros(1)),
        _item("m", 6),
        _item("L", barcode="twice"),
    )
    assert [result.outcome for result in results] == [UPDATED, CREATED, STALE, UNCHANGED, UPDATED]
    assert (results[0].variant.price, results[0].variant.sku) == (euros(777), "m")
    assert (results[1].variant.barcode, results[1].variant.product_id) == ("twice", made.product_id)
    now = await shop.get(made, shop.owner)
    assert now.price == euros(10)
    again = await _upsert(shop, _item("m", 6, price=euros(3)), _item("m", 7, price=euros(777)))
    assert [result.outcome for result in again] == [STALE, UNCHANGED]
    assert (await shop.get(made, shop.owner)).etag == now.etag, "the product is as it was"
    assert [item.outcome for item in await _upsert(shop, _item("M", 7, price=euros(9)))] == [STALE]


async def test_a_feed_is_taken_whole_or_not_at_all(shop: Shop) -> None:
    made = await _clothes(shop, "M", "L")
    wrong = {
        "items[1].variant.sku": _item(""),
        "items[1].product_id": _item("unknown", 1),
        "items[1].variant.options": _item("L", 1, options={"Size": "M"}),
        "items[1].variant.compare_at_price": _item("L", 1, compare_at_price=euros(1)),
        "items[1].variant.price.currency_code": _item("L", 1, price=Money(currency_code="USD", units=1)),
    }
    for where, item in wrong.items():
        with pytest.raises(ValidationFailed) as refusal:
            await _upsert(shop, _item("M", 9, barcode="new"), item)
        assert refusal.value.fields[0].field == where
    assert await shop.get(made, shop.owner) == made
    swapped = await _upsert(shop, _item("M", 1, options={"Size": "L"}), _item("L", 1, options={"Size": "M"}))
    assert [dict(result.variant.options)["Size"] for result in swapped] == ["L", "M"]


async def test_deliveries_in_any_order_and_from_two_sides_end_at_the_newest(
    shop: Shop, tx: Transactor, database_url: str
) -> None:
    made = await _clothes(shop, "M", "L")
    engine = create_engine(database_url, pool_size=8, pool_timeout_seconds=5)
    elsewhere = Transactor(engine, SystemClock())
    other = Shop(elsewhere)
    other.seller_id, other.owner = shop.seller_id, shop.owner
    deliveries = [
        (_item("M", version, price=euros(version)), _item("L", version, made, price=euros(version + 1_000)))
        for version in range(1, 21)
    ]
    random.Random(12).shuffle(deliveries)  # noqa: S311 - no secret
    turns = asyncio.Semaphore(6)

    async def deliver(place: int, items: tuple[pb.VariantUpsert, ...]) -> None:
        async with turns:
            await _upsert((shop, other)[place % 2], *(items if place % 3 else reversed(items)))

    await asyncio.gather(*(deliver(place, items) for place, items in enumerate(deliveries)))
    await elsewhere.drain()
    await engine.dispose()
    now = await shop.get(made, shop.owner)
    assert [item.price for item in now.variants] == [euros(20), euros(1_020)]
    assert now.price == euros(20)


async def test_a_sku_that_two_deliveries_make_at_once_is_made_once(shop: Shop) -> None:
    made = await shop.make(variants=[])
    results = await asyncio.gather(
        *(_upsert(shop, _item("NEW", version, made, price=euros(version))) for version in (1, 2, 3, 4))
    )
    assert [each[0].outcome for each in results].count(CREATED) == 1
    now = await shop.get(made, shop.owner)
    assert [item.price for item in now.variants] == [euros(4)]


async def test_no_product_gets_more_variants_than_it_may_have_also_at_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_VARIANTS == 2048
    monkeypatch.setattr("marketd.catalog.variants.shelf.MAX_VARIANTS", 3)
    made = await _clothes(shop, "M", "L")
    results = await asyncio.gather(
        *(_create(shop, made, options={"Size": str(size)}) for size in range(4)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, ValidationFailed)]
    assert len(refused) == 3
    assert refused[0].fields[0].field == "variant.product_id"
    assert len((await shop.get(made, shop.owner)).variants) == 3
