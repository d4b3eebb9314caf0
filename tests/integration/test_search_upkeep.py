"""Search follows the catalog: what is written there is found at once, and what is changed for many soon after."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from marketd.catalog.imports.values import ImportOptions
from marketd.catalog.search import pending, rebuild, texts
from marketd.catalog.search.invariants import INVARIANTS
from marketd.catalog.search.search import suggest_products
from marketd.catalog.search.start import LanguageUnknown, start
from marketd.commands.reindex import reindex_database
from marketd.inventory import stocks
from marketd.inventory.values import StockCount
from marketd.kernel.call.caller import ANONYMOUS, SYSTEM
from marketd.kernel.db.invariants import violations
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.slice import ANSWERS_TOPIC
from marketplace.catalog.v1 import brand_pb2, category_pb2, product_pb2
from marketplace.catalog.v1 import catalog_service_pb2 as pb
from marketplace.inventory.v1 import stock_pb2

from tests.integration.test_catalog_products import ADMIN, CONTEXT, Shop, variant
from tests.worlds import catalog_files
from tests.worlds.built import Built
from tests.worlds.parts import make_parts
from tests.worlds.search_index import document, has_words, settle, stale


@pytest.fixture
async def shop(tx: Transactor) -> Shop:
    return await Shop(tx).open()


async def _publish(shop: Shop, title: str = "Cup", **fields: Any) -> product_pb2.Product:
    return await shop.publish(await shop.make(title, **fields))


async def _waiting(tx: Transactor) -> pending.Waiting:
    return await tx.read(lambda unit: pending.look(unit.connection))


_SAID = "wi fi cafe headsets headset 17.3 runs run quietly quiet long audio oak sky blue 0095205603217"


async def test_a_product_is_found_from_its_publication_to_its_end_as_it_is_then(shop: Shop) -> None:
    tx = shop.tx
    draft = await shop.make(
        'Wi-Fi Café-Headsets™ 17.3"',
        description="<p>Runs <b>quietly</b> &amp; long</p>",
        tags=["audio"],
        attributes={"Material": "Oak"},
        option_names=["Color"],
        variants=[variant(options={"Color": "Sky blue"}, sku="HS-100/B", barcode="0095205603217")],
    )
    assert await document(tx, draft.product_id) == {}
    await shop.publish(draft)
    found = await document(tx, draft.product_id)
    assert await has_words(tx, draft.product_id, *_SAID.split()), found["lexemes"]
    assert not {"amp", "b", "p", "headsetstm"} - {"b"} & set(found["lexemes"])
    assert found["codes"] == ["95205603217", "hs100b"]
    assert (found["price_minor"], found["in_stock"], len(found["attribute_keys"])) == (450, True, 2)
    await shop.change(draft, title="Teapot", attributes={"Material": "Clay"})
    assert await has_words(tx, draft.product_id, "teapot", "clay")
    assert not await has_words(tx, draft.product_id, "oak")
    await settle(tx)
    assert await stale(tx) == []
    await shop.archive(draft)
    assert await document(tx, draft.product_id) == {}
    await shop.publish(draft)
    await shop.delete(draft)
    assert await document(tx, draft.product_id) == {}
    await settle(tx)
    assert await stale(tx) == []
    assert not await tx.read(lambda unit: unit.connection.fetchval("SELECT count(*) FROM search_words"))


async def test_variants_bring_their_codes_options_prices_and_stock_along(shop: Shop) -> None:
    tx = shop.tx
    made = await _publish(shop, option_names=["Size"], variants=[variant(sku="S1", options={"Size": "Small"})])
    shop.enter()
    new = product_pb2.Variant(
        product_id=made.product_id, sku="XL-1", price=variant(90).price, options={"Size": "Giant"}, initial_quantity=0
    )
    giant = (await shop.catalog.CreateVariant(pb.CreateVariantRequest(variant=new), CONTEXT)).variant
    found = await document(tx, made.product_id)
    assert (found["codes"], found["price_minor"], len(found["attribute_keys"])) == (["s1", "xl1"], 90, 2)
    assert await has_words(tx, made.product_id, "giant", "small")
    item = pb.VariantUpsert(variant=product_pb2.Variant(sku="S1", price=variant(70).price, barcode="12-34"))
    await shop.catalog.BatchUpsertVariants(pb.BatchUpsertVariantsRequest(items=[item]), CONTEXT)
    found = await document(tx, made.product_id)
    assert (found["codes"], found["price_minor"]) == (["1234", "s1", "xl1"], 70)
    await shop.catalog.DeleteVariant(pb.DeleteVariantRequest(variant_id=giant.variant_id), CONTEXT)
    found = await document(tx, made.product_id)
    assert found["codes"] == ["1234", "s1"]
    assert not await has_words(tx, made.product_id, "giant")
    assert await stale(tx) != [], "its words wait to be counted"
    await settle(tx)
    assert await stale(tx) == []


async def test_a_feed_for_many_products_is_brought_in_soon(shop: Shop) -> None:
    made = [await _publish(shop, f"Cup {number}", variants=[variant(sku=f"c{number}")]) for number in range(11)]
    shop.enter()
    items = [
        pb.VariantUpsert(variant=product_pb2.Variant(sku=f"c{number}", price=variant(50 + number).price))
        for number in range(11)
    ]
    await shop.catalog.BatchUpsertVariants(pb.BatchUpsertVariantsRequest(items=items), CONTEXT)
    assert (await document(shop.tx, made[3].product_id))["price_minor"] == 450
    await settle(shop.tx)
    assert [(await document(shop.tx, each.product_id))["price_minor"] for each in made] == list(range(50, 61))
    assert await stale(shop.tx) == []


async def test_a_brand_or_category_that_changes_is_found_in_all_its_products(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    tx, catalog = shop.tx, shop.catalog
    shop.enter(ADMIN)
    request = pb.CreateBrandRequest(brand=brand_pb2.Brand(name="Acme"))
    brand_id = (await catalog.CreateBrand(request, CONTEXT)).brand.brand_id
    ids: list[str] = []
    for name in ("Kitchen", "Drinking", "Mugs", "Garden"):
        above = ids[-1] if name in ("Drinking", "Mugs") else None
        new = pb.CreateCategoryRequest(category=category_pb2.Category(name=name, parent_category_id=above))
        ids.append((await catalog.CreateCategory(new, CONTEXT)).category.category_id)
    made = [await _publish(shop, f"Cup {n}", brand_id=brand_id, category_id=ids[2]) for n in range(5)]
    assert await has_words(tx, made[0].product_id, "acme", "kitchen", "drinking", "mugs")
    shop.enter(ADMIN)
    monkeypatch.setattr(pending, "SPREAD_BATCH", 2)
    brand = brand_pb2.Brand(brand_id=brand_id, name="Zenith")
    await catalog.UpdateBrand(pb.UpdateBrandRequest(brand=brand, update_mask=FieldMask(paths=["name"])), CONTEXT)
    assert await has_words(tx, made[4].product_id, "acme")
    await settle(tx)
    for each in made:
        assert await has_words(tx, each.product_id, "zenith")
        assert not await has_words(tx, each.product_id, "acme")
    moved = category_pb2.Category(category_id=ids[1], parent_category_id=ids[3], name="Cups")
    mask = FieldMask(paths=["parent_category_id", "name"])
    await catalog.UpdateCategory(pb.UpdateCategoryRequest(category=moved, update_mask=mask), CONTEXT)
    await settle(tx)
    found = await document(tx, made[1].product_id)
    assert found["category_path"] == [UUID(each) for each in (ids[3], ids[1], ids[2])]
    assert await has_words(tx, made[1].product_id, "garden", "cups", "mugs")
    assert await stale(tx) == []
    # What nobody reads of it needs no document written anew.
    described = brand_pb2.Brand(brand_id=brand_id, description="Since 1950")
    await catalog.UpdateBrand(
        pb.UpdateBrandRequest(brand=described, update_mask=FieldMask(paths=["description"])), CONTEXT
    )
    assert await _waiting(tx) == pending.Waiting(False, False, False, False)


async def test_what_is_renamed_often_has_its_products_written_once(shop: Shop) -> None:
    tx, catalog = shop.tx, shop.catalog
    shop.enter(ADMIN)
    mask = FieldMask(paths=["name"])
    brand = (await catalog.CreateBrand(pb.CreateBrandRequest(brand=brand_pb2.Brand(name="Acme")), CONTEXT)).brand
    top, below = category_pb2.Category(name="Kitchen"), category_pb2.Category(name="Mugs")
    top = (await catalog.CreateCategory(pb.CreateCategoryRequest(category=top), CONTEXT)).category
    below.parent_category_id = top.category_id
    below = (await catalog.CreateCategory(pb.CreateCategoryRequest(category=below), CONTEXT)).category
    for name in ("Zenith", "Zenit", "Zenith"):
        renamed = brand_pb2.Brand(brand_id=brand.brand_id, name=name)
        await catalog.UpdateBrand(pb.UpdateBrandRequest(brand=renamed, update_mask=mask), CONTEXT)
        for category_id in (top.category_id, below.category_id):
            moved = category_pb2.Category(category_id=category_id, name=f"{name} {category_id}")
            await catalog.UpdateCategory(pb.UpdateCategoryRequest(category=moved, update_mask=mask), CONTEXT)
    sql = "SELECT concat(brand_id, category_id) FROM search_spreads"
    noted = await tx.read(lambda unit: unit.connection.fetch(sql))
    assert sorted(row[0] for row in noted) == sorted([brand.brand_id, top.category_id, below.category_id])


async def test_an_import_is_found_soon_after_it_and_a_second_one_changes_nothing(tx: Transactor) -> None:
    shop = await catalog_files.Shop(tx).open()
    rows = [catalog_files.cup(Handle=f"cup{n}", Title=f"Cup {n}", VariantSKU=f"K{n}", Vendor="Acme") for n in range(3)]
    await shop.bring(catalog_files.file(*rows), ImportOptions(publish=True))
    assert (await _waiting(tx)).products
    await settle(tx)
    first = await shop.product("cup1")
    assert await has_words(tx, first.product_id, "cup", "acme", "k1")
    assert await stale(tx) == []
    await shop.bring(catalog_files.file(*rows), ImportOptions(publish=True, update_existing=True))
    assert await _waiting(tx) == pending.Waiting(False, False, False, False)
    # The first gives its SKU to the last: both are written anew.
    rows[0], rows[2] = rows[0] | {"Variant SKU": "N"}, rows[2] | {"Variant SKU": "K0", "Title": "Saucer"}
    await shop.bring(catalog_files.file(*rows), ImportOptions(publish=True, update_existing=True))
    await settle(tx)
    assert await stale(tx) == []
    assert await tx.read(lambda unit: violations(unit.connection, INVARIANTS)) == []


async def test_what_an_import_has_just_archived_is_found_and_suggested_no_more(shop: Shop) -> None:
    """Its document goes a moment later."""
    made = await _publish(shop, "Quindle lamp")

    async def suggested() -> list[str]:
        found = await shop.tx.read(lambda unit: suggest_products(unit, "Quindle l", 10))
        return [product.title for _, product in found if product is not None]

    async def found(**asked: Any) -> list[str]:
        shop.enter(ANONYMOUS)
        answer = await shop.catalog.SearchProducts(pb.SearchProductsRequest(**asked), CONTEXT)
        return [product.title for product in answer.products]

    asked: list[dict[str, Any]] = [{"query": "Quindle"}, {"order_by": "newest"}]
    await settle(shop.tx)
    assert await suggested() == ["Quindle lamp"]
    assert [await found(**each) for each in asked] == [["Quindle lamp"]] * 2
    sql = "UPDATE products SET state = 'ARCHIVED' WHERE product_id = $1"
    await shop.tx.run("t", lambda uow: uow.connection.execute(sql, UUID(made.product_id)))
    assert await suggested() == []
    assert [await found(**each) for each in asked] == [[], []]


async def test_kept_answers_go_when_what_was_noted_is_brought_in(shop: Shop) -> None:
    made, dropped = await _publish(shop), asyncio.Event()
    parts = make_parts(shop.tx)
    parts.broadcast.subscribe(ANSWERS_TOPIC, lambda _: dropped.set())
    built = Built(parts, "catalog")
    # As an import leaves it: a buyer may have been answered between its commit and this.
    await shop.tx.run("t", lambda uow: pending.note_products(uow.connection, [UUID(made.product_id)]))
    work = asyncio.create_task(built.slices["catalog"].background[0]())
    async with asyncio.timeout(20):
        await dropped.wait()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert not (await _waiting(shop.tx)).products


async def test_stock_that_goes_and_comes_back_is_known_once_it_was_told(shop: Shop) -> None:
    tx = shop.tx
    built = Built(make_parts(tx), "inventory", "catalog")
    made = await _publish(shop, variants=[variant(quantity=3)])
    [owned] = made.variants

    async def count(quantity: int) -> None:
        one = StockCount(UUID(owned.variant_id), quantity)
        await tx.run("t", lambda uow: stocks.set_stock(uow, SYSTEM, one))
        await built.hand_on_events()
        await settle(tx)

    seen = []
    for quantity in (2, 0, 0, 7):
        await count(quantity)
        seen.append((await document(tx, made.product_id))["in_stock"])
    assert seen == [True, False, False, True]
    await count(0)
    shop.enter()
    untracked = product_pb2.Variant(variant_id=owned.variant_id, stock_policy=stock_pb2.STOCK_POLICY_UNTRACKED)
    request = pb.UpdateVariantRequest(variant=untracked, update_mask=FieldMask(paths=["stock_policy"]))
    await shop.catalog.UpdateVariant(request, CONTEXT)
    assert (await document(tx, made.product_id))["in_stock"]
    await settle(tx)
    assert await stale(tx) == []


async def test_another_language_makes_all_documents_anew_and_an_unknown_one_keeps_the_server_down(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    tx = shop.tx
    monkeypatch.setattr(rebuild, "BATCH", 2)
    made = [await _publish(shop, f"Häuser running {number}") for number in range(5)]
    await settle(tx)
    assert await has_words(tx, made[0].product_id, "run", "hauser")
    await start(tx, "english")
    assert not (await _waiting(tx)).rebuild
    await start(tx, "german")
    assert (await _waiting(tx)).rebuild
    late = await _publish(shop, "Häuser")
    assert await has_words(tx, late.product_id, "haus")
    await settle(tx)
    for each in made:
        assert await has_words(tx, each.product_id, "haus", "hauser", "running")
        assert not await has_words(tx, each.product_id, "run")
    assert await stale(tx) == []
    with pytest.raises(LanguageUnknown, match="MARKETD_SEARCH_LANGUAGE is 'klingon', and the database knows arabic, "):
        await start(tx, "klingon")


async def test_reindexing_mends_whatever_went_wrong(shop: Shop, database_url: str) -> None:
    tx = shop.tx
    made = [await _publish(shop, f"Cup {number}") for number in range(4)]
    await settle(tx)
    for statement in (
        "DELETE FROM search_documents WHERE product_id = (SELECT min(product_id::text)::uuid FROM products)",
        "UPDATE search_documents SET price_minor = 1, words = 'lies'",
        "INSERT INTO search_documents (product_id, seller_id, publish_time, price_minor, sample_key, sold_30d,"
        " rating_count, rating_average_milli, popularity, in_stock, category_path, attribute_keys, codes, title_key,"
        " head_words, words) SELECT uuidv7(), seller_id, publish_time, price_minor, 1, 0, 0, 0, 0, true, '{}', '{}',"
        " '{}', '', '', 'ghost' FROM search_documents LIMIT 1",
        "UPDATE search_words SET documents = 7",
        "DELETE FROM search_words WHERE word = 'cup'",
    ):
        await tx.run("t", lambda uow, sql=statement: uow.connection.execute(sql))  # type: ignore[misc]
    found = await tx.read(lambda unit: violations(unit.connection, INVARIANTS))
    assert {said.split(":")[0] for said in found} == {
        "what is published is found",
        "what is not published is not found",
        "a document says what its product says",
        "documents are counted",
        "a word is counted as often as it stands in documents",
    }
    assert {each.number for each in INVARIANTS} == {"I15"}, "I14 is that of pictures"
    told: list[str] = []
    assert await reindex_database(database_url, told.append, "german") == 5, "with the ghost"
    assert told[0] == "The language stays english; start a server with MARKETD_SEARCH_LANGUAGE=german to change it."
    assert await stale(tx) == []
    assert await tx.read(lambda unit: violations(unit.connection, INVARIANTS)) == []
    assert await has_words(tx, made[0].product_id, "cup")


async def test_whatever_a_product_may_hold_can_be_searched(shop: Shop) -> None:
    made = await _publish(shop)
    product_id = UUID(made.product_id)
    for statement in (
        "UPDATE products SET tags = ARRAY(SELECT repeat(n::text || 'é', 60) FROM generate_series(1, 500) n),"
        " description = repeat('x', 65000), title = repeat(U&'\\FDFA', 255), attributes = (SELECT"
        " jsonb_object_agg('name' || n, repeat('w' || n || ' ', 50)) FROM generate_series(1, 50) n)"
        " WHERE product_id = $1",
        "INSERT INTO variants (variant_id, product_id, seller_id, sku, sku_key, options, options_key, price_minor,"
        " active, barcode, position, version, create_time, update_time) SELECT uuidv7(), product_id, seller_id,"
        " repeat('s' || n, 40), repeat('s' || n, 40),"
        " jsonb_build_array(jsonb_build_array('Size', repeat('v' || n, 40)),"
        " jsonb_build_array('Color', repeat('c' || n || ' ', 40))), n, 1, true, 'b' || n, n, 1, now(), now()"
        " FROM products, generate_series(2, 2048) n WHERE product_id = $1",
    ):
        await shop.tx.run("t", lambda uow, sql=statement: uow.connection.execute(sql, product_id))  # type: ignore[misc]
    await shop.tx.run("t", lambda uow: pending.index_products(uow.connection, [product_id]))
    found = await document(shop.tx, product_id)
    assert (len(found["codes"]), len(found["attribute_keys"])) == (2 * 2047, 2 * 2047 + 50)
    await settle(shop.tx)
    assert await stale(shop.tx) == []


_FORMS: Sequence[tuple[str, str]] = (
    ('Intel® Core™2 17.3" (1,440 x 900)', "intel core 2 17.3 1 440 x 900"),
    ("StarTech.com Wi-Fi/USB AT&T v1.0.2. e.g. 5.", "startech com wi fi usb at t v1.0.2 e g 5"),
    ("Men's Levi\u2019s CAFÉ Cafe\u0301 Straße ﬁn \uff11\uff12", "mens levis cafe cafe strasse fin 12"),
    ("[x] {y} ^ | ~ \\ _ @ `z` <b>", "x y z b"),
    ("Ёлка Ελλάδα 東京", "елка ελλαδα 東京"),
)


async def test_words_are_spelled_alike_however_they_are_typed(tx: Transactor) -> None:
    for given, expected in _FORMS:
        sql = f"SELECT {texts.plain_sql('$1::text')}"
        plain = await tx.read(lambda unit, sql=sql, given=given: unit.connection.fetchval(sql, given))  # type: ignore[misc]
        assert " ".join(plain.split()) == expected
    sql = f"SELECT {texts.code_sql('$1::text')}"
    for given in ("0095205603217", "95205603217", "00-9520-5603217"):
        assert await tx.read(lambda unit, given=given: unit.connection.fetchval(sql, given)) == "95205603217"  # type: ignore[misc]
