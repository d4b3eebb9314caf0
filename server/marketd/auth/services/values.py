"""What service accounts hand around."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """An internal service, without its secret. Its client id is its id."""

    service_account_id: UUID
    name: str
    create_time: datetime
    use_time: datetime | None
    revoke_time: datetime | None
