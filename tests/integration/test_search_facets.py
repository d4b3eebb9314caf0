"""What a search is narrowed to on real Postgres: filters leave what they say, and facets add up to that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from google.type.money_pb2 import Money
from marketd.catalog.search import facets as counting
from marketd.catalog.search import find
from marketd.catalog.search.values import Counts, FacetKind, SearchQuery
from marketd.kernel.call.refusals import ValidationFailed
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketplace.catalog.v1 import catalog_service_pb2 as pb
from marketplace.catalog.v1 import search_pb2

from tests.worlds.search import SearchWorld, Thing

ALL_KINDS = [number for number in search_pb2.FacetKind.values() if number]
CATEGORY, BRAND, SELLER = search_pb2.FACET_KIND_CATEGORY, search_pb2.FACET_KIND_BRAND, search_pb2.FACET_KIND_SELLER
PRICE, RATING = search_pb2.FACET_KIND_PRICE, search_pb2.FACET_KIND_RATING
IN_STOCK, ATTRIBUTES = search_pb2.FACET_KIND_IN_STOCK, search_pb2.FACET_KIND_ATTRIBUTES
FIELDS = {CATEGORY: "category_ids", BRAND: "brand_ids", SELLER: "seller_ids"}


def money(minor: int) -> Money:
    return Money(currency_code="EUR", units=minor // 100, nanos=minor % 100 * 10**7)


def attribute(name: str, *values: str) -> search_pb2.AttributeFilter:
    return search_pb2.AttributeFilter(name=name, values=values)


# By name: what is asked beside the query, and what meets it.
Case = tuple[Callable[[SearchWorld], dict[str, Any]], Callable[[SearchWorld, Thing], bool]]
CASES: dict[str, Case] = {
    "nothing": (lambda _: {}, lambda _, __: True),
    "a category with those below": (
        lambda w: {"category_ids": [str(w.middle)]},
        lambda w, t: t.category_id in (w.middle, w.leaf),
    ),
    "categories below each other": (
        lambda w: {"category_ids": [str(w.top), str(w.leaf)]},
        lambda w, t: t.category_id in (w.top, w.middle, w.leaf),
    ),
    "two brands": (
        lambda w: {"brand_ids": [str(w.brands[0]), str(w.brands[1])]},
        lambda w, t: t.brand_id in w.brands[:2],
    ),
    "a seller": (lambda w: {"seller_ids": [str(w.sellers[0])]}, lambda w, t: t.seller_id == w.sellers[0]),
    "prices, both inclusive": (
        lambda _: {"min_price": money(500), "max_price": money(2000)},
        lambda _, t: 500 <= t.price_minor <= 2000,
    ),
    "a price of nothing at most": (lambda _: {"max_price": money(0)}, lambda _, t: t.price_minor == 0),
    "a rating as it is shown": (lambda _: {"min_rating": 4.333}, lambda _, t: t.rating >= 4333),
    "in stock": (lambda _: {"in_stock": True}, lambda _, t: t.in_stock),
    "an attribute in another case": (
        lambda _: {"attributes": [attribute("cOLOR", "red", "BLUE")]},
        lambda _, t: t.color in ("Red", "Blue"),
    ),
    "an option of some variant": (lambda _: {"attributes": [attribute("Size", "S")]}, lambda _, t: "S" in t.sizes),
    "two attributes, one of them twice": (
        lambda _: {"attributes": [attribute("Color", "Red"), attribute("Size", "M"), attribute("color", "Green")]},
        lambda _, t: t.color in ("Red", "Green") and "M" in t.sizes,
    ),
    "everything at once": (
        lambda w: {
            "category_ids": [str(w.top)],
            "brand_ids": [str(brand) for brand in w.brands],
            "min_price": money(99),
            "max_price": money(4999),
            "min_rating": 1,
            "in_stock": True,
            "attributes": [attribute("Material", "Linen", "Wool")],
        },
        lambda w, t: (
            t.category_id in (w.top, w.middle, w.leaf)
            and t.brand_id is not None
            and 99 <= t.price_minor <= 4999
            and t.rating >= 1000
            and t.in_stock
        ),
    ),
}


@pytest.fixture
async def world(tx: Transactor) -> SearchWorld:
    return await SearchWorld(tx).fill(240)


def narrowed(facet: search_pb2.Facet, bucket: search_pb2.FacetBucket, asked: dict[str, Any]) -> dict[str, Any]:
    """What is asked when the facet's own filter is set to the bucket and to nothing else."""
    rest = dict(asked)
    if facet.kind == PRICE:
        rest.pop("min_price", None)
        rest.pop("max_price", None)
        rest["min_price"] = bucket.min_price
        if bucket.HasField("max_price"):
            rest["max_price"] = bucket.max_price
        return rest
    if facet.kind == ATTRIBUTES:
        others = [each for each in asked.get("attributes", []) if each.name.lower() != facet.name.lower()]
        return {**rest, "attributes": [*others, attribute(facet.name, bucket.value)]}
    if facet.kind == RATING:
        return {**rest, "min_rating": float(bucket.value)}
    if facet.kind == IN_STOCK:
        return {**rest, "in_stock": bucket.value == "true"}
    return {**rest, FIELDS[facet.kind]: [bucket.value]}


async def test_filters_leave_what_they_say_and_facets_add_up(world: SearchWorld) -> None:
    for name, (ask, meets) in CASES.items():
        asked = ask(world)
        expected = world.found(lambda thing, meets=meets: meets(world, thing))  # type: ignore[misc]
        assert expected, name
        found = await world.walk(**asked)
        assert len(found) == len(set(found)), name
        assert set(found) == expected, name
        page = await world.search(**asked, facets=ALL_KINDS, page_size=1)
        assert (page.total_size, page.approximate) == (len(expected), False), name
        for facet in page.facets:
            for bucket in facet.buckets:
                left = await world.search(**narrowed(facet, bucket, asked), page_size=1)
                assert left.total_size == bucket.count, (name, facet.kind, bucket)
            assert not facet.approximate


async def test_facets_are_in_the_order_asked_for_and_say_what_people_read(world: SearchWorld) -> None:
    page = await world.search(facets=[RATING, BRAND, ATTRIBUTES, SELLER, PRICE, CATEGORY, IN_STOCK])
    kinds = [facet.kind for facet in page.facets]
    assert kinds == [RATING, BRAND, ATTRIBUTES, ATTRIBUTES, ATTRIBUTES, SELLER, PRICE, CATEGORY, IN_STOCK]
    by_kind = {(facet.kind, facet.name): facet for facet in page.facets}
    assert {facet.name for facet in page.facets if facet.kind == ATTRIBUTES} == {"Color", "Material", "Size"}
    assert {bucket.label for bucket in by_kind[ATTRIBUTES, "Color"].buckets} == {"Red", "Blue", "Green"}
    assert {(UUID(bucket.value), bucket.label) for bucket in by_kind[BRAND, ""].buckets} == {
        (brand, f"b{brand.hex}") for brand in world.brands
    }
    assert {UUID(bucket.value) for bucket in by_kind[SELLER, ""].buckets} == set(world.sellers)
    assert {(UUID(bucket.value), bucket.label) for bucket in by_kind[CATEGORY, ""].buckets} == {
        (each, f"c{each.hex}") for each in (world.top, world.middle, world.leaf, world.other)
    }
    for facet in page.facets:
        if facet.kind not in (PRICE, RATING):
            counts = [bucket.count for bucket in facet.buckets]
            assert counts == sorted(counts, reverse=True)


async def test_a_facet_is_counted_without_its_own_filter(world: SearchWorld) -> None:
    asked = {"brand_ids": [str(world.brands[0])], "attributes": [attribute("Color", "Red")]}
    page = await world.search(**asked, facets=[BRAND, ATTRIBUTES])
    brands, *attributes = page.facets
    assert {bucket.value for bucket in brands.buckets} == {str(brand) for brand in world.brands}
    by_name = {facet.name: {bucket.value for bucket in facet.buckets} for facet in attributes}
    assert by_name["Color"] == {"Red", "Blue", "Green"}
    assert sum(bucket.count for bucket in brands.buckets) == len(
        world.found(lambda thing: thing.color == "Red" and thing.brand_id is not None)
    )


async def test_a_value_that_is_filtered_by_is_counted_however_many_others_there_are(
    world: SearchWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    seldom = min(("Linen", "Wool"), key=lambda material: len(world.found(lambda thing: thing.material == material)))
    monkeypatch.setattr("marketd.catalog.search.repository.counts._MOST_ATTRIBUTES", 1)
    page = await world.search(attributes=[attribute("Material", seldom)], facets=[ATTRIBUTES])
    count = len(world.found(lambda thing: thing.material == seldom))
    assert [(bucket.value, bucket.count) for bucket in page.facets[0].buckets] == [(seldom, count)]


async def test_ranges_of_prices_lie_side_by_side_and_hold_everything(world: SearchWorld) -> None:
    (facet,) = (await world.search(facets=[PRICE])).facets
    assert sum(bucket.count for bucket in facet.buckets) == len(world.found())
    assert facet.buckets[0].min_price == money(0)
    assert not facet.buckets[-1].HasField("max_price")
    for one, two in zip(facet.buckets, facet.buckets[1:], strict=False):
        assert one.max_price.units * 100 + one.max_price.nanos // 10**7 + 1 == two.min_price.units * 100


async def test_what_is_not_there_is_not_found_and_not_refused(world: SearchWorld) -> None:
    unknown = "0190a000-0000-7000-8000-000000000000"
    for asked in (
        {"category_ids": [unknown]},
        {"brand_ids": [unknown]},
        {"seller_ids": [unknown]},
        {"attributes": [attribute("Color", "Mauve")]},
        {"attributes": [attribute("Taste", "Red")]},
    ):
        page = await world.search(**asked, facets=ALL_KINDS)
        assert not page.products
        assert page.total_size == 0
    assert {facet.name for facet in page.facets if facet.kind == ATTRIBUTES} == {"taste"}
    for wrong in (
        {"order_by": "cheapness"},
        {"order_by": "rating asc"},
        {"min_price": Money(currency_code="CHF", units=1)},
        {"min_price": money(200), "max_price": money(100)},
    ):
        with pytest.raises(ValidationFailed):
            await world.search(**wrong)


COPIES = 18
COLUMNS = (
    "SELECT string_agg(column_name, ', ') FROM information_schema.columns WHERE table_name = 'search_documents'"
    " AND is_generated = 'NEVER' AND column_name NOT IN ('product_id', 'sample_key')"
)


async def copy_documents(uow: UnitOfWork) -> None:
    """So many more documents of each kind, as many products would have; there is nothing to them beside."""
    columns = await uow.connection.fetchval(COLUMNS)
    await uow.connection.execute(
        f"INSERT INTO search_documents (product_id, sample_key, {columns})"
        f" SELECT copy.id, uuid_hash(copy.id), {columns} FROM search_documents"
        f" CROSS JOIN LATERAL (SELECT gen_random_uuid() AS id FROM generate_series(1, {COPIES})"
        " WHERE search_documents.product_id IS NOT NULL) copy"
    )
    await uow.connection.execute(
        "UPDATE search_words SET documents = (SELECT count(*) FROM search_documents) WHERE word = ''"
    )


async def test_of_more_than_are_counted_a_fair_sample_stands_for_all(world: SearchWorld) -> None:
    await world.tx.run("test.copies", copy_documents)
    kinds = (FacetKind.BRAND, FacetKind.IN_STOCK)

    async def count(query: SearchQuery, exact: int) -> Counts:
        async def work(unit: ReadUnit) -> Counts:
            matching = await find.match(unit, query)
            return await counting.count_matches(unit.connection, query, matching, kinds, exact=exact)

        return await world.tx.read(work)

    whole, sampled = await count(SearchQuery(), 10_000), await count(SearchQuery(), 1_000)
    assert (whole.total, whole.approximate) == (len(world.found()) * (COPIES + 1), False)
    assert not any(facet.approximate for facet in whole.facets)
    assert sampled.approximate
    assert all(facet.approximate for facet in sampled.facets)
    # Of some 3,700 one in sixteen is counted: 230, give or take 15 in two of three samples.
    assert sampled.total == pytest.approx(whole.total, rel=0.4)
    for exactly, about in zip(whole.facets, sampled.facets, strict=True):
        counts = {bucket.value: bucket.count for bucket in exactly.buckets}
        for bucket in about.buckets:
            assert bucket.count == pytest.approx(counts[bucket.value], rel=0.7)
    # What a filter leaves of very many is counted exactly where it is few.
    narrow = await count(
        SearchQuery(brand_ids=(world.brands[0],), in_stock=True, seller_ids=(world.sellers[0],)), 1_000
    )
    left = world.found(
        lambda thing: thing.brand_id == world.brands[0] and thing.in_stock and thing.seller_id == world.sellers[0]
    )
    assert (narrow.total, narrow.approximate) == (len(left) * (COPIES + 1), False)


def test_every_kind_of_the_contract_is_counted() -> None:
    assert len(ALL_KINDS) == len(FacetKind)
    assert pb.SearchProductsRequest.DESCRIPTOR.fields_by_name["facets"].enum_type is search_pb2.FacetKind.DESCRIPTOR
