"""The recipes of pictures."""

from __future__ import annotations

import secrets

from marketplace.media.v1 import media_pb2, media_service_pb2

from tests.e2e.matrix.scenes import AUTHENTICATED, PUBLIC, Book, Scene, newcomer
from tests.worlds import pictures
from tests.worlds.matrix import Market
from tests.worlds.media import messages
from tests.worlds.things import Person, new_key

MEDIA = Book("marketplace.media.v1.MediaService")
BOOKS = (MEDIA,)


def a_picture() -> bytes:
    """A picture that there was not before."""
    return pictures.unlike(secrets.randbits(40))


def inline_upload(
    purpose: media_pb2.MediaPurpose.ValueType = media_pb2.MEDIA_PURPOSE_PRODUCT,
) -> media_service_pb2.UploadImageInlineRequest:
    """A new picture in one message."""
    return media_service_pb2.UploadImageInlineRequest(
        request_id=new_key(), purpose=purpose, image=a_picture(), file_name="cup.png"
    )


async def new_media(
    market: Market, owner: Person, purpose: media_pb2.MediaPurpose.ValueType = media_pb2.MEDIA_PURPOSE_PRODUCT
) -> media_pb2.Media:
    """A media of theirs."""
    media: media_pb2.Media = (await market.call(inline_upload(purpose), owner)).media
    return media


@MEDIA.add("UploadImage", AUTHENTICATED)
async def upload_image(market: Market, who: str) -> Scene:
    return Scene(await newcomer(market, who), tuple(messages(a_picture(), step=100, request_id=new_key())))


@MEDIA.add("UploadImageInline", AUTHENTICATED)
async def upload_inline(market: Market, who: str) -> Scene:
    return Scene(await newcomer(market, who), (inline_upload(),))


@MEDIA.add("GetMedia", PUBLIC)
async def get_media(market: Market, who: str) -> Scene:
    media = await new_media(market, market.buyer)
    return Scene(None, (media_service_pb2.GetMediaRequest(media_id=media.media_id),))


@MEDIA.add("ListMedia", AUTHENTICATED)
async def list_media(market: Market, who: str) -> Scene:
    return Scene(await newcomer(market, who), (media_service_pb2.ListMediaRequest(page_size=5),))


@MEDIA.add("DownloadMedia", PUBLIC)
async def download_media(market: Market, who: str) -> Scene:
    media = await new_media(market, market.buyer)
    request = media_service_pb2.DownloadMediaRequest(media_id=media.media_id, rendition="thumb", length=100)
    return Scene(None, (request,))


@MEDIA.add("DeleteMedia", AUTHENTICATED)
async def delete_media(market: Market, who: str) -> Scene:
    owner = await newcomer(market, who)
    media = await new_media(market, owner)
    request = media_service_pb2.DeleteMediaRequest(media_id=media.media_id, etag=media.etag, request_id=new_key())
    return Scene(owner, (request,))
