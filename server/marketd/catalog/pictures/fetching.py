"""The work beside the server that fetches pictures which sellers gave by address, and makes uploads of them.

Pictures wait in a table of their own rather than among the jobs, because shops and hosts take turns: a shop with
thousands of pictures, or a host that is slow, keeps nobody else waiting. What was fetched is attached in a unit of work
of its own, and only if the product still shows that address.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Collection
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit
from uuid import UUID

import structlog

from marketd.catalog.pictures import repository
from marketd.catalog.pictures.fetch import DEFAULT_SECONDS, Fetcher
from marketd.catalog.pictures.values import ClaimedImage, FetchFailed, FetchFailure
from marketd.catalog.repository import specs
from marketd.kernel.call.reasons import Code
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.media import service as media
from marketd.media.errors import MediaCorrupt, MediaTooLarge, MediaTypeUnsupported, QuotaExceeded
from marketd.media.model import Purpose
from marketd.media.service import Taker
from marketd.media.values import Holder, HolderKind, Media
from marketd.seller import service as sellers

_log = structlog.get_logger(__name__)

PAUSES: Final = tuple(timedelta(seconds=each) for each in (60, 300, 1_800, 7_200, 21_600))
"""Between the tries of a picture; after the last one it is given up."""
AT_ONCE: Final = 6
AT_A_HOST: Final = 2
OF_A_SHOP: Final = 4
"""How many pictures a process fetches at once, and how many of them from one host and of one shop."""
_LOOK_SECONDS: Final = 2.0
# A fetch that is cut off with its process is begun anew by whoever looks after this.
_LEASE: Final = timedelta(seconds=4 * DEFAULT_SECONDS)
_BUSY_PAUSE: Final = timedelta(seconds=30)
_START: Final = (UUID(int=0), "")
_JUDGED: Final[dict[type[Refusal], FetchFailure]] = {
    MediaTypeUnsupported: FetchFailure.TYPE_UNSUPPORTED,
    MediaTooLarge: FetchFailure.TOO_LARGE,
    MediaCorrupt: FetchFailure.CORRUPT,
    QuotaExceeded: FetchFailure.QUOTA_EXCEEDED,
}
_NOT_NOW: Final[Collection[Code]] = (Code.UNAVAILABLE, Code.ABORTED, Code.RESOURCE_EXHAUSTED, Code.DEADLINE_EXCEEDED)


class PictureFetching:
    """Fetches what waits until it is cancelled. `on_change` is called after each commit that shows a fetched one."""

    def __init__(self, tx: Transactor, fetcher: Fetcher, taker: Taker, on_change: Callable[[], None]) -> None:
        self._tx = tx
        self._fetcher = fetcher
        self._taker = taker
        self._on_change = on_change
        self._asked: Counter[str] = Counter()
        self._of_shops: Counter[UUID] = Counter()
        self._behind = _START
        self.ended = asyncio.Event()
        """Set when a fetch is over, so that there may be room for another."""

    @property
    def is_busy(self) -> bool:
        """Whether it is fetching anything now."""
        return bool(self._asked)

    async def run(self) -> None:
        """Work until cancelled; what is cut off then is due again after its lease."""
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="marketd-pictures-"))
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    self.ended.clear()
                    try:
                        more = await self.begin_due(group, folder)
                    except Refusal as refusal:
                        _log.warning("work_waiting", work="pictures.fetch", reason=refusal.reason.value)
                        more = False
                    if not more:
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(_LOOK_SECONDS):
                                await self.ended.wait()
        finally:
            self._fetcher.close()
            shutil.rmtree(folder, ignore_errors=True)

    async def begin_due(self, group: asyncio.TaskGroup, folder: Path) -> bool:
        """Begin fetching what is due, in the group; whether to look for more at once."""
        free = AT_ONCE - self._asked.total()
        if not free:
            return False
        room = {host: max(0, AT_A_HOST - asked) for host, asked in self._asked.items()}
        shops = {seller_id: max(0, OF_A_SHOP - fetched) for seller_id, fetched in self._of_shops.items()}
        behind = self._behind

        async def claim(uow: UnitOfWork) -> tuple[list[ClaimedImage], tuple[UUID, str] | None]:
            return await repository.claim(
                uow.connection,
                uow.now,
                uow.now + _LEASE,
                behind,
                limit=free,
                of_host=AT_A_HOST,
                room=room,
                of_shop=OF_A_SHOP,
                room_of_shops=shops,
            )

        claimed, last = await self._tx.run("pictures.claim", claim)
        self._behind = last or _START
        for image in claimed:
            self._asked[image.host] += 1
            self._of_shops[image.seller_id] += 1
            task = group.create_task(self.fetch(image, folder / str(image.image_id)))
            # A callback: a task that is cancelled before its first step never enters a `finally`.
            task.add_done_callback(partial(self._done, image))
        return bool(claimed) or self._behind != _START or behind != _START

    def _done(self, image: ClaimedImage, _task: asyncio.Task[None]) -> None:
        self._asked -= Counter([image.host])  # what comes to nothing is left out
        self._of_shops -= Counter([image.seller_id])
        self.ended.set()

    async def fetch(self, image: ClaimedImage, file: Path) -> None:
        """Fetch one picture, make an upload of it and attach it, or write down why not."""
        try:
            try:
                await self._attach(image, await self._taken(image, file))
            except FetchFailed as failed:
                await self._failed(image, failed.failure)
            except Refusal as refusal:
                if refusal.code not in _NOT_NOW:
                    raise
                await self._tx.run("pictures.postpone", lambda uow: _postpone(uow, image))
        except Exception as error:  # noqa: BLE001 - raised, it would end all other fetches
            _log.warning("picture_not_fetched", image_id=str(image.image_id), exc_info=error)
            await self._broken(image)
        finally:
            await asyncio.to_thread(file.unlink, missing_ok=True)

    async def _taken(self, image: ClaimedImage, file: Path) -> Media:
        seller = await self._tx.read(lambda unit: sellers.read_seller(unit, image.seller_id))
        if seller is None:
            raise LookupError(f"there is no seller {image.seller_id}")
        await self._fetcher.fetch(image.url, file)
        try:
            return await self._taker.adopt(seller.owner_user_id, Purpose.PRODUCT, file, file_name=_file_name(image.url))
        except (MediaTypeUnsupported, MediaTooLarge, MediaCorrupt, QuotaExceeded) as refusal:
            raise FetchFailed(_JUDGED[type(refusal)]) from refusal

    async def _attach(self, image: ClaimedImage, fetched: Media) -> None:
        async def attach(uow: UnitOfWork) -> None:
            # The product may have been changed or deleted meanwhile; then nothing holds the media, and it goes.
            if await specs.lock_product(uow.connection, image.product_id) is None:
                return
            if not await repository.set_fetched(uow.connection, image.image_id, image.url, fetched.media_id):
                return
            holder = Holder(HolderKind.PRODUCT, image.product_id)
            owners, ids = [fetched.owner_user_id], [fetched.media_id]
            await media.hold(uow, owners, ids, Purpose.PRODUCT, holder, field="media_id")
            await specs.touch_products(uow.connection, [image.product_id], uow.now)
            uow.after_commit(self._on_change)

        await self._tx.run("pictures.attach", attach)

    async def _broken(self, image: ClaimedImage) -> None:
        """What nobody thought of has happened. It is given up like all others, and until then comes after its lease."""
        if image.tries > len(PAUSES):
            with contextlib.suppress(Refusal):
                await self._failed(image, FetchFailure.UNREACHABLE)

    async def _failed(self, image: ClaimedImage, failure: FetchFailure) -> None:
        is_over = not failure.may_pass or image.tries > len(PAUSES)
        _log.info(
            "picture_failed", image_id=str(image.image_id), failure=failure.value, tries=image.tries, over=is_over
        )

        async def write(uow: UnitOfWork) -> None:
            next_try_time = None if is_over else uow.now + PAUSES[image.tries - 1]
            await repository.set_failed(uow.connection, image, failure, next_try_time)

        await self._tx.run("pictures.failed", write)


async def _postpone(uow: UnitOfWork, image: ClaimedImage) -> None:
    await repository.postpone(uow.connection, image, uow.now + _BUSY_PAUSE)


def _file_name(url: str) -> str:
    """What the picture is called at its address."""
    return unquote(urlsplit(url).path).rsplit("/", 1)[-1][:255]
