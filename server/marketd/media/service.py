"""What other slices ask of media, each within their own unit of work: holding pictures and letting them go, and reading
them. Media that nothing holds are removed after a while.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

from marketd.kernel.db.database import Connection
from marketd.kernel.db.uow import UnitOfWork
from marketd.media import holds, repository
from marketd.media.model import Purpose
from marketd.media.values import Holder, HolderKind, Media, Picture

__all__ = [
    "PICTURE_SQL",
    "THUMB_SQL",
    "Taker",
    "discard_all",
    "hold",
    "read_holder_ids",
    "read_pictures",
    "release",
    "release_all",
]

PICTURE_SQL: Final = repository.PICTURE_SQL
"""The picture of a media as JSON, a scalar subquery: `PICTURE_SQL.format(media_id="i.media_id")` in a list of columns.

`values.picture_of` reads it; NULL where there is no such media.
"""

THUMB_SQL: Final = repository.THUMB_SQL
"""The smallest size of a media as JSON, in the same way; a values.Rendition has its fields."""


class Taker(Protocol):
    """Makes media of bytes that the server itself fetched or drew; made by `taking.taker_of(parts)`."""

    async def adopt(
        self, owner_user_id: UUID, purpose: Purpose, content: bytes | Path, *, file_name: str = ""
    ) -> Media:
        """Judge, render, store and keep; in units of work of its own, so not within one.

        The same owner's same bytes for the same purpose are the same media again. Raises what an upload raises:
        MediaTypeUnsupported, MediaTooLarge, MediaCorrupt, QuotaExceeded, Overloaded, StoreUnavailable.
        """
        ...


async def hold(
    uow: UnitOfWork,
    allowed_owner_ids: Collection[UUID],
    media_ids: Sequence[UUID],
    purpose: Purpose | Collection[Purpose],
    holder: Holder,
    *,
    field: str | Sequence[str],
) -> Mapping[UUID, Picture]:
    """Have the holder hold these media, besides those that it holds; the picture of each.

    allowed_owner_ids: whose media may be taken: the caller's, and with an admin who acts for a shop its owner's too.
    purpose: the one, or those, that they must have been uploaded for.
    field: where the ids stand in the request, such as `images[].media_id`; `[]` is filled with the place of an id in
    `media_ids`; or where each of them stands. The rows are locked in the order of their ids. Raises ValidationFailed
    for an id that is missing, is another's or of another purpose.
    """
    purposes = (purpose,) if isinstance(purpose, Purpose) else purpose
    return await holds.hold(uow, allowed_owner_ids, media_ids, purposes, holder, field=field)


async def release(uow: UnitOfWork, media_ids: Collection[UUID], holder: Holder) -> None:
    """The holder lets these media go; those that it does not hold are passed over."""
    await holds.release(uow, media_ids, holder)


async def release_all(uow: UnitOfWork, holder: Holder) -> None:
    """The holder lets go of all that it holds: it is gone."""
    await holds.release_all(uow, holder)


async def discard_all(uow: UnitOfWork, kind: HolderKind, holder_ids: Collection[UUID]) -> None:
    """These holders let go of all that they hold, and what nothing else holds then goes with the next sweep."""
    await holds.discard_all(uow, kind, holder_ids)


async def read_holder_ids(connection: Connection, media_id: UUID, kind: HolderKind) -> list[UUID]:
    """Who of this kind holds the media."""
    return await repository.read_holder_ids(connection, media_id, kind)


async def read_pictures(connection: Connection, media_ids: Collection[UUID]) -> Mapping[UUID, Picture]:
    """The pictures of these media by their ids; those that are not there are left out. One statement."""
    return await repository.read_pictures(connection, media_ids)
