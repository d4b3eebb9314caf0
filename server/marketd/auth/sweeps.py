"""Deletes what auth no longer needs, in small batches: ended sessions, old access changes and counts, retired keys."""

from __future__ import annotations

import functools
from datetime import timedelta

from marketd.auth.codes import throttle
from marketd.auth.sessions.repository import access_changes, signing_keys
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.work.sweeps import delete_old

# Ended sessions stay for a while, so that their owners can look at them.
KEEP_SESSIONS = timedelta(days=30)
# Four times the longest life of an access token: nothing made before such a change is still good.
KEEP_CHANGES = timedelta(hours=1)


async def sweep(uow: UnitOfWork) -> int:
    """Delete one batch of each kind; how many rows went."""
    await signing_keys.retire_before(uow.connection, uow.now)
    database_now = await access_changes.database_now(uow.connection)
    delete = functools.partial(delete_old, uow.connection)
    return (
        await delete("login_attempts", "name_hash", "last_time", uow.now - throttle.FORGET)
        + await delete("sessions", "session_id", "expire_time", uow.now - KEEP_SESSIONS)
        + await delete("password_resets", "token_hash", "expire_time", uow.now)
        + await delete("email_changes", "token_hash", "expire_time", uow.now)
        + await delete("former_usernames", "user_id", "expire_time", uow.now)
        + await delete("access_changes", "position", "create_time", database_now - KEEP_CHANGES)
    )
