"""Between pictures and marketplace.catalog.v1."""

from __future__ import annotations

from uuid import UUID

from marketplace.catalog.v1 import catalog_service_pb2, product_pb2, remote_image_pb2

from marketd.catalog.model import RemoteImageState
from marketd.catalog.pictures.values import FetchFailure, RemoteImage, RemoteImageQuery
from marketd.catalog.values import NewImage, ProductImage
from marketd.kernel.enums import EnumMap
from marketd.kernel.wire import to_timestamp
from marketd.media.images.convert import to_image

_STATES = EnumMap(RemoteImageState, remote_image_pb2.RemoteImageState)
_FAILURES = EnumMap(FetchFailure, remote_image_pb2.RemoteImageFailure)


def to_product_image(image: ProductImage, media_url: str) -> product_pb2.ProductImage:
    """A picture of a product, its sizes below `media_url`."""
    return product_pb2.ProductImage(
        image_id=str(image.image_id),
        image=to_image(image.picture, media_url, media_id=image.media_id, url=image.url, alt_text=image.alt_text),
        position=image.position,
        variant_ids=[str(variant_id) for variant_id in image.variant_ids],
    )


def from_product_image(message: product_pb2.ProductImage) -> NewImage:
    """The picture to attach. Its media decides when there is one: what was read has an address as well."""
    image = message.image
    return NewImage(
        media_id=UUID(image.media_id) if image.media_id else None,
        url=image.url,
        alt_text=image.alt_text,
        variant_ids=tuple(dict.fromkeys(map(UUID, message.variant_ids))),
    )


def from_list(request: catalog_service_pb2.ListRemoteImagesRequest) -> RemoteImageQuery:
    """What the list is narrowed to."""
    sellers = tuple(dict.fromkeys(map(UUID, request.seller_ids)))
    return RemoteImageQuery(
        seller_ids=sellers or None,
        states=tuple(dict.fromkeys(_STATES.all_from_wire(request.states))),
        product_ids=tuple(dict.fromkeys(map(UUID, request.product_ids))),
    )


def to_remote_image(image: RemoteImage) -> remote_image_pb2.RemoteImage:
    """What came of a picture that was given by its address."""
    return remote_image_pb2.RemoteImage(
        product_id=str(image.product_id),
        image_id=str(image.image_id),
        url=image.url,
        state=_STATES.to_wire(image.state),
        failure=None if image.failure is None else _FAILURES.to_wire(image.failure),
        tries=image.tries,
        next_try_time=None if image.next_try_time is None else to_timestamp(image.next_try_time),
    )
