"""The values of media."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from marketd.media.model import Purpose

PRIVATE_FOLDER: Final = "private/"
"""Where files stand that not everybody may read."""
RENDITIONS: Final = {"thumb": 160, "card": 480, "full": 1600}
"""The longest side of each size in pixels, smallest first."""
VERSION: Final = 1
"""Of every media, for its etag: media never change."""


class HolderKind(StrEnum):
    """What can hold a media."""

    PRODUCT = "PRODUCT"
    SELLER = "SELLER"
    CATEGORY = "CATEGORY"
    BRAND = "BRAND"
    REVIEW = "REVIEW"
    DELIVERY = "DELIVERY"
    ORDER = "ORDER"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a media: a product by its product_id, a shop by its seller_id and so on."""

    kind: HolderKind
    holder_id: UUID


@dataclass(frozen=True, slots=True)
class Rendition:
    """One size of a picture; `file` is its name in the store, `size` in bytes."""

    name: str
    file: str
    width: int
    height: int
    size: int

    def url(self, base: str) -> str | None:
        """Its address below `base` (the setting media_url); None for what not everybody may read."""
        return None if self.file.startswith(PRIVATE_FOLDER) else base + self.file


@dataclass(frozen=True, slots=True)
class Picture:
    """A media as what holds it shows it; width and height of the upload, upright, and its sizes, smallest first."""

    media_id: UUID
    width: int
    height: int
    renditions: tuple[Rendition, ...]


@dataclass(frozen=True, slots=True)
class Media:
    """A picture that was uploaded. `size` and `sha256` are of the uploaded bytes, `kept_size` of all its renditions."""

    media_id: UUID
    owner_user_id: UUID
    purpose: Purpose
    file_name: str
    media_type: str
    size: int
    sha256: str
    width: int
    height: int
    renditions: tuple[Rendition, ...]
    kept_size: int
    create_time: datetime


@dataclass(frozen=True, slots=True)
class RenderedSize:
    """One size as it came out of rendering: WebP bytes."""

    name: str
    width: int
    height: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Rendered:
    """What rendering made of a file: the type that it is by its content, its upright width and height, the sizes."""

    media_type: str
    width: int
    height: int
    sizes: tuple[RenderedSize, ...]


@dataclass(frozen=True, slots=True)
class NewMedia:
    """A file that becomes a media."""

    owner_user_id: UUID
    purpose: Purpose
    file_name: str
    size: int
    sha256: str


def renditions_of(value: Sequence[Mapping[str, Any]]) -> tuple[Rendition, ...]:
    """The renditions as the column has them."""
    return tuple(Rendition(**one) for one in value)


def picture_of(value: Mapping[str, Any] | None) -> Picture | None:
    """The picture of what `service.PICTURE_SQL` gives; None for NULL, where there is no such media."""
    if value is None:
        return None
    return Picture(UUID(value["media_id"]), value["width"], value["height"], renditions_of(value["renditions"]))
