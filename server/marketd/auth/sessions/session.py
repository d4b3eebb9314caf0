"""Sessions and their refresh tokens: opening one, rotating its token, ending it. Made for the bare dress."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from marketd.audit import log
from marketd.auth.accounts.model import AccountState
from marketd.auth.errors import (
    AccountBlocked,
    RefreshTokenReused,
    SessionRevoked,
    TokenExpired,
    TokenInvalid,
)
from marketd.auth.sessions import access_changes
from marketd.auth.sessions.model import ChangeKind
from marketd.auth.sessions.refresh_tokens import RefreshToken, RefreshTokens
from marketd.auth.sessions.repository import SessionRepository, SessionRow, SessionView
from marketd.kernel.call import call as calls
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import ConcurrentUpdate, NotFound
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.ids import new_id


@dataclass(frozen=True, slots=True)
class SessionRules:
    """How long sessions last, absolutely and unused, and how long a spent refresh token still gets its successor.

    An account has at most `max_open` sessions: ending them all must fit into one transaction.
    """

    lifetime: timedelta
    idle: timedelta
    grace: timedelta
    max_open: int = 1_000


@dataclass(frozen=True, slots=True)
class Grant:
    """What tokens are made of once the transaction is committed."""

    user_id: UUID
    session_id: UUID
    roles: frozenset[Role]
    refresh: RefreshToken
    expire_time: datetime
    granted_time: datetime


async def open_session(
    uow: UnitOfWork,
    tokens: RefreshTokens,
    rules: SessionRules,
    *,
    user_id: UUID,
    roles: frozenset[Role],
    device_name: str,
    address: str,
) -> Grant:
    """Open a session of an account that has just proved who it is, and is locked; beyond `max_open` the oldest ends."""
    token = tokens.first(new_id())
    end = uow.now + rules.lifetime
    repository = SessionRepository(uow.connection)
    await repository.insert(token.session_id, user_id, device_name, address, token.hash, uow.now, end)
    surplus = await repository.revoke_oldest(user_id, uow.now, rules.max_open)
    if surplus:
        await access_changes.record_ended_sessions(uow, user_id, surplus)
    return Grant(user_id, token.session_id, roles, token, end, uow.now)


async def rotate(
    uow: UnitOfWork, tokens: RefreshTokens, rules: SessionRules, presented: RefreshToken
) -> Grant | RefreshTokenReused:
    """Spend the presented token for its successor; within the grace a spent one gets the same successor again.

    Reuse after the grace ends the session. That refusal is returned, not raised: raising it would roll the end back.
    Raises TokenInvalid, TokenExpired, SessionRevoked and AccountBlocked.
    """
    repository = SessionRepository(uow.connection)
    successor = tokens.successor(presented)
    row = await repository.rotate(presented.session_id, presented.hash, successor.hash, uow.now, uow.now - rules.idle)
    if row is not None:
        return _grant(row, successor, uow.now)
    row = await repository.by_id(presented.session_id)
    if row is None:
        raise TokenInvalid
    _refuse_ended(row, rules, uow.now)
    if row.token_hash == presented.hash:
        # It was unusable a moment ago and is usable now: an account that was unblocked in between.
        raise ConcurrentUpdate
    if row.previous_hash == presented.hash and row.rotate_time is not None and uow.now <= row.rotate_time + rules.grace:
        return _grant(row, successor, uow.now)
    await _end(uow, presented.session_id)
    # In the account's name, as with any stolen token: it was the owner, or a thief who came second.
    caller = Caller(row.user_id, presented.session_id, frozenset(), calls.current_caller().address)
    reused = RefreshTokenReused()
    await log.record(uow, caller, "session", presented.session_id, "a spent refresh token came again", refusal=reused)
    return reused


async def list_sessions(
    unit: ReadUnit, rules: SessionRules, caller: Caller, before: UUID | None, limit: int
) -> list[SessionView]:
    """The caller's sessions that can go on, the latest first, from the one after `before` on."""
    repository = SessionRepository(unit.connection)
    return await repository.list_open(caller.known_user_id, before, unit.now, unit.now - rules.idle, limit)


async def end_session(uow: UnitOfWork, session_id: UUID) -> None:
    """End the session. Raises SessionRevoked when it had ended before."""
    if not await _end(uow, session_id):
        raise SessionRevoked


async def end_own_session(uow: UnitOfWork, caller: Caller, session_id: UUID) -> None:
    """End a session of the caller; one that has ended stays so. Raises NotFound, also for the sessions of others."""
    if not await SessionRepository(uow.connection).belongs(session_id, caller.known_user_id):
        raise NotFound("session", session_id)
    await _end(uow, session_id)
    await log.record(uow, caller, "session", session_id)


async def log_out_everywhere(uow: UnitOfWork, caller: Caller) -> None:
    """End every session of the caller, this one too."""
    await end_sessions(uow, caller.known_user_id)
    await log.record(uow, caller, "user", caller.known_user_id)


async def end_sessions(uow: UnitOfWork, user_id: UUID, *, but: UUID | None = None) -> None:
    """End every session of the account, or every one `but` this."""
    ended = await SessionRepository(uow.connection).revoke_all(user_id, uow.now, but=but)
    await access_changes.record_ended_sessions(uow, user_id, ended)


async def _end(uow: UnitOfWork, session_id: UUID) -> bool:
    user_id = await SessionRepository(uow.connection).revoke(session_id, uow.now)
    if user_id is None:
        return False
    await access_changes.record(uow, ChangeKind.SESSION_REVOKED, user_id, session_id)
    return True


def _refuse_ended(row: SessionRow, rules: SessionRules, now: datetime) -> None:
    if row.account_state is AccountState.BLOCKED:
        raise AccountBlocked
    if row.revoke_time is not None or row.account_state is AccountState.DELETED:
        raise SessionRevoked
    if row.expire_time <= now or row.last_seen_time <= now - rules.idle:
        raise TokenExpired


def _grant(row: SessionRow, refresh: RefreshToken, now: datetime) -> Grant:
    return Grant(row.user_id, row.session_id, row.roles, refresh, row.expire_time, now)
