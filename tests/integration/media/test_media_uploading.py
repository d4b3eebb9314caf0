"""Uploads: whole ones become media, and of all others nothing is left (T16)."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from marketd.kernel.call.call import OnceKey
from marketd.kernel.call.refusals import RequestIdReused
from marketd.kernel.db.transactor import Transactor
from marketd.media.errors import (
    MediaCorrupt,
    MediaTooLarge,
    MediaTypeUnsupported,
    QuotaExceeded,
    UploadOutOfOrder,
)
from marketd.media.spool import Spool
from marketd.media.store import StoreUnavailable
from marketplace.media.v1 import media_service_pb2 as pb
from PIL import Image

from tests.worlds import pictures
from tests.worlds.loops import longest_callback
from tests.worlds.media import CONTEXT, PROOF, Uploads, messages, somebody


def _spooled() -> int:
    """How many files without a name this process has open."""
    gc.collect()
    links = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            links.append(os.readlink(link))  # noqa: PTH115 - the link leads nowhere
        except OSError:
            continue
    return sum(link.endswith("(deleted)") for link in links)


async def _nothing_is_left(uploads: Uploads, spooled: int) -> None:
    for table in ("media", "media_files", "media_file_uses", "media_owners"):
        assert await uploads.rows(table) == 0, table
    assert uploads.files() == set()
    assert _spooled() == spooled


async def test_a_whole_upload_is_a_media_in_three_sizes(uploads: Uploads) -> None:
    data = pictures.encoded(pictures.corners(2000, 1000), "JPEG")
    media = await uploads.upload(data, file_name="C:\\pictures\\my cup.jpg")
    assert (media.width, media.height, media.size, media.media_type) == (2000, 1000, len(data), "image/jpeg")
    assert (media.file_name, media.owner_user_id) == ("my cup.jpg", str(uploads.owner.user_id))
    sizes = [(one.name, one.width, one.height) for one in media.renditions]
    assert sizes == [("thumb", 160, 80), ("card", 480, 240), ("full", 1600, 800)]
    for one in media.renditions:
        assert one.url.startswith("/media/")
        content = (uploads.folder / one.url.removeprefix("/media/")).read_bytes()
        assert len(content) == one.size
        with Image.open(io.BytesIO(content)) as image:
            assert (image.format, image.size) == ("WEBP", (one.width, one.height))
            assert pictures.colours_of_corners(image) == "RGBW"
    assert await uploads.built.violations() == []


async def test_an_upload_that_is_cut_at_any_chunk_leaves_nothing(uploads: Uploads) -> None:
    data = pictures.unlike(1)
    whole = messages(data, step=len(data) // 8)
    spooled = _spooled()
    for cut in range(1, len(whole)):
        with pytest.raises(MediaCorrupt):
            await uploads.stream(whole[:cut])
    await _nothing_is_left(uploads, spooled)
    assert (await uploads.stream(whole)).size == len(data)


async def test_an_upload_that_is_not_as_announced_leaves_nothing(uploads: Uploads) -> None:
    data = pictures.unlike(2)
    whole = messages(data, step=200)
    spooled = _spooled()
    refused: tuple[tuple[list[pb.UploadImageRequest], type[Exception]], ...] = (
        (messages(data, sha256="0" * 64), MediaCorrupt),
        (messages(data, size=len(data) - 1), MediaCorrupt),
        (messages(data, size=len(data) + 1), MediaCorrupt),
        ([*whole, pb.UploadImageRequest(chunk=b"x")], MediaCorrupt),
        ([whole[0], *reversed(whole[1:])], MediaCorrupt),
        (messages(data, size=uploads.taker.max_bytes + 1), MediaTooLarge),
        (whole[1:], UploadOutOfOrder),
        ([whole[0], whole[0]], UploadOutOfOrder),
        ([], UploadOutOfOrder),
        (messages(data[: len(data) // 2]), MediaCorrupt),  # a file that was cut before it was sent
        (messages(b"<svg xmlns='http://www.w3.org/2000/svg'/>", file_name="cup.png"), MediaTypeUnsupported),
    )
    for sent, refusal in refused:
        with pytest.raises(refusal):
            await uploads.stream(sent)
    await _nothing_is_left(uploads, spooled)


def test_a_full_disk_is_a_reason_to_come_again() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full, Spool(100) as spool:
        os.dup2(full.fileno(), spool.whole())
        with pytest.raises(StoreUnavailable):
            spool.take(b"bytes")


async def test_a_small_picture_comes_in_one_call(uploads: Uploads) -> None:
    data = pictures.unlike(3)
    request = pb.UploadImageInlineRequest(purpose=PROOF, image=data)
    media = (await uploads.call(request, uploads.owner)).media
    assert (media.size, media.purpose, media.HasField("file_name")) == (len(data), PROOF, False)
    for wrong in ({"size": len(data) + 1}, {"size": 1}, {"sha256": "0" * 64}):
        with pytest.raises(MediaCorrupt):
            await uploads.call(pb.UploadImageInlineRequest(purpose=PROOF, image=data, **wrong), uploads.owner)


async def test_the_same_upload_again_is_the_same_media(uploads: Uploads) -> None:
    data, other = pictures.unlike(4), pictures.unlike(5)
    request_id = str(uuid4())
    first = await uploads.upload(data, request_id=request_id)
    call = uploads.enter()

    async def only_info() -> AsyncIterator[pb.UploadImageRequest]:
        yield messages(data, request_id=request_id)[0]

    answer: Any = await uploads.servicer.UploadImage(only_info(), CONTEXT)
    assert pb.UploadImageResponse.FromString(answer).media == first
    assert call.replayed
    for same_id in (request_id, request_id.upper()):
        with pytest.raises(RequestIdReused):
            await uploads.upload(other, request_id=same_id)
    assert await uploads.upload(data, request_id=request_id.upper()) == first
    assert await uploads.upload(data, request_id=str(uuid4())) == first
    assert await uploads.upload(data) == first
    assert (await uploads.upload(data, purpose=PROOF)).media_id != first.media_id
    assert await uploads.rows() == 2
    assert await uploads.built.violations() == []


async def test_a_small_picture_comes_once_for_its_request_id(uploads: Uploads) -> None:
    request = pb.UploadImageInlineRequest(purpose=PROOF, image=pictures.unlike(6), request_id=str(uuid4()))
    once = OnceKey(uploads.owner.key, "UploadImageInline", request.request_id, b"same")
    uploads.enter(once=once)
    first = await uploads.servicer.UploadImageInline(request, CONTEXT)
    call = uploads.enter(once=once)
    assert await uploads.servicer.UploadImageInline(request, CONTEXT) == first
    assert call.replayed


async def test_owners_share_public_files_and_nothing_else(uploads: Uploads) -> None:
    data, other = pictures.unlike(7), somebody()
    mine, theirs = await uploads.upload(data), await uploads.upload(data, other)
    assert mine.media_id != theirs.media_id
    assert mine.renditions == theirs.renditions
    files = len(uploads.files())
    private = [await uploads.upload(data, caller, purpose=PROOF) for caller in (uploads.owner, other)]
    assert [one.HasField("url") for media in private for one in media.renditions] == [False] * 6
    assert len(uploads.files()) == files + 6
    assert await uploads.built.violations() == []


async def test_an_account_has_so_much_room(tx: Transactor, tmp_path: Path) -> None:
    async with Uploads(tx, tmp_path / "media", media_quota_bytes=4_000) as uploads:
        kept, number = 0, 0
        with pytest.raises(QuotaExceeded) as refused:  # noqa: PT012 - which upload is too much, hangs on the encoder
            while number < 50:
                media = await uploads.upload(pictures.unlike(number))
                kept += sum({one.url: one.size for one in media.renditions}.values())
                number += 1
        assert 0 < kept <= 4_000
        assert refused.value.metadata == {"limit": "4000", "used": str(kept)}
        listed = await uploads.call(pb.ListMediaRequest(), uploads.owner)
        assert (listed.used_size, listed.max_size) == (kept, 4_000)
        again = await uploads.upload(pictures.unlike(0))
        assert again.media_id == listed.media[-1].media_id
        await uploads.call(pb.DeleteMediaRequest(media_id=again.media_id), uploads.owner)
        assert (await uploads.upload(pictures.unlike(0))).media_id != again.media_id
        assert await uploads.built.violations() == []


async def test_a_call_that_is_left_while_it_is_rendered_leaves_nothing(tx: Transactor, tmp_path: Path) -> None:
    async with Uploads(tx, tmp_path / "media", children=True) as uploads:
        await _leave(uploads)


async def _leave(uploads: Uploads) -> None:
    await uploads.upload(pictures.unlike(8))
    (child,) = uploads.children.pids
    await uploads.call(
        pb.DeleteMediaRequest(media_id=(await uploads.upload(pictures.unlike(8))).media_id), uploads.owner
    )
    await uploads.clean(timedelta(minutes=20))
    await uploads.later(lambda uow: uow.connection.execute("DELETE FROM media_owners"))
    spooled = _spooled()
    os.kill(child, signal.SIGSTOP)
    call = asyncio.ensure_future(uploads.upload(pictures.unlike(9)))
    await asyncio.wait([call], timeout=0.3)
    assert (call.done(), _spooled()) == (False, spooled + 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert uploads.children.pids == []
    await uploads.tx.drain()
    await _nothing_is_left(uploads, spooled)


async def test_uploads_at_once_hold_nobody_up(tx: Transactor, tmp_path: Path) -> None:
    photo = pictures.encoded(pictures.photo(400, 300), "JPEG")
    async with Uploads(tx, tmp_path / "media", children=True) as uploads:
        with longest_callback() as held:
            made = await asyncio.gather(*(uploads.upload(photo + os.urandom(16)) for _ in range(12)))
        assert len({media.media_id for media in made}) == 12
        assert held.seconds < 0.05
        assert len(uploads.children.pids) <= 2
        assert await uploads.built.violations() == []
