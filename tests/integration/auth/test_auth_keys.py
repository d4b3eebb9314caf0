"""Signing keys on real Postgres: one for all servers, sealed, and enough for others to verify tokens by themselves."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from google.protobuf.json_format import MessageToDict
from marketd.auth.keys import KeyRing, SigningKeysUnreadable
from marketd.auth.servicer import AuthServicer
from marketd.kernel.caller import Role
from marketd.kernel.transactor import Transactor
from marketplace.auth.v1 import auth_service_pb2

if TYPE_CHECKING:
    from tests.integration.auth.conftest import House

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


async def test_another_process_verifies_a_token_with_nothing_but_the_key_set(house: House) -> None:
    done = await house.register()
    servicer = AuthServicer(signing_in=house.signing_in, keys=house.keys)
    answer = await servicer.GetJsonWebKeySet(auth_service_pb2.GetJsonWebKeySetRequest(), None)  # type: ignore[arg-type]
    jwks = MessageToDict(answer)
    assert set(jwks["keys"][0]) == {"kty", "crv", "x", "kid", "alg", "use"}
    given = json.dumps({"jwks": jwks, "token": done.tokens.access.text})
    ran = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-I", "-c", VERIFIER], input=given, capture_output=True, text=True, check=True
    )
    body = json.loads(ran.stdout)
    assert (body["sub"], body["roles"]) == (str(done.account.account_id), [Role.BUYER])


async def test_a_key_that_another_server_has_made_is_found_when_a_token_names_it(house: House, tx: Transactor) -> None:
    done = await house.register()
    behind = KeyRing(b"s" * 32)
    assert behind.verifier(house.keys.signer[0]) is None
    assert await behind.reload(tx)
    assert behind.verifier(house.keys.signer[0]) is not None
    assert not await behind.reload(tx), "names are free to invent, so they buy one look a second"
    assert done.tokens.access.text
