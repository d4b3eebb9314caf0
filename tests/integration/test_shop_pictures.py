"""Logos of shops and pictures of categories: one each, held while it is shown, cleared by naming it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from marketd.catalog.servicer import CatalogServicer
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound, ValidationFailed
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.ids import new_id
from marketd.seller.servicer import SellerServicer
from marketplace.catalog.v1 import catalog_service_pb2, category_pb2
from marketplace.media.v1 import media_pb2
from marketplace.seller.v1 import seller_pb2, seller_service_pb2
from marketplace.type.v1 import image_pb2

from tests.worlds import pictures
from tests.worlds.built import Built
from tests.worlds.catalog import Seller
from tests.worlds.media import CONTEXT, Uploads, id_of, somebody
from tests.worlds.parts import make_parts

SHOP, CATEGORY, PRODUCT = (
    media_pb2.MEDIA_PURPOSE_SHOP,
    media_pb2.MEDIA_PURPOSE_CATEGORY,
    media_pb2.MEDIA_PURPOSE_PRODUCT,
)


class Shown:
    """A shop and an admin, who show pictures."""

    def __init__(self, tx: Transactor, uploads: Uploads) -> None:
        self.tx, self.uploads = tx, uploads
        built = Built(make_parts(tx), "seller", "catalog")
        self.sellers, self.catalog = built.servicer(SellerServicer), built.servicer(CatalogServicer)
        self.shop = Seller(tx)
        self.admin = somebody(Role.ADMIN)

    async def upload(self, number: int, caller: Caller, purpose: Any) -> media_pb2.Media:
        """A picture like no other number's."""
        return await self.uploads.upload(pictures.unlike(number), caller, purpose=purpose)

    async def update(self, caller: Caller, *paths: str, **fields: Any) -> seller_pb2.Seller:
        """Update the shop: what the paths name, or what the fields say."""
        self.uploads.enter(caller)
        seller = seller_pb2.Seller(seller_id=str(self.shop.seller_id), **fields)
        request = seller_service_pb2.UpdateSellerRequest(seller=seller, update_mask=FieldMask(paths=paths))
        return (await self.sellers.UpdateSeller(request, CONTEXT)).seller

    async def held(self) -> dict[str, UUID]:
        """What is held, by the kind of its holder."""
        rows = await self.tx.read(lambda unit: unit.connection.fetch("SELECT holder_kind, media_id FROM media_holds"))
        return {row["holder_kind"]: row["media_id"] for row in rows}


@pytest.fixture
async def shown(tx: Transactor, tmp_path: Path) -> AsyncIterator[Shown]:
    async with Uploads(tx, tmp_path / "media") as uploads:
        made = Shown(tx, uploads)
        await made.shop.open()
        yield made


def _image(media: media_pb2.Media, alt_text: str | None = None, url: str | None = None) -> image_pb2.Image:
    return image_pb2.Image(media_id=media.media_id, alt_text=alt_text, url=url)


async def test_a_shop_has_a_logo_that_everybody_sees_until_it_is_cleared(shown: Shown) -> None:
    owner = shown.shop.owner
    one, two = [await shown.upload(number, owner, SHOP) for number in (1, 2)]
    first = await shown.update(owner, logo=_image(one, "our logo"))
    assert (first.logo.media_id, first.logo.alt_text, first.logo.url) == (
        one.media_id,
        "our logo",
        one.renditions[-1].url,
    )
    assert list(first.logo.renditions) == list(one.renditions)
    shown.uploads.enter(somebody())
    by_id = seller_service_pb2.GetSellerRequest(seller_id=first.seller_id)
    assert (await shown.sellers.GetSeller(by_id, CONTEXT)).seller.logo == first.logo
    listed = await shown.sellers.ListSellers(seller_service_pb2.ListSellersRequest(), CONTEXT)
    assert [seller.logo for seller in listed.sellers] == [first.logo]
    assert await shown.held() == {"SELLER": id_of(one)}
    # What was read may be given back: it changes nothing.
    assert await shown.update(owner, logo=first.logo) == first
    renamed = await shown.update(owner, "logo.alt_text", logo=image_pb2.Image(alt_text="another"))
    assert (renamed.logo.media_id, renamed.logo.alt_text) == (one.media_id, "another")
    assert (await shown.update(owner, logo=_image(two))).logo.media_id == two.media_id
    assert await shown.held() == {"SELLER": id_of(two)}
    assert not (await shown.update(owner, "logo")).HasField("logo")
    assert await shown.held() == {}
    assert await shown.uploads.built.violations() == []


async def test_a_logo_is_an_upload_of_the_owners_for_shops(shown: Shown) -> None:
    owner = shown.shop.owner
    foreign = await shown.upload(1, somebody(Role.SELLER), SHOP)
    product = await shown.upload(2, owner, PRODUCT)
    gone = media_pb2.Media(media_id=str(new_id()))
    link = image_pb2.Image(url="https://x.example/logo.png")
    for wrong in (_image(foreign), _image(product), _image(gone), link):
        with pytest.raises(ValidationFailed) as refused:
            await shown.update(owner, logo=wrong)
        assert [violation.field for violation in refused.value.fields] == ["seller.logo.media_id"]
    own = await shown.upload(3, owner, SHOP)
    # An admin sets the owner's picture right.
    assert (await shown.update(shown.admin, logo=_image(own))).logo.media_id == own.media_id
    with pytest.raises(NotFound):
        await shown.update(somebody(Role.SELLER), logo=_image(foreign))


async def test_a_category_has_a_picture_of_an_admins(shown: Shown) -> None:
    admin, catalog = shown.admin, shown.catalog
    one, two = [await shown.upload(number, admin, CATEGORY) for number in (1, 2)]
    wrong = await shown.upload(3, admin, SHOP)
    shown.uploads.enter(admin)

    async def make(media: media_pb2.Media, name: str) -> category_pb2.Category:
        new = category_pb2.Category(name=name, image=_image(media, "what it is"))
        request = catalog_service_pb2.CreateCategoryRequest(category=new)
        return (await catalog.CreateCategory(request, CONTEXT)).category

    async def change(category: category_pb2.Category, *paths: str, **fields: Any) -> category_pb2.Category:
        changed = category_pb2.Category(category_id=category.category_id, **fields)
        request = catalog_service_pb2.UpdateCategoryRequest(category=changed, update_mask=FieldMask(paths=paths))
        return (await catalog.UpdateCategory(request, CONTEXT)).category

    with pytest.raises(ValidationFailed) as refused:
        await make(wrong, "Lamps")
    assert [violation.field for violation in refused.value.fields] == ["category.image.media_id"]
    made = await make(one, "Lamps")
    assert (made.image.media_id, made.image.alt_text) == (one.media_id, "what it is")
    by_slug = catalog_service_pb2.GetCategoryRequest(slug="lamps")
    assert (await catalog.GetCategory(by_slug, CONTEXT)).category == made
    listed = await catalog.ListCategories(catalog_service_pb2.ListCategoriesRequest(), CONTEXT)
    assert list(listed.categories) == [made]
    assert await change(made, image=made.image) == made
    assert (await change(made, image=_image(two))).image.media_id == two.media_id
    assert await shown.held() == {"CATEGORY": id_of(two)}
    assert not (await change(made, "image")).HasField("image")
    await change(made, image=_image(one))
    request = catalog_service_pb2.DeleteCategoryRequest(category_id=made.category_id)
    await catalog.DeleteCategory(request, CONTEXT)
    assert await shown.held() == {}
    assert await shown.uploads.built.violations() == []
