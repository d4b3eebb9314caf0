"""The one picture that a thing shows, such as a shop's logo: kept with the thing as the id of its media and a text."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from marketd.audit.changes import UNSAID
from marketd.kernel.db.uow import UnitOfWork
from marketd.media import service as media
from marketd.media.model import Purpose
from marketd.media.values import Holder, Picture, picture_of


@dataclass(frozen=True, slots=True)
class HeldImage:
    """A picture as the thing shows it; an empty `alt_text` says nothing of what is to be seen."""

    media_id: UUID
    alt_text: str
    picture: Picture = field(metadata=UNSAID)


@dataclass(frozen=True, slots=True)
class ImageChange:
    """What becomes of the picture: those of its `parts` (media_id, alt_text) are to be as they are here; no media_id
    means that there is to be none. `path` is where it stands in the request.
    """

    path: str
    parts: frozenset[str]
    media_id: UUID | None
    alt_text: str


def held_sql(media_id: str, alt_text: str) -> str:
    """The picture whose media and text these columns name, as one column that `held_of` reads."""
    return (
        f"CASE WHEN {media_id} IS NOT NULL THEN jsonb_build_object("
        f"'alt_text', {alt_text}, 'picture', {media.PICTURE_SQL.format(media_id=media_id)}) END"
    )


def held_of(value: Mapping[str, Any] | None) -> HeldImage | None:
    """The picture out of `held_sql`; None where there is none."""
    picture = None if value is None else picture_of(value["picture"])
    return None if value is None or picture is None else HeldImage(picture.media_id, value["alt_text"], picture)


async def change_image(
    uow: UnitOfWork,
    before: HeldImage | None,
    change: ImageChange,
    allowed_owner_ids: Collection[UUID],
    purpose: Purpose,
    holder: Holder,
) -> HeldImage | None:
    """The picture after the change; the holder holds its media, and lets go of the one before.

    Raises ValidationFailed for a media that is not there, is not of these owners or not for this purpose.
    """
    media_id = change.media_id if "media_id" in change.parts else _id_of(before)
    alt_text = change.alt_text if "alt_text" in change.parts else ("" if before is None else before.alt_text)
    if media_id is not None and before is not None and media_id == before.media_id:
        return HeldImage(media_id, alt_text, before.picture)
    after: HeldImage | None = None
    if media_id is not None:
        held = await media.hold(uow, allowed_owner_ids, [media_id], purpose, holder, field=f"{change.path}.media_id")
        after = HeldImage(media_id, alt_text, held[media_id])
    if before is not None:
        await media.release(uow, [before.media_id], holder)
    return after


def _id_of(image: HeldImage | None) -> UUID | None:
    return None if image is None else image.media_id
