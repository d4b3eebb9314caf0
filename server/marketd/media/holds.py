"""Holding media and letting them go, in the holder's own unit of work."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.kernel.db.uow import UnitOfWork
from marketd.media import repository
from marketd.media.model import Purpose
from marketd.media.values import Holder, HolderKind, Picture

# Longer than anything is kept that nothing holds.
LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)


async def hold(
    uow: UnitOfWork,
    allowed_owner_ids: Collection[UUID],
    media_ids: Sequence[UUID],
    purposes: Collection[Purpose],
    holder: Holder,
    *,
    field: str | Sequence[str],
) -> Mapping[UUID, Picture]:
    """See service.hold."""
    if not media_ids:
        return {}
    found = {media.media_id: media for media in await repository.lock(uow.connection, set(media_ids))}
    wrong: list[FieldViolation] = []
    for index, media_id in enumerate(media_ids):
        path = field.replace("[]", f"[{index}]", 1) if isinstance(field, str) else field[index]
        media = found.get(media_id)
        # Somebody else's is as if it were not there: an id must not tell what others have uploaded.
        if media is None or media.owner_user_id not in allowed_owner_ids:
            wrong.append(FieldViolation(path, "must be the id of a picture that you have uploaded"))
        elif media.purpose not in purposes:
            named = " or ".join(sorted(purpose.value for purpose in purposes))
            meant = f"must have been uploaded for {named}, and was for {media.purpose.value}"
            wrong.append(FieldViolation(path, meant))
    if wrong:
        raise ValidationFailed(*wrong)
    await repository.add_holds(uow.connection, found, holder)
    return {
        media_id: Picture(media_id, media.width, media.height, media.renditions) for media_id, media in found.items()
    }


async def release(uow: UnitOfWork, media_ids: Collection[UUID], holder: Holder) -> None:
    """See service.release."""
    if media_ids:
        await repository.lock(uow.connection, set(media_ids))
        await repository.drop_holds(uow.connection, set(media_ids), holder, uow.now)


async def release_all(uow: UnitOfWork, holder: Holder) -> None:
    """See service.release_all."""
    await release(uow, await repository.held_by(uow.connection, holder), holder)


async def discard_all(uow: UnitOfWork, kind: HolderKind, holder_ids: Collection[UUID]) -> None:
    """See service.discard_all."""
    media_ids = await repository.held_by_any(uow.connection, kind, holder_ids)
    if media_ids:
        await repository.lock(uow.connection, media_ids)
        await repository.drop_all_holds(uow.connection, media_ids, kind, holder_ids, LONG_AGO)
