"""Products on real Postgres: made whole, changed by their owner only, shown to whom they may be shown."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.type.money_pb2 import Money
from marketd.catalog import service
from marketd.inventory import service as inventory
from marketd.inventory import stocks
from marketd.inventory.values import StockLine
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call, OnceKey
from marketd.kernel.call.caller import ANONYMOUS, SYSTEM, Caller, Role
from marketd.kernel.call.refusals import AlreadyExists, EtagMismatch, IllegalTransition, NotFound, ValidationFailed
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.money import Money as Amount
from marketd.seller.errors import SellerClosed
from marketplace.catalog.v1 import catalog_service_pb2 as pb
from marketplace.catalog.v1 import product_pb2
from marketplace.type.v1 import image_pb2

from tests.worlds.catalog import Seller

CONTEXT: Any = None  # no method here looks at it
ADMIN = Caller(new_id(), None, frozenset({Role.ADMIN}))


class Shop(Seller):
    """A seller that changes its products."""

    def enter(self, caller: Caller | None = None) -> Call:
        """Call as the owner, or as somebody else."""
        call = Call(caller=caller or self.owner)
        calls.enter(call)
        return call

    async def set_state(self, state: str) -> None:
        """Change the seller's state."""
        await self.tx.run(
            "t",
            lambda uow: uow.connection.execute(
                "UPDATE sellers SET state = $2 WHERE seller_id = $1", self.seller_id, state
            ),
        )

    async def make(self, title: str = "Cup", **fields: Any) -> product_pb2.Product:
        """Make a product as the owner."""
        self.enter()
        fields.setdefault("variants", [variant()])
        request = pb.CreateProductRequest(product=product_pb2.Product(title=title, **fields), request_id=str(uuid4()))
        return (await self.catalog.CreateProduct(request, CONTEXT)).product

    async def publish(self, product: product_pb2.Product) -> product_pb2.Product:
        """Publish a product as the owner."""
        self.enter()
        answer = await self.catalog.PublishProduct(pb.PublishProductRequest(product_id=product.product_id), CONTEXT)
        return answer.product

    async def archive(self, product: product_pb2.Product, **fields: Any) -> product_pb2.Product:
        """Archive a product as the owner."""
        self.enter()
        request = pb.ArchiveProductRequest(product_id=product.product_id, **fields)
        return (await self.catalog.ArchiveProduct(request, CONTEXT)).product

    async def delete(self, product: product_pb2.Product, caller: Caller | None = None, **fields: Any) -> None:
        """Delete a product as the owner, or as somebody else."""
        self.enter(caller)
        await self.catalog.DeleteProduct(pb.DeleteProductRequest(product_id=product.product_id, **fields), CONTEXT)

    async def get(self, product: product_pb2.Product, caller: Caller = ANONYMOUS, *mask: str) -> product_pb2.Product:
        """Get a product as anybody."""
        self.enter(caller)
        request = pb.GetProductRequest(product_id=product.product_id, read_mask=FieldMask(paths=mask))
        return (await self.catalog.GetProduct(request, CONTEXT)).product

    async def change(self, product: product_pb2.Product, etag: str = "", **fields: Any) -> product_pb2.Product:
        """Change a product as whoever calls."""
        request = pb.UpdateProductRequest(
            product=product_pb2.Product(product_id=product.product_id, etag=etag, **fields),
            update_mask=FieldMask(paths=list(fields)),
        )
        return (await self.catalog.UpdateProduct(request, CONTEXT)).product


def variant(price: int = 450, quantity: int = 10, **fields: Any) -> product_pb2.Variant:
    """A variant at a price in cents."""
    return product_pb2.Variant(price=euros(price), initial_quantity=quantity, **fields)


def picture(url: str, alt_text: str | None = None) -> product_pb2.ProductImage:
    """A picture by its address."""
    return product_pb2.ProductImage(image=image_pb2.Image(url=url, alt_text=alt_text))


async def _execute(uow: UnitOfWork, statement: str, thing_id: UUID) -> None:
    await uow.connection.execute(statement, thing_id)


def euros(cents: int) -> Money:
    """An amount in the marketplace's currency."""
    return Money(currency_code="EUR", units=cents // 100, nanos=cents % 100 * 10_000_000)


@pytest.fixture
async def shop(tx: Transactor) -> Shop:
    return await Shop(tx).open()


async def test_a_product_is_made_with_its_variants_stock_and_pictures(shop: Shop) -> None:
    made = await shop.make(
        description="<p>x</p><script>y</script>",
        tags=["b", "a"],
        option_names=["Size", "Color"],
        variants=[
            variant(900, 0, sku="L", options={"Color": "Red", "Size": "L"}, compare_at_price=euros(1000)),
            variant(450, 3, sku="S", options={"Color": "Red", "Size": "S"}, compare_at_price=euros(500)),
            variant(100, 9, options={"Color": "Blue", "Size": "S"}, active=False),
        ],
        images=[picture("https://x.y/1.jpg", "one")],
    )
    assert made.state == product_pb2.PRODUCT_STATE_DRAFT
    assert (made.slug, made.description, list(made.tags)) == ("cup", "<p>x</p>", ["b", "a"])
    assert (made.price, made.compare_at_price) == (euros(450), euros(500)), "the cheapest active variant"
    assert [item.stock_state for item in made.variants] == [
        product_pb2.STOCK_STATE_OUT_OF_STOCK,
        product_pb2.STOCK_STATE_LOW_STOCK,
        product_pb2.STOCK_STATE_IN_STOCK,
    ]
    assert dict(made.variants[0].options) == {"Size": "L", "Color": "Red"}
    assert [item.position for item in made.variants] == [1, 2, 3]
    assert (made.images[0].image.url, made.images[0].image.alt_text, made.images[0].position) == (
        "https://x.y/1.jpg",
        "one",
        1,
    )
    assert (await shop.get(made, shop.owner)) == made
    stock = await shop.tx.read(lambda unit: stocks.get_stock(unit, shop.owner, UUID(made.variants[1].variant_id)))
    assert (stock.on_hand, stock.seller_id) == (3, shop.seller_id)


async def test_made_slugs_give_way_and_chosen_ones_do_not(shop: Shop, tx: Transactor) -> None:
    other = await Shop(tx).open()
    slugs = [(await item.make("Blue Cup")).slug for item in (shop, other, shop, other)]
    assert slugs == ["blue-cup", "blue-cup-2", "blue-cup-3", "blue-cup-4"]
    with pytest.raises(AlreadyExists) as refused:
        await other.make("Other", slug="blue-cup")
    assert refused.value.metadata == {"resource": "product", "field": "slug"}
    assert (await other.make("Other", slug="own-slug")).slug == "own-slug"


async def test_many_products_of_one_name_at_once_all_get_slugs(shop: Shop) -> None:
    made = await asyncio.gather(*(shop.make("Same") for _ in range(5)))
    assert len({product.slug for product in made}) == 5


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"variants": [variant(options={"A": "1"}), variant(options={"B": "1"})]}, "variants[1].options"),
        ({"variants": [variant(options={"A": "1"}), variant(options={"A": "1"})]}, "variants[1].options"),
        ({"variants": [variant(), variant()]}, "variants[1].options"),
        ({"variants": [variant(options={"A": "1"})], "option_names": ["B"]}, "option_names"),
        ({"variants": [variant(sku="x", options={"A": "1"}), variant(sku="X", options={"A": "2"})]}, "variants[1].sku"),
        (
            {"variants": [variant(options={"Sorte": "Caf\u00e9"}), variant(options={"sorte": "CAFE\u0301"})]},
            "variants[1].options",
        ),
        ({"variants": [variant(options={"A": "1", "a": "2"})]}, "variants[0].options"),
        ({"variants": [product_pb2.Variant(price=Money(currency_code="USD"))]}, "variants[0].price.currency_code"),
        ({"category_id": str(uuid4())}, "category_id"),
        ({"brand_id": str(uuid4())}, "brand_id"),
    ],
)
async def test_a_product_that_does_not_agree_with_itself_is_refused(
    shop: Shop, fields: dict[str, Any], path: str
) -> None:
    with pytest.raises(ValidationFailed) as refused:
        await shop.make(**{"title": "Cup", **fields})
    assert [violation.field for violation in refused.value.fields] == [f"product.{path}"]
    count = await shop.tx.read(lambda unit: unit.connection.fetchval("SELECT count(*) FROM products"))
    assert count == 0


async def test_a_sku_is_unique_for_the_seller_only(shop: Shop, tx: Transactor) -> None:
    other = await Shop(tx).open()
    await shop.make(variants=[variant(sku="A-1")])
    await other.make(variants=[variant(sku="A-1")])
    with pytest.raises(AlreadyExists) as refused:
        await shop.make(variants=[variant(sku="a-1")])
    assert refused.value.metadata == {"resource": "variant", "field": "sku"}


async def test_a_product_is_made_for_the_own_seller_or_by_an_admin(shop: Shop, tx: Transactor) -> None:
    other = await Shop(tx).open()
    with pytest.raises(NotFound) as refused:
        await shop.make(seller_id=str(other.seller_id))
    assert refused.value.metadata == {"resource": "seller", "id": str(other.seller_id)}

    async def as_admin(seller_id: str) -> product_pb2.Product:
        shop.enter(ADMIN)
        product = product_pb2.Product(title="Cup", seller_id=seller_id, variants=[variant()])
        request = pb.CreateProductRequest(product=product, request_id=str(uuid4()))
        return (await shop.catalog.CreateProduct(request, CONTEXT)).product

    assert (await as_admin(str(other.seller_id))).seller_id == str(other.seller_id)
    with pytest.raises(ValidationFailed):
        await as_admin("")
    with pytest.raises(NotFound):
        await as_admin(str(uuid4()))
    await other.set_state("CLOSED")
    with pytest.raises(SellerClosed) as closed:
        await as_admin(str(other.seller_id))
    assert "gets no products" in closed.value.message


async def test_a_repeat_of_create_product_gives_the_first_answer(shop: Shop) -> None:
    product = product_pb2.Product(title="Cup", variants=[variant()])
    request = pb.CreateProductRequest(product=product, request_id=str(uuid4()))
    answers: list[object] = []
    for _ in range(2):
        call = shop.enter()
        call.once = OnceKey(shop.owner.key, "CreateProduct", request.request_id, b"same")
        answers.append(await shop.catalog.CreateProduct(request, CONTEXT))
        replayed = call.replayed
    assert isinstance(answers[0], bytes)
    assert answers[0] == answers[1]
    assert replayed


async def test_drafts_show_only_to_their_seller_and_admins(shop: Shop, tx: Transactor) -> None:
    other = await Shop(tx).open()
    made = await shop.make()
    buyer = Caller(new_id(), None, frozenset({Role.BUYER}))
    for stranger in (ANONYMOUS, buyer, other.owner):
        with pytest.raises(NotFound) as hidden:
            await shop.get(made, stranger)
        assert hidden.value.metadata == {"resource": "product", "id": made.product_id}
    for friend in (shop.owner, ADMIN):
        assert (await shop.get(made, friend)).title == "Cup"
    published = await shop.publish(made)
    assert published.state == product_pb2.PRODUCT_STATE_PUBLISHED
    assert published.HasField("publish_time")
    assert (await shop.get(made, buyer)) == published


async def test_an_answer_that_is_the_same_for_everybody_may_be_kept(shop: Shop) -> None:
    made = await shop.make()
    request = pb.GetProductRequest(slug=made.slug)
    call = shop.enter()
    await shop.catalog.GetProduct(request, CONTEXT)
    assert call.cache_tag == ""
    assert shop.changes == []
    await shop.publish(made)
    assert len(shop.changes) == 1
    call = shop.enter()
    await shop.catalog.GetProduct(request, CONTEXT)
    assert call.cache_tag == "catalog"


async def test_a_read_mask_gives_what_it_names(shop: Shop) -> None:
    made = await shop.publish(await shop.make(images=[picture("https://x.y/1.jpg")]))
    narrowed = await shop.get(made, ANONYMOUS, "title", "rating.average", "price")
    assert narrowed == product_pb2.Product(title="Cup", price=euros(450), rating=narrowed.rating)
    assert list((await shop.get(made, ANONYMOUS, "variants")).variants) == list(made.variants)
    assert list((await shop.get(made, ANONYMOUS, "images")).images) == list(made.images)
    with pytest.raises(ValidationFailed) as refused:
        await shop.get(made, ANONYMOUS, "title", "colour")
    assert refused.value.fields[0].field == "read_mask"


async def test_only_the_owner_and_admins_change_a_product(shop: Shop, tx: Transactor) -> None:
    other = await Shop(tx).open()
    made = await shop.make()
    shop.enter(other.owner)
    with pytest.raises(NotFound):
        await shop.change(made, title="Stolen")
    with pytest.raises(NotFound):
        await shop.catalog.PublishProduct(pb.PublishProductRequest(product_id=made.product_id), CONTEXT)
    shop.enter(ADMIN)
    assert (await shop.change(made, title="Better")).title == "Better"
    assert (await shop.change(made, title="Best", tags=["x"])).variants == made.variants


async def test_an_update_changes_the_named_fields_and_heeds_the_etag(shop: Shop) -> None:
    made = await shop.make(tags=["old"], description="kept")
    changed = await shop.change(made, etag=made.etag, title="Mug", slug="mug-1", tags=["new"])
    assert (changed.title, changed.slug, list(changed.tags), changed.description) == ("Mug", "mug-1", ["new"], "kept")
    with pytest.raises(EtagMismatch) as refused:
        await shop.change(made, etag=made.etag, title="Late")
    assert refused.value.metadata == {"etag": changed.etag}
    await shop.make("Taken", slug="taken")
    with pytest.raises(AlreadyExists):
        await shop.change(made, slug="taken")
    for fields, path in (
        ({"category_id": str(uuid4())}, "category_id"),
        ({"brand_id": str(uuid4())}, "brand_id"),
    ):
        with pytest.raises(ValidationFailed) as invalid:
            await shop.change(made, **fields)
        assert invalid.value.fields[0].field == f"product.{path}"


async def test_a_product_given_back_as_it_was_read_keeps_its_etag(shop: Shop) -> None:
    made = await shop.make(
        tags=["a"], description="<p>1 < 2</p>", variants=[variant(sku="S")], images=[picture("https://x.y/1.jpg")]
    )
    for mask in (None, FieldMask(paths=["*"])):
        request = pb.UpdateProductRequest(product=made, update_mask=mask)
        assert (await shop.catalog.UpdateProduct(request, CONTEXT)).product == made
    changed = await shop.change(made, title="Mug")
    with pytest.raises(EtagMismatch) as refused:
        await shop.catalog.UpdateProduct(pb.UpdateProductRequest(product=made), CONTEXT)
    assert refused.value.metadata == {"etag": changed.etag}
    stale = pb.PublishProductRequest(product_id=made.product_id, etag=made.etag)
    with pytest.raises(EtagMismatch):
        await shop.catalog.PublishProduct(stale, CONTEXT)
    assert (await shop.get(made, shop.owner)) == changed
    fresh = pb.PublishProductRequest(product_id=made.product_id, etag=changed.etag)
    published = [(await shop.catalog.PublishProduct(fresh, CONTEXT)).product for _ in range(2)]
    assert published[0] == published[1], "the repeat of a move that was made is no refusal"


async def test_what_may_be_absent_is_cleared_by_an_update_without_a_mask(shop: Shop, tx: Transactor) -> None:
    category_id, brand_id = new_id(), new_id()
    for statement, thing_id in (
        (
            "INSERT INTO categories (category_id, name, name_key, slug, description, position, path, version,"
            " create_time, update_time) VALUES ($1, 'c', 'c', 'c', '', 0, ARRAY[$1::uuid], 1, now(), now())",
            category_id,
        ),
        (
            "INSERT INTO brands (brand_id, name, name_key, slug, description, version, create_time, update_time)"
            " VALUES ($1, 'b', 'b', 'b', '', 1, now(), now())",
            brand_id,
        ),
    ):
        await tx.run("t", partial(_execute, statement=statement, thing_id=thing_id))
    made = await shop.make(description="x", category_id=str(category_id), brand_id=str(brand_id), tags=["a"])
    assert (made.category_id, made.brand_id) == (str(category_id), str(brand_id))
    emptied = product_pb2.Product(product_id=made.product_id, description="", category_id="", brand_id="")
    cleared = (await shop.catalog.UpdateProduct(pb.UpdateProductRequest(product=emptied), CONTEXT)).product
    assert [name for name in ("description", "category_id", "brand_id") if cleared.HasField(name)] == []
    assert (cleared.title, list(cleared.tags)) == ("Cup", ["a"])
    assert not (await shop.change(made, tags=[])).tags


async def test_an_empty_slug_that_the_mask_names_is_made_from_the_title(shop: Shop) -> None:
    await shop.make("Mug")
    made = await shop.make("Cup", slug="chosen")
    assert (await shop.change(made, title="Mug", slug="")).slug == "mug-2"
    assert (await shop.change(made, slug="")).slug == "mug-2"


async def test_what_nobody_said_of_a_variant_is_absent(shop: Shop) -> None:
    made = await shop.make(
        variants=[
            variant(options={"Size": "S"}),
            variant(options={"Size": "L"}, sku="L", barcode="4006381333931", weight_grams=0),
        ]
    )
    plain, told = made.variants
    names = ("sku", "barcode", "weight_grams", "compare_at_price")
    assert [name for name in names if plain.HasField(name)] == []  # type: ignore[arg-type]
    assert (told.sku, told.barcode, told.weight_grams) == ("L", "4006381333931", 0)
    assert told.HasField("weight_grams")
    assert plain.active
    assert plain.initial_quantity == 0, "it is given and not shown"
    assert not made.rating.HasField("average")
    assert not made.images
    pictured = await shop.make("Other", images=[picture("https://x.y/1.jpg")])
    shown = pictured.images[0].image
    assert [name for name in ("media_id", "alt_text", "width", "height") if shown.HasField(name)] == []


async def test_a_description_that_grows_too_long_by_being_made_safe_is_refused(shop: Shop) -> None:
    bare = "<" * 30_000
    with pytest.raises(ValidationFailed) as refused:
        await shop.make(description=bare)
    assert refused.value.fields[0].field == "product.description"
    made = await shop.make()
    with pytest.raises(ValidationFailed):
        await shop.change(made, description=bare)
    harmful, harmless = "<p>a<script>alert(1)</script></p>", "<p>a</p>"
    assert (await shop.change(made, description=harmful)).description == harmless
    assert (await shop.make(description=harmful)).description == harmless


async def test_publishing_needs_a_seller_who_sells_and_something_to_sell(shop: Shop) -> None:
    made = await shop.make()
    await shop.set_state("SUSPENDED")
    with pytest.raises(SellerClosed) as suspended:
        await shop.publish(made)
    assert "keep drafts until" in suspended.value.message
    await shop.set_state("ACTIVE")
    first = await shop.publish(made)
    assert await shop.publish(made) == first
    # What was published stays so, and asking again is no refusal; it says that nobody can buy it.
    assert first.for_sale
    await shop.set_state("SUSPENDED")
    again = await shop.publish(made)
    assert (again.state, again.for_sale, again.etag) == (first.state, False, first.etag)
    await shop.set_state("ACTIVE")
    with pytest.raises(IllegalTransition):
        await shop.publish(await shop.make(variants=[variant(active=False)]))


async def test_offers_say_what_a_cart_needs_and_whether_it_can_be_bought(shop: Shop) -> None:
    made = await shop.make(
        option_names=["Size", "Color"],
        variants=[
            variant(sku="S", options={"Color": "Red", "Size": "S"}),
            variant(900, options={"Color": "Red", "Size": "L"}, active=False),
        ],
        images=[picture("https://x.y/1.jpg")],
    )
    ids = [UUID(item.variant_id) for item in made.variants]

    async def buyable() -> list[bool]:
        offers = await shop.tx.read(lambda unit: service.read_offers(unit.connection, [*ids, uuid4()]))
        assert set(offers) == set(ids)
        return [offers[variant_id].is_buyable for variant_id in ids]

    assert await buyable() == [False, False]
    await shop.publish(made)
    assert await buyable() == [True, False]
    await shop.set_state("SUSPENDED")
    assert await buyable() == [False, False]
    offer = (await shop.tx.read(lambda unit: service.read_offers(unit.connection, ids)))[ids[0]]
    assert (offer.title, offer.sku, offer.price) == ("Cup", "S", Amount(450, "EUR"))
    assert offer.options == (("Size", "S"), ("Color", "Red"))
    assert (offer.product_id, offer.seller_id) == (UUID(made.product_id), shop.seller_id)
    assert offer.image is not None
    assert offer.image.address("/media/") == "https://x.y/1.jpg"
    assert await shop.tx.read(lambda unit: service.read_offers(unit.connection, [])) == {}


async def test_reserved_pieces_are_no_longer_shown_as_in_stock(shop: Shop) -> None:
    made = await shop.publish(await shop.make(variants=[variant(quantity=6)]))
    line = [StockLine(UUID(made.variants[0].variant_id), 6)]
    await shop.tx.run("t", lambda uow: inventory.reserve(uow, line, new_id()))
    assert (await shop.get(made)).variants[0].stock_state == product_pb2.STOCK_STATE_OUT_OF_STOCK
    assert (await shop.tx.read(lambda unit: stocks.get_stock(unit, SYSTEM, line[0].variant_id))).available == 0
