"""What carts and orders show of a product's picture, also when the shop takes it away."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from marketd.catalog.pictures import change
from marketd.catalog.values import NewImage
from marketd.kernel.call.refusals import InUse
from marketd.kernel.db.uow import UnitOfWork
from marketplace.media.v1 import media_service_pb2 as pb

from tests.worlds import pictures
from tests.worlds.media import Uploads, id_of
from tests.worlds.ordering import Market

DAY = timedelta(hours=25)


async def test_an_order_goes_on_showing_a_picture_that_the_shop_takes_away(market: Market, tmp_path: Path) -> None:
    async with Uploads(market.tx, tmp_path / "media") as uploads:
        buyer, shop = await market.buyer(), await market.shop()
        variant = await market.variant(shop)
        product_id: UUID = await market.value("SELECT product_id FROM variants WHERE variant_id = $1", variant)
        ordered, other = [await uploads.upload(pictures.unlike(number), shop.caller) for number in (1, 2)]

        async def add(uow: UnitOfWork) -> list[UUID]:
            found = []
            for media in (ordered, other):
                new = NewImage(id_of(media), "", "")
                found.append((await change.add_image(uow, shop.caller, product_id, new, None, ""))[1])
            return found

        image_ids = await market.tx.run("test.add", add)
        thumb = ordered.renditions[0].url
        assert (await market.add(buyer, variant)).items[0].image_url == thumb
        quote = await market.quote(buyer)
        (order,) = (await market.place_quote(buyer, quote)).orders
        assert order.items[0].image_url == thumb

        async def remove(uow: UnitOfWork) -> None:
            for image_id in image_ids:
                await change.remove_image(uow, shop.caller, product_id, image_id, "", allow_missing=False)

        await market.tx.run("test.remove", remove)
        assert not (await market.add(buyer, variant)).items[0].image_url
        with pytest.raises(InUse):
            await uploads.call(pb.DeleteMediaRequest(media_id=ordered.media_id), shop.caller)
        await uploads.clean(DAY)
        left = {one.url.removeprefix("/media/") for one in ordered.renditions}
        assert uploads.files() == left
        assert (await market.get(buyer, order.order_id)).items[0].image_url == thumb
        held = await market.value("SELECT holder_id FROM media_holds WHERE media_id = $1", id_of(ordered))
        assert held == UUID(order.order_id)
        assert await uploads.built.violations() == []
