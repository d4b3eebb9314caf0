"""What sellers are told of the pictures that they gave by address."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from marketd.catalog.pictures import repository
from marketd.catalog.pictures.values import RemoteImage, RemoteImageQuery
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.db.uow import ReadUnit
from marketd.seller import service as sellers


async def list_remote_images(
    unit: ReadUnit, caller: Caller, query: RemoteImageQuery, after: UUID | None, limit: int, *, descending: bool
) -> list[RemoteImage]:
    """Up to `limit` pictures behind that one: of the caller's own sellers, for admins of all that the query names."""
    if not caller.has(Role.ADMIN):
        own = await sellers.sellers_of(unit, caller.known_user_id)
        asked = own if query.seller_ids is None else [each for each in query.seller_ids if each in own]
        if not asked:
            return []
        query = replace(query, seller_ids=tuple(asked))
    return await repository.list_page(unit.connection, query, after, limit, descending=descending)
