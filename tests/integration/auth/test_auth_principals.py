"""Principals on real Postgres: two workers, and what one must know of the other's changes within 2 s."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import pytest
from marketd.auth import service
from marketd.auth.accounts import block
from marketd.auth.accounts import repository as accounts
from marketd.auth.errors import AccountBlocked, RolesChanged, SessionRevoked, TokenExpired, TokenInvalid
from marketd.auth.sessions import access_changes, keys
from marketd.auth.sessions import session as sessions
from marketd.auth.sessions.access_tokens import AccessTokens
from marketd.auth.sessions.keys import KeyRing
from marketd.auth.sessions.model import ChangeKind
from marketd.auth.sessions.principals import Principals
from marketd.auth.sessions.sign_in import SignedIn
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import DatabaseUnavailable, Refusal
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.events.broadcast import LocalBroadcast, PostgresBroadcast
from marketd.kernel.values.clock import Clock
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.wires import Wire

if TYPE_CHECKING:
    from tests.worlds.auth import Builder, House


T = TypeVar("T")

SHORT_SECONDS = 0.2


async def _signed_in(house: House, *others: House) -> tuple[UUID, str, Caller]:
    """An account, its token, and its caller; every given worker holds the token in memory."""
    done = await house.register()
    token = done.tokens.access.text
    for one in (house, *others):
        await one.principals.poll()
        await one.principals.authenticate(token)
        assert one.principals.cached(token) is not None
    return done.account.user_id, token, await house.principals.authenticate(token)


def _told(principals: Principals) -> list[tuple[UUID | None, UUID | None, type[Refusal]]]:
    told: list[tuple[UUID | None, UUID | None, type[Refusal]]] = []
    principals.on_ended(lambda account, session, refusal: told.append((account, session, type(refusal))))
    return told


async def test_a_verified_token_is_answered_from_memory(house: House) -> None:
    user_id, token, caller = await _signed_in(house)
    assert house.principals.cached(token) == caller
    assert (caller.user_id, caller.roles) == (user_id, frozenset({Role.BUYER}))
    assert house.principals.cached("another") is None


async def test_a_logout_is_known_to_another_worker_within_two_seconds_without_any_broadcast(
    house: House, builder: Builder
) -> None:
    other = await builder.build()
    _, token, caller = await _signed_in(house, other)
    ended = asyncio.Event()
    told = _told(other.principals)
    other.principals.on_ended(lambda *_: ended.set())
    poller = asyncio.create_task(other.principals.run())
    async with asyncio.timeout(2):
        await house.signing_in.logout(caller)
        assert house.principals.cached(token) is None
        await ended.wait()
    poller.cancel()
    assert told == [(None, caller.session_id, SessionRevoked)]
    assert other.principals.cached(token) is None
    with pytest.raises(SessionRevoked):
        await other.principals.authenticate(token)
    with pytest.raises(SessionRevoked):
        await house.signing_in.logout(caller)


async def test_a_broadcast_brings_the_change_before_any_poll_and_the_poll_does_not_bring_it_twice(
    house: House, builder: Builder, database_url: str
) -> None:
    one, two = PostgresBroadcast(database_url), PostgresBroadcast(database_url)
    worker, other = await builder.build(broadcast=one), await builder.build(broadcast=two)
    async with asyncio.TaskGroup() as group:
        listeners = [group.create_task(one.run()), group.create_task(two.run())]
        await asyncio.gather(one.connected.wait(), two.connected.wait())
        user_id, token, _ = await _signed_in(worker, other)
        told = _told(other.principals)
        ended = asyncio.Event()
        other.principals.on_ended(lambda *_: ended.set())
        await worker.tx.run("test.block", lambda uow: block.block_account(uow, user_id))
        async with asyncio.timeout(2):
            await ended.wait()
        for listener in listeners:
            listener.cancel()
    await other.principals.poll()
    await other.principals.poll()
    assert told[0] == (user_id, None, AccountBlocked)
    assert len(told) == len(set(told)) == 2
    with pytest.raises(AccountBlocked):
        await other.principals.authenticate(token)


async def test_roles_are_the_accounts_not_the_tokens(house: House, builder: Builder) -> None:
    other = await builder.build()
    user_id, token, _ = await _signed_in(house, other)
    told = _told(other.principals)
    await house.tx.run("test.grant", lambda uow: service.grant_role(uow, user_id, Role.SELLER))
    await other.principals.poll()
    assert (await other.principals.authenticate(token)).roles == {Role.BUYER, Role.SELLER}
    assert told == []
    await house.tx.run("test.revoke", lambda uow: service.revoke_role(uow, user_id, Role.SELLER))
    await other.principals.poll()
    assert (await other.principals.authenticate(token)).roles == {Role.BUYER}
    assert told == [(user_id, None, RolesChanged)]


async def test_a_change_that_commits_after_a_later_one_is_not_lost(house: House, builder: Builder) -> None:
    other = await builder.build()
    slow_account, slow_token, _ = await _signed_in(house, other)
    quick_account, quick_token, _ = await _signed_in(house, other)
    written, go_on = asyncio.Event(), asyncio.Event()

    async def slow(uow: UnitOfWork) -> None:
        await access_changes.record(uow, ChangeKind.ROLE_GRANTED, slow_account)
        written.set()
        await go_on.wait()

    slow_one = asyncio.create_task(house.tx.run("test.slow", slow))
    await written.wait()
    await house.tx.run("test.quick", lambda uow: access_changes.record(uow, ChangeKind.ROLE_GRANTED, quick_account))
    await other.principals.poll()
    assert other.principals.cached(quick_token) is None
    assert other.principals.cached(slow_token) is not None
    go_on.set()
    await slow_one
    await other.principals.poll()
    assert other.principals.cached(slow_token) is None


class Slow(Transactor):
    """A transactor whose first read has its result but has not handed it over yet, until a test lets it."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        super().__init__(engine, clock)
        self.has_read, self.go_on = asyncio.Event(), asyncio.Event()
        self.reads = 0

    async def read(self, work: Callable[[ReadUnit], Awaitable[T]]) -> T:
        result = await super().read(work)
        self.reads += 1
        self.has_read.set()
        await self.go_on.wait()
        return result


@pytest.fixture
async def slow_engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url, pool_size=2)
    yield engine
    await engine.dispose()


async def being_read(house: House, engine: AsyncEngine) -> tuple[Slow, SignedIn, asyncio.Task[Caller]]:
    """A token whose account is just being read: it was, and nobody has heard of it yet."""
    slow = Slow(engine, house.clock)
    principals = Principals(slow, house.access, house.keys, house.broadcast, house.clock, watch=house.tx)
    done = await house.register()
    await principals.poll()
    reading = asyncio.create_task(principals.authenticate(done.tokens.access.text))
    await slow.has_read.wait()
    return slow, done, reading


async def test_a_change_told_while_the_account_is_read_makes_the_worker_read_again(
    house: House, slow_engine: AsyncEngine
) -> None:
    slow, done, reading = await being_read(house, slow_engine)
    await house.tx.run("test.block", lambda uow: block.block_account(uow, done.account.user_id))
    slow.go_on.set()
    with pytest.raises(AccountBlocked):
        await reading
    assert slow.reads == 2


async def test_a_token_whose_key_is_retired_while_its_account_is_read_is_refused(
    house: House, slow_engine: AsyncEngine
) -> None:
    slow, _, reading = await being_read(house, slow_engine)
    await house.tx.run("test.rotate", lambda uow: keys.rotate(uow, KeyRing(house.secret("signing-keys")), at_once=True))
    await house.keys.load(house.tx)
    slow.go_on.set()
    with pytest.raises(TokenInvalid):
        await reading


async def test_memory_counts_until_it_is_too_old_and_no_longer(house: House) -> None:
    short = Principals(house.tx, house.access, house.keys, LocalBroadcast(), house.clock, fresh_seconds=SHORT_SECONDS)
    user_id, token, _ = await _signed_in(house)
    await short.authenticate(token)
    assert short.cached(token) is None, "a worker that has never polled knows nothing"
    await short.poll()
    assert short.cached(token) is not None
    # Straight into the table: no change is recorded, so only a fresh read can know.
    await house.tx.run("test.role", lambda uow: accounts.add_role(uow.connection, user_id, Role.ADMIN, uow.now))
    await asyncio.sleep(SHORT_SECONDS)
    assert short.cached(token) is None
    assert Role.ADMIN in (await short.authenticate(token)).roles


@pytest.mark.parametrize(("seconds", "is_known"), [(1.9, True), (2.1, False)])
async def test_memory_is_two_seconds_old_at_most_unless_told_otherwise(
    house: House, monkeypatch: pytest.MonkeyPatch, seconds: float, is_known: bool
) -> None:
    usual = Principals(house.tx, house.access, house.keys, LocalBroadcast(), house.clock)
    _, token, _ = await _signed_in(house)
    now = time.monotonic()
    monkeypatch.setattr("marketd.auth.sessions.principals.time", SimpleNamespace(monotonic=lambda: now))
    await usual.poll()
    await usual.authenticate(token)
    monkeypatch.setattr("marketd.auth.sessions.principals.time", SimpleNamespace(monotonic=lambda: now + seconds))
    assert (usual.cached(token) is not None) == is_known


async def test_without_a_database_nobody_is_let_in_on_old_knowledge(house: House, database_url: str) -> None:
    async with Wire(database_url) as wire:
        engine = create_engine(wire.url, pool_size=2)
        cut_off = Principals(
            Transactor(engine, house.clock), house.access, house.keys, LocalBroadcast(), house.clock, fresh_seconds=0
        )
        _, token, caller = await _signed_in(house)
        assert await cut_off.authenticate(token) == caller
        await wire.cut()
        with pytest.raises(DatabaseUnavailable):
            await cut_off.authenticate(token)
        with pytest.raises(DatabaseUnavailable):
            await cut_off.poll()
        await engine.dispose()
    assert house.principals.cached(token) == caller


async def test_an_expired_token_is_refused_although_it_is_in_memory(house: House) -> None:
    _, token, _ = await _signed_in(house)
    house.clock.advance(timedelta(minutes=15, seconds=30))
    assert house.principals.cached(token) is None
    with pytest.raises(TokenExpired):
        await house.principals.authenticate(token)


async def test_a_token_of_another_marketplace_is_refused(house: House, builder: Builder) -> None:
    done = await house.register()
    grant = done.tokens.grant
    elsewhere = AccessTokens(
        house.keys,
        issuer="elsewhere",
        audience="marketd",
        lifetime=timedelta(minutes=15),
        leeway=timedelta(seconds=30),
    )
    forged = elsewhere.issue(grant.user_id, grant.session_id, {Role.ADMIN}, house.clock.now(), grant.expire_time)
    with pytest.raises(TokenInvalid):
        await house.principals.authenticate(forged.text)


async def test_the_memory_is_bounded_and_keeps_what_is_used(builder: Builder) -> None:
    worker = await builder.build(capacity=2)
    await worker.principals.poll()
    tokens = [(await worker.register()).tokens.access.text for _ in range(3)]
    await worker.principals.authenticate(tokens[0])
    await worker.principals.authenticate(tokens[1])
    assert worker.principals.cached(tokens[0]) is not None
    await worker.principals.authenticate(tokens[2])
    assert [worker.principals.cached(token) is not None for token in tokens] == [True, False, True]


async def test_a_hint_that_nobody_can_read_is_left_to_the_poller(house: House) -> None:
    house.broadcast.publish("access", b"not json")
    house.broadcast.publish("access", b'[1, "x", "", "ROLE_GRANTED"]')
    assert (await _signed_in(house))[1]


async def test_who_goes_on_with_an_ended_session_costs_one_read_and_not_one_each_time(
    house: House, database_url: str
) -> None:
    done = await house.register()
    engine = create_engine(database_url)
    tx = Slow(engine, house.clock)
    tx.go_on.set()
    principals = Principals(tx, house.access, house.keys, LocalBroadcast(), house.clock)
    session_id = done.tokens.grant.session_id
    await house.tx.run("test.logout", lambda uow: sessions.end_session(uow, session_id))
    for _ in range(5):
        with pytest.raises(SessionRevoked):
            await principals.authenticate(done.tokens.access.text)
    assert tx.reads == 1
    await engine.dispose()
