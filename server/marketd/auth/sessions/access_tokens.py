"""Access tokens: EdDSA JWTs of type at+jwt (RFC 9068). Made and checked here; whether the session still holds is not.

PyJWT takes a missing `exp` and any `typ` unless told otherwise, so everything that must be there is named.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import jwt

from marketd.auth.errors import TokenExpired, TokenInvalid
from marketd.auth.sessions.keys import KeyRing
from marketd.kernel.call.caller import Role
from marketd.kernel.values.ids import new_id

ALGORITHM = "EdDSA"
TYPE = "at+jwt"
# However a token came to be, one that claims to live longer than ours ever do is not ours.
MAX_LIFETIME = timedelta(minutes=15)

_REQUIRED = ["exp", "iat", "sub", "aud", "iss", "jti", "sid"]


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A signed token and when it ends."""

    text: str
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class Claims:
    """What a genuine token says; `expires` is in seconds since the epoch. The roles in it are for other services.

    A service's token names the service account as account and as session.
    """

    user_id: UUID
    session_id: UUID
    expires: float
    is_service: bool = False
    kid: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class UnknownKey:
    """The token names a key that this process does not know (yet)."""

    kid: str


class AccessTokens:
    """Signs and checks access tokens with the keys of the ring."""

    def __init__(self, keys: KeyRing, *, issuer: str, audience: str, lifetime: timedelta, leeway: timedelta) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._lifetime = min(lifetime, MAX_LIFETIME)
        self._leeway = leeway.total_seconds()

    @property
    def leeway_seconds(self) -> float:
        """How long after its end a token is still taken, for clocks that differ."""
        return self._leeway

    def issue(
        self, user_id: UUID, session_id: UUID, roles: Collection[Role], now: datetime, session_end: datetime
    ) -> AccessToken:
        """A fresh token; it never outlives its session."""
        return self._issue(user_id, session_id, roles, now, min(now + self._lifetime, session_end), {})

    def issue_service(self, service_account_id: UUID, now: datetime, lifetime: timedelta) -> AccessToken:
        """A fresh token of a service account; `client_id` in it is RFC 9068's."""
        end = now + min(lifetime, self._lifetime)
        client = {"client_id": str(service_account_id)}
        return self._issue(service_account_id, service_account_id, {Role.SERVICE}, now, end, client)

    def _issue(
        self,
        user_id: UUID,
        session_id: UUID,
        roles: Collection[Role],
        now: datetime,
        end: datetime,
        more: Mapping[str, str],
    ) -> AccessToken:
        kid, private = self._keys.signer
        # Whole seconds, because NumericDate is read as such by other libraries.
        issued, expires = int(now.timestamp()), int(end.timestamp())
        text = jwt.encode(
            {
                "iss": self._issuer,
                "aud": self._audience,
                "sub": str(user_id),
                "sid": str(session_id),
                "jti": str(new_id()),
                "iat": issued,
                "exp": expires,
                "roles": sorted(roles),
                **more,
            },
            private,
            ALGORITHM,
            headers={"typ": TYPE, "kid": kid},
        )
        return AccessToken(text, datetime.fromtimestamp(expires, now.tzinfo))

    def read(self, token: str, now: datetime) -> Claims | UnknownKey:
        """What a genuine token says. Raises TokenInvalid and TokenExpired; the latter only for tokens of ours."""
        try:
            header = jwt.get_unverified_header(token)
            kid = header.get("kid")
            if header.get("alg") != ALGORITHM or header.get("typ") != TYPE or "crit" in header or not kid:
                raise TokenInvalid
            key = self._keys.verifier(kid)
            if key is None:
                return UnknownKey(kid)
            body = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                # The times are checked below, by the same clock as everything else.
                options={
                    "require": _REQUIRED,
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                    "strict_aud": True,
                },
            )
            return self._claims(body, kid, now.timestamp())
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            # ValueError: ids that are none, text that is no ASCII; the signature of what is ours excludes both.
            raise TokenInvalid from error

    def _claims(self, body: dict[str, Any], kid: str, now: float) -> Claims:
        issued, expires = body["iat"], body["exp"]
        if type(issued) is not int or type(expires) is not int:
            raise TokenInvalid
        if issued > now + self._leeway or expires - issued > MAX_LIFETIME.total_seconds():
            raise TokenInvalid
        claims = Claims(UUID(body["sub"]), UUID(body["sid"]), float(expires), "client_id" in body, kid)
        if expires + self._leeway <= now:
            raise TokenExpired
        return claims
