"""Sessions and their refresh tokens: opening one, rotating its token, ending it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from marketd.audit import log
from marketd.auth.accounts.model import AccountState
from marketd.auth.errors import AccountBlocked, RefreshTokenReused, SessionRevoked, TokenExpired, TokenInvalid
from marketd.auth.sessions import access_changes
from marketd.auth.sessions.model import ChangeKind
from marketd.auth.sessions.refresh_tokens import RefreshToken, RefreshTokens
from marketd.auth.sessions.repository import sessions
from marketd.auth.sessions.values import Session, SessionGrant, SessionRules, TokenFamily, withheld_roles
from marketd.kernel.call import call as calls
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import ConcurrentUpdate, NotFound
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.ids import new_id


async def open_session(
    uow: UnitOfWork,
    tokens: RefreshTokens,
    rules: SessionRules,
    *,
    user_id: UUID,
    roles: frozenset[Role],
    device_name: str,
    address: str,
    second_factor: bool,
) -> SessionGrant:
    """Open a session of an account that has just proved who it is, and is locked; beyond `max_open` the oldest ends."""
    token = tokens.first(new_id())
    end = uow.now + rules.lifetime
    await sessions.insert(
        uow.connection,
        token.session_id,
        user_id,
        device_name,
        address,
        token.hash,
        uow.now,
        end,
        second_factor=second_factor,
    )
    surplus = await sessions.revoke_oldest(uow.connection, user_id, uow.now, rules.max_open)
    if surplus:
        await access_changes.record_ended_sessions(uow, user_id, surplus)
    counting = _counting(roles, rules, second_factor=second_factor)
    return SessionGrant(user_id, token.session_id, counting, token, end, uow.now)


async def rotate(
    uow: UnitOfWork, tokens: RefreshTokens, rules: SessionRules, presented: RefreshToken
) -> SessionGrant | RefreshTokenReused:
    """Spend the presented token for its successor; within the grace a spent one gets the same successor again.

    The grace runs for each token from when it was spent, however many were spent since; the successor may be spent as
    well, and has a grace of its own. Reuse after the grace ends the session. That refusal is returned, not raised:
    raising it would roll the end back.
    Raises TokenInvalid, TokenExpired, SessionRevoked and AccountBlocked.
    """
    successor, session_id = tokens.successor(presented), presented.session_id
    unused_since, spent_since = uow.now - rules.idle, uow.now - rules.grace
    family = await sessions.rotate(
        uow.connection, session_id, presented.hash, successor.hash, uow.now, unused_since, spent_since
    )
    if family is not None:
        return _grant(family, rules, successor, uow.now)
    family = await sessions.read_family(uow.connection, session_id)
    if family is None:
        raise TokenInvalid
    _refuse_ended(family, rules, uow.now)
    if family.token_hash == presented.hash:
        # It was unusable a moment ago and is usable now: an account that was unblocked in between.
        raise ConcurrentUpdate
    spend_time = _spend_time(family, tokens, presented)
    if spend_time is not None and spend_time >= spent_since:
        return _grant(family, rules, successor, uow.now)
    await _end(uow, session_id)
    # In the account's name, as with any stolen token: it was the owner, or a thief who came second.
    caller = Caller(family.user_id, session_id, frozenset(), calls.current_caller().address)
    reused = RefreshTokenReused()
    await log.record(uow, caller, "session", session_id, "a spent refresh token came again", refusal=reused)
    return reused


async def list_sessions(
    unit: ReadUnit, rules: SessionRules, caller: Caller, after: UUID | None, limit: int, *, descending: bool
) -> list[Session]:
    """The caller's sessions that can go on, by when they were opened, from the one after the last one shown on."""
    return await sessions.list_open(
        unit.connection, caller.known_user_id, after, unit.now, unit.now - rules.idle, limit, descending=descending
    )


async def end_session(uow: UnitOfWork, session_id: UUID) -> None:
    """End the session. Raises SessionRevoked when it had ended before."""
    if not await _end(uow, session_id):
        raise SessionRevoked


async def end_own_session(uow: UnitOfWork, caller: Caller, session_id: UUID) -> None:
    """End a session of the caller; one that has ended stays so. Raises NotFound, also for the sessions of others."""
    if not await sessions.belongs(uow.connection, session_id, caller.known_user_id):
        raise NotFound("session", session_id)
    await _end(uow, session_id)
    await log.record(uow, caller, "session", session_id)


async def log_out_everywhere(uow: UnitOfWork, caller: Caller) -> None:
    """End every session of the caller, this one too."""
    await end_sessions(uow, caller.known_user_id)
    await log.record(uow, caller, "user", caller.known_user_id)


async def end_sessions(uow: UnitOfWork, user_id: UUID, *, but: UUID | None = None) -> None:
    """End every session of the account, or every one `but` this."""
    ended = await sessions.revoke_all(uow.connection, user_id, uow.now, but=but)
    await access_changes.record_ended_sessions(uow, user_id, ended)


async def _end(uow: UnitOfWork, session_id: UUID) -> bool:
    user_id = await sessions.revoke(uow.connection, session_id, uow.now)
    if user_id is None:
        return False
    await access_changes.record(uow, ChangeKind.SESSION_REVOKED, user_id, session_id)
    return True


def _refuse_ended(family: TokenFamily, rules: SessionRules, now: datetime) -> None:
    if family.account_state is AccountState.BLOCKED:
        raise AccountBlocked
    if family.revoke_time is not None or family.account_state is AccountState.DELETED:
        raise SessionRevoked
    if family.expire_time <= now or family.refresh_time <= now - rules.idle:
        raise TokenExpired


def _spend_time(family: TokenFamily, tokens: RefreshTokens, presented: RefreshToken) -> datetime | None:
    """When the presented token was spent: how many successors lead from it to the current one finds its place.

    None when none of those that are remembered does.
    """
    token = presented
    for spend_time in family.spend_times:
        token = tokens.successor(token)
        if token.hash == family.token_hash:
            return spend_time
    return None


def _grant(family: TokenFamily, rules: SessionRules, refresh: RefreshToken, now: datetime) -> SessionGrant:
    counting = _counting(family.roles, rules, second_factor=family.second_factor)
    return SessionGrant(family.user_id, family.session_id, counting, refresh, family.expire_time, now)


def _counting(roles: frozenset[Role], rules: SessionRules, *, second_factor: bool) -> frozenset[Role]:
    return roles - withheld_roles(roles, second_factor=second_factor, admin_totp=rules.admin_totp)
