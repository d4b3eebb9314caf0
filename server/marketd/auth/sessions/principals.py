"""Principals: who calls, as this worker knows it, at most 2 s old. It answers from memory and asks when unsure.

Three things keep it true. Changes are broadcast at once after their commit (a hint that may be lost). A poller reads
access_changes every half second (the promise). And when the poller has not succeeded for 2 s, nothing in memory counts:
every call reads for itself, or is refused.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import OrderedDict
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from marketd.auth.accounts.model import AccountState
from marketd.auth.errors import AccountBlocked, RolesChanged, SessionRevoked, TokenExpired, TokenInvalid
from marketd.auth.events import AccessChanged
from marketd.auth.services import repository as service_accounts
from marketd.auth.sessions.access_tokens import AccessTokens, Claims, UnknownKey
from marketd.auth.sessions.keys import KeyRing, SigningKeysUnreadable
from marketd.auth.sessions.model import ChangeKind
from marketd.auth.sessions.repository import access_changes, sessions
from marketd.auth.sessions.token_memory import KnownToken, TokenMemory
from marketd.auth.sessions.values import AccessChange, Standing, withheld_roles
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.transactor import Committed, Transactor
from marketd.kernel.db.uow import ReadUnit
from marketd.kernel.events.broadcast import Broadcast
from marketd.kernel.slice import Ended
from marketd.kernel.values.clock import Clock

_log = structlog.get_logger(__name__)

TOPIC = "access"
POLL_SECONDS = 0.5
POLL_TIMEOUT_SECONDS = 1.5
FRESH_SECONDS = 2.0
# A change is dated when it is written and seen when it is committed; no unit of work is open for longer than this.
WINDOW = timedelta(seconds=30)
# How often the poller looks for new and retired keys.
KEYS_SECONDS = 3.0
# Tokens in memory.
CAPACITY = 20_000
# Stands in the memory of tokens before the id of an account that a certificate names. No JWT has a colon in it.
_CERTIFICATE = "certificate:"
# Accounts whose last change is remembered; it only has to outlast a read in flight.
RECENT = 10_000


class Principals:
    """The edge's Authenticator. `run` keeps it fresh; before it has run once, every call asks the database.

    A key that is retired before its time (`keys rotate --compromised`) takes its tokens along within KEYS_SECONDS and
    the two seconds that a poll may take: calls are refused, and streams end with TokenInvalid. Streams are found by the
    tokens in memory, so one whose token has left it (more than `capacity` others were used since, or its account's
    access changed) goes on until the token ends, 15 minutes after it was made at the latest.

    `watch` runs the poller's reads: give it a pool of its own, so that a full one does not make every caller stale.
    """

    def __init__(
        self,
        tx: Transactor,
        tokens: AccessTokens,
        keys: KeyRing,
        broadcast: Broadcast,
        clock: Clock,
        *,
        watch: Transactor | None = None,
        capacity: int = CAPACITY,
        fresh_seconds: float = FRESH_SECONDS,
        admin_totp: bool = False,
    ) -> None:
        """admin_totp: whether ADMIN counts only in sessions that were opened with a second factor."""
        self._admin_totp = admin_totp
        self._tx = tx
        self._watch = watch or tx
        self._tokens = tokens
        self._keys = keys
        self._broadcast = broadcast
        self._clock = clock
        self._fresh_seconds = fresh_seconds
        self._memory = TokenMemory(capacity)
        self._ended: list[Ended] = []
        self._fresh_until = 0.0
        self._since: datetime | None = None
        self._seen: dict[int, float] = {}
        self._epoch = 0
        self._changed: OrderedDict[UUID, int] = OrderedDict()
        broadcast.subscribe(TOPIC, self._hear)

    # -- what the edge asks

    def cached(self, token: str) -> Caller | None:
        """The caller of a token that was verified before and still holds, or None; never waits."""
        known = self._memory.find(token)
        if known is None or time.monotonic() > self._fresh_until or self._is_over(known.claims):
            return None
        self._memory.note_use(token)
        return known.caller

    async def authenticate(self, token: str) -> Caller:
        """Verify the token and read what it is worth now.

        Raises TokenInvalid, TokenExpired, SessionRevoked, AccountBlocked, and DatabaseUnavailable and its like when
        that cannot be known.
        """
        known = self._memory.find(token)
        return await self._admit(token, known.claims if known is not None else await self._verify(token))

    def cached_service(self, service_account_id: UUID) -> Caller | None:
        """A service account that is known by its client's certificate, if it was read before and still holds."""
        return self.cached(_CERTIFICATE + str(service_account_id))

    async def authenticate_service(self, service_account_id: UUID) -> Caller:
        """The same, read now. Raises SessionRevoked when there is none or it is revoked, and as `authenticate`."""
        claims = Claims(service_account_id, service_account_id, math.inf, is_service=True)
        return await self._admit(_CERTIFICATE + str(service_account_id), claims)

    async def _admit(self, token: str, claims: Claims) -> Caller:
        if self._is_over(claims):
            self._memory.forget(token)
            raise TokenExpired
        refusal_type = self._memory.refusal_of(token)
        if refusal_type is not None:
            raise refusal_type
        while True:
            epoch = self._epoch
            standing = await self._tx.read(lambda unit: _standing(unit, claims))
            # A change that was told while we read may be younger than what we read: read again, or a stream could
            # open after its account's streams were ended.
            if self._changed.get(claims.user_id, 0) <= epoch:
                break
        if self._is_unsigned(claims):
            # Retired while we read, and those who look for its tokens have been here already.
            raise TokenInvalid
        try:
            caller = self._judge(claims, standing)
        except (SessionRevoked, AccountBlocked) as refusal:
            self._memory.forget(token)
            self._memory.refuse(token, type(refusal))
            raise
        self._memory.remember(token, KnownToken(claims, caller))
        return caller

    def on_ended(self, callback: Ended) -> None:
        """Call back when the streams of an account or of a session must end."""
        self._ended.append(callback)

    # -- how it stays true

    def on_commit(self, committed: Committed) -> None:
        """Tell every worker of the access changes in a commit; to be given to `Transactor.listen`."""
        for event in committed.events:
            if isinstance(event, AccessChanged):
                change = [event.position, str(event.user_id), str(event.session_id or ""), event.kind.value]
                self._broadcast.publish(TOPIC, json.dumps(change).encode())

    async def run(self) -> None:
        """Poll until cancelled."""
        keys_due = time.monotonic() + KEYS_SECONDS
        while True:
            # The deadline bounds the reads: a database that hangs must not hang the poller with it.
            calls.enter(Call(deadline=time.monotonic() + POLL_TIMEOUT_SECONDS))
            try:
                await self.poll()
                if time.monotonic() >= keys_due:
                    await self._reload_keys(self._watch)
                    keys_due = time.monotonic() + KEYS_SECONDS
            except Refusal as refusal:
                _log.warning("access_poll_failed", reason=refusal.reason.value)
            await asyncio.sleep(POLL_SECONDS)

    async def poll(self) -> None:
        """Read the changes of the last half minute (or since the last time that worked, when that is longer)."""
        started = time.monotonic()

        async def read(unit: ReadUnit) -> tuple[datetime, list[AccessChange]]:
            now = await access_changes.database_now(unit.connection)
            return now, await access_changes.read_since(unit.connection, self._since or now - WINDOW)

        now, found = await self._watch.read(read)
        for change in found:
            self._apply(change)
        self._since = now - WINDOW
        window = {change.position for change in found}
        # What was heard while we read may be too young for the read, and comes again with the next one.
        self._seen = {p: at for p, at in self._seen.items() if p in window or at >= started}
        self._fresh_until = started + self._fresh_seconds

    async def _reload_keys(self, tx: Transactor) -> bool:
        """Look for new and retired keys, unless that was done a moment ago; whether it was done now."""
        try:
            if not await self._keys.reload(tx):
                return False
        except SigningKeysUnreadable:
            # Somebody else's key cannot be mended here; those that we have go on.
            _log.error("signing_keys_unreadable", hint="another MARKETD_SECRET is in use on this database")
            return False
        # Tokens of a key that was retired before its time were good when they came into memory, and so were the
        # streams that were opened with them. A token that is over has none left; its session may have newer ones.
        for token, known in self._memory.all():
            if not self._is_unsigned(known.claims):
                continue
            self._memory.forget(token)
            if not self._is_over(known.claims):
                self._tell(None, known.claims.session_id, TokenInvalid())
        return True

    def _is_unsigned(self, claims: Claims) -> bool:
        """Whether the key is gone that signed the token; certificates name none."""
        return claims.kid != "" and self._keys.verifier(claims.kid) is None

    def _hear(self, payload: bytes) -> None:
        try:
            position, user_id, session_id, kind = json.loads(payload)
            change = AccessChange(position, UUID(user_id), UUID(session_id) if session_id else None, ChangeKind(kind))
        except (ValueError, TypeError):
            # A worker of another version; the poller reads it from the table.
            _log.warning("access_hint_unreadable")
            return
        self._apply(change)

    def _apply(self, change: AccessChange) -> None:
        if change.position in self._seen:
            return
        self._seen[change.position] = time.monotonic()
        self._epoch += 1
        self._changed[change.user_id] = self._epoch
        self._changed.move_to_end(change.user_id)
        if len(self._changed) > RECENT:
            self._changed.popitem(last=False)
        self._memory.forget_account(change.user_id)
        if change.kind is ChangeKind.SESSION_REVOKED:
            self._tell(None, change.session_id, SessionRevoked())
        elif change.kind is ChangeKind.ACCOUNT_UNBLOCKED:
            self._memory.forget_refusals()
        elif change.kind is ChangeKind.ACCOUNT_BLOCKED:
            self._tell(change.user_id, None, AccountBlocked())
        elif change.kind is ChangeKind.ROLE_REVOKED:
            self._tell(change.user_id, None, RolesChanged())

    def _tell(self, user_id: UUID | None, session_id: UUID | None, refusal: Refusal) -> None:
        for callback in self._ended:
            callback(user_id, session_id, refusal)

    # -- tokens

    async def _verify(self, token: str) -> Claims:
        read = self._tokens.read(token, self._clock.now())
        # The whole reload, not the ring's alone: what it retires must be forgotten before a newer token of the same
        # session opens a stream, or that stream would end in the former token's stead.
        if isinstance(read, UnknownKey) and await self._reload_keys(self._tx):
            read = self._tokens.read(token, self._clock.now())
        if isinstance(read, UnknownKey):
            raise TokenInvalid
        return read

    def _is_over(self, claims: Claims) -> bool:
        return claims.expires + self._tokens.leeway_seconds <= self._clock.now().timestamp()

    def _judge(self, claims: Claims, standing: Standing | None) -> Caller:
        if standing is None:
            # The signature was ours, so there was such a session; it has been swept away, or the account has.
            raise SessionRevoked
        if standing.account_state is AccountState.BLOCKED:
            raise AccountBlocked
        if standing.revoke_time is not None or standing.account_state is AccountState.DELETED:
            raise SessionRevoked
        expires = claims.expires if math.isfinite(claims.expires) else None
        withheld = withheld_roles(standing.roles, second_factor=standing.second_factor, admin_totp=self._admin_totp)
        roles = standing.roles - withheld
        return Caller(claims.user_id, claims.session_id, roles, expires=expires, withheld=withheld)


async def _standing(unit: ReadUnit, claims: Claims) -> Standing | None:
    if claims.is_service:
        return await service_accounts.read_standing(unit.connection, claims.user_id)
    return await sessions.read_standing(unit.connection, claims.session_id, claims.user_id)
