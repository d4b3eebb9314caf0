"""Between media and marketplace.media.v1, and pictures as marketplace.type.v1 has them."""

from __future__ import annotations

from collections.abc import Iterable

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.any_pb2 import Any as AnyMessage
from marketplace.media.v1 import media_pb2
from marketplace.media.v1 import media_service_pb2 as pb
from marketplace.type.v1.image_pb2 import ImageRendition

from marketd.kernel.enums import EnumMap
from marketd.kernel.values.etags import etag_of
from marketd.kernel.wire import to_timestamp
from marketd.media.model import Purpose
from marketd.media.read import Part
from marketd.media.values import VERSION, Media, Rendition

PURPOSES = EnumMap(Purpose, media_pb2.MediaPurpose)
CONTENT_TYPE = "image/webp"


def to_renditions(renditions: Iterable[Rendition], media_url: str) -> list[ImageRendition]:
    """marketplace.type.v1.ImageRendition of each; `media_url` is the setting."""
    return [
        ImageRendition(name=one.name, url=one.url(media_url), width=one.width, height=one.height, size=one.size)
        for one in renditions
    ]


def to_media(media: Media, media_url: str, *, own: bool) -> media_pb2.Media:
    """marketplace.media.v1.Media; `own` for its owner and admins, who see whose it is and what the file was called."""
    return media_pb2.Media(
        media_id=str(media.media_id),
        owner_user_id=str(media.owner_user_id) if own else None,
        purpose=PURPOSES.to_wire(media.purpose),
        file_name=media.file_name if own and media.file_name else None,
        media_type=media.media_type,
        size=media.size,
        sha256=media.sha256,
        width=media.width,
        height=media.height,
        renditions=to_renditions(media.renditions, media_url),
        create_time=to_timestamp(media.create_time),
        etag=etag_of(VERSION),
    )


def to_headers(part: Part) -> list[tuple[str, str]]:
    """What the first message says in `extensions`, which the gateway cannot read, for those who read HTTP."""
    headers = [("etag", f'"{part.etag}"')]
    if part.not_modified:
        headers.append(("x-not-modified", "true"))
    return headers


def to_first_message(part: Part) -> HttpBody:
    """The first message of a download, without bytes."""
    info = AnyMessage()
    info.Pack(
        pb.DownloadInfo(
            etag=part.etag, size=part.size, offset=part.offset, length=part.length, not_modified=part.not_modified
        )
    )
    return HttpBody(content_type=CONTENT_TYPE, extensions=[info])
