"""From pictures to marketplace.type.v1.Image, for whatever shows them."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from google.protobuf.message import Message
from marketplace.type.v1 import image_pb2

from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.media.images.held import HeldImage, ImageChange
from marketd.media.values import Picture, Rendition

_PARTS: Final = ("media_id", "alt_text")


def to_image(
    picture: Picture | None, media_url: str, *, media_id: UUID | None = None, url: str = "", alt_text: str = ""
) -> image_pb2.Image:
    """The picture with its sizes below `media_url`; without one, `media_id` and `url` are what is known of it."""
    message = image_pb2.Image(alt_text=alt_text or None)
    if picture is None:
        if media_id is not None:
            message.media_id = str(media_id)
        if url:
            message.url = url
        return message
    full = picture.renditions[-1]
    message.media_id = str(picture.media_id)
    # Of the size that the address leads to, so that a page can keep the room for it.
    message.width, message.height = full.width, full.height
    message.renditions.extend(_to_rendition(each, media_url) for each in picture.renditions)
    address = full.url(media_url)
    if address is not None:
        message.url = address
    return message


def _to_rendition(rendition: Rendition, media_url: str) -> image_pb2.ImageRendition:
    return image_pb2.ImageRendition(
        name=rendition.name,
        url=rendition.url(media_url),
        width=rendition.width,
        height=rendition.height,
        size=rendition.size,
    )


def to_held_image(image: HeldImage | None, media_url: str) -> image_pb2.Image | None:
    """The one picture of a thing; None for none, which a message's constructor takes for absent."""
    return None if image is None else to_image(image.picture, media_url, alt_text=image.alt_text)


def from_image(resource: Message, name: str, path: str, paths: frozenset[str]) -> ImageChange | None:
    """What is to become of the resource's one picture, its field `name`; None when the paths do not name it.

    path: where the field stands in the request. Raises ValidationFailed for a picture without the id of a media.
    """
    parts = frozenset(part for part in _PARTS if name in paths or f"{name}.{part}" in paths)
    if not parts:
        return None
    image: image_pb2.Image = getattr(resource, name)
    if not image.media_id and (resource.HasField(name) if name in paths else "media_id" in parts):
        problem = "must be given: the id of a picture that was uploaded; leave the picture out to have none"
        raise ValidationFailed(FieldViolation(f"{path}.media_id", problem))
    return ImageChange(path, parts, UUID(image.media_id) if image.media_id else None, image.alt_text)
