"""The life of products on real Postgres: published, archived, renamed, deleted, and gotten many at once."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from marketd.catalog.errors import NothingToSell
from marketd.kernel.call import call as calls
from marketd.kernel.call.caller import ANONYMOUS, Caller, Role
from marketd.kernel.call.refusals import AlreadyExists, EtagMismatch, NotFound, ValidationFailed
from marketd.kernel.db.transactor import Transactor
from marketplace.catalog.v1 import brand_pb2, category_pb2, product_pb2
from marketplace.catalog.v1 import catalog_service_pb2 as pb

from tests.integration.test_catalog_products import ADMIN, CONTEXT, Shop, variant

PUBLISHED, ARCHIVED = product_pb2.PRODUCT_STATE_PUBLISHED, product_pb2.PRODUCT_STATE_ARCHIVED


@pytest.fixture
async def shop(tx: Transactor) -> Shop:
    return await Shop(tx).open()


async def _by_slug(shop: Shop, slug: str, caller: Caller = ANONYMOUS) -> product_pb2.Product:
    shop.enter(caller)
    return (await shop.catalog.GetProduct(pb.GetProductRequest(slug=slug), CONTEXT)).product


async def _many(shop: Shop, *ids: str, caller: Caller = ANONYMOUS) -> list[str]:
    shop.enter(caller)
    answer = await shop.catalog.BatchGetProducts(pb.BatchGetProductsRequest(product_ids=ids), CONTEXT)
    return [product.product_id for product in answer.products]


@pytest.mark.parametrize(
    ("variants", "words"),
    [
        ([], "has no variants"),
        ([variant(active=False)], "has no active variant;"),
        ([product_pb2.Variant()], "no active variant with a price"),
        (
            [
                variant(active=False, options={"Size": "S"}),
                product_pb2.Variant(options={"Size": "M"}),
            ],
            "no active variant with a price",
        ),
    ],
)
async def test_publishing_says_what_is_missing(shop: Shop, variants: list[product_pb2.Variant], words: str) -> None:
    made = await shop.make(variants=variants)
    with pytest.raises(NothingToSell) as refusal:
        await shop.publish(made)
    assert words in refusal.value.message


async def test_a_product_goes_to_the_archive_and_comes_back(shop: Shop) -> None:
    made = await shop.publish(await shop.make())
    with pytest.raises(EtagMismatch):
        await shop.archive(made, etag='"stale"')
    shop.changes.clear()
    archived = await shop.archive(made, etag=made.etag)
    assert shop.changes, "every worker drops what it keeps"
    assert (archived.state, archived.publish_time) == (ARCHIVED, made.publish_time)
    assert await shop.archive(made, etag=made.etag) == archived, "a repeat without a key has the etag from before"
    with pytest.raises(NotFound):
        await shop.get(made)
    back = await shop.publish(made)
    assert (back.state, back.publish_time) == (PUBLISHED, made.publish_time)
    draft = await shop.make()
    assert (await shop.archive(draft)).state == ARCHIVED


async def test_a_deleted_product_is_there_for_nobody_and_its_names_are_free(shop: Shop, tx: Transactor) -> None:
    calls.enter(calls.Call(caller=ADMIN))
    new_category = pb.CreateCategoryRequest(category=category_pb2.Category(name="Cups"))
    category = (await shop.catalog.CreateCategory(new_category, CONTEXT)).category
    brand = (await shop.catalog.CreateBrand(pb.CreateBrandRequest(brand=brand_pb2.Brand(name="Mug")), CONTEXT)).brand
    made = await shop.make(
        slug="cup", category_id=category.category_id, brand_id=brand.brand_id, variants=[variant(sku="A")]
    )
    made = await shop.publish(made)
    shop.enter()
    renamed = await shop.change(made, slug="mug")
    with pytest.raises(EtagMismatch):
        await shop.delete(made, etag=made.etag)
    shop.changes.clear()
    await shop.delete(made, etag=renamed.etag)
    assert shop.changes
    for caller in (ANONYMOUS, shop.owner, ADMIN):
        with pytest.raises(NotFound):
            await shop.get(made, caller)
        for slug in ("cup", "mug"):
            with pytest.raises(NotFound):
                await _by_slug(shop, slug, caller)
        assert await _many(shop, made.product_id, caller=caller) == []
    shop.enter()
    mine = pb.ListProductsRequest(seller_ids=[str(shop.seller_id)])
    assert not (await shop.catalog.ListProducts(mine, CONTEXT)).products
    for attempt in (shop.publish, shop.archive, shop.delete):
        with pytest.raises(NotFound):
            await attempt(made)
    await shop.delete(made, allow_missing=True)
    for slug in ("cup", "mug"):
        other = await (await Shop(tx).open()).make(slug=slug)
        assert other.slug == slug
    assert (await shop.make(slug="again", variants=[variant(sku="a")])).slug == "again"
    calls.enter(calls.Call(caller=ADMIN))
    await shop.catalog.DeleteCategory(pb.DeleteCategoryRequest(category_id=category.category_id), CONTEXT)
    await shop.catalog.DeleteBrand(pb.DeleteBrandRequest(brand_id=brand.brand_id), CONTEXT)


async def test_a_former_slug_leads_to_its_product_and_is_nobodys_else(shop: Shop, tx: Transactor) -> None:
    made = await shop.publish(await shop.make(slug="cup"))
    shop.enter()
    await shop.change(made, slug="mug")
    now = await shop.change(made, slug="beaker")
    for slug in ("cup", "mug", "beaker"):
        assert (await _by_slug(shop, slug)).slug == "beaker"
    rival = await Shop(tx).open()
    with pytest.raises(AlreadyExists):
        await rival.make(slug="cup")
    assert (await rival.make("Cup")).slug == "cup-2"
    theirs = await rival.make("Other")
    rival.enter()
    with pytest.raises(AlreadyExists):
        await rival.change(theirs, slug="mug")
    assert (await rival.change(theirs, title="Mug", slug="")).slug == "mug-2"
    shop.enter()
    assert (await shop.change(now, slug="cup")).slug == "cup", "it takes its own back"
    assert (await _by_slug(shop, "beaker")).slug == "cup"


async def test_a_slug_given_up_and_taken_at_once_stays_with_its_product(shop: Shop, tx: Transactor) -> None:
    rival = await Shop(tx).open()
    theirs = await rival.make("Other")
    for turn in range(5):
        made = await shop.make(slug=f"cup-{turn}")
        shop.enter()
        rename = shop.change(made, slug=f"mug-{turn}")
        taken = asyncio.create_task(rename)
        rival.enter()
        results = await asyncio.gather(
            taken, asyncio.create_task(rival.change(theirs, slug=f"cup-{turn}")), return_exceptions=True
        )
        assert isinstance(results[1], AlreadyExists)
        assert (await _by_slug(shop, f"cup-{turn}", shop.owner)).product_id == made.product_id


async def test_attributes_are_kept_changed_and_cleared(shop: Shop) -> None:
    made = await shop.make(attributes={"Material": "Linen", "Care": "30°"})
    assert dict((await shop.get(made, shop.owner)).attributes) == {"Material": "Linen", "Care": "30°"}
    shop.enter()
    same = await shop.change(made, attributes={"Care": "30°", "Material": "Linen"})
    assert same.etag == made.etag
    assert dict((await shop.change(made, attributes={"Care": "60°"})).attributes) == {"Care": "60°"}
    shop.enter()
    request = pb.UpdateProductRequest(
        product=product_pb2.Product(product_id=made.product_id), update_mask=FieldMask(paths=["attributes"])
    )
    assert not (await shop.catalog.UpdateProduct(request, CONTEXT)).product.attributes


async def test_options_are_renamed_and_put_in_another_order_and_keep_their_values(shop: Shop) -> None:
    options = [{"Size": size, "Color": color} for size in ("S", "M") for color in ("Red", "Blue")]
    made = await shop.make(
        option_names=["Size", "Color"], variants=[variant(options=each, sku=str(each)) for each in options]
    )
    shop.enter()
    turned = await shop.change(made, option_names=["Color", "Size"])
    assert list(turned.option_names) == ["Color", "Size"]
    assert [dict(item.options) for item in turned.variants] == options
    shop.enter()
    renamed = await shop.change(made, option_names=["Hue", "Size"])
    assert [dict(item.options) for item in renamed.variants] == [
        {"Hue": each["Color"], "Size": each["Size"]} for each in options
    ]
    assert [item.variant_id for item in renamed.variants] == [item.variant_id for item in made.variants]
    assert renamed.variants[0].etag != made.variants[0].etag
    for wrong in (["Hue"], ["Hue", "hue"], ["Hue", "Size", "Cut"], []):
        with pytest.raises(ValidationFailed) as refusal:
            await shop.change(made, option_names=wrong)
        assert refusal.value.fields[0].field == "product.option_names"
    assert (await shop.change(made, option_names=["Hue", "Size"])).etag == renamed.etag


async def test_many_products_come_once_in_the_order_of_the_ids_as_far_as_they_are_to_be_seen(
    shop: Shop, tx: Transactor
) -> None:
    first, second, draft = (
        await shop.publish(await shop.make()),
        await shop.publish(await shop.make()),
        await shop.make(),
    )
    asked = [second.product_id, draft.product_id, str(uuid4()), first.product_id, second.product_id.upper()]
    assert await _many(shop, *asked) == [second.product_id, first.product_id]
    assert calls.current().cache_tag == "", "to its owner it is another answer"
    rival = await Shop(tx).open()
    assert await _many(shop, *asked, caller=rival.owner) == [second.product_id, first.product_id]
    for caller in (shop.owner, ADMIN):
        assert await _many(shop, *asked, caller=caller) == [second.product_id, draft.product_id, first.product_id]
    await _many(shop, first.product_id, second.product_id)
    assert calls.current().cache_tag == "catalog"


async def test_what_an_admin_does_to_a_product_of_a_shop_is_written_down(shop: Shop, tx: Transactor) -> None:
    made = await shop.make()
    shop.enter()
    await shop.change(made, title="By the shop")
    steps: list[Any] = [
        lambda: shop.change(made, title="By an admin"),
        lambda: shop.catalog.PublishProduct(pb.PublishProductRequest(product_id=made.product_id), CONTEXT),
        lambda: shop.catalog.ArchiveProduct(pb.ArchiveProductRequest(product_id=made.product_id), CONTEXT),
        lambda: shop.catalog.DeleteProduct(pb.DeleteProductRequest(product_id=made.product_id), CONTEXT),
    ]
    # One of them sells here as well: what is the own shop's is not this one.
    rival = await Shop(tx).open()
    both = Caller(rival.owner.user_id, None, frozenset({Role.ADMIN, Role.SELLER}))
    for step, admin in zip(steps, (ADMIN, both, ADMIN, both), strict=True):
        shop.enter(admin)
        await step()
    found = await tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT changes::text AS changes FROM audit_entries WHERE resource_id = $1 ORDER BY audit_entry_id",
            made.product_id,
        )
    )
    texts = [row["changes"] for row in found]
    assert len(texts) == 4
    for text, words in zip(texts, ("By an admin", "PUBLISHED", "ARCHIVED", "By an admin"), strict=True):
        assert words in text
