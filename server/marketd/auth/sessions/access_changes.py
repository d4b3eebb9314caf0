"""Access changes: written in the transaction that makes them, read by every worker's poller.

A cursor over `position` would lose rows (a later number may commit first), so readers take everything of the last half
minute again and leave out what they have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from marketd.auth.events import AccessChanged
from marketd.auth.sessions.model import ChangeKind
from marketd.auth.sessions.repository import access_changes
from marketd.kernel.db.uow import UnitOfWork


async def record(uow: UnitOfWork, kind: ChangeKind, user_id: UUID, session_id: UUID | None = None) -> None:
    """Write the change with this transaction; every worker knows of it within 2 s of the commit."""
    await _record(uow, kind, user_id, [session_id])


async def record_ended_sessions(uow: UnitOfWork, user_id: UUID, session_ids: Sequence[UUID]) -> None:
    """Write that these sessions of the account have ended, in one statement. session_ids: any number, unique."""
    await _record(uow, ChangeKind.SESSION_REVOKED, user_id, session_ids)


async def _record(uow: UnitOfWork, kind: ChangeKind, user_id: UUID, session_ids: Sequence[UUID | None]) -> None:
    for change in await access_changes.insert(uow.connection, kind, user_id, session_ids):
        uow.emit(
            AccessChanged(user_id=user_id, session_id=change.session_id, kind=change.kind, position=change.position)
        )
