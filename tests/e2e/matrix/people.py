"""Every kind of caller that a method can meet, each with a token (or none) and what it is judged as."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from marketd.auth.sessions.keys import KeyRing
from marketd.kernel.call.caller import Role
from marketd.kernel.call.guest_tokens import GuestTokens
from marketd.kernel.values.ids import new_id
from marketd.transport.rules import Access, Open

from tests.worlds.matrix import Market
from tests.worlds.things import Person

Verdict = tuple[grpc.StatusCode, str]
OK: Final[Verdict] = (grpc.StatusCode.OK, "")
UNAUTHENTICATED: Final[Verdict] = (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
ROLE_REQUIRED: Final[Verdict] = (grpc.StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED")
TOKEN_INVALID: Final[Verdict] = (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
TOKEN_EXPIRED: Final[Verdict] = (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")
SESSION_REVOKED: Final[Verdict] = (grpc.StatusCode.UNAUTHENTICATED, "SESSION_REVOKED")
ACCOUNT_BLOCKED: Final[Verdict] = (grpc.StatusCode.PERMISSION_DENIED, "ACCOUNT_BLOCKED")

ANONYMOUS: Final = "anonymous"
NOBODY: Final = "nobody"
ROLES: Final = ("BUYER", "SELLER", "COURIER", "ADMIN", "SERVICE", "GUEST")
"""Those who have one role and no other. VIEWER is absent: no rpc gives out its token yet."""
WELCOME: Final = (ANONYMOUS, NOBODY, "claims", *ROLES)
"""Those whom a public method takes; the others' tokens are bad."""


@dataclass(frozen=True)
class Principal:
    """A caller; `refused` is what every method but health's says to its token, whatever the method's rule. `ended` is
    what those say that its role would open: a guest whose cart is gone.
    """

    name: str
    token: str | None
    roles: frozenset[Role] = frozenset()
    refused: Verdict | None = None
    ended: Verdict = OK

    def judged(self, access: Access, *, vital: bool) -> Verdict:
        """What the contract says of this caller at a method with this rule."""
        if vital:
            return OK
        if self.refused is not None:
            return self.refused
        if access is Open.PUBLIC:
            return OK
        if self.token is None:
            return UNAUTHENTICATED
        if access is Open.AUTHENTICATED:
            return ROLE_REQUIRED if Role.GUEST in self.roles else OK
        assert isinstance(access, frozenset)
        return ROLE_REQUIRED if access.isdisjoint(self.roles) else self.ended


class People:
    """The principals, by name."""

    def __init__(self, principals: Mapping[str, Principal], mint: Mint) -> None:
        self.all = principals
        self.mint = mint

    def __getitem__(self, name: str) -> Principal:
        return self.all[name]

    @classmethod
    async def gather(cls, market: Market) -> People:
        """Let them come."""
        mint = await Mint.open(market)
        # An access token says what it likes of roles; the account has none.
        claiming = await market.person()
        await market.set_roles(claiming)
        named = {
            "BUYER": market.buyer,
            "SELLER": market.shop.owner,
            "COURIER": market.rider.person,
            "ADMIN": market.admin,
            "SERVICE": market.service,
            "GUEST": await market.guest(),
        }
        blocked, revoked = await market.blocked(), await market.signed_out()
        found = [
            Principal(ANONYMOUS, None),
            Principal(NOBODY, (await market.person()).token),
            Principal("claims", mint.token(claiming, roles=[role.value for role in Role])),
            *(Principal(name, person.token, frozenset({Role(name)})) for name, person in named.items()),
            Principal(
                "guest that was", (await market.merged_guest()).token, frozenset({Role.GUEST}), ended=TOKEN_EXPIRED
            ),
            Principal("blocked", blocked.token, refused=ACCOUNT_BLOCKED),
            Principal("signed out", revoked.token, refused=SESSION_REVOKED),
            Principal("expired", mint.expired(market.admin), refused=TOKEN_EXPIRED),
            Principal("forged", mint.forged(market.admin), refused=TOKEN_INVALID),
            Principal("forged guest", GuestTokens(b"another secret").issue(new_id()), refused=TOKEN_INVALID),
            Principal("no token at all", "not.a.token", refused=TOKEN_INVALID),
        ]
        return cls({principal.name: principal for principal in found}, mint)


class Mint:
    """Makes tokens: genuine ones with claims as they please, and counterfeits."""

    def __init__(self, market: Market, kid: str, private: Ed25519PrivateKey) -> None:
        self._settings = market.settings
        self._kid = kid
        self._private = private
        self._stranger = Ed25519PrivateKey.generate()

    @classmethod
    async def open(cls, market: Market) -> Mint:
        """With the server's own key, as a leak of it would give it away."""
        keys = KeyRing(market.settings.derive("signing-keys"))
        await keys.load(market.app.parts.tx)
        return cls(market, *keys.signer)

    def claims(self, person: Person, **changed: Any) -> dict[str, Any]:
        """What a token of the person says; a change to None leaves the claim out."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self._settings.issuer,
            "aud": self._settings.audience,
            "sub": person.user_id,
            "sid": person.session_id,
            "jti": str(new_id()),
            "iat": now,
            "exp": now + 600,
            "roles": ["BUYER"],
        }
        return {name: value for name, value in {**claims, **changed}.items() if value is not None}

    def token(self, person: Person, headers: Mapping[str, Any] | None = None, **changed: Any) -> str:
        """Signed with the server's own key."""
        header = {"typ": "at+jwt", "kid": self._kid, **(headers or {})}
        return jwt.encode(self.claims(person, **changed), self._private, "EdDSA", headers=header)

    def expired(self, person: Person) -> str:
        """Genuine, and over for longer than clocks may differ."""
        over = int(time.time()) - 60
        return self.token(person, iat=over - 600, exp=over)

    def forged(self, person: Person) -> str:
        """All right but for the signature, which is a stranger's."""
        header = {"typ": "at+jwt", "kid": self._kid}
        return jwt.encode(self.claims(person, roles=["ADMIN"]), self._stranger, "EdDSA", headers=header)

    def counterfeits(self, person: Person) -> dict[str, str]:
        """Tokens that must be TOKEN_INVALID, by what is wrong with them."""
        good, now = self.token(person), int(time.time())
        header, body, signature = good.split(".")
        admin = _part({**self.claims(person), "roles": ["ADMIN"]})
        public = self._private.public_key().public_bytes_raw()
        kid = {"typ": "at+jwt", "kid": self._kid}
        return {
            "a stranger's signature": self.forged(person),
            "no signature": f"{header}.{body}.",
            "another body under the signature": f"{header}.{admin}.{signature}",
            "a signature cut short": good[:-8],
            "alg none": f"{_part({'alg': 'none', **kid})}.{body}.",
            "an HMAC with the public key": jwt.encode(
                self.claims(person), base64.urlsafe_b64encode(public).decode(), "HS256", headers=kid
            ),
            "a key that nobody knows": jwt.encode(
                self.claims(person), self._stranger, "EdDSA", headers={"typ": "at+jwt", "kid": "stranger"}
            ),
            "a key that wants to be a file": jwt.encode(
                self.claims(person), self._stranger, "EdDSA", headers={"typ": "at+jwt", "kid": "../../../dev/null"}
            ),
            "another type": self.token(person, {"typ": "JWT"}),
            "a critical header": self.token(person, {"crit": ["exp"]}),
            "another issuer": self.token(person, iss="elsewhere"),
            "another audience": self.token(person, aud="elsewhere"),
            "several audiences": self.token(person, aud=[self._settings.audience, "elsewhere"]),
            "no end": self.token(person, exp=None),
            "a life too long": self.token(person, exp=now + 86_400),
            "from the future": self.token(person, iat=now + 300, exp=now + 600),
            "an end that is no number": self.token(person, exp="soon"),
            "an account that is no id": self.token(person, sub="'; --"),
            "no session": self.token(person, sid=None),
            "a refresh token": person.refresh_token,
            "nothing but dots": "..",
        }


def _part(content: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")
