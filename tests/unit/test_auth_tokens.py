"""Access tokens and refresh tokens as values: ours are read, forged ones are not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from marketd.auth.errors import TokenExpired, TokenInvalid
from marketd.auth.sessions.access_tokens import AccessTokens, Claims, UnknownKey
from marketd.auth.sessions.keys import KeyRing
from marketd.auth.sessions.refresh_tokens import RefreshTokens
from marketd.kernel.call.caller import Role

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
ISSUED = int(NOW.timestamp())


class Mint:
    """A ring with one key, the tokens on it, and the parts to forge with."""

    def __init__(self) -> None:
        self.keys = KeyRing(b"k" * 32)
        self.keys.adopt([self.keys.make(NOW)], NOW)
        self.kid, self.private = self.keys.signer
        self.public = self.private.public_key().public_bytes_raw()
        self.tokens = AccessTokens(
            self.keys,
            issuer="marketd",
            audience="marketd",
            lifetime=timedelta(minutes=15),
            leeway=timedelta(seconds=30),
        )

    def claims(self, **changes: Any) -> dict[str, Any]:
        whole = {
            "iss": "marketd",
            "aud": "marketd",
            "sub": str(uuid4()),
            "sid": str(uuid4()),
            "jti": str(uuid4()),
            "iat": ISSUED,
            "exp": ISSUED + 900,
            "roles": ["ADMIN"],
        }
        whole.update(changes)
        return {name: value for name, value in whole.items() if value is not None}

    def header(self, **changes: Any) -> dict[str, Any]:
        whole = {"alg": "EdDSA", "typ": "at+jwt", "kid": self.kid, **changes}
        return {name: value for name, value in whole.items() if value is not None}

    def sign(self, header: dict[str, Any], claims: dict[str, Any], private: Ed25519PrivateKey | None = None) -> str:
        body = f"{_part(header)}.{_part(claims)}"
        return f"{body}.{_b64((private or self.private).sign(body.encode()))}"


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _part(value: object) -> str:
    return _b64(json.dumps(value).encode())


def _hs256(mint: Mint) -> str:
    body = f"{_part(mint.header(alg='HS256'))}.{_part(mint.claims())}"
    return f"{body}.{_b64(hmac.digest(mint.public, body.encode(), 'sha256'))}"


def _tampered(mint: Mint) -> str:
    head, _, signature = mint.sign(mint.header(), mint.claims()).split(".")
    return f"{head}.{_part(mint.claims())}.{signature}"


FORGERIES: dict[str, Callable[[Mint], str]] = {
    "alg none": lambda m: f"{_part(m.header(alg='none'))}.{_part(m.claims())}.",
    "alg none, signed all the same": lambda m: m.sign(m.header(alg="none"), m.claims()),
    "HS256 with the public key": _hs256,
    "wrong kid": lambda m: m.sign(m.header(kid="another"), m.claims()),
    "no kid": lambda m: m.sign(m.header(kid=None), m.claims()),
    "wrong typ": lambda m: m.sign(m.header(typ="JWT"), m.claims()),
    "missing exp": lambda m: m.sign(m.header(), m.claims(exp=None)),
    "missing sid": lambda m: m.sign(m.header(), m.claims(sid=None)),
    "far exp": lambda m: m.sign(m.header(), m.claims(exp=ISSUED + 901)),
    "exp as text": lambda m: m.sign(m.header(), m.claims(exp=str(ISSUED + 900))),
    "exp without end": lambda m: m.sign(m.header(), m.claims(exp=float("inf"))),
    "wrong aud": lambda m: m.sign(m.header(), m.claims(aud="elsewhere")),
    "aud among others": lambda m: m.sign(m.header(), m.claims(aud=["elsewhere", "marketd"])),
    "wrong iss": lambda m: m.sign(m.header(), m.claims(iss="elsewhere")),
    "future iat": lambda m: m.sign(m.header(), m.claims(iat=ISSUED + 31, exp=ISSUED + 900)),
    "sub that is no id": lambda m: m.sign(m.header(), m.claims(sub="admin")),
    "critical extension": lambda m: m.sign(m.header(crit=["b64"], b64=True), m.claims()),
    "tampered payload": _tampered,
    "foreign key": lambda m: m.sign(m.header(), m.claims(), Ed25519PrivateKey.generate()),
    "foreign key in the header": lambda m: m.sign(
        m.header(jwk={"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}), m.claims(), Ed25519PrivateKey.generate()
    ),
    "two parts": lambda m: m.sign(m.header(), m.claims()).rpartition(".")[0],
    "no ASCII": lambda m: "é.ü.ö",
    "empty": lambda m: "",
}


@pytest.fixture(scope="module")
def mint() -> Mint:
    return Mint()


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_token_is_refused(mint: Mint, name: str) -> None:
    token = FORGERIES[name](mint)
    if name == "wrong kid":
        # The ring may be behind: whoever asked looks at the keys again and then refuses (principals.py).
        assert mint.tokens.read(token, NOW) == UnknownKey("another")
        return
    with pytest.raises(TokenInvalid):
        mint.tokens.read(token, NOW)


def test_what_the_forger_starts_from_is_a_good_token(mint: Mint) -> None:
    assert isinstance(mint.tokens.read(mint.sign(mint.header(), mint.claims()), NOW), Claims)


def test_an_expired_token_says_so_only_when_it_was_ours(mint: Mint) -> None:
    later = NOW + timedelta(minutes=15, seconds=31)
    with pytest.raises(TokenExpired):
        mint.tokens.read(mint.sign(mint.header(), mint.claims()), later)
    with pytest.raises(TokenInvalid):
        mint.tokens.read(mint.sign(mint.header(), mint.claims(), Ed25519PrivateKey.generate()), later)


@pytest.mark.parametrize(("skew", "good"), [(-30, True), (-31, False), (929, True), (931, False)])
def test_clocks_may_differ_by_thirty_seconds_and_no_more(mint: Mint, skew: int, good: bool) -> None:
    token = mint.sign(mint.header(), mint.claims())
    clock = NOW + timedelta(seconds=skew)
    if good:
        assert isinstance(mint.tokens.read(token, clock), Claims)
    else:
        with pytest.raises((TokenInvalid, TokenExpired)):
            mint.tokens.read(token, clock)


def test_an_issued_token_carries_what_the_contract_names(mint: Mint) -> None:
    user_id, session_id = uuid4(), uuid4()
    issued = mint.tokens.issue(user_id, session_id, {Role.SELLER, Role.BUYER}, NOW, NOW + timedelta(days=30))
    assert jwt.get_unverified_header(issued.text) == {"alg": "EdDSA", "typ": "at+jwt", "kid": mint.kid}
    body = jwt.decode(issued.text, options={"verify_signature": False})
    assert set(body) == {"iss", "aud", "sub", "sid", "jti", "iat", "exp", "roles"}
    assert body["roles"] == ["BUYER", "SELLER"]
    assert body["exp"] - body["iat"] == 900
    assert mint.tokens.read(issued.text, NOW) == Claims(user_id, session_id, float(body["exp"]))


def test_an_access_token_never_outlives_its_session(mint: Mint) -> None:
    end = NOW + timedelta(minutes=2)
    assert mint.tokens.issue(uuid4(), uuid4(), set(), NOW, end).expire_time == end


def test_a_refresh_token_has_one_successor_and_one_spelling() -> None:
    tokens = RefreshTokens(b"secret")
    first = tokens.first(uuid4())
    assert tokens.read(first.text) == first
    assert tokens.successor(first) == tokens.successor(tokens.read(first.text))
    assert tokens.successor(first).session_id == first.session_id
    assert tokens.successor(first).text != RefreshTokens(b"another").successor(first).text
    assert first.hash == hashlib.sha256(first.text.encode()).digest()
    assert first.text not in repr(first)


@pytest.mark.parametrize("forge", ["flip", "cut", "pad", "session", "garbage", "not ASCII", "empty"])
def test_a_refresh_token_that_we_did_not_make_is_told_apart_without_a_look_at_the_database(forge: str) -> None:
    tokens = RefreshTokens(b"secret")
    text = tokens.first(uuid4()).text
    raw = base64.urlsafe_b64decode(text + "==")
    forged = {
        "flip": text[:30] + ("A" if text[30] != "A" else "B") + text[31:],
        "cut": text[:-4],
        "pad": text + "==",
        "session": _b64(uuid4().bytes + raw[16:]),
        "garbage": "!" * 86,
        "not ASCII": "é" * 86,
        "empty": "",
    }[forge]
    with pytest.raises(TokenInvalid):
        tokens.read(forged)
