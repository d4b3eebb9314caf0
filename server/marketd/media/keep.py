"""A file that was rendered and stored becomes a media, or turns out to be one already."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from marketd.kernel.call.refusals import ConcurrentUpdate
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.texts import mended_text
from marketd.media import file_rows, repository
from marketd.media.errors import QuotaExceeded
from marketd.media.values import Media, NewMedia

MAX_FILE_NAME: Final = 255
# A repeat that comes at once writes nothing.
_RECENT: Final = timedelta(minutes=15)
_FOLDERS: Final = re.compile(r"^.*[/\\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file on its way: what it would be, once its renditions are in the store; None when the owner has it already."""

    new: NewMedia
    media: Media | None


async def keep(uow: UnitOfWork, prepared: Prepared, quota: int) -> Media:
    """The media of a prepared file; the one that the owner has already, when it is the same file for the same purpose.

    quota: the bytes that an owner's media may take. Raises QuotaExceeded, and ConcurrentUpdate when the media that was
    there, or a file, has gone meanwhile.
    """
    new, media = prepared.new, prepared.media
    # Media before their owner's row, as who deletes them locks both.
    same = await _same(uow, new)
    if same is not None:
        return same
    if media is None:
        raise ConcurrentUpdate
    used = await repository.lock_owner(uow.connection, new.owner_user_id)
    files = {rendition.file for rendition in media.renditions}
    if not await file_rows.lock_kept(uow.connection, files):
        raise ConcurrentUpdate
    if not await repository.insert(uow.connection, media, files):
        same = await _same(uow, new)
        if same is None:
            raise ConcurrentUpdate
        return same
    if used + media.kept_size > quota:
        raise QuotaExceeded(quota, used)
    await repository.add_used(uow.connection, new.owner_user_id, media.kept_size)
    return media


async def _same(uow: UnitOfWork, new: NewMedia) -> Media | None:
    """What the owner has already; who uploads it again has as much time to use it as before."""
    same = await repository.lock_same(uow.connection, new.owner_user_id, new.purpose, new.sha256)
    if same is not None:
        await repository.begin_anew(uow.connection, same.media_id, uow.now - _RECENT, uow.now)
    return same


def cleaned_file_name(given: str) -> str:
    """The name without folders, control characters and what turns the direction of text; empty when nothing is left."""
    name = mended_text(_FOLDERS.sub("", given)).strip()
    return "" if not name.strip(".") else name[:MAX_FILE_NAME]
