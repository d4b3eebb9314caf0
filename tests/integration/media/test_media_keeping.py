"""Who holds media, what becomes of those that nobody holds, and of their files."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from marketd.kernel.call.caller import Role
from marketd.kernel.call.refusals import ConcurrentUpdate, EtagMismatch, InUse, NotFound, ValidationFailed
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.media import file_rows, service
from marketd.media.delete import owner_deleted, sweep_files, sweep_unheld
from marketd.media.keep import keep
from marketd.media.model import Purpose
from marketd.media.service import PICTURE_SQL
from marketd.media.values import Holder, HolderKind, picture_of
from marketplace.media.v1 import media_service_pb2 as pb

from tests.integration.units import transactor
from tests.worlds import pictures
from tests.worlds.media import PROOF, Uploads, id_of, somebody

DAY = timedelta(hours=25)
NOW = timedelta(0)


async def _hold(uploads: Uploads, *media_ids: UUID, holder: Holder, purpose: Purpose = Purpose.PRODUCT) -> None:
    owners = {uploads.owner.known_user_id}
    await uploads.later(
        lambda uow: service.hold(uow, owners, media_ids, purpose, holder, field="images[].media_id"), NOW
    )


def _product() -> Holder:
    return Holder(HolderKind.PRODUCT, new_id())


async def test_what_nothing_holds_goes_after_a_day_and_what_is_held_stays(uploads: Uploads) -> None:
    loose, held = [await uploads.upload(pictures.unlike(number)) for number in (1, 2)]
    mine, other = _product(), _product()
    await _hold(uploads, id_of(held), holder=mine)
    await _hold(uploads, id_of(held), holder=other)
    files = uploads.files()
    await uploads.clean(timedelta(hours=23))
    assert uploads.files() == files
    await uploads.clean(DAY)
    assert await uploads.rows() == 1
    shown = {one.url.removeprefix("/media/") for one in held.renditions}
    assert uploads.files() == shown
    with pytest.raises(NotFound):
        await uploads.call(pb.GetMediaRequest(media_id=loose.media_id))
    await uploads.later(lambda uow: service.release_all(uow, mine))
    await uploads.clean(DAY)
    assert await uploads.rows() == 1
    await uploads.later(lambda uow: service.release(uow, [id_of(held)], other))
    assert await uploads.built.violations() == []
    await uploads.clean(DAY)
    assert (await uploads.rows(), uploads.files(), await uploads.rows("media_files")) == (0, set(), 0)
    assert await uploads.built.violations() == []


async def test_only_own_media_of_the_purpose_are_held(uploads: Uploads) -> None:
    mine = await uploads.upload(pictures.unlike(1))
    foreign = await uploads.upload(pictures.unlike(1), somebody())
    proof = await uploads.upload(pictures.unlike(1), purpose=PROOF)
    with pytest.raises(ValidationFailed) as refused:
        await _hold(uploads, id_of(mine), id_of(foreign), id_of(proof), new_id(), holder=_product())
    assert [one.field for one in refused.value.fields] == [f"images[{place}].media_id" for place in (1, 2, 3)]
    assert refused.value.fields[0].description == refused.value.fields[2].description
    assert await uploads.rows("media_holds") == 0


async def test_pictures_are_read_alone_and_with_what_shows_them(uploads: Uploads) -> None:
    media = await uploads.upload(pictures.unlike(1))
    found = await uploads.tx.read(lambda unit: service.read_pictures(unit.connection, [id_of(media), new_id()]))
    picture = found[id_of(media)]
    assert len(found) == 1
    assert [one.url("https://cdn.example/") for one in picture.renditions] == [
        f"https://cdn.example/{one.url.removeprefix('/media/')}" for one in media.renditions
    ]
    statement = f"SELECT {PICTURE_SQL.format(media_id='i.media_id')} AS picture FROM unnest($1::uuid[]) AS i(media_id)"
    rows = await uploads.tx.read(lambda unit: unit.connection.fetch(statement, [id_of(media), new_id()]))
    assert [picture_of(row["picture"]) for row in rows] == [picture, None]


async def test_a_media_is_deleted_by_its_owner_and_admins_and_not_while_it_is_held(uploads: Uploads) -> None:
    media = await uploads.upload(pictures.unlike(1))
    product, delete = _product(), pb.DeleteMediaRequest(media_id=media.media_id)
    await _hold(uploads, id_of(media), holder=product)
    with pytest.raises(InUse):
        await uploads.call(delete, uploads.owner)
    await uploads.later(lambda uow: service.release_all(uow, product))
    for stranger in (somebody(), somebody(Role.SELLER)):
        with pytest.raises(NotFound):
            await uploads.call(delete, stranger)
    with pytest.raises(EtagMismatch):
        await uploads.call(pb.DeleteMediaRequest(media_id=media.media_id, etag="old"), uploads.owner)
    admin = somebody(Role.ADMIN)
    await uploads.call(pb.DeleteMediaRequest(media_id=media.media_id, etag=media.etag), admin)
    entries = "SELECT actor_id, comment FROM audit_entries WHERE resource_id = $1"
    (entry,) = await uploads.tx.read(lambda unit: unit.connection.fetch(entries, media.media_id))
    assert (entry["actor_id"], entry["comment"]) == (admin.user_id, f"uploaded by {uploads.owner.user_id}")
    with pytest.raises(NotFound):
        await uploads.call(delete, uploads.owner)
    await uploads.call(pb.DeleteMediaRequest(media_id=media.media_id, allow_missing=True), uploads.owner)
    await uploads.clean(timedelta(hours=1))
    assert uploads.files() == set()
    assert await uploads.built.violations() == []


async def test_files_that_another_media_names_stay(uploads: Uploads) -> None:
    data, other = pictures.unlike(1), somebody()
    mine, theirs = await uploads.upload(data), await uploads.upload(data, other)
    files = uploads.files()
    await uploads.call(pb.DeleteMediaRequest(media_id=mine.media_id), uploads.owner)
    await uploads.clean(timedelta(hours=1))
    assert uploads.files() == files
    await uploads.call(pb.DeleteMediaRequest(media_id=theirs.media_id), other)
    await uploads.clean(timedelta(hours=1))
    assert uploads.files() == set()


async def test_an_upload_that_came_no_further_than_its_files_is_cleaned_up(uploads: Uploads) -> None:
    data = pictures.unlike(1)
    uploads.enter()
    with uploads.taker.spooled(data) as spool:
        prepared = await uploads.taker.prepare(uploads.owner.known_user_id, Purpose.PRODUCT, "", spool)
    assert prepared.media is not None
    assert uploads.files()
    await uploads.clean(timedelta(minutes=14))
    assert uploads.files()
    await uploads.clean(timedelta(minutes=16))
    assert (uploads.files(), await uploads.rows("media_files")) == (set(), 0)
    # It comes after all, and must not show what is no longer there.
    with pytest.raises(ConcurrentUpdate):
        await uploads.later(lambda uow: keep(uow, prepared, uploads.taker.quota))
    assert await uploads.rows() == 0


async def test_a_removal_that_was_lost_is_asked_for_again_an_hour_later(uploads: Uploads) -> None:
    media = await uploads.upload(pictures.unlike(1))
    await uploads.call(pb.DeleteMediaRequest(media_id=media.media_id), uploads.owner)
    files = uploads.files()
    assert await uploads.later(uploads.built.sweep("media.sweep_files"), timedelta(hours=1)) == len(files) > 0
    # Its job was given up: the store was away for too long.
    await uploads.later(lambda uow: uow.connection.execute("DELETE FROM jobs"))
    await uploads.clean(timedelta(hours=1, minutes=59))
    assert uploads.files() == files
    await uploads.clean(timedelta(hours=2, minutes=1))
    assert (uploads.files(), await uploads.rows("media_files")) == (set(), 0)


async def test_the_same_bytes_may_come_while_their_last_holder_goes(
    uploads: Uploads, database_url: str, tmp_path: Path
) -> None:
    """Two processes: one has marked the files for removal, the other uploads the same bytes; it waits, and has them."""
    data, other = pictures.unlike(1), somebody()
    media = await uploads.upload(data)
    await uploads.call(pb.DeleteMediaRequest(media_id=media.media_id), uploads.owner)
    names = await uploads.later(lambda uow: file_rows.mark_unnamed(uow.connection, uow.now, 100), timedelta(hours=1))
    assert names
    async with transactor(database_url, pool_size=5) as tx, Uploads(tx, tmp_path / "media") as elsewhere:
        upload = asyncio.ensure_future(elsewhere.upload(data, other))
        done, _ = await asyncio.wait([upload], timeout=0.5)
        assert not done
        # The removal: the file first, and only then the row that lets others put it anew.
        for name in names:
            await uploads.taker.store.delete(name)
        await uploads.later(lambda uow: file_rows.forget(uow.connection, names))
        again = await upload
        assert elsewhere.files() == {one.url.removeprefix("/media/") for one in again.renditions}
    # A removal that comes a second time finds that these are not the files that it was to remove.
    await uploads.built.run_jobs()
    assert len(uploads.files()) == len(names)
    assert await uploads.built.violations() == []


async def test_uploads_and_deletions_of_the_same_bytes_at_once_end_whole(
    uploads: Uploads, database_url: str, tmp_path: Path
) -> None:
    data = pictures.unlike(1)
    async with transactor(database_url, pool_size=5) as tx, Uploads(tx, tmp_path / "media") as elsewhere:

        async def come_and_go(process: Uploads) -> None:
            for _ in range(4):
                try:
                    media = await process.upload(data)
                except ConcurrentUpdate:
                    continue  # the other's sweep comes from a time when this upload has taken too long
                await process.call(pb.DeleteMediaRequest(media_id=media.media_id), process.owner)
                await process.clean(timedelta(minutes=20))

        await asyncio.gather(come_and_go(uploads), come_and_go(elsewhere))
        last = await uploads.upload(data)
        for one in last.renditions:
            assert len((await uploads.download(last.media_id, rendition=one.name))[1]) == one.size
        assert await uploads.built.violations() == []


async def test_of_a_deleted_account_the_names_of_its_files_go(uploads: Uploads) -> None:
    media = await uploads.upload(pictures.unlike(1), file_name="me at home.png")
    await _hold(uploads, id_of(media), holder=_product())

    async def end(uow: UnitOfWork) -> None:
        await owner_deleted(uow, uploads.owner.known_user_id)

    await uploads.later(end)
    found = (await uploads.call(pb.GetMediaRequest(media_id=media.media_id), uploads.owner)).media
    assert not found.HasField("file_name")
    assert found.renditions == media.renditions


async def test_sweeps_pass_over_what_somebody_has_locked(uploads: Uploads) -> None:
    media = await uploads.upload(pictures.unlike(1))

    async def hold_slowly(uow: UnitOfWork) -> None:
        owners = {uploads.owner.known_user_id}
        await service.hold(uow, owners, [id_of(media)], Purpose.PRODUCT, _product(), field="media_id")
        assert await uploads.later(lambda other: sweep_unheld(other, lifetime=NOW), DAY) == 0
        assert await uploads.later(sweep_files, NOW) == 0

    await uploads.tx.run("test.hold", hold_slowly)
    assert await uploads.rows() == 1
    assert await uploads.built.violations() == []


async def test_who_uploads_again_has_a_day_again(uploads: Uploads) -> None:
    media = await uploads.upload(pictures.unlike(1))
    await uploads.later(lambda uow: uow.connection.execute("UPDATE media SET unheld_time = $1", uow.now - DAY))
    assert await uploads.upload(pictures.unlike(1)) == media
    await uploads.clean(timedelta(hours=23))
    assert await uploads.rows() == 1


async def test_what_breaks_the_rules_is_found(uploads: Uploads) -> None:
    await uploads.upload(pictures.unlike(1))
    for statement, wrong in (
        ("UPDATE media_files SET remove_time = now()", "is no file of it"),
        ("UPDATE media_files SET remove_time = NULL", ""),
        ("UPDATE media SET unheld_time = NULL", "is held by nothing"),
        ("UPDATE media SET unheld_time = now()", ""),
        ("INSERT INTO media_holds SELECT media_id, 'PRODUCT', media_id FROM media", "is held and would be removed"),
        ("DELETE FROM media_holds", ""),
        ("UPDATE media_owners SET used_size = used_size + 1", "bytes counted"),
        ("DELETE FROM media_owners", "has 0 bytes counted"),
    ):

        async def break_it(uow: UnitOfWork, broken: str = statement) -> None:
            await uow.connection.execute(broken)

        await uploads.later(break_it)
        found = await uploads.built.violations()
        assert bool(found) is bool(wrong), statement
        assert all(wrong in one for one in found)
