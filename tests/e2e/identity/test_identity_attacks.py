"""Forged tokens (T17) and brute force (T18) against the real app on a real socket."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from marketd.auth.sessions.keys import KeyRing
from marketd.config import Settings
from marketplace.auth.v1 import auth_service_pb2 as pb
from marketplace.auth.v1 import user_service_pb2

from tests.canaries import MARK
from tests.e2e.identity.statuses import reason_of, retry_seconds, status_of
from tests.worlds.workers import Person, Worker, bearer

Workers = tuple[Worker, Worker]
pytestmark = pytest.mark.asyncio(loop_scope="session")


class Forger:
    """Somebody who has a good token of their own, and (to forge as well as can be) the server's own key."""

    def __init__(self, person: Person, settings: Settings, kid: str, private: Ed25519PrivateKey) -> None:
        self.token = person.tokens.access_token
        self.kid = kid
        self.private = private
        self.public = private.public_key().public_bytes_raw()
        now = int(time.time())
        self.now = now
        self._claims = {
            "iss": settings.issuer,
            "aud": settings.audience,
            "sub": person.user_id,
            "sid": person.tokens.session_id,
            "jti": str(uuid4()),
            "iat": now,
            "exp": now + 600,
            "roles": ["ADMIN"],
        }

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of a good token; a change to None leaves one out."""
        return {name: value for name, value in {**self._claims, **changes}.items() if value is not None}

    def sign(self, claims: dict[str, Any], private: Ed25519PrivateKey | None = None, **header: Any) -> str:
        """A token of these claims."""
        body = f"{_part({'alg': 'EdDSA', 'typ': 'at+jwt', 'kid': self.kid, **header})}.{_part(claims)}"
        return f"{body}.{_b64((private or self.private).sign(body.encode()))}"

    def none(self) -> str:
        """Signed by nobody."""
        return f"{_part({'alg': 'none', 'typ': 'at+jwt', 'kid': self.kid})}.{_part(self.claims())}."

    def hs256(self) -> str:
        """Signed with the public key, taken for a shared secret."""
        body = f"{_part({'alg': 'HS256', 'typ': 'at+jwt', 'kid': self.kid})}.{_part(self.claims())}"
        return f"{body}.{_b64(hmac.digest(self.public, body.encode(), hashlib.sha256))}"

    def tampered(self) -> str:
        """A good token whose payload says ADMIN."""
        header, payload, signature = self.token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return f"{header}.{_part({**claims, 'roles': ['ADMIN']})}.{signature}"


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _part(value: object) -> str:
    return _b64(json.dumps(value).encode())


FORGERIES: dict[str, tuple[Callable[[Forger], str], str]] = {
    "alg none": (lambda f: f.none(), "TOKEN_INVALID"),
    "HS256 with the public key": (lambda f: f.hs256(), "TOKEN_INVALID"),
    "wrong kid": (lambda f: f.sign(f.claims(), kid="another"), "TOKEN_INVALID"),
    "wrong typ": (lambda f: f.sign(f.claims(), typ="JWT"), "TOKEN_INVALID"),
    "missing exp": (lambda f: f.sign(f.claims(exp=None)), "TOKEN_INVALID"),
    "far exp": (lambda f: f.sign(f.claims(exp=f.now + 86_400)), "TOKEN_INVALID"),
    "wrong aud": (lambda f: f.sign(f.claims(aud="elsewhere")), "TOKEN_INVALID"),
    "wrong iss": (lambda f: f.sign(f.claims(iss="elsewhere")), "TOKEN_INVALID"),
    "expired": (lambda f: f.sign(f.claims(iat=f.now - 900, exp=f.now - 60)), "TOKEN_EXPIRED"),
    "future iat": (lambda f: f.sign(f.claims(iat=f.now + 300, exp=f.now + 600)), "TOKEN_INVALID"),
    "tampered payload": (lambda f: f.tampered(), "TOKEN_INVALID"),
    "foreign key": (lambda f: f.sign(f.claims(), Ed25519PrivateKey.generate()), "TOKEN_INVALID"),
}


async def test_the_twelve_forged_tokens_are_refused_and_the_good_one_is_not(
    workers: Workers, shared_settings: Settings
) -> None:
    worker = workers[0]
    person = await worker.register()
    keys = KeyRing(shared_settings.derive("signing-keys"))
    await keys.load(worker.app.parts.tx)
    forger = Forger(person, shared_settings, *keys.signer)
    request = user_service_pb2.GetUserRequest(user_id="me")
    assert len(FORGERIES) == 12
    for name, (forge, reason) in FORGERIES.items():
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await worker.users.GetUser(request, metadata=bearer(forge(forger)))
        assert (name, refused.value.code(), reason_of(refused.value)) == (
            name,
            grpc.StatusCode.UNAUTHENTICATED,
            reason,
        )
    # What the forger starts from is good, and its claim to be an admin is worth nothing.
    good = bearer(forger.sign(forger.claims()))
    assert (await worker.users.GetUser(request, metadata=good)).user.user_id == person.user_id
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await worker.auth.ListServiceAccounts(pb.ListServiceAccountsRequest(), metadata=good)
    assert reason_of(refused.value) == "ROLE_REQUIRED"


async def _guess(worker: Worker, login: str) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await worker.auth.Login(pb.LoginRequest(login=login, password=f"wrong horse battery {MARK}"))
    return refused.value


async def test_brute_force_over_two_workers_is_stopped_after_ten_guesses(workers: Workers) -> None:
    person = await workers[0].register()
    # All 200 at once would be refused for want of room on a busy machine, which guesses nothing.
    gate = asyncio.Semaphore(16)

    async def guess(turn: int) -> grpc.aio.AioRpcError:
        async with gate:
            return await _guess(workers[turn % 2], person.email)

    answers = await asyncio.gather(*(guess(turn) for turn in range(200)))
    # Every INVALID_CREDENTIALS is one hash, and every other answer none.
    reasons = Counter(reason_of(answer) for answer in answers)
    assert set(reasons) == {"INVALID_CREDENTIALS", "RATE_LIMITED"}
    assert reasons["INVALID_CREDENTIALS"] <= 20
    limited = [answer for answer in answers if reason_of(answer) == "RATE_LIMITED"]
    assert {answer.code() for answer in limited} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert all(retry_seconds(answer) >= 1.0 for answer in limited)


async def test_a_known_name_and_an_unknown_one_get_the_same_bytes(workers: Workers) -> None:
    worker = workers[0]
    known = (await worker.register()).email

    async def seen(login: str) -> list[tuple[grpc.StatusCode, str | None, bytes]]:
        answers = [await _guess(worker, login) for _ in range(10)]
        found = [(answer.code(), answer.details(), status_of(answer).SerializeToString()) for answer in answers]
        limited = await _guess(worker, login)
        return [*found, (limited.code(), limited.details(), reason_of(limited).encode())]

    # The unknown one is as long as the known one, since a status may not even tell that.
    of_known, of_unknown = await asyncio.gather(seen(known), seen(f"{uuid4().hex[:16]}@shop.example"))
    assert of_known == of_unknown
    for email in (known, "nobody@shop.example"):
        answer = await worker.auth.RequestPasswordReset(pb.RequestPasswordResetRequest(email=email))
        assert answer.SerializeToString() == b""
