"""Refresh tokens on real Postgres: one rotation however many ask, the grace, and the end of a stolen family."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from marketd.auth import service
from marketd.auth.accounts import block
from marketd.auth.errors import (
    AccountBlocked,
    RefreshTokenReused,
    SessionRevoked,
    TokenExpired,
    TokenInvalid,
)
from marketd.auth.sessions import session as sessions
from marketd.auth.sessions.values import MAX_GENERATIONS
from marketd.kernel.call.caller import Role
from marketd.kernel.db.uow import ReadUnit

from tests.worlds.sent import Sent

if TYPE_CHECKING:
    from tests.worlds.auth import Builder, House


async def test_fifty_refreshes_of_one_token_rotate_once_and_all_get_the_same_successor(
    house: House, builder: Builder
) -> None:
    other = await builder.build()
    token = (await house.register()).tokens.grant.refresh.text
    pairs = await asyncio.gather(*((house if turn % 2 else other).signing_in.refresh(token) for turn in range(50)))
    successors = {pair.grant.refresh.text for pair in pairs}
    assert len(successors) == 1
    again = await house.signing_in.refresh(successors.pop())
    assert (await house.principals.authenticate(again.access.text)).session_id == pairs[0].grant.session_id


async def test_a_repeat_within_the_grace_gets_the_same_successor_and_later_the_family_dies(house: House) -> None:
    token = (await house.register()).tokens.grant.refresh.text
    first = await house.signing_in.refresh(token)
    house.clock.advance(timedelta(seconds=10))
    assert (await house.signing_in.refresh(token)).grant.refresh == first.grant.refresh
    house.clock.advance(timedelta(seconds=1))
    with pytest.raises(RefreshTokenReused):
        await house.signing_in.refresh(token)
    with pytest.raises(SessionRevoked):
        await house.signing_in.refresh(first.grant.refresh.text)
    with pytest.raises(SessionRevoked):
        await house.principals.authenticate(first.access.text)


async def test_every_token_has_its_own_grace_however_many_were_spent_since(house: House) -> None:
    chain = [(await house.register()).tokens.grant.refresh]
    for _ in range(4):
        chain.append((await house.signing_in.refresh(chain[-1].text)).grant.refresh)
        house.clock.advance(timedelta(seconds=3))
    # Spent 12, 9, 6 and 3 seconds ago.
    for spent, successor in list(pairwise(chain))[1:]:
        again = await house.signing_in.refresh(spent.text)
        assert again.grant.refresh == successor
        assert (await house.principals.authenticate(again.access.text)).session_id == successor.session_id
    newest = await house.signing_in.refresh(chain[-1].text)
    with pytest.raises(RefreshTokenReused):
        await house.signing_in.refresh(chain[0].text)
    with pytest.raises(SessionRevoked):
        await house.signing_in.refresh(newest.grant.refresh.text)


async def test_a_spent_token_that_is_given_out_again_gets_no_longer_grace_by_it(house: House) -> None:
    first = (await house.register()).tokens.grant.refresh
    second = (await house.signing_in.refresh(first.text)).grant.refresh
    await house.signing_in.refresh(second.text)
    house.clock.advance(timedelta(seconds=10))
    assert (await house.signing_in.refresh(first.text)).grant.refresh == second
    house.clock.advance(timedelta(milliseconds=1))
    with pytest.raises(RefreshTokenReused):
        await house.signing_in.refresh(second.text)


async def test_an_earlier_token_is_reuse_also_when_the_latest_was_spent_within_the_grace(house: House) -> None:
    first = (await house.register()).tokens.grant.refresh
    second = (await house.signing_in.refresh(first.text)).grant.refresh
    house.clock.advance(timedelta(seconds=11))
    await house.signing_in.refresh(second.text)
    with pytest.raises(RefreshTokenReused):
        await house.signing_in.refresh(first.text)


async def test_a_session_remembers_a_bounded_number_of_spent_tokens_and_none_from_before_the_grace(
    house: House,
) -> None:
    async def remembered() -> int:
        counted = await house.tx.read(
            lambda unit: unit.connection.fetchval("SELECT cardinality(spend_times) FROM sessions")
        )
        return int(counted)

    chain = [(await house.register()).tokens.grant.refresh]
    for _ in range(MAX_GENERATIONS + 3):
        chain.append((await house.signing_in.refresh(chain[-1].text)).grant.refresh)
    assert await remembered() == MAX_GENERATIONS
    assert (await house.signing_in.refresh(chain[-1 - MAX_GENERATIONS].text)).grant.refresh == chain[-MAX_GENERATIONS]
    house.clock.advance(timedelta(seconds=11))
    await house.signing_in.refresh(chain[-1].text)
    assert await remembered() == 1


async def test_refreshing_is_one_statement(house: House) -> None:
    token = (await house.register()).tokens.grant.refresh.text
    sent = await Sent(house.tx).during(house.signing_in.refresh(token))
    assert [statement.partition(" ")[0] for statement in sent] == ["BEGIN;", "UPDATE", "COMMIT"]


async def test_reuse_ends_one_session_and_leaves_the_others(house: House) -> None:
    signed_in = await house.register("twice")
    other = await house.login("twice")
    await house.signing_in.refresh(signed_in.tokens.grant.refresh.text)
    house.clock.advance(timedelta(seconds=11))
    with pytest.raises(RefreshTokenReused):
        await house.signing_in.refresh(signed_in.tokens.grant.refresh.text)
    kept = await house.signing_in.refresh(other.tokens.grant.refresh.text)
    assert kept.grant.session_id == other.tokens.grant.session_id


async def test_nobody_ends_a_session_with_a_token_made_up_from_its_id(house: House) -> None:
    grant = (await house.register()).tokens.grant
    forged = base64.urlsafe_b64encode(grant.session_id.bytes + bytes(48)).decode().rstrip("=")
    with pytest.raises(TokenInvalid):
        await house.signing_in.refresh(forged)
    assert (await house.signing_in.refresh(grant.refresh.text)).grant.session_id == grant.session_id


async def test_refreshing_does_not_prolong_the_absolute_life_of_a_session(house: House) -> None:
    pair = (await house.register()).tokens
    end = pair.refresh_expire_time
    for _ in range(3):
        house.clock.advance(timedelta(days=9, hours=23, minutes=59))
        pair = await house.signing_in.refresh(pair.grant.refresh.text)
        assert pair.refresh_expire_time == end
    assert pair.access.expire_time <= end
    house.clock.advance(timedelta(minutes=4))
    with pytest.raises(TokenExpired):
        await house.signing_in.refresh(pair.grant.refresh.text)


async def test_a_blocked_account_cannot_refresh(house: House) -> None:
    done = await house.register()
    await house.tx.run("test.block", lambda uow: block.block_account(uow, done.account.user_id))
    with pytest.raises(AccountBlocked):
        await house.signing_in.refresh(done.tokens.grant.refresh.text)


async def test_a_new_role_is_in_the_next_access_token(house: House) -> None:
    done = await house.register()
    await house.tx.run("test.grant", lambda uow: service.grant_role(uow, done.account.user_id, Role.COURIER))
    pair = await house.signing_in.refresh(done.tokens.grant.refresh.text)
    assert pair.grant.roles == {Role.BUYER, Role.COURIER}


async def test_a_spent_token_that_comes_again_is_in_the_audit_log(house: House) -> None:
    done = await house.register()
    token = done.tokens.grant.refresh.text
    await house.signing_in.refresh(token)
    house.clock.advance(timedelta(seconds=11))
    with pytest.raises(RefreshTokenReused):
        await house.signing_in.refresh(token)
    rows = await house.tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT actor_kind, actor_id, code, refusal_reason, comment FROM audit_entries WHERE resource_id = $1",
            str(done.tokens.grant.session_id),
        )
    )
    assert [tuple(row) for row in rows] == [
        (
            "USER",
            done.account.user_id,
            "UNAUTHENTICATED",
            "REFRESH_TOKEN_REUSED",
            "a spent refresh token came again",
        )
    ]


async def test_an_account_keeps_its_latest_sessions_and_is_blocked_with_them_all(builder: Builder) -> None:
    house = await builder.build(max_open=3)
    first = await house.register("busy")
    later = [await house.login("busy") for _ in range(3)]
    with pytest.raises(SessionRevoked):
        await house.principals.authenticate(first.tokens.access.text)
    for each in later:
        await house.principals.authenticate(each.tokens.access.text)
    await house.tx.run("test.block", lambda uow: block.block_account(uow, first.account.user_id))
    await house.principals.poll()
    for each in later:
        with pytest.raises(AccountBlocked):
            await house.principals.authenticate(each.tokens.access.text)


@pytest.mark.parametrize("times", [2, pytest.param(20, marks=[pytest.mark.faults, pytest.mark.alone])])
async def test_an_account_with_all_the_sessions_that_it_may_have_is_blocked_in_no_time(
    house: House, times: int
) -> None:
    done = await house.register("busy")
    await house.tx.run(
        "test.sessions",
        lambda uow: uow.connection.execute(
            "INSERT INTO sessions (session_id, user_id, device_name, address, token_hash, create_time,"
            " refresh_time, expire_time) SELECT gen_random_uuid(), $1, '', '', sha256(n::text::bytea), $2,"
            " $2, $2::timestamptz + interval '1 day' FROM generate_series(1, $3) AS n",
            done.account.user_id,
            uow.now,
            times * house.rules.max_open,
        ),
    )
    # More than there can be, and in a handful of statements: one for each took longer than a call may.
    blocking = house.tx.run("test.block", lambda uow: block.block_account(uow, done.account.user_id), seconds=5)
    assert len(await Sent(house.tx).during(blocking)) < 20
    count = "SELECT count(*) FROM sessions WHERE user_id = $1 AND revoke_time IS NULL"
    assert await house.tx.read(lambda unit: unit.connection.fetchval(count, done.account.user_id)) == 0
    with pytest.raises(AccountBlocked):
        await house.signing_in.refresh(done.tokens.grant.refresh.text)


async def test_a_session_that_nobody_refreshes_ends_and_one_that_is_used_goes_on(house: House) -> None:
    used, idle = await house.register("used"), await house.register("idle")
    caller = await house.caller(used)
    tablet = await house.login("used")
    token = used.tokens.grant.refresh.text
    for _ in range(3):
        house.clock.advance(timedelta(days=9))
        token = (await house.signing_in.refresh(token)).grant.refresh.text
    for ended in (idle, tablet):
        with pytest.raises(TokenExpired):
            await house.signing_in.refresh(ended.tokens.grant.refresh.text)
    listed = await house.tx.read(
        lambda unit: sessions.list_sessions(unit, house.rules, caller, None, 10, descending=True)
    )
    assert [session.session_id for session in listed] == [used.tokens.grant.session_id]


async def test_no_token_or_password_is_in_the_database(house: House) -> None:
    done = await house.register()
    pair = await house.signing_in.refresh(done.tokens.grant.refresh.text)
    secrets = [done.tokens.grant.refresh.text, pair.grant.refresh.text, pair.access.text, "correct horse battery"]

    async def dump(unit: ReadUnit) -> str:
        names = await unit.connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = [row for name in names for row in await unit.connection.fetch(f'SELECT t::text FROM "{name[0]}" t')]
        return "\n".join(row[0] for row in rows)

    everything = await house.tx.read(dump)
    assert str(done.account.user_id) in everything
    for secret in secrets:
        assert secret not in everything
        assert secret.encode().hex() not in everything
