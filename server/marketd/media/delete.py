"""Deleting media, and what goes by itself: media that nothing holds, files that no media names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, cast
from uuid import UUID

from marketd.audit import log
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import InUse, NotFound
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import Job, Json
from marketd.kernel.values.etags import check_etag
from marketd.kernel.work.jobs import Payload
from marketd.kernel.work.sweeps import BATCH
from marketd.media import file_rows, repository
from marketd.media.ports import LateHolder
from marketd.media.store import Store
from marketd.media.values import VERSION, Holder, HolderKind

REMOVE_FILES: Final = "media.remove_files"
_FILES_OF_A_JOB: Final = 100


async def delete_media(
    uow: UnitOfWork,
    caller: Caller,
    media_id: UUID,
    etag: str,
    *,
    allow_missing: bool,
    late_holders: Sequence[LateHolder] = (),
) -> None:
    """Delete an own media that nothing holds or shows. Raises NotFound, EtagMismatch and InUse."""
    found = await repository.lock(uow.connection, [media_id])
    if not found or not (found[0].owner_user_id == caller.user_id or caller.has(Role.ADMIN)):
        if allow_missing:
            return
        raise NotFound("media", media_id)
    check_etag(etag, VERSION)
    holder = await repository.read_holder(uow.connection, media_id)
    if holder is not None:
        raise InUse("media", holder.lower())
    for shows in late_holders:
        if await shows(uow.connection, [media_id]):
            raise InUse("media", HolderKind.ORDER.lower())
    await file_rows.judge_again(uow.connection, [media_id], uow.now)
    await repository.delete(uow.connection, found)
    if found[0].owner_user_id != caller.user_id:
        # An admin has taken away what is somebody else's; not its values, which are that person's to be forgotten.
        await log.record(uow, caller, "media", media_id, f"uploaded by {found[0].owner_user_id}")


async def sweep_unheld(uow: UnitOfWork, *, lifetime: timedelta, late_holders: Sequence[LateHolder] = ()) -> int:
    """Delete a batch of media that nothing has held for that long; how many went. What is shown is held from now on."""
    found = await repository.lock_unheld(uow.connection, uow.now - lifetime, BATCH)
    for shows in late_holders:
        shown = await shows(uow.connection, [media.media_id for media in found]) if found else {}
        for media_id, order_id in shown.items():
            await repository.add_holds(uow.connection, [media_id], Holder(HolderKind.ORDER, order_id))
        found = [media for media in found if media.media_id not in shown]
    if found:
        await file_rows.judge_again(uow.connection, [media.media_id for media in found], uow.now)
        await repository.delete(uow.connection, found)
    return len(found)


async def sweep_files(uow: UnitOfWork) -> int:
    """Have a batch of files removed that no media names; how many."""
    names = await file_rows.mark_unnamed(uow.connection, uow.now, BATCH)
    for begin in range(0, len(names), _FILES_OF_A_JOB):
        some: list[Json] = [*names[begin : begin + _FILES_OF_A_JOB]]
        uow.enqueue(Job(kind=REMOVE_FILES, payload={"names": some, "mark_time": uow.now.isoformat()}))
    return len(names)


def file_remover(tx: Transactor, store: Store) -> Callable[[Payload], Awaitable[None]]:
    """The job that removes marked files from the store, and then their rows; it may run twice."""

    async def remove(payload: Payload) -> None:
        given, mark_time = cast("list[str]", payload["names"]), datetime.fromisoformat(str(payload["mark_time"]))
        names = await tx.read(lambda unit: file_rows.still_marked(unit.connection, given, mark_time))
        for name in names:
            await store.delete(name)
        await tx.run("media.forget_files", lambda uow: file_rows.forget(uow.connection, names))

    return remove


async def owner_deleted(uow: UnitOfWork, user_id: UUID) -> None:
    """An account is deleted: what its files were called goes. What nothing holds goes as all such, and the rest stays
    with the shops and deliveries that show it.
    """
    await repository.forget_names(uow.connection, user_id)
