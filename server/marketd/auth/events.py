"""The events of auth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from marketd.auth.sessions.model import ChangeKind
from marketd.kernel.events.events import Event


@dataclass(frozen=True, kw_only=True)
class AccessChanged(Event):
    """Somebody's access changed: a session ended, an account was blocked or unblocked, a role came or went.

    `session_id` is set for sessions only; `position` is the row of access_changes. The workers do not wait for the
    outbox: the commit itself wakes them (Principals.on_commit), and their pollers read access_changes.
    """

    event_type: ClassVar[str] = "account.access_changed"
    aggregate: ClassVar[str] = "user"

    user_id: UUID
    session_id: UUID | None = None
    kind: ChangeKind
    position: int


@dataclass(frozen=True, kw_only=True)
class AccountDeleted(Event):
    """The owner has deleted the account. What others keep of the person beyond what the law asks for may go."""

    event_type: ClassVar[str] = "account.deleted"
    aggregate: ClassVar[str] = "user"

    user_id: UUID
