"""Service accounts on real Postgres: credentials told once, short tokens, and a revoke that every worker knows of."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import jwt
import pytest
from marketd.auth.errors import ClientUnknown, SessionRevoked, TokenExpired, TokenInvalid
from marketd.auth.services.service_accounts import list_service_accounts
from marketd.auth.services.values import ServiceAccount
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import AlreadyExists, NotFound, Refusal
from marketd.kernel.values.ids import new_id

from tests.worlds.sent import Sent

if TYPE_CHECKING:
    from tests.worlds.auth import Builder, House

ADMIN = Caller(new_id(), new_id(), frozenset({Role.ADMIN}), "192.0.2.8")
STRANGER = Caller(None, None, frozenset(), "192.0.2.7")


async def _listed(house: House, before: UUID | None = None) -> list[ServiceAccount]:
    return await house.tx.read(lambda unit: list_service_accounts(unit, before, 10, descending=True))


async def test_a_service_gets_a_short_token_that_every_worker_takes(house: House, builder: Builder) -> None:
    other = await builder.build()
    made = await house.create_service(ADMIN, "router")
    token = await house.services.issue(STRANGER, str(made.account.service_account_id), made.client_secret)
    assert token.expire_time - house.clock.now() <= timedelta(minutes=5)
    body = jwt.decode(token.text, options={"verify_signature": False})
    assert body["roles"] == ["SERVICE"]
    assert body["sub"] == body["client_id"] == str(made.account.service_account_id)
    for worker in (house, other):
        caller = await worker.principals.authenticate(token.text)
        assert (caller.user_id, caller.roles) == (made.account.service_account_id, frozenset({Role.SERVICE}))
    house.clock.advance(timedelta(minutes=5, seconds=31))
    with pytest.raises(TokenExpired):
        await house.principals.authenticate(token.text)
    # An admin who looks for what nobody uses any more sees when each was used last.
    await house.services.issue(STRANGER, str(made.account.service_account_id), made.client_secret)
    assert [each.use_time for each in await _listed(house)] == [house.clock.now()]


async def test_a_revoke_is_known_to_another_worker_within_two_seconds_and_ends_its_streams(
    house: House, builder: Builder
) -> None:
    other = await builder.build()
    made = await house.create_service(ADMIN, "router")
    client = made.account.service_account_id
    token = (await house.services.issue(STRANGER, str(client), made.client_secret)).text
    await other.principals.poll()
    await other.principals.authenticate(token)
    assert other.principals.cached(token) is not None
    told: list[tuple[UUID | None, UUID | None, Refusal]] = []
    ended = asyncio.Event()
    other.principals.on_ended(lambda *what: told.append(what))
    other.principals.on_ended(lambda *_: ended.set())
    poller = asyncio.create_task(other.principals.run())
    async with asyncio.timeout(2):
        revoked = await house.revoke_service(ADMIN, client)
        await ended.wait()
    poller.cancel()
    assert revoked.revoke_time is not None
    # Open calls are filed under the session as well, which for a service is its own id.
    assert [(account, session, type(refusal)) for account, session, refusal in told] == [(None, client, SessionRevoked)]
    for worker in (house, other):
        assert worker.principals.cached(token) is None
        with pytest.raises(SessionRevoked):
            await worker.principals.authenticate(token)
    with pytest.raises(ClientUnknown):
        await house.services.issue(STRANGER, str(client), made.client_secret)


async def test_a_certificate_stands_for_its_service_account_until_that_is_revoked(
    house: House, builder: Builder
) -> None:
    other = await builder.build()
    client = (await house.create_service(ADMIN, "router")).account.service_account_id
    await other.principals.poll()
    caller = await other.principals.authenticate_service(client)
    assert (caller.user_id, caller.roles, caller.expires) == (client, frozenset({Role.SERVICE}), None)
    assert other.principals.cached_service(client) == caller
    ended: list[tuple[UUID | None, UUID | None]] = []
    other.principals.on_ended(lambda account, session, _: ended.append((account, session)))
    await house.revoke_service(ADMIN, client)
    await other.principals.poll()
    assert ended == [(None, client)]
    assert caller.session_id == client
    assert other.principals.cached_service(client) is None
    for unknown in (client, new_id()):
        with pytest.raises(SessionRevoked):
            await other.principals.authenticate_service(unknown)


async def test_a_token_cannot_pass_for_a_certificate(house: House) -> None:
    client = (await house.create_service(ADMIN, "router")).account.service_account_id
    await house.principals.poll()
    await house.principals.authenticate_service(client)
    with pytest.raises(TokenInvalid):
        await house.principals.authenticate("certificate:" + str(new_id()))


async def test_unknown_ids_wrong_secrets_and_revoked_accounts_look_the_same(house: House) -> None:
    made = await house.create_service(ADMIN, "router")
    gone = await house.create_service(ADMIN, "gone")
    await house.revoke_service(ADMIN, gone.account.service_account_id)
    looks = set()
    sent, costs = Sent(house.tx), []
    for client_id, secret in (
        (str(made.account.service_account_id), gone.client_secret),
        (str(gone.account.service_account_id), gone.client_secret),
        (str(new_id()), made.client_secret),
        ("router", made.client_secret),
    ):
        issuing = asyncio.ensure_future(house.services.issue(STRANGER, client_id, secret))
        costs.append(await sent.during(asyncio.wait((issuing,))))
        with pytest.raises(ClientUnknown) as refused:
            await issuing
        looks.add((refused.value.message, tuple(refused.value.metadata)))
    assert len(looks) == 1
    assert costs == [costs[0]] * 4
    listed = {row.name: row for row in await _listed(house)}
    assert listed["router"].use_time is None


async def test_a_name_is_unique_until_its_account_is_revoked_and_revoking_twice_is_once(house: House) -> None:
    first = (await house.create_service(ADMIN, "router")).account.service_account_id
    with pytest.raises(AlreadyExists):
        await house.create_service(ADMIN, "router")
    once = await house.revoke_service(ADMIN, first)
    assert await house.revoke_service(ADMIN, first) == once
    second = (await house.create_service(ADMIN, "router")).account.service_account_id
    assert [row.service_account_id for row in await _listed(house)] == [second, first]
    assert [row.service_account_id for row in await _listed(house, second)] == [first]
    with pytest.raises(NotFound):
        await house.revoke_service(ADMIN, new_id())


async def test_the_secret_is_told_once_and_stored_as_its_hash(house: House) -> None:
    made = await house.create_service(ADMIN, "router")
    stored = await house.tx.read(lambda unit: unit.connection.fetchval("SELECT s::text FROM service_accounts s"))
    assert made.client_secret not in stored
    assert made.client_secret.encode().hex() not in stored
