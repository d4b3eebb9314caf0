"""From bytes to a media: rendered in a child, put into the store, and kept in one unit of work."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from marketd.kernel.call.refusals import ConcurrentUpdate
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.slice import Parts
from marketd.kernel.values.clock import Clock
from marketd.kernel.values.ids import new_id
from marketd.media import file_rows, repository
from marketd.media.errors import QuotaExceeded
from marketd.media.keep import Prepared, cleaned_file_name, keep
from marketd.media.model import Purpose
from marketd.media.rendering.pool import RenderPool
from marketd.media.spool import Spool
from marketd.media.store import Store
from marketd.media.stores.choose import choose_store
from marketd.media.values import PRIVATE_FOLDER, Media, NewMedia, Rendered, RenderedSize, Rendition

MEDIA_TYPE: Final = "image/webp"
KEEP: Final = timedelta(minutes=15)
"""How long stored files wait for the media that names them; an upload that takes longer is refused."""
# A file that is being removed is mostly gone in an instant; longer than ten seconds nobody waits for it.
_TRIES: Final = 100
_PAUSE_SECONDS: Final = 0.1


class MediaTaker:
    """Takes files in; service.Taker is what others see of it. One for each process."""

    def __init__(
        self, tx: Transactor, clock: Clock, store: Store, pool: RenderPool, *, max_bytes: int, quota: int
    ) -> None:
        self._tx = tx
        self._clock = clock
        self.store = store
        self.pool = pool
        self.max_bytes = max_bytes
        self.quota = quota

    async def adopt(
        self, owner_user_id: UUID, purpose: Purpose, content: bytes | Path, *, file_name: str = ""
    ) -> Media:
        """See service.Taker."""
        with await asyncio.to_thread(self.spooled, content) as spool:
            prepared = await self.prepare(owner_user_id, purpose, file_name, spool)
            return await self._tx.run("media.adopt", lambda uow: keep(uow, prepared, self.quota))

    def spooled(self, content: bytes | Path) -> Spool:
        """The bytes, or the file's bytes, as if they had been uploaded; blocks. Raises MediaTooLarge."""
        spool = Spool(self.max_bytes)
        try:
            spool.take(content if isinstance(content, bytes) else content.read_bytes())
        except BaseException:
            spool.close()
            raise
        return spool

    async def prepare(self, owner_user_id: UUID, purpose: Purpose, file_name: str, spool: Spool) -> Prepared:
        """What `keep` makes a media of. Raises what the spool, the pool and the store do, and QuotaExceeded."""
        file = spool.whole()
        new = NewMedia(owner_user_id, purpose, cleaned_file_name(file_name), spool.received, spool.sha256)

        async def look(unit: ReadUnit) -> tuple[bool, int]:
            has = await repository.has_same(unit.connection, owner_user_id, purpose, new.sha256)
            return has, await repository.read_used(unit.connection, owner_user_id)

        has, used = await self._tx.read(look)
        if has:
            return Prepared(new, None)
        if used >= self.quota:
            raise QuotaExceeded(self.quota, used)
        rendered = await self.pool.render(file, owner_user_id)
        return Prepared(new, await self._store(new, rendered))

    async def _store(self, new: NewMedia, rendered: Rendered) -> Media:
        media_id = new_id()
        names = await asyncio.to_thread(_names, media_id, new.purpose, rendered.sizes)
        contents = {names[size.name]: size.content for size in rendered.sizes}
        await self._reserve({name: len(content) for name, content in contents.items()})
        await asyncio.gather(*(self.store.put(name, content, MEDIA_TYPE) for name, content in contents.items()))
        return Media(
            media_id=media_id,
            owner_user_id=new.owner_user_id,
            purpose=new.purpose,
            file_name=new.file_name,
            media_type=rendered.media_type,
            size=new.size,
            sha256=new.sha256,
            width=rendered.width,
            height=rendered.height,
            renditions=tuple(
                Rendition(size.name, names[size.name], size.width, size.height, len(size.content))
                for size in rendered.sizes
            ),
            kept_size=sum(map(len, contents.values())),
            create_time=self._clock.now(),
        )

    async def _reserve(self, files: Mapping[str, int]) -> None:
        """Have the files' rows before the files. Raises ConcurrentUpdate when one is being removed and stays so."""

        async def reserve(uow: UnitOfWork) -> bool:
            return await file_rows.reserve(uow.connection, files, uow.now + KEEP)

        for _ in range(_TRIES):
            if await self._tx.run("media.reserve", reserve):
                return
            await asyncio.sleep(_PAUSE_SECONDS)
        raise ConcurrentUpdate


def _names(media_id: UUID, purpose: Purpose, sizes: tuple[RenderedSize, ...]) -> dict[str, str]:
    """The name of each size's file: by its bytes, which all who upload the same share; private ones by their media."""
    if purpose.is_public:
        return {size.name: f"{hashlib.sha256(size.content).hexdigest()}.webp" for size in sizes}
    return {size.name: f"{PRIVATE_FOLDER}{media_id}/{size.name}.webp" for size in sizes}


def taker_of(parts: Parts) -> MediaTaker:
    """The taker of the process that these are the parts of; whoever asks gets the same, and its children with it.

    Raises StoreUnfit.
    """
    taker: MediaTaker | None = parts.shared.get(MediaTaker)
    if taker is None:
        settings = parts.settings
        taker = parts.shared[MediaTaker] = MediaTaker(
            parts.tx,
            parts.clock,
            choose_store(settings),
            RenderPool(settings.render_processes),
            max_bytes=settings.max_media_bytes,
            quota=settings.media_quota_bytes,
        )
    return taker
