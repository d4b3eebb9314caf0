"""Who reads which media, and their bytes whole or in part."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from marketd.kernel.call.caller import ANONYMOUS, Caller, Role
from marketd.kernel.call.refusals import NotFound, PageTokenInvalid, ValidationFailed
from marketd.kernel.db.database import Connection
from marketd.kernel.db.transactor import Transactor
from marketd.media import wiring
from marketd.media.keep import cleaned_file_name
from marketplace.media.v1 import media_pb2
from marketplace.media.v1 import media_service_pb2 as pb

from tests.worlds import pictures
from tests.worlds.media import PRODUCT, PROOF, Uploads, somebody


async def test_what_is_public_is_read_by_everybody_and_whose_it_is_by_few(uploads: Uploads) -> None:
    media = await uploads.upload(pictures.unlike(1))
    get = pb.GetMediaRequest(media_id=media.media_id)
    for caller in (uploads.owner, somebody(Role.ADMIN)):
        assert (await uploads.call(get, caller)).media == media
    for caller in (ANONYMOUS, somebody(Role.SELLER), somebody(Role.SERVICE)):
        seen = (await uploads.call(get, caller)).media
        assert not seen.HasField("owner_user_id")
        assert not seen.HasField("file_name")
        assert seen.renditions == media.renditions


async def test_a_proof_is_read_by_its_uploader_admins_and_whom_a_port_names(tx: Transactor, tmp_path: Path) -> None:
    party = somebody(Role.SELLER)

    async def parties(_connection: Connection, caller: Caller, _media_id: UUID) -> bool:
        return caller.known_user_id == party.user_id  # nobody without an account is a party of anything

    async def nobody(_connection: Connection, _caller: Caller, _media_id: UUID) -> bool:
        return False

    instead = {"media": partial(wiring.build, readers=(nobody, parties))}
    async with Uploads(tx, tmp_path / "media", instead=instead) as uploads:
        media = await uploads.upload(pictures.unlike(1), purpose=PROOF)
        asked: tuple[Any, ...] = (
            pb.GetMediaRequest(media_id=media.media_id),
            pb.DownloadMediaRequest(media_id=media.media_id),
        )
        for caller in (uploads.owner, somebody(Role.ADMIN), party):
            for request in asked:
                assert await uploads.call(request, caller)
        for caller in (ANONYMOUS, somebody(), somebody(Role.SELLER), somebody(Role.SERVICE)):
            for request in asked:
                with pytest.raises(NotFound) as refused:
                    await uploads.call(request, caller)
                assert str(refused.value) == str(NotFound("media", media.media_id))
        # Nobody finds it where everybody's pictures are.
        assert all(name.startswith("private/") for name in uploads.files())


async def test_bytes_come_whole_in_parts_and_not_again(uploads: Uploads) -> None:
    media = await uploads.upload(pictures.encoded(pictures.photo(1_000, 800), "JPEG", quality=95))
    info, whole = await uploads.download(media.media_id)
    full = media.renditions[-1]
    assert (info.size, info.length, info.offset, len(whole)) == (full.size, full.size, 0, full.size)
    assert whole == (uploads.folder / full.url.removeprefix("/media/")).read_bytes()
    assert len(await uploads.call(pb.DownloadMediaRequest(media_id=media.media_id))) == -(-full.size // 65_536)
    for offset, length in ((0, 1), (10, 70_000), (full.size - 5, 100), (full.size, None), (7, None)):
        more: dict[str, Any] = {} if length is None else {"length": length}
        part, content = await uploads.download(media.media_id, offset=offset, **more)
        wanted = whole[offset:] if length is None else whole[offset : offset + length]
        assert (content, part.length, part.offset, part.etag) == (wanted, len(wanted), offset, info.etag)
    same, none = await uploads.download(media.media_id, if_none_match=info.etag)
    assert (same.not_modified, same.length, none) == (True, 0, b"")
    other, thumb = await uploads.download(media.media_id, rendition="thumb", if_none_match=info.etag)
    assert (other.not_modified, len(thumb)) == (False, media.renditions[0].size)
    with pytest.raises(ValidationFailed, match="offset"):
        await uploads.download(media.media_id, offset=full.size + 1)


async def test_a_file_that_somebody_took_away_is_not_found(uploads: Uploads) -> None:
    media = await uploads.upload(pictures.unlike(1))
    for name in uploads.files():
        (uploads.folder / name).unlink()
    with pytest.raises(NotFound):
        await uploads.download(media.media_id)


async def test_everybody_lists_their_own(uploads: Uploads) -> None:
    other = somebody()
    mine = [await uploads.upload(pictures.unlike(number)) for number in range(5)]
    mine.append(await uploads.upload(pictures.unlike(0), purpose=PROOF))
    await uploads.upload(pictures.unlike(0), other)
    listed = await uploads.call(pb.ListMediaRequest(), uploads.owner)
    assert list(listed.media) == mine[::-1]
    assert listed.used_size == sum(sum({one.size for one in media.renditions}) for media in mine[:5]) + sum(
        one.size for one in mine[5].renditions
    )
    assert list((await uploads.call(pb.ListMediaRequest(purposes=[PROOF]), uploads.owner)).media) == mine[5:]
    request = pb.ListMediaRequest(page_size=2, purposes=[PRODUCT], order_by="create_time")
    seen: list[media_pb2.Media] = []
    while True:
        page = await uploads.call(request, uploads.owner)
        seen += page.media
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
        with pytest.raises(PageTokenInvalid):
            await uploads.call(request, other)
    assert seen == mine[:5]
    with pytest.raises(ValidationFailed, match="order_by"):
        await uploads.call(pb.ListMediaRequest(order_by="size"), uploads.owner)


def test_of_a_name_only_the_name_is_kept() -> None:
    for given, kept in (
        ("cup.png", "cup.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\Ada\\cup.png", "cup.png"),
        ("a/b\\c/", ""),
        ("..", ""),
        (" Tasse grün.jpg ", "Tasse grün.jpg"),
        ("cup\x00\r\n.png", "cup .png"),
        ("exe\u202egnp.cup", "exegnp.cup"),
        ("\u200b", ""),
        ("x" * 300, "x" * 255),
    ):
        assert cleaned_file_name(given) == kept
