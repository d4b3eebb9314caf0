"""The tokens of a session: given out to calls, exchanged before they end (once for all callers that wait), and dropped
when the server says that the session is over. Before anybody signs in, the token of a guest's cart stands in for them.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from marketplace.auth.v1 import token_pb2

from marketplace_client.errors import MarketplaceError, SignInRequired

STALE = frozenset({"TOKEN_EXPIRED", "TOKEN_INVALID"})
"""An access token that is refused so may have a successor."""
# A session that is refused so is over, whatever is presented.
_OVER = frozenset({"SESSION_REVOKED", "REFRESH_TOKEN_REUSED", "ACCOUNT_BLOCKED"})
OF_TOKENS = STALE | _OVER
"""What a call may be refused for because of the token that it carried."""

_UNREADABLE = (IndexError, KeyError, TypeError, ValueError, binascii.Error)
_LONGEST_MARGIN_SECONDS = 60.0
_MARGIN_SHARE = 0.2


def lifetime_seconds(tokens: token_pb2.Tokens) -> float:
    """How long the access token is good from now on, if it was issued now.

    Taken from the token's own `exp - iat` (RFC 7519), so that a wrong clock on this side does no harm; a token that is
    not readable falls back to its expire time and this clock.
    """
    try:
        claims = _claims(tokens.access_token)
        return float(claims["exp"]) - float(claims["iat"])
    except _UNREADABLE:
        return float(tokens.access_expire_time.ToDatetime().timestamp()) - time.time()


def _claims(access_token: str) -> Any:
    body = access_token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def _user_of(access_token: str) -> object:
    """Whose the token is (`sub` of RFC 7519); None when it does not say so to everybody."""
    try:
        return _claims(access_token)["sub"]
    except _UNREADABLE:
        return None


def ends_session(error: MarketplaceError, *, can_refresh: bool) -> bool:
    """Whether tokens that were refused so are of no more use."""
    return error.reason in _OVER or (error.reason in STALE and not can_refresh)


class TokenSource:
    """Holds the tokens of one session. `exchange` turns a refresh token into new tokens; it raises MarketplaceError."""

    def __init__(
        self,
        exchange: Callable[[str], Awaitable[token_pb2.Tokens]],
        on_change: Callable[[token_pb2.Tokens], None] | None = None,
    ) -> None:
        self._exchange = exchange
        self._on_change = on_change
        self._tokens: token_pb2.Tokens | None = None
        self._bare: str | None = None
        self._guest: str | None = None
        self._guests: set[str] = set()
        self._refresh_at = 0.0
        # By the refresh token that is exchanged: of the session before, one may still be on its way.
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ended: MarketplaceError | None = None

    @property
    def tokens(self) -> token_pb2.Tokens | None:
        """The tokens as they are now; None when signed out or when only an access token was given."""
        return self._tokens

    @property
    def guest_token(self) -> str | None:
        """The token of a guest's cart that has not come along yet; calls take it while nobody is signed in."""
        return self._guest

    @property
    def can_refresh(self) -> bool:
        """Whether there is a refresh token."""
        return self._tokens is not None and bool(self._tokens.refresh_token)

    def use(self, tokens: token_pb2.Tokens) -> None:
        """Take these tokens from now on, as fresh ones of a sign-in or refresh."""
        life = lifetime_seconds(tokens)
        self._tokens, self._bare, self._ended = tokens, None, None
        self._refresh_at = time.monotonic() + life - min(_LONGEST_MARGIN_SECONDS, life * _MARGIN_SHARE)
        if self._on_change is not None:
            self._on_change(tokens)

    def use_access_token(self, access_token: str) -> None:
        """Take a token that somebody else keeps fresh."""
        self._tokens, self._bare, self._ended = None, access_token, None

    def use_guest_token(self, guest_token: str) -> None:
        """Take the token of a guest's cart, until somebody signs in."""
        self._guest, self._ended = guest_token, None
        self._guests.add(guest_token)

    def forget_guest(self, guest_token: str) -> None:
        """That guest's cart is gone, or an account's by now."""
        if self._guest == guest_token:
            self._guest = None

    def forget(self) -> None:
        """Be signed out on this side."""
        self._tokens = self._bare = self._guest = self._ended = None

    def drop(self, access_token: str, error: MarketplaceError) -> None:
        """The server says by this error that the session of the token is over.

        Nothing happens when other tokens have come in the meantime: a late answer must not end a new session.
        """
        if self._current() == access_token:
            if access_token == self._guest:
                self._guest = None
            self._tokens = self._bare = None
            self._ended = error

    def has_other(self, access_token: str | None) -> bool:
        """Whether there is a token, and not this one (None: a call that had none): others have come since."""
        current = self._current()
        return current is not None and current != access_token

    def is_somebody_elses(self, access_token: str) -> bool:
        """Whether by now there is a token of another account or guest, who must do nothing of what the former began."""
        current = self._current()
        return current is not None and self.are_of_two(current, access_token)

    def are_of_two(self, one: str, other: str) -> bool:
        """Whether the tokens are those of two accounts or guests."""
        return one != other and self._owner_of(one) != self._owner_of(other)

    @property
    def owner(self) -> object:
        """Who calls now, an account or a guest, to be compared; None while there is no token, and for one of which
        nobody can say.
        """
        current = self._current()
        return None if current is None else self._owner_of(current)

    def _owner_of(self, token: str) -> object:
        return token if token in self._guests else _user_of(token)

    @property
    def ended(self) -> MarketplaceError | None:
        """What ended the session; None while there is one, and when nobody has signed in."""
        return self._ended

    def distrust(self, access_token: str) -> None:
        """The server does not take this token: exchange it before the next call."""
        if self._current() == access_token:
            self._refresh_at = 0.0

    async def access_token(self) -> str | None:
        """A token that is good for a while; refreshes when the end is near. None when nobody is signed in.

        Raises SignInRequired when the session turns out to be over, and what else the exchange raises.
        """
        if self._tokens is not None and self.can_refresh and time.monotonic() >= self._refresh_at:
            await self.refresh(self._tokens.access_token)
        return self._current()

    async def access_token_if_any(self) -> str | None:
        """The same for calls that need none: what goes wrong in the exchange is nothing to them."""
        try:
            return await self.access_token()
        except MarketplaceError:
            return self._current()

    def _current(self) -> str | None:
        return self._tokens.access_token if self._tokens is not None else self._bare or self._guest

    async def refresh(self, stale: str) -> None:
        """Exchange the refresh token, unless `stale` is no longer the access token.

        All who come while the exchange of that token runs wait for it. A caller that is cancelled does not stop it: a
        token that was exchanged and lost would end the session. Raises SignInRequired when the session is over, and
        what else the exchange raises; nothing when a sign-out or another sign-in has come in the meantime.
        """
        if self._tokens is None or self._tokens.access_token != stale:
            return
        refresh_token = self._tokens.refresh_token
        running = self._running.get(refresh_token)
        if running is None:
            running = self._running[refresh_token] = asyncio.create_task(self._exchange_now(refresh_token))
            running.add_done_callback(partial(self._exchanged, refresh_token))
        await asyncio.shield(running)
        if self._ended is not None:
            raise SignInRequired.because(self._ended)

    async def _exchange_now(self, refresh_token: str) -> None:
        try:
            tokens = await self._exchange(refresh_token)
        except MarketplaceError as error:
            # A sign-out or another sign-in in the meantime wins, here and below.
            if self._tokens is not None and self._tokens.refresh_token == refresh_token:
                if not ends_session(error, can_refresh=False):
                    raise
                self.drop(self._tokens.access_token, error)
            return
        if self._tokens is not None and self._tokens.refresh_token == refresh_token:
            self.use(tokens)

    def _exchanged(self, refresh_token: str, task: asyncio.Task[None]) -> None:
        del self._running[refresh_token]
        if not task.cancelled():
            task.exception()  # seen here as well, so that an exchange whose waiters all left does not warn

    async def aclose(self) -> None:
        """Wait for the exchanges that run."""
        if self._running:
            await asyncio.wait(list(self._running.values()))
