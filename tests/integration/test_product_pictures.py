"""Pictures of products: attached, ordered, shown and let go; each by whom it belongs to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from marketd.catalog import service
from marketd.catalog.model import MAX_IMAGES
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import EtagMismatch, InUse, NotFound, ValidationFailed
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketplace.catalog.v1 import catalog_service_pb2 as pb
from marketplace.catalog.v1 import product_pb2
from marketplace.media.v1 import media_pb2
from marketplace.media.v1 import media_service_pb2 as media_pb
from marketplace.type.v1 import image_pb2

from tests.integration.test_catalog_products import CONTEXT, Shop, picture, variant
from tests.worlds import pictures
from tests.worlds.media import Uploads

ADMIN = Caller(new_id(), None, frozenset({Role.ADMIN}))
LINK = "https://x.example/1.jpg"


class Gallery(Shop):
    """A shop that uploads pictures and shows them."""

    def __init__(self, tx: Transactor, uploads: Uploads) -> None:
        super().__init__(tx)
        self.uploads = uploads

    async def upload(self, number: int, caller: Caller | None = None, **info: Any) -> media_pb2.Media:
        """A picture that is like no other number's, the owner's unless somebody else is named."""
        return await self.uploads.upload(pictures.unlike(number), caller or self.owner, **info)

    async def add(self, product: product_pb2.Product, image: product_pb2.ProductImage, **fields: Any) -> Any:
        """Add a picture as whoever calls."""
        request = pb.AddProductImageRequest(product_id=product.product_id, image=image, **fields)
        return await self.catalog.AddProductImage(request, CONTEXT)

    async def remove(self, product: product_pb2.Product, image_id: str, **fields: Any) -> product_pb2.Product:
        """Remove a picture as whoever calls."""
        request = pb.RemoveProductImageRequest(product_id=product.product_id, image_id=image_id, **fields)
        return (await self.catalog.RemoveProductImage(request, CONTEXT)).product

    async def reorder(self, product: product_pb2.Product, *image_ids: str, **fields: Any) -> product_pb2.Product:
        """Put the pictures into another order as whoever calls."""
        request = pb.ReorderProductImagesRequest(product_id=product.product_id, image_ids=image_ids, **fields)
        return (await self.catalog.ReorderProductImages(request, CONTEXT)).product

    async def holds(self) -> list[UUID]:
        """The media that products hold."""
        rows = await self.tx.read(
            lambda unit: unit.connection.fetch("SELECT media_id FROM media_holds WHERE holder_kind = 'PRODUCT'")
        )
        return [row["media_id"] for row in rows]


def upload(media: media_pb2.Media, alt_text: str | None = None, **fields: Any) -> product_pb2.ProductImage:
    """A picture by its media."""
    image = image_pb2.Image(media_id=media.media_id, alt_text=alt_text)
    return product_pb2.ProductImage(image=image, **fields)


@pytest.fixture
async def shop(tx: Transactor, tmp_path: Path) -> AsyncIterator[Gallery]:
    async with Uploads(tx, tmp_path / "media") as uploads:
        yield await Gallery(tx, uploads).open()


def _paths(refused: pytest.ExceptionInfo[ValidationFailed]) -> list[str]:
    return [violation.field for violation in refused.value.fields]


async def test_uploads_and_links_are_shown_with_all_that_is_known_of_them(shop: Gallery) -> None:
    media = await shop.upload(1)
    made = await shop.make(images=[picture(LINK, "a link"), upload(media, "a cup"), picture(LINK), upload(media)])
    await shop.publish(made)
    link, own = made.images
    assert (link.image.url, link.image.alt_text, link.position) == (LINK, "a link", 1)
    assert not (link.image.HasField("media_id"))
    assert not (link.image.HasField("width"))
    assert not (link.image.renditions)
    full = media.renditions[-1]
    assert (own.image.media_id, own.image.alt_text, own.position) == (media.media_id, "a cup", 2)
    assert (own.image.url, own.image.width, own.image.height) == (full.url, full.width, full.height)
    assert list(own.image.renditions) == list(media.renditions)
    assert [one.name for one in own.image.renditions] == ["thumb", "card", "full"]
    assert (await shop.get(made)).images == made.images
    shop.enter()
    ids = [made.product_id]
    assert (await shop.catalog.BatchGetProducts(pb.BatchGetProductsRequest(product_ids=ids), CONTEXT)).products[
        0
    ].images == made.images
    listed = await shop.catalog.ListProducts(pb.ListProductsRequest(seller_ids=[str(shop.seller_id)]), CONTEXT)
    assert listed.products[0].images == made.images
    assert await shop.holds() == [UUID(media.media_id)]


async def test_a_picture_is_added_where_it_is_wanted_and_only_once(shop: Gallery) -> None:
    made = await shop.make(variants=[variant(options={"Size": "S"}), variant(options={"Size": "L"})])
    one, two, three = [await shop.upload(number) for number in (1, 2, 3)]
    shop.enter()
    variant_id = made.variants[1].variant_id
    first = await shop.add(made, upload(one, "one", variant_ids=[variant_id]), etag=made.etag)
    assert first.product.etag != made.etag
    assert (list(first.image.variant_ids), first.image.position) == ([variant_id], 1)
    await shop.add(made, upload(two), position=1)
    await shop.add(made, picture(LINK), position=2)
    last = (await shop.add(made, upload(three), position=99)).product
    media_ids = [two.media_id, "", one.media_id, three.media_id]
    assert [image.image.media_id for image in last.images] == media_ids
    assert [image.position for image in last.images] == [1, 2, 3, 4]
    # What is there is that picture again, whatever else is said, and whatever the etag.
    for again in (upload(one, "another text"), picture(LINK, "another text")):
        answer = await shop.add(made, again, etag=made.etag, position=1)
        assert answer.product == last
        assert answer.image in last.images
    assert await shop.uploads.built.violations() == []


async def test_only_own_pictures_for_products_are_attached(shop: Gallery) -> None:
    made = await shop.make()
    foreign = await shop.upload(1, Caller(new_id(), None, frozenset({Role.SELLER})))
    logo = await shop.upload(2, purpose=media_pb2.MEDIA_PURPOSE_SHOP)
    gone = media_pb2.Media(media_id=str(new_id()))
    shop.enter()
    for wrong in (foreign, logo, gone):
        with pytest.raises(ValidationFailed) as refused:
            await shop.add(made, upload(wrong))
        assert _paths(refused) == ["image.image.media_id"]
        with pytest.raises(ValidationFailed) as refused:
            await shop.make(images=[picture(LINK), upload(wrong)])
        assert _paths(refused) == ["product.images[1].image.media_id"]
    with pytest.raises(ValidationFailed) as refused:
        await shop.add(made, _of_nobody())
    assert _paths(refused) == ["image.variant_ids[0]"]
    with pytest.raises(ValidationFailed) as refused:
        await shop.make(images=[_of_nobody()])
    assert _paths(refused) == ["product.images[0].variant_ids"]
    assert await shop.holds() == []
    # An admin acts for the shop, with its pictures or with own ones.
    own, admins = await shop.upload(3), await shop.upload(4, ADMIN)
    shop.enter(ADMIN)
    for media in (own, admins):
        left = (await shop.add(made, upload(media))).product
    await shop.reorder(made, *(image.image_id for image in left.images[::-1]))
    await shop.remove(made, left.images[0].image_id)
    # What an admin does to another's shop is written down, the pictures by their own ids.
    written = await shop.tx.read(
        lambda unit: unit.connection.fetch("SELECT resource_type, resource_id FROM audit_entries ORDER BY create_time")
    )
    ids = [("product_image", image.image_id) for image in left.images]
    assert [tuple(row) for row in written] == [*ids, ("product", made.product_id), ids[0]]
    shop.enter(Caller(new_id(), None, frozenset({Role.SELLER})))
    for call in (shop.add(made, upload(own)), shop.remove(made, str(new_id())), shop.reorder(made)):
        with pytest.raises(NotFound):
            await call


def _of_nobody() -> product_pb2.ProductImage:
    return product_pb2.ProductImage(image=image_pb2.Image(url=LINK), variant_ids=[str(new_id())])


async def test_a_product_has_at_most_so_many_pictures(shop: Gallery) -> None:
    made = await shop.make(images=[picture(f"https://x.example/{number}.jpg") for number in range(MAX_IMAGES)])
    shop.enter()
    with pytest.raises(ValidationFailed) as refused:
        await shop.add(made, picture(LINK + "?more"))
    assert _paths(refused) == ["image"]
    await shop.remove(made, made.images[7].image_id)
    await shop.add(made, picture(LINK + "?more"))


async def test_a_picture_is_removed_and_its_media_let_go(shop: Gallery) -> None:
    one, two = [await shop.upload(number) for number in (1, 2)]
    made = await shop.make(images=[upload(one), picture(LINK), upload(two)])
    first, link, last = made.images
    shop.enter()
    with pytest.raises(EtagMismatch):
        await shop.remove(made, first.image_id, etag='"0"')
    with pytest.raises(InUse):
        await shop.uploads.call(media_pb.DeleteMediaRequest(media_id=one.media_id), shop.owner)
    left = await shop.remove(made, first.image_id, etag=made.etag)
    assert [(image.image_id, image.position) for image in left.images] == [(link.image_id, 1), (last.image_id, 2)]
    assert left.etag != made.etag
    assert await shop.holds() == [UUID(two.media_id)]
    with pytest.raises(NotFound):
        await shop.remove(made, first.image_id)
    assert await shop.remove(made, first.image_id, allow_missing=True) == left
    await shop.uploads.call(media_pb.DeleteMediaRequest(media_id=one.media_id), shop.owner)
    await shop.delete(made)
    assert await shop.holds() == []
    assert await shop.uploads.rows("product_images") == await shop.uploads.rows("remote_images") == 0
    assert await shop.uploads.built.violations() == []


async def test_pictures_are_put_into_the_order_that_is_given_whole(shop: Gallery) -> None:
    made = await shop.make(images=[picture(f"https://x.example/{number}.jpg") for number in range(3)])
    one, two, three = (image.image_id for image in made.images)
    shop.enter()
    moved = await shop.reorder(made, three, one, two, etag=made.etag)
    assert [(image.image_id, image.position) for image in moved.images] == [(three, 1), (one, 2), (two, 3)]
    assert await shop.reorder(made, three, one, two, etag=made.etag) == moved, "it stands so already"
    with pytest.raises(EtagMismatch):
        await shop.reorder(made, one, two, three, etag=made.etag)
    for wrong in ((one, two), (one, two, three, str(new_id())), (one, two, str(new_id()))):
        with pytest.raises(ValidationFailed) as refused:
            await shop.reorder(made, *wrong)
        assert _paths(refused) == ["image_ids"]
    assert (await shop.get(made, shop.owner)).images == moved.images


async def test_a_deleted_variant_is_named_by_no_picture(shop: Gallery) -> None:
    made = await shop.make(variants=[variant(options={"Size": "S"}), variant(options={"Size": "L"})])
    small, large = (each.variant_id for each in made.variants)
    media = await shop.upload(1)
    shop.enter()
    await shop.add(made, upload(media, variant_ids=[small, large]))
    await shop.catalog.DeleteVariant(pb.DeleteVariantRequest(variant_id=small), CONTEXT)
    (image,) = (await shop.get(made, shop.owner)).images
    assert list(image.variant_ids) == [large]
    assert await shop.holds() == [UUID(media.media_id)]


async def test_offers_show_the_smallest_size_of_the_picture_of_their_variant(shop: Gallery) -> None:
    made = await shop.make(
        variants=[variant(options={"Size": "S"}), variant(options={"Size": "L"})], images=[picture(LINK)]
    )
    media = await shop.upload(1)
    shop.enter()
    ids = [UUID(each.variant_id) for each in made.variants]
    await shop.add(made, upload(media, variant_ids=[str(ids[1])]))
    offers = await shop.tx.read(lambda unit: service.read_offers(unit.connection, ids))
    shown = [offers[each].image for each in ids]
    assert [None if image is None else image.address("https://cdn.example/") for image in shown] == [
        LINK,
        "https://cdn.example/" + media.renditions[0].url.removeprefix("/media/"),
    ]
    assert [None if image is None else image.media_id for image in shown] == [None, UUID(media.media_id)]


async def test_a_media_that_goes_at_the_same_moment_is_refused(shop: Gallery) -> None:
    made, media = await shop.make(), await shop.upload(1)

    async def delete(uow: UnitOfWork) -> None:
        await uow.connection.execute("DELETE FROM media WHERE media_id = $1", UUID(media.media_id))

    await shop.tx.run("test.delete", delete)
    shop.enter()
    with pytest.raises(ValidationFailed):
        await shop.add(made, upload(media))
