"""Lists of accounts on real Postgres: filters, orders, pages and their tokens, and that they read indexes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from marketd.auth import service
from marketd.auth.accounts import block
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import PageTokenInvalid, ValidationFailed
from marketd.kernel.values.ids import new_id
from marketplace.auth.v1 import user_pb2
from marketplace.auth.v1 import user_service_pb2 as pb
from marketplace.policy.v1 import policy_pb2

if TYPE_CHECKING:
    from tests.worlds.auth import House

CONTEXT = cast("Any", None)


async def _admin(house: House) -> UUID:
    user_id = (await house.register()).account.user_id
    await house.tx.run("test.admin", lambda uow: service.grant_role(uow, user_id, Role.ADMIN))
    return user_id


async def _list(house: House, admin: UUID, **request: Any) -> pb.ListUsersResponse:
    calls.enter(Call(caller=Caller(admin, None, frozenset({Role.ADMIN}))))
    return await house.users().ListUsers(pb.ListUsersRequest(**request), CONTEXT)


async def test_an_admin_walks_all_accounts_page_by_page_and_finds_some(house: House) -> None:
    admin = await _admin(house)
    made = [str((await house.register(name)).account.user_id) for name in ("ann", "Anna", "bob", "a_b")]
    seen: list[str] = []
    token = ""
    while True:
        page = await _list(house, admin, page_size=2, page_token=token)
        seen += [user.user_id for user in page.users]
        token = page.next_page_token
        if not token:
            break
    assert seen == [*reversed(made), str(admin)]

    async def found(**wanted: Any) -> set[str]:
        return {user.username for user in (await _list(house, admin, **wanted)).users}

    assert await found(query="ANN") == {"ann", "Anna"}
    assert await found(query="anna@shop") == {"Anna"}
    assert await found(query="a_") == {"a_b"}  # no pattern
    assert await found(query="jo d") >= {"ann", "Anna", "bob", "a_b"}  # by name
    assert await found(query="%") == set()
    assert len((await _list(house, admin, roles=[policy_pb2.ROLE_ADMIN])).users) == 1
    both = [policy_pb2.ROLE_ADMIN, policy_pb2.ROLE_BUYER]
    assert len((await _list(house, admin, roles=both)).users) == 5
    await house.tx.run("test.block", lambda uow: block.block_account(uow, UUID(made[2])))
    assert await found(states=[user_pb2.USER_STATE_BLOCKED]) == {"bob"}
    assert "bob" not in await found(states=[user_pb2.USER_STATE_ACTIVE, user_pb2.USER_STATE_DELETED])


async def test_a_page_token_holds_for_its_filters_and_its_caller_only(house: House) -> None:
    admin = await _admin(house)
    await house.register()
    token = (await _list(house, admin, page_size=1)).next_page_token
    assert token
    with pytest.raises(PageTokenInvalid):
        await _list(house, admin, page_size=1, page_token=token, query="x")
    with pytest.raises(PageTokenInvalid):
        await _list(house, new_id(), page_size=1, page_token=token)


async def test_finding_accounts_by_their_beginnings_reads_indexes(house: House) -> None:
    await _execute(
        house,
        "INSERT INTO accounts (user_id, email, username, full_name, password_hash, state, create_time, update_time)"
        " SELECT gen_random_uuid(), 'user' || n || '@shop.example', 'user' || n, 'Name ' || n, 'x', 'ACTIVE', now(),"
        " now() FROM generate_series(1, 20000) n",
    )
    await _execute(house, "ANALYZE accounts")
    plan = await house.tx.read(
        lambda unit: unit.connection.fetch(
            "EXPLAIN SELECT a.user_id FROM accounts a WHERE ((a.email ~>=~ 'user77' AND a.email ~<~ 'user78')"
            " OR (lower(a.username) ~>=~ 'user77' AND lower(a.username) ~<~ 'user78')"
            " OR (lower(a.full_name) ~>=~ 'user77' AND lower(a.full_name) ~<~ 'user78') OR a.phone = 'user77')"
            " ORDER BY a.user_id DESC LIMIT 26"
        )
    )
    text = "\n".join(row[0] for row in plan)
    assert "Seq Scan" not in text
    assert "ix_accounts_email_prefix" in text


async def test_accounts_come_in_the_order_asked_for_page_by_page(house: House) -> None:
    admin = await _admin(house)
    made = [str((await house.register(name)).account.user_id) for name in ("cleo", "ann", "bob")]

    async def walked(**wanted: Any) -> list[user_pb2.User]:
        users: list[user_pb2.User] = []
        token = ""
        while True:
            page = await _list(house, admin, page_size=2, page_token=token, **wanted)
            users += page.users
            token = page.next_page_token
            if not token:
                return users

    by_email = [user.email for user in await walked(order_by="email")]
    assert len(by_email) == 4
    assert by_email == sorted(by_email)
    assert [user.email for user in await walked(order_by="email desc")] == by_email[::-1]
    assert [user.user_id for user in await walked(order_by="create_time")] == [str(admin), *made]
    assert [user.username for user in await walked(order_by="email", query="jo d")][:2] == ["ann", "bob"]


async def test_accounts_are_found_by_when_they_were_made_and_by_their_phones(house: House) -> None:
    admin = await _admin(house)
    instants = []
    for name in ("first", "second", "third"):
        house.clock.advance(timedelta(minutes=1))
        instants.append(house.clock.now())
        await house.register(name, f"+4930111{len(instants)}")

    async def found(**wanted: Any) -> list[str]:
        wanted = {
            key: Timestamp(seconds=int(value.timestamp()), nanos=value.microsecond * 1_000)
            if isinstance(value, datetime)
            else value
            for key, value in wanted.items()
        }
        return [user.username for user in (await _list(house, admin, order_by="create_time", **wanted)).users]

    # From an instant on, it included, and before one, it not.
    assert await found(create_time_from=instants[1]) == ["second", "third"]
    assert await found(create_time_from=instants[0], create_time_before=instants[2]) == ["first", "second"]
    assert await found(query="+49301112") == ["second"]
    assert await found(query="+4930111") == ["first", "second", "third"]


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("order_by", {"order_by": "phone"}),
        ("create_time_before", {"create_time_from": Timestamp(seconds=9), "create_time_before": Timestamp(seconds=8)}),
    ],
)
async def test_an_order_that_there_is_not_and_an_interval_the_wrong_way_round_are_refused(
    house: House, field: str, wanted: dict[str, Any]
) -> None:
    with pytest.raises(ValidationFailed) as refused:
        await _list(house, new_id(), **wanted)
    assert [each.field for each in refused.value.fields] == [field]


async def _execute(house: House, statement: str, *arguments: object) -> None:
    await house.tx.run("test.execute", lambda uow: uow.connection.execute(statement, *arguments))
