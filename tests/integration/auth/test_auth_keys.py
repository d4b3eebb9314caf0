"""Signing keys on real Postgres: one for all servers, sealed, and enough for others to verify tokens by themselves."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import jwt
import pytest
from google.protobuf.json_format import MessageToDict
from marketd.auth import sweeps
from marketd.auth.errors import TokenInvalid
from marketd.auth.sessions.keys import KeyRing, SigningKeysUnreadable, rotate
from marketd.auth.sessions.repository import signing_keys
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketplace.auth.v1 import auth_service_pb2
from structlog.testing import capture_logs

if TYPE_CHECKING:
    from tests.worlds.auth import Builder, House

# What another service would write: PyJWT and the key set, nothing of ours.
VERIFIER = """
import json, sys, jwt
given = json.load(sys.stdin)
keys = jwt.PyJWKSet.from_dict(given["jwks"])
kid = jwt.get_unverified_header(given["token"])["kid"]
body = jwt.decode(given["token"], keys[kid].key, algorithms=["EdDSA"], audience="marketd", issuer="marketd")
print(json.dumps(body))
"""


async def test_servers_that_start_together_share_one_key(tx: Transactor) -> None:
    rings = [KeyRing(b"s" * 32) for _ in range(5)]
    await asyncio.gather(*(ring.load(tx) for ring in rings))
    assert len({ring.signer[0] for ring in rings}) == 1
    assert all(len(ring.public_keys()) == 1 for ring in rings)


async def test_the_private_key_is_sealed_by_the_secret(tx: Transactor) -> None:
    ring = KeyRing(b"s" * 32)
    await ring.load(tx)
    stored = await tx.read(lambda unit: unit.connection.fetchval("SELECT sealed_private_key FROM signing_keys"))
    assert ring.signer[1].private_bytes_raw() not in stored
    with pytest.raises(SigningKeysUnreadable):
        await KeyRing(b"t" * 32).load(tx)


async def test_a_rotation_under_another_secret_is_refused_before_anything_is_written(
    house: House, tx: Transactor
) -> None:
    async def keys() -> list[tuple[object, ...]]:
        rows = await tx.read(lambda unit: unit.connection.fetch("SELECT * FROM signing_keys ORDER BY kid"))
        return [tuple(row.values()) for row in rows]

    before = await keys()
    for at_once in (False, True):
        with pytest.raises(SigningKeysUnreadable, match="another MARKETD_SECRET"):
            await _rotate(house, b"t" * 32, at_once=at_once)
    assert await keys() == before


async def test_a_ring_that_cannot_open_the_key_that_signs_goes_on_with_what_it_knew(
    house: House, tx: Transactor
) -> None:
    signed_in = await house.register("jo")
    kid = house.keys.signer[0]
    foreign = KeyRing(b"t" * 32).make(house.clock.now())
    with pytest.raises(SigningKeysUnreadable):
        house.keys.adopt([foreign], house.clock.now())
    assert (house.keys.signer[0], [key.kid for key in house.keys.public_keys()]) == (kid, [kid])

    # The same in the table, past the command: neither the poller nor a caller who names the key stumbles over it.
    async def replace(uow: UnitOfWork) -> None:
        await uow.connection.execute("DELETE FROM signing_keys")
        await signing_keys.insert(uow.connection, foreign)

    await tx.run("test.replace", replace)
    with capture_logs() as lines:
        await _look_again(house)
    assert [line["event"] for line in lines] == ["signing_keys_unreadable"]
    await house.principals.authenticate(signed_in.tokens.access.text)
    await house.principals.authenticate((await house.login("jo")).tokens.access.text)


async def test_another_process_verifies_a_token_with_nothing_but_the_key_set(house: House) -> None:
    done = await house.register()
    answer = await house.servicer.GetJsonWebKeySet(auth_service_pb2.GetJsonWebKeySetRequest(), None)  # type: ignore[arg-type]
    jwks = MessageToDict(answer)
    assert set(jwks["keys"][0]) == {"kty", "crv", "x", "kid", "alg", "use"}
    given = json.dumps({"jwks": jwks, "token": done.tokens.access.text})
    ran = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-I", "-c", VERIFIER], input=given, capture_output=True, text=True, check=True
    )
    body = json.loads(ran.stdout)
    assert (body["sub"], body["roles"]) == (str(done.account.user_id), [Role.BUYER])


async def test_a_key_that_another_server_has_made_is_found_when_a_token_names_it(house: House, tx: Transactor) -> None:
    done = await house.register()
    behind = KeyRing(house.secret("signing-keys"))
    assert behind.verifier(house.keys.signer[0]) is None
    assert await behind.reload(tx)
    assert behind.verifier(house.keys.signer[0]) is not None
    assert not await behind.reload(tx), "names are free to invent, so they buy one look a second"
    assert done.tokens.access.text


async def _rotate(house: House, secret: bytes | None = None, *, at_once: bool = False) -> str:
    made = await house.tx.run(
        "test.rotate", lambda uow: rotate(uow, KeyRing(secret or house.secret("signing-keys")), at_once=at_once)
    )
    return made.kid


async def _look_again(house: House) -> None:
    """As the poller does; a ring looks at most once a second."""
    house.keys._loaded = 0.0
    await house.principals._reload_keys(house.tx)


async def test_a_rotation_signs_nobody_out_and_the_old_key_verifies_until_its_tokens_are_over(
    house: House, builder: Builder
) -> None:
    other = await builder.build()
    old = house.keys.signer[0]
    before = (await house.register("jo")).tokens.access.text
    kid = await _rotate(house)
    await _look_again(house)
    # Others may not know the new key yet: it is shown, and not signed with.
    assert [key.kid for key in house.keys.public_keys()] == [old, kid]
    meanwhile = (await house.login("jo")).tokens.access.text
    await other.principals.authenticate(meanwhile)
    house.clock.advance(timedelta(minutes=1))
    for worker in (house, other):
        await _look_again(worker)
    assert [key.kid for key in house.keys.public_keys()] == [kid, old]
    after = (await house.login("jo")).tokens.access.text
    assert jwt.get_unverified_header(after)["kid"] == kid
    for token in (before, meanwhile, after):
        await other.principals.authenticate(token)
    house.clock.advance(timedelta(minutes=20))
    await _look_again(house)
    assert [key.kid for key in house.keys.public_keys()] == [kid]
    assert await house.tx.run("test.sweep", sweeps.sweep) == 0
    kept = await house.tx.read(
        lambda unit: unit.connection.fetch("SELECT kid, state, length(sealed_private_key) AS size FROM signing_keys")
    )
    assert {(row["kid"], row["state"], row["size"] > 0) for row in kept} == {
        (kid, "SIGNING", True),
        (old, "RETIRED", False),
    }


async def test_tokens_of_a_key_that_got_out_are_worthless_at_once_and_refreshing_gives_new_ones(house: House) -> None:
    pair = (await house.register("jo")).tokens
    await house.principals.poll()
    await house.principals.authenticate(pair.access.text)
    assert house.principals.cached(pair.access.text) is not None
    kid = await _rotate(house, at_once=True)
    await _look_again(house)
    assert [key.kid for key in house.keys.public_keys()] == [kid]
    assert house.principals.cached(pair.access.text) is None
    with pytest.raises(TokenInvalid):
        await house.principals.authenticate(pair.access.text)
    again = await house.signing_in.refresh(pair.grant.refresh.text)
    assert jwt.get_unverified_header(again.access.text)["kid"] == kid
    await house.principals.authenticate(again.access.text)


def _told(house: House) -> list[tuple[UUID | None, UUID | None, type[Refusal]]]:
    told: list[tuple[UUID | None, UUID | None, type[Refusal]]] = []
    house.principals.on_ended(lambda account, session, refusal: told.append((account, session, type(refusal))))
    return told


async def test_streams_opened_with_tokens_of_a_key_that_got_out_are_told_to_end(house: House) -> None:
    told = _told(house)
    callers = [await house.caller(await house.register()) for _ in range(2)]
    await _rotate(house)
    await _look_again(house)
    assert told == [], "a rotation in good order ends nobody's stream"
    await _rotate(house, at_once=True)
    await _look_again(house)
    assert set(told) == {(None, caller.session_id, TokenInvalid) for caller in callers}
    assert len(told) == 2


async def test_a_newer_token_of_a_session_opens_streams_that_the_retired_key_does_not_end(
    house: House, builder: Builder
) -> None:
    pair = (await house.register("jo")).tokens
    await house.principals.authenticate(pair.access.text)
    other = await builder.build()
    await _rotate(other, at_once=True)
    await _look_again(other)
    again = await other.signing_in.refresh(pair.grant.refresh.text)
    told = _told(house)
    house.keys._loaded = 0.0
    # This worker learns of the rotation from the new token itself: first the old streams end, then it is let in.
    await house.principals.authenticate(again.access.text)
    assert told == [(None, pair.grant.session_id, TokenInvalid)]
    await _look_again(house)
    assert len(told) == 1


async def test_a_key_that_retires_in_its_time_ends_no_stream_of_a_session_that_went_on(house: House) -> None:
    pair = (await house.register("jo")).tokens
    await house.principals.authenticate(pair.access.text)
    await _rotate(house)
    house.clock.advance(timedelta(minutes=19))
    await _look_again(house)
    again = await house.signing_in.refresh(pair.grant.refresh.text)
    await house.principals.authenticate(again.access.text)
    told = _told(house)
    house.clock.advance(timedelta(minutes=2))
    await _look_again(house)
    assert told == []


async def test_services_known_by_certificate_lose_no_stream_by_any_rotation(house: House) -> None:
    made = await house.create_service(Caller(new_id(), None, frozenset({Role.ADMIN})), "orders")
    told = _told(house)
    await house.principals.poll()
    await house.principals.authenticate_service(made.account.service_account_id)
    await _rotate(house, at_once=True)
    await _look_again(house)
    assert told == []
    assert house.principals.cached_service(made.account.service_account_id) is not None


async def test_rotations_at_once_leave_one_key_that_signs(house: House) -> None:
    await asyncio.gather(*(_rotate(house) for _ in range(5)))
    signing = await house.tx.read(
        lambda unit: unit.connection.fetchval("SELECT count(*) FROM signing_keys WHERE state = 'SIGNING'")
    )
    assert signing == 1
