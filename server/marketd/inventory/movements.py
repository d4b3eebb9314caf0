"""Looking at what changed the number of pieces on hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from marketd.inventory import repository
from marketd.inventory.values import Movement, MovementQuery
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.db.uow import ReadUnit


async def list_movements(
    unit: ReadUnit,
    caller: Caller,
    wanted: MovementQuery,
    after: tuple[datetime, UUID] | None,
    limit: int,
    *,
    newest_first: bool,
) -> Sequence[Movement]:
    """The next movements of the caller's shops, closed ones too; of all shops for admins."""
    account = None if caller.has(Role.ADMIN) else caller.known_user_id
    return await repository.list_movements(unit.connection, wanted, account, after, limit, newest_first=newest_first)
