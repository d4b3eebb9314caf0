"""Reading media: who sees which, and the bytes of one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import FieldViolation, NotFound, ValidationFailed
from marketd.kernel.db.uow import ReadUnit
from marketd.media import repository
from marketd.media.model import Purpose
from marketd.media.ports import PrivateReaders
from marketd.media.repository import MediaKey
from marketd.media.values import PRIVATE_FOLDER, Media


@dataclass(frozen=True, slots=True)
class Part:
    """What a download gives: `length` bytes from `offset` on of the file, whose whole size and etag are these.

    length: 0 when the caller has the bytes already (not_modified) or asks for what begins at the end.
    """

    file: str
    etag: str
    size: int
    offset: int
    length: int
    not_modified: bool


def is_own(caller: Caller, media: Media) -> bool:
    """Whether the caller is the owner or an admin: they are told whose it is and what the file was called."""
    return media.owner_user_id == caller.user_id or caller.has(Role.ADMIN)


async def get_media(unit: ReadUnit, caller: Caller, media_id: UUID, readers: Sequence[PrivateReaders]) -> Media:
    """The media, when the caller may read it. Raises NotFound, alike for what is not there."""
    media = await repository.read(unit.connection, media_id)
    if media is None:
        raise NotFound("media", media_id)
    if media.purpose.is_public or is_own(caller, media):
        return media
    if caller.user_id is not None:
        for may_read in readers:
            if await may_read(unit.connection, caller, media_id):
                return media
    raise NotFound("media", media_id)


class OwnMedia:
    """The caller's own media as a list reads them, and the bytes that all of them take."""

    def __init__(self, caller: Caller, purposes: Sequence[Purpose], *, descending: bool) -> None:
        self._owner_user_id = caller.known_user_id
        self._purposes = purposes
        self._descending = descending
        self.used = 0

    async def fetch(self, unit: ReadUnit, after: MediaKey | None, limit: int) -> list[Media]:
        """For the pager."""
        self.used = await repository.read_used(unit.connection, self._owner_user_id)
        return await repository.list_page(
            unit.connection, self._owner_user_id, self._purposes, after, limit, descending=self._descending
        )


def part_of(media: Media, rendition: str, offset: int, length: int | None, if_none_match: str) -> Part:
    """The part of a rendition's bytes that is asked for. Raises ValidationFailed for an offset behind the end."""
    found = next(one for one in media.renditions if one.name == rendition)
    # A public file is named by its bytes; those of a private one never change, so its name says as much.
    etag = found.file.removeprefix(PRIVATE_FOLDER).removesuffix(".webp")
    if if_none_match == etag:
        return Part(found.file, etag, found.size, 0, 0, not_modified=True)
    if offset > found.size:
        raise ValidationFailed(FieldViolation("offset", f"must not be behind the end; there are {found.size} bytes"))
    rest = found.size - offset
    return Part(found.file, etag, found.size, offset, rest if length is None else min(rest, length), not_modified=False)
